//! Whether this kernel may interrupt a BPF program to run another process on its CPU. What that other process does on
//! the same hook is then skipped, or takes another of the CPU's scratch spaces, or finds all of them in use.

use std::fs;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

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
}
