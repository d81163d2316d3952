//! What tests of views share: events in the lives of processes, at times in milliseconds.

use super::*;
use crate::event::Life;

pub(super) static EXEC: Kind =
    Kind::new(11, "exec", "A program begins.", const { &[field("argv", Shape::List), field("exe", Shape::Path)] })
        .of_life(Life::Program);
pub(super) static FORK: Kind = Kind::new(12, "fork", "A process is made.", const { &[field("child_pid", Shape::Pid)] })
    .of_life(Life::Child("child_pid"));
pub(super) static EXIT: Kind = Kind::new(
    13,
    "exit",
    "A process ends.",
    const {
        &[
            field("code", Shape::Code),
            field("signal", Shape::Signal),
            field("lifetime", Shape::Span),
            field("cpu", Shape::Span),
            field("max_rss", Shape::Size),
            field("ancestors", Shape::Ancestors),
        ]
    },
)
.of_life(Life::End);
pub(super) static OPEN: Kind =
    Kind::new(14, "open", "A file is opened.", const { &[field("ret", Shape::Ret), field("path", Shape::Path)] });

pub(super) const MS: u64 = 1_000_000;
/// The first second of 2000, as times are short then.
const BEGIN: i64 = 946_684_800_000_000_000;

fn at(ms: u64, pid: u32, ppid: u32, comm: &str) -> Head {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm.as_bytes());
    let unix_ns = BEGIN + i64::try_from(ms * MS).unwrap();
    Head { boot_ns: ms * MS, unix_ns, pid, tid: pid, ppid, uid: 1000, gid: 100, comm: name, ..Head::default() }
}

/// `args`: each with a NUL behind it.
pub(super) fn exec(ms: u64, pid: u32, ppid: u32, args: &'static str) -> Event<'static> {
    let name = args.split('\0').next().and_then(|called| called.rsplit('/').next()).unwrap_or_default();
    let mut event = Event::new(&EXEC, at(ms, pid, ppid, name));
    event.push("argv", list(args.as_bytes()));
    event.push("exe", Value::Path(path(b"prog\0bin\0")));
    event
}

pub(super) fn fork(ms: u64, pid: u32, child: u32) -> Event<'static> {
    let mut event = Event::new(&FORK, at(ms, pid, 1, "parent"));
    event.push("child_pid", Value::Pid(child));
    event
}

/// It lived for so long, and ended well.
pub(super) fn exit(ms: u64, pid: u32, ppid: u32, lived: u64) -> Event<'static> {
    end(ms, pid, ppid, lived, ("code", Value::Code(0)))
}

pub(super) fn end(ms: u64, pid: u32, ppid: u32, lived: u64, how: (&'static str, Value<'static>)) -> Event<'static> {
    let mut event = Event::new(&EXIT, at(ms, pid, ppid, "last"));
    event.push(how.0, how.1);
    event.push("lifetime", Value::Span(lived * MS));
    event.push("cpu", Value::Span(lived * MS / 2));
    event.push("max_rss", Value::Size(1 << 20));
    event
}

pub(super) fn open(ms: u64, pid: u32, ret: i64, name: &'static [u8]) -> Event<'static> {
    let mut event = Event::new(&OPEN, at(ms, pid, 1, "sh"));
    event.push("ret", Value::Ret(ret));
    event.push("path", Value::Path(Path { called: name, ..Path::default() }));
    event
}

/// What an output makes of events, and of their end; without its header. When the run was over is not known.
pub(super) fn shown(output: Box<dyn Output>, events: &[Event<'_>]) -> String {
    shown_of_run(output, events, None)
}

/// The same of a run that was over at that time.
pub(super) fn shown_of_run(mut output: Box<dyn Output>, events: &[Event<'_>], over: Option<u64>) -> String {
    let over_ns = over.map(|ms| ms * MS);
    let (mut out, mut summary) = (Vec::new(), crate::output::Summary { over_ns, ..Default::default() });
    for event in events {
        summary.add(event.head.unix_ns);
        output.event(&mut out, event).unwrap();
    }
    output.end(&mut out, &summary).unwrap();
    String::from_utf8(out).expect("output is UTF-8")
}

/// The same, as JSON that keeps to the schema.
pub(super) fn objects(output: Box<dyn Output>, events: &[Event<'_>]) -> Vec<serde_json::Value> {
    let validator = super::schema::Validator::of(&[&EXEC, &FORK, &EXIT, &OPEN]);
    let printed = shown(output, events);
    let objects: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    objects.iter().for_each(|object| validator.accepts(object).unwrap());
    objects
}
