//! `coretrace man`: the manual pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::escape::shown;

/// Writes the manual pages (roff) of a command line into a directory; returns the exit code.
///
/// # Errors
/// When they cannot be written.
pub fn man(grammar: clap::Command, dir: &Path) -> Result<u8> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", shown(dir)))?;
    let written = clap_mangen::generate_to(grammar, dir);
    written.with_context(|| format!("writing manual pages to {}", shown(dir))).map(|()| 0)
}
