//! `proc`: programs that start, processes and threads that begin and end.

use anyhow::{Context, Result, bail};
use proc::types::{exec_environ, exec_event, exec_has, exec_unread, exit_event, fork_event, proc_kind};

use crate::event::decode::{self, Decode};
use crate::event::{Env, Environment, Event, Field, Flags, Kind, Life, List, Shape, Value};
use crate::ffi::skeleton::{constants, paths, skeleton};
use crate::flow::heartbeat::{self, Beat};
use crate::load::plan::{Hook, Needed, Plan, Program};
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::tracers::tracer::{Info, Tracer};
use libbpf_rs::OpenObject;

skeleton!(proc: exec_event, exec_environ, exit_event, fork_event);
paths!(proc);

/// The options of `proc` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Proc {
    /// Show threads, too: their creation (clone) and their end (thread_exit)
    #[arg(long)]
    threads: bool,
    /// Show the working directory of each program that starts
    #[arg(long)]
    cwd: bool,
    /// Show variables of the environment with which each program starts, by names or globs ('LD_*,PATH')
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    env: Vec<String>,
    /// Show what differs in the environment of each program that starts from that with which its parent's program was
    /// started: new (+), changed (~), and removed variables (-)
    #[arg(long)]
    env_diff: bool,
}

const CODE: Field = Field::new("code", Shape::Code, false, "exit code, where it was not ended by a signal");
const SIGNAL: Field = Field::new("signal", Shape::Signal, false, "the signal that ended it");
const CORE: Field = Field::new("core", Shape::Bool, false, "whether core was dumped; there with a signal");
const CHILD_PID: Field = Field::new("child_pid", Shape::Pid, true, "process id of the new task");
const CHILD_TID: Field = Field::new("child_tid", Shape::Pid, true, "thread id of the new task");
const FLAGS: Field = Field::new("flags", Shape::Flags, true, "clone flags, without the exit signal");

static KINDS: [Kind; 5] = [
    Kind::new(
        proc_kind::KIND_EXEC.0,
        "exec",
        "a process began to run a program",
        const {
            &[
                Field::new("argv", Shape::List, true, "its arguments, the name that it was called by first"),
                Field::new("env", Shape::Env, false, "variables that it was started with (--env)"),
                Field::new(
                    "env_diff",
                    Shape::EnvDiff,
                    false,
                    "what differs from the environment of its parent's program, each as it was started (--env-diff)",
                ),
                Field::new("exe", Shape::Path, true, "the program's file, as the kernel resolved it"),
                Field::new("cwd", Shape::Path, false, "its working directory (--cwd)"),
                Field::new(
                    "old_tid",
                    Shape::Pid,
                    false,
                    "id of the thread that called exec, where not the process's first",
                ),
                Field::PARENT_COMM,
                Field::ANCESTORS,
            ]
        },
    )
    .of_life(Life::Program),
    Kind::new(
        proc_kind::KIND_EXIT.0,
        "exit",
        "a process ended, with all its threads",
        const {
            &[
                CODE,
                SIGNAL,
                CORE,
                Field::new("lifetime", Shape::Span, true, "time since the process was forked"),
                Field::new(
                    "cpu",
                    Shape::Span,
                    true,
                    "CPU time of all its threads, but for the last slice (up to a tick); null: it had only that",
                ),
                Field::new("max_rss", Shape::Size, true, "the most memory that was resident"),
                Field::PARENT_COMM,
                Field::ANCESTORS,
            ]
        },
    )
    .of_life(Life::End),
    Kind::new(
        proc_kind::KIND_FORK.0,
        "fork",
        "a process created another one (the event is the parent's)",
        const { &[CHILD_PID, CHILD_TID, FLAGS, Field::PARENT_COMM, Field::ANCESTORS] },
    )
    .of_life(Life::Child("child_pid")),
    Kind::new(
        proc_kind::KIND_CLONE.0,
        "clone",
        "a process created a thread (--threads)",
        const { &[CHILD_PID, CHILD_TID, FLAGS, Field::PARENT_COMM, Field::ANCESTORS] },
    )
    .of_life(Life::Thread("child_tid")),
    Kind::new(
        proc_kind::KIND_THREAD_EXIT.0,
        "thread_exit",
        "a thread ended, and its process goes on (--threads)",
        const {
            &[
                CODE,
                SIGNAL,
                CORE,
                Field::new("lifetime", Shape::Span, true, "time since the thread was created"),
                Field::new(
                    "cpu",
                    Shape::Span,
                    true,
                    "its CPU time, but for the last slice (up to a tick); null: it had only that",
                ),
                Field::PARENT_COMM,
                Field::ANCESTORS,
            ]
        },
    )
    .of_life(Life::ThreadEnd),
];

