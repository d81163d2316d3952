//! The ways to hook into the kernel, and the programs of each.

use crate::host::Host;
use crate::host::preempt::Preemption;

/// A way to hook into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// BTF-typed tracepoints, and entry or return of kernel functions.
    Fentry,
    /// BTF-typed tracepoints alone.
    Btf,
    /// Raw tracepoints.
    Raw,
    /// Probes on kernel functions, by their names.
    Kprobe,
    /// Probes on system calls: libbpf knows what the kernel calls the function.
    Ksyscall,
    /// Classic tracepoints.
    Tracepoint,
}

impl Hook {
    /// All of them.
    pub const ALL: [Hook; 6] = [Hook::Fentry, Hook::Btf, Hook::Raw, Hook::Kprobe, Hook::Ksyscall, Hook::Tracepoint];

    /// Its name in `--attach` and in notes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Fentry => "fentry",
            Hook::Btf => "btf",
            Hook::Raw => "raw",
            Hook::Kprobe => "kprobe",
            Hook::Ksyscall => "ksyscall",
            Hook::Tracepoint => "tracepoint",
        }
    }

    /// Whether the kernel's own BTF must be there: one handed in does not do.
    #[must_use]
    pub fn needs_kernel_btf(self) -> bool {
        matches!(self, Hook::Fentry | Hook::Btf)
    }

    /// Whether it is served by trace_call_bpf() (kernel/trace/bpf_trace.c): see [`crate::load::session::Session::uncounted`].
    #[must_use]
    pub fn is_probe(self) -> bool {
        matches!(self, Hook::Kprobe | Hook::Ksyscall | Hook::Tracepoint)
    }
}

/// A BPF program of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// When it is loaded.
    pub needed: Needed,
    /// Where it goes.
    pub target: Target,
    /// A kernel may lack what it hooks: the rest works without it.
    pub optional: bool,
}

/// When a program is loaded.
#[derive(Debug, Clone, Copy)]
pub enum Needed {
    /// Where one of these kinds of events, which it sends, is wanted.
    For(&'static [u32]),
    /// The same, or where processes are followed to their children …
    ForOrForks(&'static [u32]),
    /// … or to their end.
    ForOrEnds(&'static [u32]),
}

/// Where a program goes.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Where its `SEC` name says.
    Section,
    /// On the entry of these functions, or those of them that there are (kprobe).
    Entry(&'static [&'static str]),
    /// On their return (kretprobe).
    Return(&'static [&'static str]),
    /// On the return of these system calls, whatever their functions are called (kretprobe).
    SyscallReturn(&'static [&'static str]),
    /// On these classic tracepoints of the system calls, or those of them that there are.
    SyscallEvents(&'static [&'static str]),
    /// On the return of the first of these functions that there is (fexit).
    Exit(&'static [&'static str]),
}

impl Program {
    /// A program that goes where its `SEC` name says.
    #[must_use]
    pub const fn new(name: &'static str, needed: Needed) -> Self {
        Program { name, needed, target: Target::Section, optional: false }
    }

    /// The same on that target.
    #[must_use]
    pub const fn on(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Whether it is loaded where these kinds of events (a mask) are wanted.
    #[must_use]
    pub fn is_needed(&self, wanted: u64, follow: bool, filter_pids: bool) -> bool {
        let (kinds, tracks) = match self.needed {
            Needed::For(kinds) => (kinds, false),
            Needed::ForOrForks(kinds) => (kinds, follow),
            Needed::ForOrEnds(kinds) => (kinds, filter_pids),
        };
        tracks || kinds.iter().any(|kind| wanted & (1 << kind) != 0)
    }

    /// The same, and the rest works without it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// One way to hook in: which programs of the object are loaded.
#[derive(Debug)]
pub struct Plan {
    /// What to call it.
    pub hook: Hook,
    /// The programs, in the order in which they are attached.
    pub programs: &'static [Program],
    /// What cannot be seen in this way; empty where that is nothing.
    pub blind: &'static str,
}

/// The plans to try, in the order in which they are tried: that of `--attach` where it names one, and first those on
/// whose hooks the kernel does not interrupt programs.
pub fn in_order<T>(
    plans: impl Iterator<Item = T>,
    hook_of: impl Fn(&T) -> Hook,
    only: Option<Hook>,
    preempts: impl Fn(Hook) -> bool,
) -> Vec<T> {
    let mut plans: Vec<_> = plans.filter(|plan| only.is_none_or(|only| only == hook_of(plan))).collect();
    plans.sort_by_key(|plan| preempts(hook_of(plan)));
    plans
}

/// Whether the kernel may interrupt programs on this hook.
///
/// On functions (fentry, fexit): since 5.11, where "disabling migration" no longer disables preemption
/// (74d862b682f5: sched: Make migrate_disable/enable() independent of RT; kernel/bpf/trampoline.c:
/// `__bpf_prog_enter`), and on real-time kernels before that. On tracepoints, but for the classic ones: since 7.0
/// (a46023d5616e: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast; 16718274ee75: Have perf tracepoint
/// callbacks always disable preemption). Probes run with preemption disabled.
#[must_use]
pub fn preempts(host: &Host, hook: Hook) -> bool {
    let since = match hook {
        Hook::Fentry if host.preemption == Preemption::RealTime => (0, 0),
        Hook::Fentry => (5, 11),
        Hook::Btf | Hook::Raw => (7, 0),
        Hook::Kprobe | Hook::Ksyscall | Hook::Tracepoint => return false,
    };
    host.preemption != Preemption::None && host.at_least(since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn functions_can_be_preempted_long_before_tracepoints() {
        let mut host = Host::read(Tree::new().root());
        let mut preempted = |version, preemption| {
            (host.version, host.preemption) = (version, preemption);
            Hook::ALL.into_iter().filter(|hook| preempts(&host, *hook)).collect::<Vec<_>>()
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
