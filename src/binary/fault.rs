//! Why a file cannot be read.

use std::io;

use crate::error::Wrong;

/// Of reading a file.
pub(crate) fn unreadable(what: &str, error: &io::Error) -> Wrong {
    match error.kind() {
        io::ErrorKind::NotFound => Wrong::new(format!("{what}: there is no such file")),
        _ => Wrong::new(format!("{what} cannot be read: {error}")),
    }
}