const EXEC: &Kind = &KINDS[0];
const EXIT: &Kind = &KINDS[1];
const FORK: &Kind = &KINDS[2];
const CLONE: &Kind = &KINDS[3];
const THREAD_EXIT: &Kind = &KINDS[4];

/// include/uapi/linux/sched.h
static CLONE_FLAGS: [(u64, &str); 31] = [
    (0x0000_0080, "CLONE_NEWTIME"),
    (0x0000_0100, "CLONE_VM"),
    (0x0000_0200, "CLONE_FS"),
    (0x0000_0400, "CLONE_FILES"),
    (0x0000_0800, "CLONE_SIGHAND"),
    (0x0000_1000, "CLONE_PIDFD"),
    (0x0000_2000, "CLONE_PTRACE"),
    (0x0000_4000, "CLONE_VFORK"),
    (0x0000_8000, "CLONE_PARENT"),
    (0x0001_0000, "CLONE_THREAD"),
    (0x0002_0000, "CLONE_NEWNS"),
    (0x0004_0000, "CLONE_SYSVSEM"),
    (0x0008_0000, "CLONE_SETTLS"),
    (0x0010_0000, "CLONE_PARENT_SETTID"),
    (0x0020_0000, "CLONE_CHILD_CLEARTID"),
    (0x0040_0000, "CLONE_DETACHED"),
    (0x0080_0000, "CLONE_UNTRACED"),
    (0x0100_0000, "CLONE_CHILD_SETTID"),
    (0x0200_0000, "CLONE_NEWCGROUP"),
    (0x0400_0000, "CLONE_NEWUTS"),
    (0x0800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
    (0x1_0000_0000, "CLONE_CLEAR_SIGHAND"),
    (0x2_0000_0000, "CLONE_INTO_CGROUP"),
    (0x4_0000_0000, "CLONE_AUTOREAP"),
    (0x8_0000_0000, "CLONE_NNP"),
    (0x10_0000_0000, "CLONE_PIDFD_AUTOKILL"),
    (0x20_0000_0000, "CLONE_EMPTY_MNTNS"),
];

impl Decode for Proc {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let (head, _) = decode::split::<proc::types::event_head>(sample)?;
        let mut event = match proc_kind(head.kind) {
            proc_kind::KIND_EXEC => self.exec(sample),
            proc_kind::KIND_EXIT => exit(EXIT, sample),
            proc_kind::KIND_THREAD_EXIT => exit(THREAD_EXIT, sample),
            proc_kind::KIND_FORK => fork(FORK, sample),
            proc_kind::KIND_CLONE => fork(CLONE, sample),
            other => bail!("an event of the unknown kind {}", other.0),
        }?;
        head.add_above(&mut event, sample)?;
        Ok(event)
    }
}

