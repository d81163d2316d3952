//! `coretrace btf`: looks into the types (BTF) of a kernel, and makes small files of them.

mod diff;
mod dump;
mod embed;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod layout;
mod lookup;
mod ls;
mod min;
mod show;

use std::path::Path;

use anyhow::{Context, Result, ensure};

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use self::fuzz::all_of;

use crate::bpf::dump::Dumper;

use crate::cli::Btf;
use crate::kernel::printable;
use crate::relo::Target;
use crate::relocs::own;
use crate::session;

/// Does what the options say; tells the exit code.
///
/// # Errors
/// When there are no types, or what is asked for is not among them.
pub(crate) fn btf(options: &Btf) -> Result<u8> {
    session::capture_log(false);
    match options {
        Btf::Min { out, files } => min::min(out, files),
        Btf::Ls { embedded: true, format } => embed::list(*format),
        Btf::Ls { format, .. } => ls::ls(*format),
        Btf::Embed { out, files } => embed::embed(out, files),
        Btf::Dump { btf, base, format, output_file } => {
            dump::dump(target(btf.as_deref(), base.as_deref())?, *format, output_file.as_deref())
        }
        Btf::Show { names, btf, base, format } => show::show(&target(btf.as_deref(), base.as_deref())?, names, *format),
        Btf::Diff { a, b, types, format } => diff::diff([a, b], types, *format),
    }
}

/// The types that are named, a module's, too; or those that a run here would take.
fn target(file: Option<&Path>, base: Option<&Path>) -> Result<Target> {
    file.map_or_else(|| own(None), |file| Target::read_with(file, base))
}

/// Declarations in C, by libbpf.
#[derive(Debug)]
struct Declare<'a>(Dumper<'a>);

impl<'a> Declare<'a> {
    /// For these types alone, and what they need: it is made sure first that libbpf comes to an end with them.
    ///
    /// # Errors
    /// When they contradict each other: the file is damaged.
    fn new(target: &'a Target, ids: impl Iterator<Item = u32>) -> Result<Self> {
        ensure!(
            target.types.declarable(ids),
            "BTF file {}: is damaged: its types contradict each other",
            target.name()
        );
        let dumper = Dumper::new(&target.types.btf).map_err(std::io::Error::from_raw_os_error);
        dumper.map(Declare).context("writing types in C")
    }
}

/// What libbpf wrote, harmless: names are whatever a file says.
fn clean(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let indent = line.len() - line.trim_start_matches('\t').len();
        lines.push_str(line.get(..indent).unwrap_or_default());
        // Blanks at an end may be what separates it from the next piece.
        lines.push_str(&printable(line));
        lines.push_str(end);
    }
    lines
}

#[cfg(test)]
mod tests;
