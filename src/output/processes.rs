//! The processes that events are of: what views that put events together know of each. They go by what kinds of events say
//! of themselves ([`Life`]), and by the names of fields.
//!
//! A stream may be incomplete: events were lost or filtered, processes were there before it began, and numbers are used
//! again. What is not known is not made up; what does not fit the bounds is counted.

mod process;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use self::process::Fields;
pub(super) use self::process::{Begun, Place, Process, Program, called};
use crate::event::{Event, Head, Life, Names, Value};

/// How much is kept at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub processes: usize,
    /// Of arguments, paths and ancestors, in bytes: of what comes when there are as many, lists are cut to [`CUT`].
    pub bytes: usize,
    /// Of each list, in bytes.
    pub list: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { processes: 1 << 16, bytes: 64 << 20, list: usize::MAX }
    }
}

/// What is left of a list where there is no room.
const CUT: usize = 64;
/// How many places are remembered.
const PLACES: usize = 64;
/// Times of one process, taken in several places of the kernel, may differ by this.
pub(super) const SLACK: u64 = 1_000_000;

/// The processes that have not ended.
#[derive(Debug)]
pub(super) struct Processes {
    bounds: Bounds,
    by_pid: HashMap<u32, Process>,
    kept: Rc<Cell<usize>>,
    next: u64,
    /// When the run began, since boot; where that is not known, when the first event happened.
    began_ns: Option<u64>,
    /// When the newest one happened.
    newest_ns: u64,
    /// When the first and the last process came for which there was no room.
    refused: Option<(u64, u64)>,
    /// Where processes are that came last.
    places: VecDeque<Rc<Place>>,
    /// CMD's number, until its first event.
    command: Option<u32>,
    /// Processes that ended and had not been kept.
    pub left_out: u64,
    /// Programs whose arguments were cut, as there were too many.
    pub cut: u64,
}

/// The processes that are known to be gone by an event.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Its end was not seen: its number is another one's now.
    pub unseen: Option<Process>,
    pub ended: Option<Process>,
}

impl Gone {
    pub(super) fn into_iter(self) -> impl Iterator<Item = Process> {
        self.unseen.into_iter().chain(self.ended)
    }
}

impl Processes {
    pub(super) fn new(bounds: Bounds) -> Self {
        Processes {
            bounds,
            by_pid: HashMap::new(),
            kept: Rc::default(),
            next: 0,
            began_ns: None,
            newest_ns: 0,
            refused: None,
            places: VecDeque::new(),
            command: None,
            left_out: 0,
            cut: 0,
        }
    }

    /// Takes an event; returns which processes are gone by it.
    pub(super) fn take(&mut self, event: &Event<'_>) -> Gone {
        self.began_ns.get_or_insert(event.head.boot_ns);
        self.newest_ns = self.newest_ns.max(event.head.boot_ns);
        match event.kind.life {
            // What no process did.
            _ if event.head.pid == 0 || !event.head.has_process() => Gone::default(),
            Some(Life::Program) => {
                self.program(event);
                Gone::default()
            }
            Some(Life::Child(name)) => match event.get(name) {
                Some(Value::Pid(child)) => Gone { unseen: self.child(&event.head, *child), ended: None },
                _ => Gone::default(),
            },
            Some(Life::End) => self.end(event),
            Some(Life::Thread(_) | Life::ThreadEnd) | None => {
                if let Some(process) = self.of(&event.head) {
                    process.count(&event.kind.name);
                }
                Gone::default()
            }
        }
    }

    /// The run began then.
    pub(super) fn began(&mut self, boot_ns: u64) {
        self.began_ns = Some(boot_ns);
    }

    /// CMD is this process: it began with the run.
    pub(super) fn command(&mut self, pid: u32) {
        self.command = Some(pid);
    }

    /// Where an event's process is.
    fn place(&mut self, names: &Names<'_>) -> Rc<Place> {
        if let Some(place) = self.places.iter().find(|place| place.is(names)) {
            return Rc::clone(place);
        }
        let place = Rc::new(Place::new(names));
        self.places.push_front(Rc::clone(&place));
        self.places.truncate(PLACES);
        place
    }

