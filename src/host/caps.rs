//! Which capabilities this process holds, and which ones tracing needs.

use std::fmt;

/// One capability: its bit in `/proc/PID/status` (include/uapi/linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub bit: u8,
    /// Name as `setcap` and `capsh` spell it.
    pub name: &'static str,
}

/// Read and write any file, and make files in any directory.
pub const DAC_OVERRIDE: Cap = Cap { bit: 1, name: "cap_dac_override" };
/// Read any file and search any directory.
pub const DAC_READ_SEARCH: Cap = Cap { bit: 2, name: "cap_dac_read_search" };
/// Send signals to processes of other users.
pub const KILL: Cap = Cap { bit: 5, name: "cap_kill" };
/// Lock more memory than the limit allows.
pub const IPC_LOCK: Cap = Cap { bit: 14, name: "cap_ipc_lock" };
/// Look into processes of other users: `/proc/PID/exe`, `/proc/PID/maps`.
pub const SYS_PTRACE: Cap = Cap { bit: 19, name: "cap_sys_ptrace" };
/// Everything that has no capability of its own; stands for [`BPF`] and [`PERFMON`] too.
pub const SYS_ADMIN: Cap = Cap { bit: 21, name: "cap_sys_admin" };
/// Raise a resource limit above its hard limit.
pub const SYS_RESOURCE: Cap = Cap { bit: 24, name: "cap_sys_resource" };
/// See the kernel's addresses where they are hidden (`kernel.kptr_restrict`).
pub const SYSLOG: Cap = Cap { bit: 34, name: "cap_syslog" };
/// Attach and read performance events and tracing programs. Since 5.8 (980737282232).
pub const PERFMON: Cap = Cap { bit: 38, name: "cap_perfmon" };
/// Create BPF maps and load BPF programs. Since 5.8 (a17b53c4a4b5).
pub const BPF: Cap = Cap { bit: 39, name: "cap_bpf" };

/// Open files that a process has mapped (`/proc/PID/map_files`), in place of [`SYS_ADMIN`]. Since 5.9 (12886f8ab10c).
pub const CHECKPOINT_RESTORE: Cap = Cap { bit: 40, name: "cap_checkpoint_restore" };

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps(pub(super) u64);

impl Caps {
    /// Every capability there is or will be.
    pub const ALL: Self = Self(u64::MAX);

    /// Reads the hexadecimal number after `CapEff:`.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    /// These capabilities and no other.
    #[must_use]
    pub fn of(caps: &[Cap]) -> Self {
        Self(caps.iter().fold(0, |bits, cap| bits | 1 << cap.bit))
    }

    /// Whether this very bit is set.
    #[must_use]
    pub fn has(self, cap: Cap) -> bool {
        self.0 >> cap.bit & 1 == 1
    }

    /// Whether the kernel grants what `cap` allows: `cap_sys_admin` stands for `cap_bpf` and `cap_perfmon`
    /// (`bpf_capable()` and `perfmon_capable()` in include/linux/capability.h).
    #[must_use]
    pub fn grants(self, cap: Cap) -> bool {
        self.has(cap) || (matches!(cap, BPF | PERFMON) && self.has(SYS_ADMIN))
    }

    /// What tracing needs on a kernel of this version and is not held. Before 5.8 there was only `cap_sys_admin`.
    #[must_use]
    pub fn missing(self, version: (u32, u32)) -> Vec<Cap> {
        needed(version).iter().copied().filter(|cap| !self.grants(*cap)).collect()
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caps({:016x})", self.0)
    }
}

/// What tracing needs on a kernel of this version; an unknown version counts as a new one.
#[must_use]
pub fn needed(version: (u32, u32)) -> &'static [Cap] {
    if version != (0, 0) && version < (5, 8) { &[SYS_ADMIN] } else { &[BPF, PERFMON] }
}

/// Names of capabilities, joined by `separator`.
#[must_use]
pub fn names(caps: &[Cap], separator: &str) -> String {
    caps.iter().map(|cap| cap.name).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_from_proc() {
        let caps = Caps::parse("000001fffeffffff").unwrap();
        assert!(caps.has(BPF) && caps.has(PERFMON) && caps.has(SYS_ADMIN) && caps.has(SYS_PTRACE));
        assert!(!caps.has(SYS_RESOURCE), "bit 24 is not set");
        assert_eq!(Caps::parse("none"), None);
        assert_eq!(Caps::parse("0000000000000000"), Some(Caps::default()));
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_only() {
        let caps = Caps::of(&[SYS_ADMIN]);
        assert_eq!(caps.missing((6, 1)), []);
        assert!(!caps.grants(SYS_PTRACE) && !caps.grants(DAC_READ_SEARCH));
    }

    #[test]
    fn what_is_missing_depends_on_the_version() {
        let caps = Caps::of(&[BPF]);
        assert_eq!(caps.missing((5, 8)), [PERFMON]);
        assert_eq!(caps.missing((5, 7)), [SYS_ADMIN]);
        assert_eq!(names(&Caps::default().missing((0, 0)), ","), "cap_bpf,cap_perfmon");
    }
}
