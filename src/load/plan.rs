//! The ways to hook into the kernel, and the programs of each.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::host::Host;
use crate::host::preempt::Preemption;

/// A way to hook into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// BTF-typed tracepoints, and entry or return of kernel functions.
    Fentry,
    /// BTF-typed tracepoints alone.
    Btf,
    /// Raw tracepoints: their arguments as plain words, without types.
    Raw,
    /// Probes on many kernel functions at once.
    KprobeMulti,
    /// Probes on kernel functions, by their names.
    Kprobe,
    /// Probes on many functions of a binary at once.
    UprobeMulti,
    /// Probes on functions of binaries.
    Uprobe,
    /// Probes on system calls: libbpf knows the kernel's names of their functions.
    Ksyscall,
    /// Classic tracepoints: a record whose layout tracefs has.
    Tracepoint,
}

impl Hook {
    /// All of them.
    pub const ALL: [Hook; 9] = [
        Hook::Fentry,
        Hook::Btf,
        Hook::Raw,
        Hook::KprobeMulti,
        Hook::Kprobe,
        Hook::UprobeMulti,
        Hook::Uprobe,
        Hook::Ksyscall,
        Hook::Tracepoint,
    ];

    /// Its name in `--attach` and in notes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Fentry => "fentry",
            Hook::Btf => "btf",
            Hook::Raw => "raw",
            Hook::KprobeMulti => "kprobe_multi",
            Hook::Kprobe => "kprobe",
            Hook::UprobeMulti => "uprobe_multi",
            Hook::Uprobe => "uprobe",
            Hook::Ksyscall => "ksyscall",
            Hook::Tracepoint => "tracepoint",
        }
    }

    /// Whether the kernel's own BTF is needed: a file given with --btf does not suffice.
    #[must_use]
    pub fn needs_kernel_btf(self) -> bool {
        matches!(self, Hook::Fentry | Hook::Btf)
    }

    /// Whether it is one in a binary, not in the kernel.
    #[must_use]
    pub fn is_user(self) -> bool {
        matches!(self, Hook::Uprobe | Hook::UprobeMulti)
    }

    /// Whether trace_call_bpf() runs it (kernel/trace/bpf_trace.c): see [`crate::load::session::Session::uncounted`].
    #[must_use]
    pub fn is_probe(self) -> bool {
        matches!(self, Hook::Kprobe | Hook::Ksyscall | Hook::Tracepoint)
    }
}

/// Names, fixed in the program or derived from the user's options.
pub type Names = Vec<Cow<'static, str>>;

/// Names that are known when coretrace is built.
#[must_use]
pub fn names(all: &[&'static str]) -> Names {
    all.iter().copied().map(Cow::Borrowed).collect()
}

/// A BPF program of a plan.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name in the object.
    pub name: Cow<'static, str>,
    /// When it is loaded.
    pub needed: Needed,
    /// Where it is attached.
    pub target: Target,
    /// The rest works on kernels that lack its hook.
    pub optional: bool,
}

/// When a program is loaded.
#[derive(Debug, Clone)]
pub enum Needed {
    /// If one of these kinds of events, which it sends, is wanted.
    Kinds(Vec<u32>),
    /// If the children of processes are followed.
    Follow,
    /// If only some processes are watched, until they end.
    FilterPids,
}

