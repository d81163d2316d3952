//! Why a spec cannot be resolved on this kernel, and what would be.

use std::fmt;

pub(crate) use crate::error::Wrong;
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

impl Wrong {
    pub fn at(self, span: &Span) -> ResolveError {
        ResolveError { span: span.clone(), message: self.message, hints: self.hints }
    }
}
