//! Brings a generated skeleton into a tracer's module, and names what all of them share. The only
//! file with `unsafe`.

/// Declares a skeleton module, what every tracer shares with it, and the C structs that it sends.
///
/// The structs are written once, in C; libbpf-cargo makes the Rust ones from the object's BTF, so a
/// field renamed there is a compile error here.
macro_rules! skeleton {
    ($name:ident: $($event:ident),+ $(,)?) => {
        #[allow(unsafe_code, dead_code, missing_docs, missing_debug_implementations, clippy::all)]
        #[allow(non_camel_case_types, non_snake_case, unnameable_types, unreachable_pub)]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".skel.rs"));
        }

        /// Hash of the object's types: a recording with another one cannot be decoded.
        const LAYOUT: u64 = include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".layout.rs"));

        // The ledger reads the kernel's counters as numbers in a row: these are their places.
        const _: () = {
            use $crate::event::CAUSES;
            use $crate::bpf::same;
            use $name::types::{counters, drop_cause};
            assert!(std::mem::offset_of!(counters, seen) == 0);
            assert!(std::mem::offset_of!(counters, filtered) == 8);
            assert!(std::mem::offset_of!(counters, emitted) == 16);
            assert!(std::mem::offset_of!(counters, dropped) == 24);
            assert!(size_of::<counters>() == 24 + 8 * CAUSES.len());
            assert!(drop_cause::DROP_BUFFER_FULL.0 == 0 && same(CAUSES[0], "buffer_full"));
            assert!(drop_cause::DROP_SCRATCH_BUSY.0 == 1 && same(CAUSES[1], "scratch_busy"));
            assert!(drop_cause::DROP_MAP_FULL.0 == 2 && same(CAUSES[2], "map_full"));
            assert!(drop_cause::DROP_CAUSES.0 as usize == CAUSES.len());
        };

        impl From<$name::types::event_head> for $crate::event::Head {
            fn from(h: $name::types::event_head) -> Self {
                Self {
                    boot_ns: h.boot_ns,
                    unix_ns: 0,
                    seq: h.seq,
                    cgroup_id: h.cgroup_id,
                    cpu: h.cpu,
                    pid: h.pid,
                    tid: h.tid,
                    ppid: h.ppid,
                    uid: h.uid,
                    gid: h.gid,
                    comm: h.comm,
                }
            }
        }

        impl From<$name::types::slice> for $crate::decode::Slice {
            fn from(s: $name::types::slice) -> Self {
                Self { off: s.off, len: s.len }
            }
        }

        const _: () = {
            let most = size_of::<$name::types::settings>() - std::mem::offset_of!($name::types::settings, uids);
            assert!(most == size_of::<u32>() * $crate::session::UIDS_MAX);
        };

        impl From<&$crate::session::Settings> for $name::types::settings {
            fn from(s: &$crate::session::Settings) -> Self {
                let mut uids = Self::default().uids;
                let uids_len = u32::try_from(s.uids.len().min(uids.len())).unwrap_or_default();
                uids.iter_mut().zip(&s.uids).for_each(|(to, from)| *to = *from);
                Self {
                    kinds: s.kinds,
                    wake_from: s.wake.start,
                    wake_to: s.wake.end,
                    comm_start: s.comm.start,
                    comm_loop: s.comm.loops,
                    comm_accept: s.comm.accept,
                    perf: s.perf.into(),
                    filter_comm: (s.comm.accept != 0).into(),
                    filter_pids: s.filter_pids.into(),
                    follow: s.follow.into(),
                    uids_len,
                    cgroups_len: s.cgroups,
                    pidns: s.pidns,
                    page_size: s.page_size,
                    uids,
                }
            }
        }

        // SAFETY: libbpf-cargo emits integers and arrays of them: every bit pattern is a value.
        #[allow(unsafe_code)]
        unsafe impl plain::Plain for $name::types::event_head {}
        $(
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe impl plain::Plain for $name::types::$event {}
        )+
    };
}
pub(crate) use skeleton;

/// Whether two names are the same, at compile time.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Undoes what a parent may have left: where SIGCHLD is ignored, the kernel keeps no status of children.
#[allow(unsafe_code)]
pub(crate) fn heed_children() -> anyhow::Result<()> {
    use anyhow::Context as _;
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action is no handler, so that nothing of ours runs in a signal's context.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop).context("heeding the end of children")
}

/// How often the kernel skipped a program because it was already running on that CPU (struct
/// bpf_prog_info, since 5.12); none where the kernel does not tell.
#[allow(unsafe_code)]
pub(crate) fn recursion_misses(program: &libbpf_rs::Program<'_>) -> Option<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = u32::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the descriptor is open while `program` lives, and `len` is the size of `info`, which is
    //         plain data; its pointers are null, so the kernel writes nothing elsewhere.
    let ret = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_fd().as_raw_fd(), &mut info, &mut len) };
    (ret == 0).then_some(info.recursion_misses)
}
