//! What is fixed before the programs are loaded.

use std::ops::Range;

use crate::flow::filter::CommGlobs;
use crate::load::labels::Labels;

/// How events come from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// One ring buffer for all CPUs (kernel 5.8 and newer)
    Ring,
    /// A perf buffer for each CPU
    Perf,
}

/// Most users that can be filtered by: `UIDS_MAX` in event.bpf.h (checked in src/ffi/skeleton.rs).
pub const UIDS_MAX: usize = 16;

/// Most cgroups that can be filtered by: `CGROUPS_MAX` in event.bpf.h (checked when the map `cgroups` is configured).
pub const CGROUPS_MAX: usize = 8;

/// Most scratch spaces of a CPU: `SPACES_MAX` in event.bpf.h.
pub const SPACES_MAX: u32 = 8;

/// What is fixed before load: `struct settings` in event.bpf.h.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Bit mask of the wanted kinds.
    pub kinds: u64,
    /// Bytes in the ring buffer at which the reader is woken.
    pub wake: Range<u64>,
    /// Names of threads to show.
    pub comm: CommGlobs,
    /// Perf buffer, not ring buffer.
    pub perf: bool,
    /// Only processes in the map `followed`.
    pub filter_pids: bool,
    /// … and those that they fork.
    pub follow: bool,
    /// Users to show.
    pub uids: Vec<u32>,
    /// How many cgroups are in the map `cgroups`.
    pub cgroups: u32,
    /// Cgroups are looked up in user space, and what is known of them is put into the map `known_cgroups`.
    pub names: bool,
    /// … and some of them are refused.
    pub refuses: bool,
    /// Inode of coretrace's PID namespace; 0: the initial one.
    pub pidns: u32,
    /// Bytes in a page.
    pub page_size: u32,
    /// Coretrace's own process id, if its heartbeats must pass all filters; 0: no heartbeats.
    pub heartbeat: u32,
    /// Scratch spaces of each CPU: programs that interrupt each other there, and still build events.
    pub spaces: u32,
    /// Events have the name of the process's parent.
    pub parent: bool,
    /// … and of all above it, at most so many.
    pub ancestors: u32,
    /// Events carry labels.
    pub labels: Option<Labels>,
}