impl Proc {
    fn exec<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let (e, tail) = decode::split::<exec_event>(sample)?;
        let unread = |what: exec_unread| e.head.unread & what.0 != 0;
        let mut event = e.head.event(EXEC, sample)?;
        event.push(
            "argv",
            match unread(exec_unread::UNREAD_ARGV) {
                true => Value::Unreadable(Shape::List),
                false => Value::List(tail.list(e.argv, e.argv_bytes)?),
            },
        );
        if has_part(&e, exec_has::HAS_ENV) {
            self.environ(&mut event, &e, sample)?;
        }
        event.push("exe", path(&tail, e.exe, e.exe_flags)?);
        if has_part(&e, exec_has::HAS_CWD) {
            event.push("cwd", path(&tail, e.cwd, e.cwd_flags)?);
        }
        if unread(exec_unread::UNREAD_OLD_TID) {
            event.push("old_tid", Value::Unreadable(Shape::Pid));
        } else if e.old_tid != 0 {
            event.push("old_tid", Value::Pid(e.old_tid));
        }
        Ok(event)
    }

    /// Adds with what the program was started.
    fn environ<'a>(&'a self, event: &mut Event<'a>, e: &exec_event, sample: &'a [u8]) -> Result<()> {
        let (mut list, mut of) = (None, exec_environ::default());
        if e.environ != 0 {
            let at = sample.get(usize::from(e.environ)..).context("an environment behind the end of a sample")?;
            of = decode::split::<exec_environ>(at)?.0;
            if e.head.unread & exec_unread::UNREAD_ENV.0 == 0 {
                list = Some(List { bytes: decode::part(sample, of.list)?, total: of.bytes });
            }
        }
        if !self.env.is_empty() {
            let named = list.map(|list| Value::Env(Env::named(list.bytes, list.total, &self.env)));
            event.push("env", named.unwrap_or(Value::Unreadable(Shape::Env)));
        }
        if has_part(e, exec_has::HAS_PROGRAMS) {
            let exec_environ { program, parents_program, parents_pid, .. } = of;
            event.environment = Some(Environment { list, program, parents_program, parents_pid });
            // What differs is found later: it takes more than the event.
            event.push("env_diff", Value::EnvDiff(Env::changes(&[], false)));
        }
        Ok(())
    }
}

fn has_part(e: &exec_event, part: exec_has) -> bool {
    u32::from(e.has) & part.0 != 0
}

fn exit<'a>(kind: &'static Kind, sample: &'a [u8]) -> Result<Event<'a>> {
    let (e, _) = decode::split::<exit_event>(sample)?;
    let mut event = e.head.event(kind, sample)?;
    // As in wait(2): the low seven bits are the signal, the eighth is set if core was dumped.
    match e.status & 0x7f {
        0 => event.push("code", Value::Code((e.status >> 8) & 0xff)),
        signal => {
            event.push("signal", Value::Signal(signal));
            event.push("core", Value::Bool(e.status & 0x80 != 0));
        }
    }
    event.push("lifetime", Value::Span(e.lifetime_ns));
    // The scheduler adds a slice when it ends, or at a tick: during its first slice, a task has no CPU time yet.
    event.push("cpu", if e.cpu_ns == 0 { Value::Unreadable(Shape::Span) } else { Value::Span(e.cpu_ns) });
    if kind.id == EXIT.id {
        event.push("max_rss", Value::Size(e.max_rss_bytes));
    }
    Ok(event)
}

/// 0: its number was not found (compat.bpf.h: new_task).
fn pid(number: u32) -> Value<'static> {
    if number == 0 { Value::Unreadable(Shape::Pid) } else { Value::Pid(number) }
}

fn fork<'a>(kind: &'static Kind, sample: &'a [u8]) -> Result<Event<'a>> {
    let (e, _) = decode::split::<fork_event>(sample)?;
    let mut event = e.head.event(kind, sample)?;
    event.push("child_pid", pid(e.child_pid));
    event.push("child_tid", pid(e.child_tid));
    event.push("flags", Value::Flags(Flags { bits: e.flags, names: &CLONE_FLAGS }));
    Ok(event)
}

fn on_exec(name: &'static str) -> Program {
    Program::new(name, Needed::Kinds(vec![EXEC.id]))
}

