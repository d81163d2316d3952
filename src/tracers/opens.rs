//! `open`: every file that a process opens, or fails to open. (A BPF object named `open` would not compile.)

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use opens::types::{open_event, open_kind, open_origin, open_unread};

use crate::error::Usage;
use crate::event::decode::{self, Decode};
use crate::event::{Event, Field, Flags, Kind, Shape, Value};
use crate::ffi::skeleton::{constants, paths, skeleton};
use crate::flow::heartbeat::Beat;
use crate::host::arch::{HAS_OLD_CALLS, common_open_flags};
use crate::load::plan::{Hook, Needed, Plan, Program, Target, names};
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Column, Room, Show, Table};
use crate::tracers::tracer::{Info, Tracer};
use libbpf_rs::OpenObject;

skeleton!(opens: open_event);
paths!(opens);

/// The options of `open` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Open {
    /// Only opens that failed
    #[arg(short = 'x', long)]
    failed: bool,
    /// Only opens for writing
    #[arg(long)]
    write: bool,
    /// Only opens with all of these flags, for example O_CREAT,O_TRUNC
    #[arg(long, value_name = "FLAGS", value_delimiter = ',')]
    flags: Vec<String>,
}

static KINDS: [Kind; 1] = [Kind::new(
    open_kind::KIND_OPEN.0,
    "open",
    "a process opened a file, or tried to",
    const {
        &[
            Field::new(
                "ret",
                Shape::Ret,
                false,
                "the descriptor, or why it failed; missing where it was opened without one (by)",
            ),
            Field::new("path", Shape::Path, true, "the path, as it was spelled, from the root of the process on"),
            Field::new("flags", Shape::Flags, false, "how it was to be opened; O_LARGEFILE is left out"),
            Field::new("mode", Shape::Mode, false, "permissions of a file that is made"),
            Field::new(
                "file",
                Shape::Path,
                false,
                "the file that was opened, as the kernel resolved it; there on success",
            ),
            Field::new("cwd", Shape::Path, false, "the working directory, from the root of the process on"),
            Field::new("by", Shape::Str, false, "exec or io_uring, where it was not a system call that opens"),
            Field::PARENT_COMM,
            Field::ANCESTORS,
        ]
    },
)];

const OPEN: &Kind = &KINDS[0];

/// Stands for the access mode without a bit (`O_RDONLY` is 0): no kernel has flags this high.
const READ_ONLY: u64 = 1 << 63;

const fn flag(flag: OFlag) -> u64 {
    common_open_flags(flag.bits().cast_unsigned() as u64)
}

/// include/uapi/asm-generic/fcntl.h and the architectures'. Flags of several bits come before those that they contain.
static FLAGS: [(u64, &str); 19] = [
    (READ_ONLY, "O_RDONLY"),
    (flag(OFlag::O_WRONLY), "O_WRONLY"),
    (flag(OFlag::O_RDWR), "O_RDWR"),
    (flag(OFlag::O_CREAT), "O_CREAT"),
    (flag(OFlag::O_EXCL), "O_EXCL"),
    (flag(OFlag::O_NOCTTY), "O_NOCTTY"),
    (flag(OFlag::O_TRUNC), "O_TRUNC"),
    (flag(OFlag::O_APPEND), "O_APPEND"),
    (flag(OFlag::O_NONBLOCK), "O_NONBLOCK"),
    (flag(OFlag::O_SYNC), "O_SYNC"),
    (flag(OFlag::O_DSYNC), "O_DSYNC"),
    (flag(OFlag::O_ASYNC), "O_ASYNC"),
    (flag(OFlag::O_DIRECT), "O_DIRECT"),
    (flag(OFlag::O_TMPFILE), "O_TMPFILE"),
    (flag(OFlag::O_DIRECTORY), "O_DIRECTORY"),
    (flag(OFlag::O_NOFOLLOW), "O_NOFOLLOW"),
    (flag(OFlag::O_NOATIME), "O_NOATIME"),
    (flag(OFlag::O_CLOEXEC), "O_CLOEXEC"),
    (flag(OFlag::O_PATH), "O_PATH"),
];