/// Where a program is attached.
#[derive(Debug, Clone)]
pub enum Target {
    /// Where its `SEC` name says.
    Section,
    /// On the entry of those of these functions that exist (kprobe). One of a module is `module:function`.
    Entry(Names),
    /// On their return (kretprobe).
    Return(Names),
    /// On the return of these system calls, whatever their functions are called (kretprobe).
    SyscallReturn(Names),
    /// On those of these classic tracepoints of system calls that exist.
    SyscallEvents(Names),
    /// On the return of the first of these functions that exists (fexit).
    Exit(Names),
    /// On the entry (kprobe) or the return (kretprobe) of each of these functions; those that take no probe are left out.
    Each(Names, When),
    /// The same by one link for all of them (kprobe.multi, kretprobe.multi).
    Together(Names, When),
    /// On these places of a binary, each with a link of its own, or all with one.
    User { binary: Arc<Binary>, when: When, together: bool },
    /// On the entry of the first of these functions that exists (fentry). One of a module is `module:function`.
    TypedEntry(Names),
    /// On this tracepoint, by its types.
    TypedTracepoint(Cow<'static, str>),
    /// On this tracepoint, with its arguments as numbers.
    RawTracepoint(Cow<'static, str>),
    /// On this classic tracepoint: its category, and its name.
    Tracepoint(Cow<'static, str>, Cow<'static, str>),
    /// On nothing: coretrace runs it itself (BPF_PROG_TEST_RUN).
    Called,
    /// On nothing: coretrace reads what it writes of each of the kernel's objects (a BPF iterator).
    Iterator,
}

/// Where in a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its file, as coretrace reaches it.
    pub path: PathBuf,
    /// Which instructions.
    pub places: Vec<Place>,
}

/// An instruction of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where it is in the file.
    pub offset: u64,
    /// Where in the file the counter is that says that somebody watches; 0: there is none.
    pub semaphore: u64,
}

/// When a function's program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is called.
    Entry,
    /// It returns.
    Return,
}

impl Program {
    /// A program that is attached where its `SEC` name says.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, needed: Needed) -> Self {
        Program { name: name.into(), needed, target: Target::Section, optional: false }
    }

    /// Sets another target.
    #[must_use]
    pub fn on(self, target: Target) -> Self {
        Program { target, ..self }
    }

    /// Makes it optional: the rest works without it.
    #[must_use]
    pub fn optional(self) -> Self {
        Program { optional: true, ..self }
    }

    /// Whether it is loaded where these kinds of events (a mask) are wanted.
    #[must_use]
    pub fn is_needed(&self, wanted: u64, follow: bool, filter_pids: bool) -> bool {
        match &self.needed {
            Needed::Kinds(kinds) => kinds.iter().any(|kind| wanted & (1 << kind) != 0),
            Needed::Follow => follow,
            Needed::FilterPids => filter_pids,
        }
    }
}

/// One way to hook in: the programs of the object to load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to call it.
    pub hook: Hook,
    /// The programs, in the order in which they are attached.
    pub programs: Vec<Program>,
    /// What this way cannot see; empty if it sees everything.
    pub not_seen: Cow<'static, str>,
}

/// Why a hook that [`Hook::needs_kernel_btf`] is not tried.
pub const NO_KERNEL_BTF: &str = "the kernel has no BTF of its own (a file does not suffice for this hook)";

/// The plans in the order in which they are tried: only that of `--attach` if given; otherwise those first on whose
/// hooks the kernel does not interrupt programs.
#[must_use]
pub fn in_order(mut plans: Vec<Plan>, only: Option<Hook>, preempts: impl Fn(Hook) -> bool) -> Vec<Plan> {
    plans.retain(|plan| only.is_none_or(|only| only == plan.hook));
    plans.sort_by_key(|plan| preempts(plan.hook));
    plans
}

/// Since when programs in binaries may sleep (8c7dcb84e3b7: bpf: implement sleepable uprobes by chaining gps).
const MAY_SLEEP: (u32, u32) = (6, 0);

/// Whether another program may run on a CPU before one on this hook is through: it may be interrupted, or sleep.
#[must_use]
pub fn others_come_between(host: &Host, hook: Hook) -> bool {
    preempts(host, hook) || (hook.is_user() && host.at_least(MAY_SLEEP))
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
        Hook::UprobeMulti | Hook::Uprobe => MAY_SLEEP,
        Hook::KprobeMulti | Hook::Kprobe | Hook::Ksyscall | Hook::Tracepoint => return false,
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
        assert_eq!(preempted((6, 0), Preemption::Possible), [Hook::Fentry, Hook::UprobeMulti, Hook::Uprobe]);
        let all = [Hook::Fentry, Hook::Btf, Hook::Raw, Hook::UprobeMulti, Hook::Uprobe];
        assert_eq!(preempted((7, 0), Preemption::Possible), all);
        assert_eq!(preempted((7, 2), Preemption::None), none);
    }
}
