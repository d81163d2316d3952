//! What a run needs to load and attach, from the options and the host.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::load::plan::Hook;
use crate::load::settings::Settings;
use crate::types::btf::BtfSource;

/// Since when programs can read what their probe was attached with (7adfc6c9b315: bpf: Add bpf_get_attach_cookie() BPF
/// helper to access bpf_cookie value).
pub const COOKIES: (u32, u32) = (5, 15);

/// What a run needs to load and attach.
#[derive(Debug)]
pub struct Session {
    /// For the kernel side.
    pub settings: Settings,
    /// Where the types of the kernel come from.
    pub btf: BtfSource,
    /// Why other sources of types were not used.
    pub btf_passed_over: Vec<String>,
    /// Whether the kernel has its own BTF.
    pub kernel_btf: bool,
    /// The only way to hook in that is tried (`--attach`).
    pub hook: Option<Hook>,
    /// Hooks on which the kernel may interrupt a program to run another process, for which it then skips that hook;
    /// other hooks are tried first. See [`crate::load::plan::preempts`].
    pub preempted: Vec<Hook>,
    /// The kernel does not count skipped runs of programs on probes and classic tracepoints: before 6.7 (dd8657894c11:
    /// bpf: Count missed stats in trace_call_bpf).
    pub uncounted: bool,
    /// Programs can read what their probe was attached with: see [`COOKIES`].
    pub cookies: bool,
    /// The kernel runs programs on the entry of system calls only on CPUs with a perf event: see `every_cpu.rs`.
    pub entry_on_one_cpu: bool,
    /// Bytes of the buffer: of the ring, or of all CPUs' perf buffers together.
    pub buffer: u32,
    /// Processes to watch.
    pub pids: Vec<u32>,
    /// Most processes that can be followed at once.
    pub followed_max: u32,
    /// Cgroup directories to watch, by their full paths.
    pub cgroups: Vec<(PathBuf, File)>,
    /// Collect also what is costlier to find: all details are shown (-w, -o json, --record), or a filter needs them.
    pub details: bool,
    /// Prefixes, after normalization, one of which every wanted path has; empty: any path.
    pub path_prefixes: Vec<Vec<u8>>,
    /// Have the verifier log how many instructions it processed.
    pub verifier_stats: bool,
}

impl Session {
    /// Whether only some of the host's processes are watched.
    #[must_use]
    pub fn watches_some(&self) -> bool {
        let s = &self.settings;
        let labels = s.labels.as_ref().is_some_and(|labels| labels.only.is_some() || labels.ignore.is_some());
        s.filter_pids || !s.uids.is_empty() || s.comm.accept != 0 || s.cgroups > 0 || s.refuses || labels
    }

    /// Pages of the perf buffer of each CPU: a power of two, as the kernel wants it.
    ///
    /// # Errors
    /// When the number of CPUs is unknown.
    pub fn perf_pages(&self) -> Result<usize> {
        let cpus = libbpf_rs::num_possible_cpus().context("counting the CPUs")?;
        let pages = self.buffer as usize / cpus / self.settings.page_size.max(1) as usize;
        Ok(pages.max(1).next_power_of_two())
    }
}
