//! What is drawn of events: marks on the tracks of tasks, and what is said beside them.

use std::fmt;
use std::io::{self, Write};

use serde::ser::SerializeMap;

use super::annotation::Annotations;
use super::names::Shown;
use super::packet::{Flow, Mark, Packets, Track, Type};
use super::task::{Lane, Task};
use crate::event::{Event, Head, Value};
use crate::output::json::{bytes, field, rest};
use crate::output::processes::Begun;

/// Fields of calls.
const FUNC: &str = "func";
const DURATION: &str = "duration";
/// The name of tracks of calls.
const CALLS: &str = "calls";
/// The category of what is known of a process by no event of its beginning.
const PROCESS: &str = "process";

/// Draws into `out`.
pub struct Pen<'a> {
    pub packets: &'a mut Packets,
    pub out: &'a mut dyn Write,
    pub path: &'a mut Vec<u8>,
}

/// How long something took that an event says is over.
pub fn took(event: &Event<'_>, field: &str) -> Option<u64> {
    match event.get(field) {
        Some(Value::Span(ns)) => Some(*ns),
        _ => None,
    }
}

/// Adds the numbers of a process.
fn numbers(map: &mut Annotations<'_>, head: &Head) -> fmt::Result {
    let ids = [("pid", head.pid), ("ppid", head.ppid), ("uid", head.uid), ("gid", head.gid)];
    ids.iter().try_for_each(|(name, id)| map.serialize_entry(name, id))
}

/// Adds when an event happened, where that is not when it is shown.
fn late(map: &mut Annotations<'_>, event: &Event<'_>, at: u64) -> fmt::Result {
    let boot_ns = event.head.boot_ns;
    if at == boot_ns { Ok(()) } else { map.serialize_entry("boot_ns", &boot_ns) }
}

