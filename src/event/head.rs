//! What every event carries, whatever it is of.

/// What every event carries: who did it, where and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`), taken in the kernel.
    pub boot_ns: u64,
    /// Nanoseconds since 1970 (UTC); set by [`crate::flow::enrich`], 0 before.
    pub unix_ns: i64,
    /// Counts the events of this kind on this CPU, lost ones too: a gap is a loss.
    pub seq: u64,
    /// Id of the cgroup v2 directory (its inode number).
    pub cgroup_id: u64,
    /// CPU on which the event was taken.
    pub cpu: u32,
    /// Process (the kernel's tgid), as numbered in coretrace's own PID namespace.
    pub pid: u32,
    /// Thread (the kernel's pid), likewise.
    pub tid: u32,
    /// Process of the real parent, likewise; 0 where there is none in this namespace.
    pub ppid: u32,
    /// Real user id, as numbered in the initial user namespace.
    pub uid: u32,
    /// Real group id, likewise.
    pub gid: u32,
    /// Name of the thread, NUL-terminated unless all 16 bytes are used.
    pub comm: [u8; 16],
    /// It passed the kernel's filters as a heartbeat alone ([`crate::flow::heartbeat`]).
    pub heartbeat: bool,
}

impl Head {
    /// In place of the ids where no process is known: none is so high (include/linux/threads.h: PID_MAX_LIMIT), and no
    /// user (include/linux/uidgid.h: INVALID_UID).
    pub const NO_PROCESS: u32 = u32::MAX;

    /// Whether it is known which process the event is of.
    #[must_use]
    pub fn has_process(&self) -> bool {
        self.pid != Self::NO_PROCESS
    }

    /// The thread's name up to its first NUL. Any bytes: a process chooses its own name.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        until_nul(&self.comm)
    }
}

/// The bytes before the first NUL, or all of them.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}
