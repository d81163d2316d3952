//! `coretrace btf`: looks into the types (BTF) of a kernel, and makes small files of them.

use anyhow::{Result, bail};

use crate::cli::Btf;
use crate::session;

/// Does what the options say; tells the exit code.
///
/// # Errors
/// When there are no types, or what is asked for is not among them.
pub(crate) fn btf(options: &Btf) -> Result<u8> {
    session::capture_log(false);
    match options {
        Btf::Ls { .. } | Btf::Show { .. } | Btf::Diff { .. } | Btf::Min { .. } | Btf::Dump { .. } => bail!("not yet"),
    }
}
