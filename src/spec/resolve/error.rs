//! Why a spec cannot be resolved on this kernel, and what would be.

use std::fmt;

use crate::spec::ast::Span;

/// What is wrong with a spec, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolveError {
    pub span: Span,
    pub message: String,
    /// What to write instead, one on each line.
    pub hints: Vec<String>,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}

impl std::error::Error for ResolveError {}

/// The same before it is known where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub message: String,
    pub hints: Vec<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// One line for all of them, if there are any.
    pub fn list(self, what: &str, all: &[String]) -> Self {
        if all.is_empty() { self } else { self.hint(format!("{what}: {}", all.join(", "))) }
    }

    pub fn at(self, span: &Span) -> ResolveError {
        ResolveError { span: span.clone(), message: self.message, hints: self.hints }
    }
}
