//! A failure as the rules look at it, and what they make of it.

use std::fmt;

use nix::errno::Errno;

use super::log::Log;
use crate::host::Host;

/// Why something failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The cause in one sentence.
    pub cause: String,
    /// What to do, the best first: a command, or a sentence.
    pub hints: Vec<String>,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        self.hints.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// What a rule looks at.
pub(super) struct Failure<'a> {
    pub(super) errno: Option<i32>,
    /// The programs ran, and read wrong values ([`crate::load::proof`]).
    pub(super) misfit: bool,
    pub(super) log: Log<'a>,
    pub(super) host: &'a Host,
}

impl Failure<'_> {
    pub(super) fn is(&self, errnos: &[Errno]) -> bool {
        errnos.iter().any(|errno| self.errno == Some(*errno as i32))
    }

    pub(super) fn denied(&self) -> bool {
        self.is(&[Errno::EPERM, Errno::EACCES])
    }
}

/// The result of a rule that applies.
pub(super) fn found<S: Into<String>>(
    cause: impl Into<String>,
    hints: impl IntoIterator<Item = S>,
) -> Option<Diagnosis> {
    Some(Diagnosis { cause: cause.into(), hints: hints.into_iter().map(Into::into).collect() })
}

/// The system's error number, parsed from the texts: libbpf-rs hides the `io::Error` inside its own error.
pub(crate) fn errno(error: &anyhow::Error) -> Option<i32> {
    let direct = error.chain().find_map(|cause| {
        let of_nix = cause.downcast_ref::<Errno>().map(|errno| *errno as i32);
        of_nix.or_else(|| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
    });
    if direct.is_some() {
        return direct;
    }
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    texts.iter().rev().find_map(|text| text.rsplit_once("(os error ")?.1.strip_suffix(')')?.parse().ok())
}
