//! The types that subcommands look into.

use std::path::Path;

use anyhow::Result;

use crate::host::Host;
use crate::options::variable;
use crate::types::btf::{self, Wanted};
use crate::types::relo::Target;

/// The types in this file, of whatever kernel; without one, those that a run here would take.
pub(super) fn of_a_run(file: Option<&Path>) -> Result<Target> {
    named_or_of_a_run(file, variable("CORETRACE_BTF_DIR").as_deref().map(Path::new))
}

/// The same; `dir` is `--btf-dir`.
pub(super) fn named_or_of_a_run(file: Option<&Path>, dir: Option<&Path>) -> Result<Target> {
    match file {
        Some(file) => Target::read(file),
        None => Target::of(&btf::find(Wanted { file, dir }, &Host::read(Path::new("/")))?.source),
    }
}
