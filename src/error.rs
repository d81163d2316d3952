//! Errors with a meaning: wrong usage, what the kernel refused and why, exit codes.

/// Marks an error as wrong usage, for the exit code.
#[derive(Debug)]
pub struct Usage;

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrong usage")
    }
}

/// The exit code for an error: CMD's own where it could not be run, 2 for wrong usage, else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<NotRun>() {
        Some(not_run) => not_run.code,
        None if error.downcast_ref::<Usage>().is_some() => 2,
        None => 1,
    }
}

/// An error in full: what was being done and why it failed; if the cause is known, that and the hints come first.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Diagnosed>() {
        Some(diagnosed) => {
            let chain: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
            format!("{}\n  ({})", diagnosed.0, chain.join(": "))
        }
        None => format!("{error:#}"),
    }
}

/// A failure whose cause is known, with hints.
#[derive(Debug)]
pub(crate) struct Diagnosed(pub(crate) String);

impl std::fmt::Display for Diagnosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with what a user named, before it is known where it stands: as the end of a sentence or one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub message: String,
    /// What can be done about it, or what was meant; one on each line.
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
    pub fn list<S: AsRef<str>>(self, what: &str, all: &[S]) -> Self {
        let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
        if all.is_empty() { self } else { self.hint(format!("{what}: {}", all.join(", "))) }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}

impl std::error::Error for Wrong {}

/// Exit code of `--strict` when events were lost.
pub(crate) const EVENTS_LOST: u8 = 3;

/// A command that cannot be run, with the exit code that shells have for it.
#[derive(Debug)]
pub struct NotRun {
    /// 127: not found; 126: found, but not executable.
    pub code: u8,
    pub(crate) message: String,
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotRun {}