    /// A process that has not ended.
    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid)
    }

    /// Those that have not ended by the end of the run, in the order in which they came. Where it is not known when that
    /// was: by the last event.
    pub(super) fn drain(&mut self, over_ns: Option<u64>) -> Vec<Process> {
        let over_ns = self.newest_ns.max(over_ns.unwrap_or(0));
        let mut all: Vec<Process> = self.by_pid.drain().map(|(_, process)| process).collect();
        all.iter_mut().for_each(|process| process.runs_ns = Some(over_ns));
        all.sort_by_key(|process| process.id);
        all
    }

    /// How many have not ended.
    pub(super) fn running(&self) -> usize {
        self.by_pid.len()
    }

    fn make(&mut self, head: Head, forked: bool) -> Process {
        let parent = self.by_pid.get(&head.ppid);
        self.next += 1;
        let mut process = Process::new(self.next, head, forked);
        if !forked && self.command.take_if(|pid| *pid == head.pid).is_some() {
            process.begun = Begun::Command;
        }
        if let Some(parent) = parent {
            process.parent = Some(parent.id);
            process.depth = parent.depth.saturating_add(1);
            process.inherited = parent.ran_shared().filter(|_| forked);
        }
        process
    }

    /// The process that did that, as known so far; None: there is no room for another one.
    fn of(&mut self, head: &Head) -> Option<&mut Process> {
        if !self.by_pid.contains_key(&head.pid) {
            let process = self.make(*head, false);
            self.keep(process);
        }
        let process = self.by_pid.get_mut(&head.pid)?;
        process.last = *head;
        Some(process)
    }

    fn keep(&mut self, process: Process) {
        let now = process.last.boot_ns;
        if self.by_pid.len() < self.bounds.processes {
            self.by_pid.insert(process.pid, process);
        } else {
            let (first, _) = *self.refused.get_or_insert((now, now));
            self.refused = Some((first, now));
        }
    }

    /// Keeps the fields of an event; returns whether there was no room for what is long.
    fn fields(&self, event: &Event<'_>) -> (Fields, bool) {
        let full = self.kept.get() >= self.bounds.bytes;
        let list = if full { self.bounds.list.min(CUT) } else { self.bounds.list };
        (Fields::new(event, list, &self.kept), full)
    }

    fn program(&mut self, event: &Event<'_>) {
        let (fields, full) = self.fields(event);
        let program = Program::new(event, fields);
        let place = event.names.map(|names| self.place(&names));
        let known = self.of(&event.head).map(|process| {
            process.run(program);
            process.place = place;
        });
        if full && known.is_some() {
            self.cut += 1;
        }
    }

    /// Returns the process that had the child's number before, if its end was not seen.
    fn child(&mut self, head: &Head, child: u32) -> Option<Process> {
        self.of(head);
        let before = self.by_pid.remove(&child);
        let process = self.make(Head { pid: child, tid: child, ppid: head.pid, ..*head }, true);
        self.keep(process);
        before
    }

    fn end(&mut self, event: &Event<'_>) -> Gone {
        let head = &event.head;
        let lifetime = match event.get("lifetime") {
            Some(Value::Span(ns)) => Some(*ns),
            _ => None,
        };
        let start = lifetime.map(|ns| head.boot_ns.saturating_sub(ns));
        let (mut gone, mut known) = (Gone::default(), self.by_pid.remove(&head.pid));
        // The number is used again, and neither that end nor this beginning was seen.
        if let Some((start, before)) = start.zip(known.as_mut())
            && start > before.first_ns.saturating_add(SLACK)
        {
            let mut process = self.make(*head, false);
            process.take_from(before, start);
            gone.unseen = known.replace(process);
        }
        let mut process = known.unwrap_or_else(|| {
            self.left_out += u64::from(start.is_some_and(|start| self.was_refused(start, head.boot_ns)));
            self.make(*head, false)
        });
        process.place = event.names.map(|names| self.place(&names)).or(process.place);
        if process.begun == Begun::Unseen && start.zip(self.began_ns).is_some_and(|(start, began)| start <= began) {
            process.begun = Begun::Before;
        }
        process.end(event, self.fields(event).0, start, lifetime);
        gone.ended = Some(process);
        gone
    }

    /// Whether a process that lived from then to then may be one for which there was no room.
    fn was_refused(&self, start: u64, end: u64) -> bool {
        self.refused.is_some_and(|(first, last)| start <= last && end >= first)
    }
}
