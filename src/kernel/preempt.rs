//! Whether this kernel may interrupt a BPF program to run another process on its CPU. What that other process does on
//! the same hook is then skipped, or finds the CPU's scratch space in use.

use std::fs;
use std::path::Path;

use super::Host;
use crate::session::Hook;

/// How willing a kernel is to take the CPU from a task that is in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preemption {
    /// It waits until the task leaves the kernel or gives up the CPU itself.
    None,
    /// It may, or it is unknown whether it does.
    Possible,
    /// It is a real-time kernel, where also what "disables migration" may be interrupted (on 5.10, too).
    RealTime,
}

impl Preemption {
    /// Reads it below `root`. Kernels whose preemption is chosen at boot (`PREEMPT_DYNAMIC`, since 5.12) show the
    /// choice in debugfs (since 5.13), where that is mounted, and it may be on the command line (kernel/sched/core.c:
    /// sched_dynamic_mode).
    pub(super) fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let version = text("proc/sys/kernel/version");
        let has = |word: &str| version.split_whitespace().any(|of| of == word);
        if has("PREEMPT_RT") || text("sys/kernel/realtime").trim() == "1" {
            return Preemption::RealTime;
        }
        if !has("PREEMPT_DYNAMIC") {
            // The build's own; without a word, one that does not (CONFIG_PREEMPT_NONE or _VOLUNTARY).
            let unknown = version.trim().is_empty();
            return if unknown || has("PREEMPT") || has("PREEMPT_LAZY") { Self::Possible } else { Self::None };
        }
        let modes = text("sys/kernel/debug/sched/preempt");
        let shown = modes.split_whitespace().find_map(|mode| mode.strip_prefix('(')?.strip_suffix(')'));
        let line = text("proc/cmdline");
        let asked = line.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt="));
        match shown.or(asked) {
            Some("none" | "voluntary") => Self::None,
            _ => Self::Possible,
        }
    }
}

impl Host {
    /// Whether the kernel may interrupt programs on this hook.
    ///
    /// On functions (fentry, fexit): since 5.11, where "disabling migration" no longer disables preemption
    /// (74d862b682f5: sched: Make migrate_disable/enable() independent of RT; kernel/bpf/trampoline.c:
    /// `__bpf_prog_enter`), and on real-time kernels before that. On tracepoints, but for the classic ones: since 7.0
    /// (a46023d5616e: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast; 16718274ee75: Have perf tracepoint
    /// callbacks always disable preemption). Probes run with preemption disabled.
    #[must_use]
    pub fn preempts(&self, hook: Hook) -> bool {
        let since = match hook {
            Hook::Fentry if self.preemption == Preemption::RealTime => (0, 0),
            Hook::Fentry => (5, 11),
            Hook::Btf | Hook::Raw => (7, 0),
            Hook::Kprobe | Hook::Ksyscall | Hook::Tracepoint => return false,
        };
        self.preemption != Preemption::None && self.at_least(since)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Tree;
    use super::*;

    #[test]
    fn preemption_is_what_the_kernel_shows_of_it() {
        use Preemption::{None, Possible, RealTime};
        let read = |version: &str, modes: &str, line: &str| {
            let fake = Tree::new();
            fake.file("proc/sys/kernel/version", version);
            fake.file("sys/kernel/debug/sched/preempt", modes);
            fake.file("proc/cmdline", line);
            Preemption::read(fake.root())
        };
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.1-1 (2026-01-01)\n";
        assert_eq!(read("#1 SMP Debian 5.10.1-1 (2021-01-01)\n", "", ""), None);
        assert_eq!(read("#1 SMP PREEMPT Debian\n", "", ""), Possible);
        assert_eq!(read("#1 SMP PREEMPT_LAZY Debian\n", "", ""), Possible);
        assert_eq!(read("#1 SMP PREEMPT_RT Debian\n", "", ""), RealTime);
        assert_eq!(read(dynamic, "none (voluntary) full\n", "preempt=full"), None);
        assert_eq!(read(dynamic, "none voluntary (full) lazy\n", ""), Possible);
        assert_eq!(read(dynamic, "(none) voluntary full lazy\n", ""), None);
        assert_eq!(read(dynamic, "full (lazy)\n", ""), Possible);
        assert_eq!(read(dynamic, "", "quiet preempt=voluntary\n"), None);
        assert_eq!(read(dynamic, "", "preempt=none preempt=full\n"), Possible);
        assert_eq!(read(dynamic, "", "quiet\n"), Possible);
        assert_eq!(read("", "", ""), Possible);
    }

    #[test]
    fn functions_can_be_preempted_long_before_tracepoints() {
        let mut host = Host::read(Tree::new().root());
        let mut preempted = |version, preemption| {
            (host.version, host.preemption) = (version, preemption);
            Hook::ALL.into_iter().filter(|hook| host.preempts(*hook)).collect::<Vec<_>>()
        };
        let none: [Hook; 0] = [];
        assert_eq!(preempted((5, 10), Preemption::Possible), none);
        assert_eq!(preempted((5, 10), Preemption::RealTime), [Hook::Fentry]);
        assert_eq!(preempted((5, 11), Preemption::Possible), [Hook::Fentry]);
        assert_eq!(preempted((6, 19), Preemption::None), none);
        assert_eq!(preempted((7, 0), Preemption::Possible), [Hook::Fentry, Hook::Btf, Hook::Raw]);
        assert_eq!(preempted((7, 2), Preemption::None), none);
    }
}