impl Decode for Open {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let (e, tail) = decode::split::<open_event>(sample)?;
        ensure!(e.head.kind == OPEN.id, "an event of the unknown kind {}", e.head.kind);
        let by = match open_origin(e.origin) {
            open_origin::OPEN_BY_CALL => None,
            open_origin::OPEN_BY_EXEC => Some("exec"),
            open_origin::OPEN_BY_IO_URING => Some("io_uring"),
            other => anyhow::bail!("an open of the unknown origin {}", other.0),
        };
        let mut event = e.head.event(OPEN, sample)?;
        if by.is_none() || e.ret < 0 {
            event.push("ret", Value::Ret(e.ret.into()));
        }
        event.push("path", called(&tail, (e.base, e.base_flags), (e.name, e.name_flags))?);
        if e.details == 0 {
            e.head.add_above(&mut event, sample)?;
            return Ok(event);
        }
        let unread = e.head.unread & open_unread::UNREAD_FLAGS.0 != 0;
        let access = if e.flags & flag(OFlag::O_ACCMODE) == 0 { READ_ONLY } else { 0 };
        if unread {
            event.push("flags", Value::Unreadable(Shape::Flags));
            event.push("mode", Value::Unreadable(Shape::Mode));
        } else {
            event.push("flags", Value::Flags(Flags { bits: e.flags | access, names: &FLAGS }));
        }
        if !unread && e.flags & flag(OFlag::O_CREAT.union(OFlag::O_TMPFILE).difference(OFlag::O_DIRECTORY)) != 0 {
            event.push("mode", Value::Mode(e.mode));
        }
        if e.ret >= 0 {
            event.push("file", path(&tail, e.file, e.file_flags)?);
        }
        event.push("cwd", path(&tail, e.cwd, e.cwd_flags)?);
        if let Some(by) = by {
            event.push("by", Value::Str(by.as_bytes()));
        }
        e.head.add_above(&mut event, sample)?;
        Ok(event)
    }
}

/// Where open, openat, openat2 and creat do their work, and where every open does (do_file_open since 7.0).
const FN_OPEN: &[&str] = &["do_sys_openat2"];
const FN_FILE: &[&str] = &["do_filp_open", "do_file_open"];

fn program(name: &'static str) -> Program {
    Program::new(name, Needed::Kinds(vec![OPEN.id]))
}

fn on(name: &'static str, target: Target) -> Program {
    program(name).on(target)
}

/// Joins what a way does not see with what no way sees.
macro_rules! unseen {
    ($($of_this:literal),*) => {
        concat!(
            $($of_this, "; ",)*
            "files opened by open_by_handle_at, or by the kernel for itself (acct, swapon, core files)"
        )
    };
}

/// The programs at the system calls that this architecture has.
fn at_calls() -> Vec<Program> {
    let (exits, old): (&[&str], &[&str]) = match HAS_OLD_CALLS {
        true => (
            &["sys_exit_open", "sys_exit_creat", "sys_exit_openat", "sys_exit_openat2"],
            &["open_enter_tp", "open_creat_enter_tp"],
        ),
        false => (&["sys_exit_openat", "sys_exit_openat2"], &[]),
    };
    let mut programs = vec![on("open_return_tp", Target::SyscallEvents(names(exits)))];
    programs.extend(old.iter().map(|name| program(name).optional()));
    programs.extend(["open_openat_enter_tp", "open_openat2_enter_tp"].map(program));
    programs
}

/// The ways to hook in, the cheapest first (but see [`Session::preempted`]).
fn plans() -> Vec<Plan> {
    vec![
        Plan {
            hook: Hook::Fentry,
            programs: vec![
                on("open_fexit", Target::Exit(names(FN_OPEN))),
                on("open_file_fexit", Target::Exit(names(FN_FILE))).optional(),
            ],
            // The first is the text of NOT_SEEN_BY_FEXIT. openat2 checks its arguments before it calls the function (fs/open.c).
            not_seen: unseen!(
                "calls under way when another tracer joins or leaves the same function",
                "openat2 refused for a bad `how`"
            )
            .into(),
        },
        Plan {
            hook: Hook::Kprobe,
            programs: vec![
                on("open_return", Target::Return(names(FN_OPEN))),
                on("open_file_return", Target::Return(names(FN_FILE))).optional(),
                on("open_enter", Target::Entry(names(FN_OPEN))),
                on("open_file_enter", Target::Entry(names(FN_FILE))).optional(),
            ],
            not_seen: unseen!("openat2 refused for a bad `how`").into(),
        },
        Plan {
            hook: Hook::Tracepoint,
            programs: at_calls(),
            not_seen: unseen!("opens by 32-bit programs, by io_uring and by exec").into(),
        },
    ]
}

