//! Turns a failure of loading or attaching into its cause and what to do about it.
//!
//! The kernel answers with a bare number, and libbpf's log has the rest. The rules below go from the certain to the
//! likely; the first that fits is the answer.

mod failure;
mod log;
mod permission;
mod program;
mod rights;

use crate::error::Diagnosed;
use crate::host::Host;
use crate::load::proof::Misfit;

pub use self::failure::Diagnosis;
use self::failure::Failure;
pub(crate) use self::failure::errno;
use self::log::Log;
pub(crate) use self::rights::rights;

type Rule = fn(&Failure) -> Option<Diagnosis>;

/// In the order of certainty. Missing rights come before all else that fails to load: without them everything does.
const RULES: [Rule; 20] = [
    program::misfit,
    permission::capabilities,
    permission::lockdown,
    program::exhausted,
    program::no_btf,
    program::bad_btf,
    program::relocation,
    program::unresolved,
    program::helper,
    program::complexity,
    program::tracepoint,
    program::function,
    program::unprobeable,
    program::trampoline,
    program::not_built_in,
    permission::memlock,
    permission::perf_events,
    program::verifier,
    permission::refused,
    program::old,
];

/// Explains `error` with the messages that libbpf wrote since the operation began (all levels; those of earlier, failed
/// attempts must not be among them). None: no rule knows it, and the error alone is printed.
#[must_use]
pub fn explain(error: &anyhow::Error, log: &[String], host: &Host) -> Option<Diagnosis> {
    let failure = Failure { errno: errno(error), misfit: error.is::<Misfit>(), log: Log::new(log), host };
    RULES.iter().find_map(|rule| rule(&failure))
}

/// The error with what is known of its cause.
pub(crate) fn diagnosed(error: anyhow::Error, log: &[String], host: &Host) -> anyhow::Error {
    match explain(&error, log, host) {
        Some(diagnosis) => error.context(Diagnosed(diagnosis.to_string())),
        None => error,
    }
}

#[cfg(test)]
mod tests;
