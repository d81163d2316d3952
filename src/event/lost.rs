//! Events that did not arrive.

use std::borrow::Cow;

/// Why events were not delivered, in the order of `enum drop_cause` in event.bpf.h (checked in src/ffi/skeleton.rs):
/// the reader was too slow for the buffer; all of the CPU's scratch spaces were in use; a map was full; a call began
/// whose return the kernel did not show; a new process was to be followed whose number was not found; a CPU had no
/// buffer.
pub const CAUSES: [&str; 6] =
    ["buffer_full", "scratch_busy", "map_full", "return_missed", "child_unknown", "cpu_offline"];

/// What a program of the kernel side could not read or keep, though its event may have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it was to do, as in "could not …".
    pub what: &'static str,
    /// The error's name.
    pub error: String,
    /// How often.
    pub count: u64,
}

/// Events that the kernel side could not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// When it was noticed: nanoseconds since 1970 (UTC).
    pub unix_ns: i64,
    /// The kind of the lost events.
    pub class: Cow<'static, str>,
    /// Why: one of [`CAUSES`].
    pub cause: &'static str,
    /// How many.
    pub count: u64,
    /// CPU on which they were lost.
    pub cpu: u32,
}
