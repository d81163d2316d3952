//! `exec`: every attempt to run a program, with its result.

use anyhow::{Result, ensure};
use exec::types::{exec_kind, execve_event, execve_unread};

use crate::event::decode::{self, Decode};
use crate::event::{Event, Field, Kind, List, Shape, Value};
use crate::ffi::skeleton::{constants, paths, skeleton};
use crate::flow::heartbeat::Beat;
use crate::host::arch::handler;
use crate::load::plan::{Hook, Needed, Plan, Program, Target, names};
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Column, Room, Table};
use crate::tracers::tracer::{Info, NOT_SEEN_BY_FEXIT, Tracer};
use libbpf_rs::OpenObject;

skeleton!(exec: execve_event);
paths!(exec);

/// The options of `exec` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Exec {
    /// Only attempts that failed
    #[arg(short = 'x', long)]
    failed: bool,
}

static KINDS: [Kind; 1] = [Kind::new(
    exec_kind::KIND_EXECVE.0,
    "execve",
    "a process tried to run a program, by execve or execveat",
    const {
        &[
            Field::new("ret", Shape::Ret, true, "0, or why it failed"),
            Field::new(
                "argv",
                Shape::List,
                true,
                "the arguments: of a success as the program has them, of a failure as they were given",
            ),
            Field::new("path", Shape::Path, false, "the path that was tried, as it was spelled, from the root on"),
            Field::new(
                "exe",
                Shape::Path,
                false,
                "the file that runs now, as the kernel resolved it; there on success",
            ),
            Field::new("interp", Shape::Str, false, "the interpreter, where the file is a script"),
            Field::new("cwd", Shape::Path, false, "the working directory"),
            Field::PARENT_COMM,
            Field::ANCESTORS,
        ]
    },
)];

const EXECVE: &Kind = &KINDS[0];

impl Decode for Exec {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let (e, tail) = decode::split::<execve_event>(sample)?;
        ensure!(e.head.kind == EXECVE.id, "an event of the unknown kind {}", e.head.kind);
        let unread = |what: execve_unread| e.head.unread & what.0 != 0;
        let mut event = e.head.event(EXECVE, sample)?;
        event.push("ret", Value::Ret(e.ret.into()));
        event.push(
            "argv",
            match unread(execve_unread::UNREAD_ARGV) {
                true => Value::Unreadable(Shape::List),
                false => Value::List(List { bytes: tail.bytes(e.argv)?, total: e.argv_bytes }),
            },
        );
        if e.details == 0 {
            e.head.add_above(&mut event, sample)?;
            return Ok(event);
        }
        event.push("path", called(&tail, (e.base, e.base_flags), (e.name, e.name_flags))?);
        if e.ret >= 0 {
            event.push("exe", path(&tail, e.exe, e.exe_flags)?);
        }
        if unread(execve_unread::UNREAD_INTERP) {
            event.push("interp", Value::Unreadable(Shape::Str));
        } else if e.interp.len > 0 {
            event.push("interp", Value::Str(tail.bytes(e.interp)?));
        }
        event.push("cwd", path(&tail, e.cwd, e.cwd_flags)?);
        e.head.add_above(&mut event, sample)?;
        Ok(event)
    }
}

const FN_EXECVE: &[&str] = &[handler!(native "execve")];
const FN_EXECVEAT: &[&str] = &[handler!(native "execveat")];
const FN_COMPAT_EXECVE: &[&str] = &[handler!(compat "execve")];
const FN_COMPAT_EXECVEAT: &[&str] = &[handler!(compat "execveat")];
const FN_ALL: &[&str] =
    &[handler!(native "execve"), handler!(native "execveat"), handler!(compat "execve"), handler!(compat "execveat")];

fn program(name: &'static str) -> Program {
    Program::new(name, Needed::Kinds(vec![EXECVE.id]))
}

fn on(name: &'static str, target: Target) -> Program {
    program(name).on(target)
}

/// The ways to hook in, the cheapest first (but see [`Session::preempted`]). If the return of a call does not have the
/// arguments, a map has kept them.
fn plans() -> Vec<Plan> {
    vec![
        Plan {
            hook: Hook::Fentry,
            programs: vec![
                program("exec_success_btf"),
                on("exec_fexit", Target::Exit(names(FN_EXECVE))),
                on("execat_fexit", Target::Exit(names(FN_EXECVEAT))),
                on("exec32_fexit", Target::Exit(names(FN_COMPAT_EXECVE))).optional(),
                on("execat32_fexit", Target::Exit(names(FN_COMPAT_EXECVEAT))).optional(),
            ],
            not_seen: NOT_SEEN_BY_FEXIT.into(),
        },
        Plan {
            hook: Hook::Kprobe,
            programs: vec![
                program("exec_success_raw"),
                on("exec_return", Target::Return(names(FN_ALL))),
                on("exec_enter", Target::Entry(names(FN_EXECVE))),
                on("execat_enter", Target::Entry(names(FN_EXECVEAT))),
                on("exec32_enter", Target::Entry(names(FN_COMPAT_EXECVE))).optional(),
                on("execat32_enter", Target::Entry(names(FN_COMPAT_EXECVEAT))).optional(),
            ],
            not_seen: "".into(),
        },
        Plan {
            hook: Hook::Ksyscall,
            programs: vec![
                program("exec_success_raw"),
                on("exec_return", Target::SyscallReturn(names(&["execve", "execveat"]))),
                program("exec_enter"),
                program("execat_enter"),
            ],
            not_seen: "attempts of 32-bit programs that fail".into(),
        },
        Plan {
            hook: Hook::Tracepoint,
            programs: vec![
                program("exec_success_raw"),
                on("exec_return_tp", Target::SyscallEvents(names(&["sys_exit_execve", "sys_exit_execveat"]))),
                program("exec_enter_tp"),
                program("execat_enter_tp"),
            ],
            not_seen: "attempts of 32-bit programs that fail".into(),
        },
    ]
}

impl Source for Exec {
    fn embedded(&self) -> &'static Embedded {
        &INFO.embedded
    }

    fn plans(&self) -> Vec<Plan> {
        plans()
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        constants!(exec, session, object, |rodata| {
            rodata.want_details = session.details.into();
            rodata.only_failed = self.failed.into();
        })
    }
}

/// What does not depend on its options.
static INFO: Info = Info {
    embedded: Embedded { name: "exec", object: &OBJECT, proof },
    about: "Watch attempts to run programs, those that fail too: who, what, with which result",
    layout: LAYOUT,
};

impl Tracer for Exec {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn kinds(&self) -> &[Kind] {
        &KINDS
    }

    fn table(&self, room: Room) -> Table {
        const RET: Column = Column::field("ret", "RET", 6);
        const ARGS: Column = Column::field("argv", "ARGS", 0);
        const PCOMM: Column = Column::field("parent_comm", "PCOMM", 15);
        use Column::{Comm, Pid, Ppid, Tid, Uid, User};
        match room {
            Room::Narrow | Room::Roomy => Table::plain(const { &[Pid, Ppid, RET, Comm, ARGS] }),
            Room::Wide => Table::detailed(const { &[Pid, Tid, Ppid, Uid, User, RET, Comm, PCOMM, ARGS] }),
        }
    }

    /// An attempt to run an empty path: nothing is looked up for it (see the heartbeat of `open`).
    fn beat(&self, _: &Session) -> Option<Beat> {
        Some(Box::new(|| {
            let Err(_) = nix::unistd::execve(c"", &[c"coretrace-heartbeat"], &[c""]);
            Ok(None)
        }))
    }
}
