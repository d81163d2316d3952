//! Paths of a process or container whose `/` is a directory here.

use std::path::{Path, PathBuf};

/// The file that a path means where `root` is `/`.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
