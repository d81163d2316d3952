//! What subcommands that are no tracers print.

use std::io::{self, Write};

use anyhow::{Context, Result};

use crate::commands::report_format::Choice;
use crate::escape;

/// Prints to stdout; whatever is in it, it is harmless then.
pub(crate) fn print(format: Choice, text: &str) -> Result<u8> {
    let text = match format {
        Choice::Text => escape::clean(text),
        Choice::Json => escape::clean_json(text),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("writing to stdout"),
        _ => Ok(0),
    }
}
