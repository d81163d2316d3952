//! Turns a failure of loading or attaching into its cause and what mends it.
//!
//! The kernel answers with a bare number, and libbpf's log has the rest. The rules below go from the certain to the
//! likely; the first that fits speaks.

mod log;
mod permission;
mod program;
/// The error with what is known of its cause.
pub(crate) fn diagnosed(error: anyhow::Error, log: &[String], host: &Host) -> anyhow::Error {
    match explain(&error, log, host) {
        Some(diagnosis) => error.context(Diagnosed(diagnosis.to_string())),
        None => error,
    }
}

#[cfg(test)]
mod tests;

use std::fmt;

use log::Log;
use nix::errno::Errno;

use crate::error::Diagnosed;
use crate::escape::printable;
use crate::host::{Host, caps};
use crate::load::proof::Misfit;

/// Why something failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The cause in one sentence.
    pub cause: String,
    /// Ways out, the best first: a command, or a sentence.
    pub mend: Vec<String>,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        self.mend.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// What a rule looks at.
struct Failure<'a> {
    errno: Option<i32>,
    /// The programs ran, and read what is not so ([`crate::load::proof`]).
    misfit: bool,
    log: Log<'a>,
    host: &'a Host,
}

impl Failure<'_> {
    fn is(&self, errnos: &[Errno]) -> bool {
        errnos.iter().any(|errno| self.errno == Some(*errno as i32))
    }

    fn denied(&self) -> bool {
        self.is(&[Errno::EPERM, Errno::EACCES])
    }
}

type Rule = fn(&Failure) -> Option<Diagnosis>;

/// In the order of certainty. Missing rights come before all else that fails to load: without them everything does.
const RULES: [Rule; 19] = [
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
    program::trampoline,
    program::not_built_in,
    permission::memlock,
    permission::perf_events,
    program::verifier,
    permission::refused,
    program::old,
];

fn found<S: Into<String>>(cause: impl Into<String>, mend: impl IntoIterator<Item = S>) -> Option<Diagnosis> {
    Some(Diagnosis { cause: cause.into(), mend: mend.into_iter().map(Into::into).collect() })
}

/// Explains `error` with the messages that libbpf wrote since the operation began (all levels; what failed earlier
/// and was got around must not be among them). None: no rule knows it, and the error has to speak for itself.
#[must_use]
pub fn explain(error: &anyhow::Error, log: &[String], host: &Host) -> Option<Diagnosis> {
    let failure = Failure { errno: errno(error), misfit: error.is::<Misfit>(), log: Log::new(log), host };
    RULES.iter().find_map(|rule| rule(&failure))
}

/// The system's error number, out of the texts: libbpf-rs hides the `io::Error` inside of its own.
fn errno(error: &anyhow::Error) -> Option<i32> {
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

/// How this process gets the rights that tracing needs, on this host.
pub(crate) fn rights(host: &Host) -> Vec<String> {
    let needed = caps::needed(host.version);
    if host.in_user_namespace() {
        return vec![
            "start it outside of the user namespace (rootless container, `unshare -r`): inside, even root is an ordinary user \
             to the kernel"
                .into(),
        ];
    }
    if host.euid == 0 {
        let list = caps::names(needed, " ");
        let add = list.to_ascii_uppercase().replace("CAP_", "--cap-add ");
        return match &host.container {
            Some(_) => vec![
                "start the container with `--privileged --pid=host`".into(),
                format!("or with `{add} --security-opt seccomp=unconfined --pid=host`"),
            ],
            None => vec![format!(
                "start it from a full root shell; in a systemd unit: `CapabilityBoundingSet={list}` (or none at all)"
            )],
        };
    }
    let mut held = needed.to_vec();
    if host.needs_memlock() {
        held.push(caps::SYS_RESOURCE);
    }
    vec![
        "sudo coretrace …".into(),
        format!("or once: sudo setcap {}=ep {}", caps::names(&held, ","), shell_word(&host.exe.to_string_lossy())),
        "(classic tracepoints need cap_dac_read_search too, to read tracefs)".into(),
    ]
}

/// One word for a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    printable(&format!("'{}'", text.replace('\'', r"'\''")))
}