impl Pen<'_> {
    /// Describes the track of a task, if that was not done.
    pub fn describe(&mut self, at: u64, task: &mut Task) -> io::Result<()> {
        if std::mem::replace(&mut task.described, true) {
            return Ok(());
        }
        let (uuid, parent, tid) = (task.track(), task.parent, task.tid);
        let track = Track { uuid, parent, name: format_args!("{task} {tid}"), merged: false, counter: false };
        self.packets.describe(self.out, at, &track)
    }

    fn begin<F>(&mut self, at: u64, task: &mut Task, category: &str, flow: Flow, annotate: F) -> io::Result<()>
    where
        F: FnOnce(&mut Annotations<'_>, &mut Vec<u8>) -> fmt::Result,
    {
        let at = task.at(at);
        self.describe(at, task)?;
        task.open = Some(at);
        let mark = Mark { of: Type::Begin, track: task.track(), name: Some((category, &*task)), flow };
        let path = &mut *self.path;
        self.packets.mark(self.out, at, &mark, |map| annotate(map, path))
    }

    /// Begins the slice of a program.
    pub fn program(&mut self, task: &mut Task, event: &Event<'_>) -> io::Result<()> {
        let at = task.at(event.head.boot_ns);
        self.begin(at, task, &event.kind.name, Flow::None, |map, path| whole(map, event, at, path))
    }

    /// Begins the slice of a process or a thread that an event has created.
    pub fn child(&mut self, task: &mut Task, child: &Head, event: &Event<'_>) -> io::Result<()> {
        let flow = Flow::To(task.id);
        self.begin(child.boot_ns, task, &event.kind.name, flow, |map, _| numbers(map, child))
    }

    /// Begins the slice of one whose beginning was not seen.
    pub fn unseen(&mut self, at: u64, task: &mut Task, head: &Head, begun: Begun) -> io::Result<()> {
        self.begin(at, task, PROCESS, Flow::None, |map, _| {
            numbers(map, head)?;
            map.serialize_entry("begun", begun.name())
        })
    }

    /// Begins a slice again that began in another file.
    pub fn again(&mut self, at: u64, task: &mut Task) -> io::Result<()> {
        self.begin(at, task, PROCESS, Flow::None, |map, _| map.serialize_entry("continued", &true))
    }

    fn end<F>(&mut self, at: u64, task: &mut Task, annotate: F) -> io::Result<()>
    where
        F: FnOnce(&mut Annotations<'_>, &mut Vec<u8>) -> fmt::Result,
    {
        if task.open.take().is_none() {
            return Ok(());
        }
        let mark = Mark { of: Type::End, track: task.track(), name: None, flow: Flow::None };
        let path = &mut *self.path;
        self.packets.mark(self.out, at, &mark, |map| annotate(map, path))
    }

    /// Ends the slice of a task, as the event says.
    pub fn ended(&mut self, task: &mut Task, event: &Event<'_>) -> io::Result<()> {
        let at = task.at(event.head.boot_ns);
        self.describe(at, task)?;
        self.end(at, task, |map, path| fields(map, event, at, path))
    }

    /// Ends the slice of a task, as another one follows or its process is gone.
    pub fn over(&mut self, at: u64, task: &mut Task) -> io::Result<()> {
        let at = task.at(at);
        self.end(at, task, |_, _| Ok(()))
    }

    /// Ends the slice of a task whose end was not seen.
    pub fn cut(&mut self, at: u64, task: &mut Task) -> io::Result<()> {
        let at = task.at(at);
        self.end(at, task, |map, _| map.serialize_entry("end_seen", &false))
    }

    /// Marks what a task did: a slice for a call that took some time.
    pub fn did(&mut self, task: &mut Task, event: &Event<'_>, flow: Flow) -> io::Result<()> {
        let end = event.head.boot_ns;
        let call = took(event, DURATION).map(|ns| end.saturating_sub(ns));
        let call = call.and_then(|begin| Some((begin, task.lane(begin, end)?)));
        let at = if call.is_some() { end } else { task.at(end) };
        self.describe(at, task)?;
        match call {
            Some((begin, lane)) => self.call(begin, task, lane, event),
            None => self.instant(at, task.track(), event, flow),
        }
    }

    fn call(&mut self, begin: u64, task: &Task, Lane { track, is_new }: Lane, event: &Event<'_>) -> io::Result<()> {
        if is_new {
            let (parent, name) = (Some(task.track()), format_args!("{CALLS}"));
            self.packets.describe(
                self.out,
                begin,
                &Track { uuid: track, parent, name, merged: true, counter: false },
            )?;
        }
        let (name, end) = (called(event), event.head.boot_ns);
        let name: (&str, &dyn fmt::Display) = (&event.kind.name, &name);
        let mark = Mark { of: Type::Begin, track, name: Some(name), flow: Flow::None };
        let path = &mut *self.path;
        self.packets.mark(self.out, begin, &mark, |map| fields(map, event, end, path))?;
        self.packets.mark(self.out, end, &Mark { of: Type::End, name: None, ..mark }, |_| Ok(()))
    }

    fn instant(&mut self, at: u64, track: u64, event: &Event<'_>, flow: Flow) -> io::Result<()> {
        let name = called(event);
        let mark = Mark { of: Type::Instant, track, name: Some((&event.kind.name, &name)), flow };
        let path = &mut *self.path;
        self.packets.mark(self.out, at, &mark, |map| fields(map, event, at, path))
    }

    /// Marks what was done by no process that has a track, with all that is known of it.
    pub fn other(&mut self, at: u64, track: u64, event: &Event<'_>) -> io::Result<()> {
        let name = called(event);
        let mark = Mark { of: Type::Instant, track, name: Some((&event.kind.name, &name)), flow: Flow::None };
        let path = &mut *self.path;
        self.packets.mark(self.out, at, &mark, |map| whole(map, event, at, path))
    }
}

/// What an event is called: a call as its function, else its kind.
fn called(event: &Event<'_>) -> Shown {
    match event.get(FUNC) {
        Some(Value::Str(func)) => Shown::new(func),
        _ => Shown::new(event.kind.name.as_bytes()),
    }
}

/// Adds the label and the fields of an event.
fn fields(map: &mut Annotations<'_>, event: &Event<'_>, at: u64, path: &mut Vec<u8>) -> fmt::Result {
    late(map, event, at)?;
    if !event.label.is_empty() {
        bytes(map, "label", event.label)?;
    }
    event.fields.iter().try_for_each(|(name, value)| field(map, name, value, path))
}

/// Adds all that is known of an event.
fn whole(map: &mut Annotations<'_>, event: &Event<'_>, at: u64, path: &mut Vec<u8>) -> fmt::Result {
    numbers(map, &event.head)?;
    late(map, event, at)?;
    rest(map, event, path)
}
