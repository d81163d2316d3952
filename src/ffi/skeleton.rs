//! Brings a generated skeleton into a tracer's module, and names what all tracers share.

/// Declares a skeleton module, what every tracer shares with it, and the C structs that it sends.
///
/// The structs are written once, in C; libbpf-cargo makes the Rust ones from the object's BTF, so a
/// field renamed there is a compile error here.
macro_rules! skeleton {
    ($name:ident: $($event:ident),* $(,)?) => {
        #[allow(unsafe_code, dead_code, missing_debug_implementations, clippy::all)]
        #[allow(non_camel_case_types, non_snake_case, unnameable_types, unreachable_pub)]
        mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".skel.rs"));
        }

        /// Hash of the object's types: a recording with another hash cannot be decoded.
        #[allow(dead_code)]
        #[allow(unreachable_pub)]
        pub(crate) const LAYOUT: u64 = include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".layout.rs"));

        /// The object: an ELF file.
        static OBJECT: $crate::ffi::packed::Packed = $crate::ffi::packed::Packed::new(include_bytes!(concat!(
            env!("OUT_DIR"),
            "/",
            stringify!($name),
            ".bpf.o.deflate"
        )));

        // The ledger reads the kernel's counters as an array of numbers: these are their places.
        const _: () = {
            use $crate::event::CAUSES;
            use $crate::ffi::skeleton::same;
            use $name::types::{counters, drop_cause};
            assert!(std::mem::offset_of!(counters, seen) == 0);
            assert!(std::mem::offset_of!(counters, filtered) == 8);
            assert!(std::mem::offset_of!(counters, emitted) == 16);
            assert!(std::mem::offset_of!(counters, dropped) == 24);
            assert!(std::mem::offset_of!(counters, undecided) == 24 + 8 * CAUSES.len());
            assert!(size_of::<counters>() == 32 + 8 * CAUSES.len());
            assert!(drop_cause::DROP_BUFFER_FULL.0 == 0 && same(CAUSES[0], "buffer_full"));
            assert!(drop_cause::DROP_SCRATCH_BUSY.0 == 1 && same(CAUSES[1], "scratch_busy"));
            assert!(drop_cause::DROP_MAP_FULL.0 == 2 && same(CAUSES[2], "map_full"));
            assert!(drop_cause::DROP_RETURN_MISSED.0 == 3 && same(CAUSES[3], "return_missed"));
            assert!(drop_cause::DROP_CHILD_UNKNOWN.0 == 4 && same(CAUSES[4], "child_unknown"));
            assert!(drop_cause::DROP_CPU_OFFLINE.0 == 5 && same(CAUSES[5], "cpu_offline"));
            assert!(drop_cause::DROP_CAUSES.0 as usize == CAUSES.len());
            assert!(std::mem::offset_of!($name::types::event_head, kind) == $crate::event::decode::KIND_AT);
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
                    heartbeat: u32::from(h.flags) & $name::types::head_flag::HEAD_HEARTBEAT.0 != 0,
                }
            }
        }

        impl From<$name::types::slice> for $crate::event::decode::Slice {
            fn from(s: $name::types::slice) -> Self {
                Self { off: s.off, len: s.len }
            }
        }

        /// What the object's proof has read, from its map.
        fn proof(bytes: &[u8]) -> Option<$crate::load::proof::Read> {
            let (p, _) = $crate::event::decode::split::<$name::types::proof>(bytes).ok()?;
            let $name::types::proof { start_ns, argv_bytes, pid, tid, ppid, comm, exe, argv, .. } = p;
            let (comm, exe, argv) = (comm.to_vec(), exe.to_vec(), argv.to_vec());
            Some($crate::load::proof::Read { start_ns, argv_bytes, pid, tid, ppid, comm, exe, argv })
        }

        impl $name::types::event_head {
            /// The event to be filled, with its label, which is last in the sample.
            #[allow(dead_code)]
            pub(super) fn event<'a>(
                self,
                kind: &'a $crate::event::Kind,
                sample: &'a [u8],
            ) -> anyhow::Result<$crate::event::Event<'a>> {
                let label = $crate::event::decode::label(sample, self.label)?;
                let mut event = $crate::event::Event::new(kind, self.into());
                event.label = label;
                Ok(event)
            }

            /// Adds what is above its process, where that was asked for.
            #[allow(dead_code)]
            pub(super) fn add_above<'a>(
                self,
                event: &mut $crate::event::Event<'a>,
                sample: &'a [u8],
            ) -> anyhow::Result<()> {
                use $name::types::head_flag;
                let has = |flag: head_flag| u32::from(self.flags) & flag.0 != 0;
                let above = $crate::event::decode::Above {
                    at: self.above,
                    count: self.ancestors,
                    all: has(head_flag::HEAD_ANCESTORS),
                    truncated: has(head_flag::HEAD_ANCESTORS_CUT),
                };
                above.add(event, sample)
            }
        }

        const _: () = {
            use $crate::event::Ancestors;
            use $name::types::ancestor;
            assert!(size_of::<ancestor>() == Ancestors::SIZE && std::mem::offset_of!(ancestor, pid) == 0);
            assert!(std::mem::offset_of!(ancestor, comm) == Ancestors::COMM_AT);
        };

        const _: () = assert!($name::types::label { text: [0; $crate::load::labels::LABEL_LEN] }.text.len() == 32);

        const _: () = {
            let most = size_of::<$name::types::settings>() - std::mem::offset_of!($name::types::settings, uids);
            assert!(most == size_of::<u32>() * $crate::load::settings::UIDS_MAX);
        };

        impl From<&$crate::load::settings::Settings> for $name::types::settings {
            fn from(s: &$crate::load::settings::Settings) -> Self {
                let mut uids = Self::default().uids;
                let uids_len = u32::try_from(s.uids.len().min(uids.len())).unwrap_or_default();
                uids.iter_mut().zip(&s.uids).for_each(|(to, from)| *to = *from);
                let labels = s.labels.as_ref();
                let text = |text: Option<$crate::load::labels::Text>| $name::types::label { text: text.unwrap_or_default() };
                let (only, ignore) = (labels.and_then(|l| l.only), labels.and_then(|l| l.ignore));
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
                    heartbeat: s.heartbeat,
                    spaces: s.spaces,
                    names: s.names.into(),
                    refuses: s.refuses.into(),
                    parent: s.parent.into(),
                    ancestors: s.ancestors,
                    reserved: 0,
                    labels: labels.is_some().into(),
                    only_label: only.is_some().into(),
                    ignore_label: ignore.is_some().into(),
                    default_label: text(labels.map(|l| l.default)),
                    only_labelled: text(only),
                    ignore_labelled: text(ignore),
                    uids,
                }
            }
        }

        // SAFETY: libbpf-cargo emits integers and arrays of them: every bit pattern is a value.
        #[allow(unsafe_code)]
        unsafe impl plain::Plain for $name::types::event_head {}
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl plain::Plain for $name::types::proof {}
        $(
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe impl plain::Plain for $name::types::$event {}
        )*
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl plain::Plain for $name::types::rodata {}
    };
}
pub(crate) use skeleton;

