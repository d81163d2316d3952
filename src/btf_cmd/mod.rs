//! `coretrace btf`: looks into the types (BTF) of a kernel, and makes small files of them.

mod min;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli::Btf;
use crate::kernel::Host;
use crate::kernel::btf::{self, BtfSource};
use crate::session;

/// Does what the options say; tells the exit code.
///
/// # Errors
/// When there are no types, or what is asked for is not among them.
pub(crate) fn btf(options: &Btf) -> Result<u8> {
    session::capture_log(false);
    match options {
        Btf::Min { out, files } => min::min(out, files),
        Btf::Ls { .. } | Btf::Show { .. } | Btf::Diff { .. } | Btf::Dump { .. } => bail!("not yet"),
    }
}

/// The file with the types that a run here would take.
pub(crate) fn own(option: Option<&Path>) -> Result<PathBuf> {
    Ok(match btf::find(option, &Host::read(Path::new("/")))? {
        BtfSource::Kernel => PathBuf::from(btf::KERNEL),
        BtfSource::File(path) => path,
    })
}
