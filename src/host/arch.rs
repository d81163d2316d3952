//! What depends on the architecture that coretrace is built for: 64-bit x86, or 64-bit ARM. In C: src/bpf/arch.bpf.h.

use nix::unistd::{SysconfVar, sysconf};

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86,
    /// 64-bit ARM
    #[value(name = "arm64", alias = "aarch64")]
    Arm,
}

impl Arch {
    /// That of this coretrace, and so of its BPF programs.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Arch::Arm } else { Arch::X86 };

    /// As kernels' types are called, and by BTFHub.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64",
            Arch::Arm => "arm64",
        }
    }

    /// As `uname -m` has it.
    #[must_use]
    pub const fn machine(self) -> &'static str {
        match self {
            Arch::X86 => "x86_64",
            Arch::Arm => "aarch64",
        }
    }

    /// A member of its `struct pt_regs` that no other has.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Arch::X86 => "orig_ax",
            Arch::Arm => "syscallno",
        }
    }
}

/// The name of the function that handles a system call, of 64-bit callers and of 32-bit ones
/// (arch/x86/include/asm/syscall_wrapper.h, arch/arm64/include/asm/syscall_wrapper.h).
#[cfg(target_arch = "x86_64")]
macro_rules! handler {
    (native $call:literal) => {
        concat!("__x64_sys_", $call)
    };
    (compat $call:literal) => {
        concat!("__ia32_compat_sys_", $call)
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! handler {
    (native $call:literal) => {
        concat!("__arm64_sys_", $call)
    };
    (compat $call:literal) => {
        concat!("__arm64_compat_sys_", $call)
    };
}
pub(crate) use handler;

/// What precedes the name of a system call there.
pub const SYSCALL: &str = handler!(native "");

/// Whether there are the system calls that others replace: open and creat, fork and vfork. Architectures since then have
/// openat and clone alone (include/uapi/asm-generic/unistd.h).
pub const HAS_OLD_CALLS: bool = matches!(Arch::HERE, Arch::X86);

/// Flags of open(2) as events have them, with x86's numbers, from those of this architecture; and the other way round. On
/// arm64, O_DIRECTORY and O_NOFOLLOW have changed places with O_DIRECT and O_LARGEFILE
/// (arch/arm64/include/uapi/asm/fcntl.h).
#[must_use]
pub const fn common_open_flags(flags: u64) -> u64 {
    const LOW: u64 = 0o140_000;
    match Arch::HERE {
        Arch::X86 => flags,
        Arch::Arm => flags & !(LOW | LOW << 2) | (flags & LOW) << 2 | flags >> 2 & LOW,
    }
}

/// A function of kernels that have fentry and fexit, if not all do (of those that coretrace supports): on arm64, these
/// need ftrace's direct calls (2aa6ac03516d: arm64: ftrace: Add direct call support, 6.4).
pub const NEEDED_BY_FENTRY: Option<&str> = match Arch::HERE {
    Arch::X86 => None,
    Arch::Arm => Some("register_ftrace_direct"),
};

/// Since when static probes are called, not trapped, where there is room for a call (ba2bfc97b462: uprobes/x86: Add
/// support to optimize uprobes, 6.18).
pub const STATIC_PROBES_ARE_CALLED: Option<(u32, u32)> = match Arch::HERE {
    Arch::X86 => Some((6, 18)),
    Arch::Arm => None,
};

/// Of this kernel, in bytes: arm64's may have 4, 16 or 64 KiB.
#[must_use]
pub fn page_size() -> u32 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
}

/// Whether an address is where the kernel puts what a function returns to whose return is watched
/// (kernel/events/uprobes.c: `xol_add_vma`): in the last page of a process, of pages of this size. Before 6.11 it is in
/// stacks in place of the caller.
#[must_use]
pub fn is_of_uprobes(address: u64, page_size: u32) -> bool {
    let page_size = u64::from(page_size);
    let ends = match Arch::HERE {
        // arch/x86/include/asm/page_64_types.h: TASK_SIZE_MAX leaves out the last page that addresses of 47 bits have.
        Arch::X86 => [(1 << 47) - page_size; 2],
        // arch/arm64/include/asm/processor.h: TASK_SIZE_64 is of 52 bits where the kernel and the CPU have these, as
        // kernels with pages of 16 or 64 KiB do.
        Arch::Arm => [1 << 48, 1 << 52],
    };
    ends.iter().any(|end| (end - page_size..*end).contains(&address))
}

/// Where Debian and its kin have libraries of this architecture.
pub const LIBRARIES: [&str; 2] = match Arch::HERE {
    Arch::X86 => ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"],
    Arch::Arm => ["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_open_have_the_same_numbers_everywhere() {
        use nix::fcntl::OFlag;
        let common = |flag: OFlag| common_open_flags(u64::from(flag.bits().cast_unsigned()));
        let flags = [OFlag::O_DIRECT, OFlag::O_DIRECTORY, OFlag::O_NOFOLLOW, OFlag::O_CREAT, OFlag::O_TMPFILE];
        assert_eq!(flags.map(common), [0o40_000, 0o200_000, 0o400_000, 0o100, 0o20_200_000]);
        for bits in 0..1 << 22 {
            assert_eq!(common_open_flags(common_open_flags(bits)), bits);
        }
    }

    #[test]
    fn the_page_of_uprobes_is_the_last_one() {
        let of_pages = |size: u32, ends: [u64; 4]| ends.map(|address| is_of_uprobes(address, size));
        match Arch::HERE {
            Arch::X86 => assert_eq!(
                of_pages(4096, [0x7fff_ffff_dfff, 0x7fff_ffff_e000, 0x7fff_ffff_efff, 0x7fff_ffff_f000]),
                [false, true, true, false]
            ),
            Arch::Arm => {
                let of_48_bits = [0xffff_fffe_ffff, 0xffff_ffff_0000, 0xffff_ffff_ffff, 1 << 48];
                assert_eq!(of_pages(65536, of_48_bits), [false, true, true, false]);
                assert_eq!(of_pages(4096, of_48_bits), [false, false, true, false]);
                assert!(is_of_uprobes((1 << 52) - 1, 65536) && !is_of_uprobes(1 << 52, 65536));
            }
        }
    }
}
