//! Declarations of types in C.

use anyhow::{Context, Result, ensure};

use crate::escape::printable;
use crate::ffi::dump::Dumper;
use crate::types::relo::Target;

/// Declarations in C, by libbpf.
#[derive(Debug)]
pub(super) struct Declare<'a>(pub Dumper<'a>);

impl<'a> Declare<'a> {
    /// For these types alone, and what they need: it is made sure first that libbpf comes to an end with them.
    ///
    /// # Errors
    /// When they contradict each other: the file is damaged.
    pub fn new(target: &'a Target, ids: impl Iterator<Item = u32>) -> Result<Self> {
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
pub(super) fn clean(text: &[u8]) -> String {
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