/// The bits of flags given by name.
fn flags_by_name(names: &[String]) -> Result<u64> {
    names.iter().try_fold(0, |bits, name| {
        let found = FLAGS.iter().find(|(bit, known)| known == name && *bit != READ_ONLY);
        let (bit, _) = found.with_context(|| {
            let known: Vec<_> = FLAGS.iter().skip(1).map(|(_, name)| *name).collect();
            format!("--flags {name}: there is no such flag; there are {}", known.join(", "))
        })?;
        Ok(bits | bit)
    })
}

impl Source for Open {
    fn embedded(&self) -> &'static Embedded {
        &INFO.embedded
    }

    fn plans(&self) -> Vec<Plan> {
        plans()
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        let only_flags = flags_by_name(&self.flags).context(Usage)?;
        constants!(opens, session, object, |rodata| {
            rodata.want_details = session.details.into();
            rodata.regs_known = session.kernel_btf.into();
            rodata.only_failed = self.failed.into();
            rodata.only_writes = self.write.into();
            rodata.only_flags = only_flags;
            let most = rodata.prefixes.len();
            if session.path_prefixes.len() <= most {
                rodata.prefixes_len = u32::try_from(session.path_prefixes.len())?;
                let prefixes = rodata.prefixes.iter_mut().zip(&mut rodata.prefix_lens);
                let tops = rodata.tops.iter_mut().zip(&mut rodata.top_lens);
                for ((row, top_row), prefix) in prefixes.zip(tops).zip(&session.path_prefixes) {
                    let top = prefix.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
                    for ((row, len), bytes) in [(row, prefix.as_slice()), (top_row, top)] {
                        *len = u32::try_from(bytes.len().min(row.len()))?;
                        row.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        })
    }
}

/// What does not depend on its options.
static INFO: Info = Info {
    embedded: Embedded { name: "open", object: &OBJECT, proof },
    about: "Watch files being opened, or not: who, which, with which result",
    layout: LAYOUT,
};

impl Tracer for Open {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn kinds(&self) -> &[Kind] {
        &KINDS
    }

    fn table(&self, room: Room) -> Table {
        use Column::{Comm, Pid, Tid, Uid};
        const FD: Column = Column::part("ret", "FD", 4, Show::Number);
        const ERR: Column = Column::part("ret", "ERR", 7, Show::Error);
        const PATH: Column = Column::field("path", "PATH", 0);
        match room {
            Room::Narrow | Room::Roomy => Table::plain(const { &[Pid, Comm, FD, ERR, PATH] }),
            Room::Wide => Table::detailed(const { &[Pid, Tid, Uid, Comm, FD, ERR, PATH] }),
        }
    }

    /// An attempt to open an empty path, which the kernel refuses before it looks at any directory (fs/namei.c:
    /// getname_flags, open(2): ENOENT). An existing file may belong to others: a FIFO would block the run, and a link
    /// could redirect the flags, which are those that the options ask for, to any file.
    fn beat(&self, _: &Session) -> Option<Beat> {
        let flags = flags_by_name(&self.flags).map(common_open_flags).ok();
        let flags = flags.and_then(|bits| i32::try_from(bits).ok()).unwrap_or_default();
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        Some(Box::new(move || {
            drop(nix::fcntl::open(c"", flags, nix::sys::stat::Mode::empty()));
            Ok(None)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_by_name() {
        let flags = |names: &[&str]| flags_by_name(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(flags(&["O_CREAT", "O_TRUNC"]).unwrap(), 0o1100);
        assert!(flags(&["O_RDONLY"]).unwrap_err().to_string().contains("O_CLOEXEC"));
    }

    #[test]
    fn flags_that_contain_others_are_named_alone() {
        let named = |bits| Flags { bits, names: &FLAGS }.named().0.collect::<Vec<_>>();
        assert_eq!(named(flag(OFlag::O_RDWR) | READ_ONLY), ["O_RDONLY", "O_RDWR"]);
        assert_eq!(named(flag(OFlag::O_TMPFILE)), ["O_TMPFILE"]);
    }
}