/// Sets the constants of a skeleton's programs: those that all have, then those that `$more` adds.
macro_rules! constants {
    ($name:ident, $session:ident, $object:ident, |$constants:ident| $more:block) => {
        $crate::ffi::constants::set::<$name::types::rodata>($object, |$constants| {
            $constants.settings = (&$session.settings).into();
            $constants.comm_table = $session.settings.comm.table;
            $more
            Ok(())
        })
    };
}
pub(crate) use constants;

/// Declares how the paths of a skeleton's events (path.bpf.h) become values.
macro_rules! paths {
    ($name:ident) => {
        fn has(flags: u16, flag: $name::types::path_flag) -> bool {
            u32::from(flags) & flag.0 != 0
        }

        /// A path of names up to the root.
        fn path<'a>(
            tail: &$crate::event::decode::Tail<'a>,
            names: impl Into<$crate::event::decode::Slice>,
            flags: u16,
        ) -> anyhow::Result<$crate::event::Value<'a>> {
            use $crate::event::{Path, Shape, Value};
            use $name::types::path_flag;
            if has(flags, path_flag::PATH_UNREAD) {
                return Ok(Value::Unreadable(Shape::Path));
            }
            if has(flags, path_flag::PATH_AS_IT_IS) {
                return Ok(Value::Path(Path { called: tail.bytes(names)?, as_it_is: true, ..Path::default() }));
            }
            Ok(Value::Path(Path {
                names: tail.bytes(names)?,
                deleted: has(flags, path_flag::PATH_DELETED),
                truncated: has(flags, path_flag::PATH_CUT),
                outside: has(flags, path_flag::PATH_OUTSIDE),
                ..Path::default()
            }))
        }

        /// A name as spelled by the caller, below the directory that it starts from.
        #[allow(dead_code)]
        fn called<'a>(
            tail: &$crate::event::decode::Tail<'a>,
            base: (impl Into<$crate::event::decode::Slice>, u16),
            name: (impl Into<$crate::event::decode::Slice>, u16),
        ) -> anyhow::Result<$crate::event::Value<'a>> {
            use $crate::event::{Path, Shape, Value};
            use $name::types::path_flag;
            if has(name.1, path_flag::PATH_UNREAD) {
                return Ok(Value::Unreadable(Shape::Path));
            }
            Ok(Value::Path(Path {
                names: tail.bytes(base.0)?,
                called: tail.bytes(name.0)?,
                deleted: has(base.1, path_flag::PATH_DELETED),
                // Without the directory, treat it as a path whose beginning is cut.
                truncated: has(base.1, path_flag::PATH_CUT) || has(base.1, path_flag::PATH_UNREAD),
                end_truncated: has(name.1, path_flag::PATH_END_CUT),
                outside: has(base.1, path_flag::PATH_OUTSIDE),
                as_it_is: has(name.1, path_flag::PATH_AS_IT_IS),
            }))
        }
    };
}
pub(crate) use paths;

/// Whether two names are the same, at compile time.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}
