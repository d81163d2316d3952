//! What a format does with lives.

use std::io::{self, Write};

use crate::output::processes::Process;

/// Writes lives in one format.
pub(in crate::output) trait Form {
    fn header(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn life(&mut self, out: &mut dyn Write, process: &Process) -> io::Result<()>;

    fn resize(&mut self, _: Option<usize>) {}
}
