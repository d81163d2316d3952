//! Why something is not found in a binary, or a binary cannot be read.

use std::fmt;
use std::io;

/// What is wrong, as the end of a sentence or one of its own, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub message: String,
    /// One on each line.
    pub hints: Vec<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// One line for all of them, if there are any.
    pub fn list<S: AsRef<str>>(self, what: &str, all: &[S]) -> Self {
        let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
        if all.is_empty() { self } else { self.hint(format!("{what}: {}", all.join(", "))) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}

impl std::error::Error for Fault {}

/// Of reading a file.
pub(crate) fn unreadable(what: &str, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::new(format!("{what}: there is no such file")),
        _ => Fault::new(format!("{what} cannot be read: {error}")),
    }
}