fn on_fork(name: &'static str) -> Program {
    Program::new(name, Needed::Kinds(vec![FORK.id, CLONE.id]))
}

fn on_exit(name: &'static str) -> Program {
    Program::new(name, Needed::Kinds(vec![EXIT.id, THREAD_EXIT.id]))
}

/// The ways to hook in, the cheapest first. `fentry` costs the same as `btf` and needs more of the kernel: it is for
/// kernels whose tracepoint for exits is missing. (But see [`Session::preempted`].)
fn plans() -> Vec<Plan> {
    vec![
        Plan {
            hook: Hook::Btf,
            programs: vec![on_fork("proc_fork_btf"), on_exit("proc_exit_btf"), on_exec("proc_exec_btf")],
            not_seen: "".into(),
        },
        Plan {
            hook: Hook::Fentry,
            programs: vec![on_fork("proc_fork_btf"), on_exit("proc_exit_fentry"), on_exec("proc_exec_btf")],
            not_seen: "".into(),
        },
        Plan {
            hook: Hook::Raw,
            programs: vec![on_fork("proc_fork_raw"), on_exit("proc_exit_raw"), on_exec("proc_exec_raw")],
            not_seen: "".into(),
        },
        Plan {
            hook: Hook::Tracepoint,
            programs: vec![on_fork("proc_fork_tp"), on_exit("proc_exit_tp"), on_exec("proc_exec_tp")],
            not_seen: "".into(),
        },
    ]
}

impl Source for Proc {
    fn embedded(&self) -> &'static Embedded {
        &INFO.embedded
    }

    fn asks_proc(&self) -> bool {
        self.env_diff
    }

    fn plans(&self) -> Vec<Plan> {
        plans()
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        constants!(proc, session, object, |rodata| {
            rodata.want_cwd = self.cwd.into();
            rodata.want_env = (self.env_diff || !self.env.is_empty()).into();
            rodata.want_programs = self.env_diff.into();
        })
    }
}

/// What does not depend on its options.
static INFO: Info = Info {
    embedded: Embedded { name: "proc", object: &OBJECT, proof },
    about: "Watch programs start, processes fork and end: arguments, exit codes, life times",
    layout: LAYOUT,
};

impl Tracer for Proc {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn kinds(&self) -> &[Kind] {
        &KINDS
    }

    fn default_kinds(&self) -> Vec<&str> {
        let threads = self.threads;
        KINDS.iter().map(|k| &*k.name).filter(|name| threads || !matches!(*name, "clone" | "thread_exit")).collect()
    }

    fn added(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("--cwd", "cwd", self.cwd),
            ("--env", "env", !self.env.is_empty()),
            ("--env-diff", "env_diff", self.env_diff),
        ];
        all.into_iter().filter(|(.., given)| *given).map(|(option, field, _)| (option, field)).collect()
    }

    /// Which variables are shown: the events have all.
    fn recorded(&self) -> Option<serde_json::Value> {
        (!self.env.is_empty()).then(|| serde_json::json!({ "env": self.env }))
    }

    fn replayed(&self, spec: &serde_json::Value) -> Result<Option<Box<dyn Tracer>>> {
        #[derive(serde::Deserialize)]
        struct Recorded {
            env: Vec<String>,
        }
        let Recorded { env } = serde_json::from_value(spec.clone()).context("what a recording of proc shows")?;
        Ok(Some(Box::new(Proc { env, ..Proc::default() })))
    }

    fn beat(&self, session: &Session) -> Option<Beat> {
        let of_threads = (1 << CLONE.id) | (1 << THREAD_EXIT.id);
        let threads = session.settings.kinds & !of_threads == 0;
        Some(Box::new(if threads { heartbeat::thread } else { heartbeat::process }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_no_room_for_what_nobody_asked_for() {
        let sizes = [size_of::<exec_event>(), size_of::<exit_event>(), size_of::<fork_event>()];
        assert_eq!(sizes, [112, 112, 96], "the parent, ancestors and environments are in the tail");
    }
}
