//! One process.

use std::cell::Cell;
use std::rc::Rc;

use crate::event::{Event, Head, Kept, Names, Value};
use crate::host::containers::Container;

/// How the beginning of a process is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// By its parent's event.
    Forked,
    /// It is CMD, which began with the run.
    Command,
    /// It was there before the run began.
    Before,
    /// Not at all: the event was lost or filtered.
    Unseen,
}

impl Begun {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Begun::Forked => "fork",
            Begun::Command => "command",
            Begun::Before => "before",
            Begun::Unseen => "unseen",
        }
    }

    pub const ALL: [Begun; 4] = [Begun::Forked, Begun::Command, Begun::Before, Begun::Unseen];
}

/// Named values, in order. What all of them take together is counted.
#[derive(Debug)]
pub struct Fields {
    all: Box<[(Box<str>, Kept)]>,
    kept: Rc<Cell<usize>>,
    size: usize,
}

impl Fields {
    /// Those of an event, of what may be long at most so many bytes.
    pub fn new(event: &Event<'_>, list_max: usize, kept: &Rc<Cell<usize>>) -> Self {
        let fields = event.fields.iter();
        let fields = fields.filter_map(|(name, value)| Some(((*name).into(), Kept::new(value, list_max)?)));
        let all: Box<[(Box<str>, Kept)]> = fields.collect();
        let size = all.iter().fold(0, |sum, (name, kept)| sum + name.len() + kept.size());
        kept.set(kept.get().saturating_add(size));
        Fields { all, kept: Rc::clone(kept), size }
    }

    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.iter().find(|(of, _)| *of == name).map(|(_, kept)| kept.value())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.all.iter().map(|(name, kept)| (&**name, kept))
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.kept.set(self.kept.get().saturating_sub(self.size));
    }
}

/// The name that a program was called by, without directories: in its arguments.
pub fn called(argv: Option<Value<'_>>) -> Option<&[u8]> {
    let Some(Value::List(list)) = argv else { return None };
    let base = list.iter().next().and_then(|called| called.rsplit(|b| *b == b'/').next());
    base.filter(|base| !base.is_empty())
}

/// A program that a process ran.
#[derive(Debug)]
pub struct Program {
    /// When it began.
    pub boot_ns: u64,
    pub unix_ns: i64,
    pub fields: Fields,
}

impl Program {
    /// That which an event says has begun.
    pub fn new(event: &Event<'_>, fields: Fields) -> Self {
        Program { boot_ns: event.head.boot_ns, unix_ns: event.head.unix_ns, fields }
    }

    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.fields.get(name)
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct End {
    /// When it began, since boot; None: that could not be read.
    pub start_ns: Option<u64>,
    pub start_unix_ns: Option<i64>,
    pub fields: Fields,
}

/// A place that processes are in, and share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub unit: Option<Box<[u8]>>,
    pub container: Option<Container>,
}

impl Place {
    pub fn new(names: &Names<'_>) -> Self {
        Place { unit: names.unit.map(Box::from), container: names.container.cloned() }
    }

    /// Whether that is it.
    pub fn is(&self, names: &Names<'_>) -> bool {
        self.unit.as_deref() == names.unit && self.container.as_ref() == names.container
    }
}

/// What is known of a process.
#[derive(Debug)]
pub struct Process {
    /// In the order in which they came, unlike its number, which may be used again.
    pub id: u64,
    /// The id of its parent, and how many are above it, as far as that is known.
    pub parent: Option<u64>,
    pub depth: usize,
    pub pid: u32,
    /// Who created it; where that was not seen, its parent when it was first heard of. That of its last event may be another
    /// one, as its parent has ended.
    pub ppid: u32,
    /// When the first event of it happened: its parent's where that was seen.
    pub first_ns: u64,
    pub first_unix_ns: i64,
    pub begun: Begun,
    /// The last one that it ran.
    pub program: Option<Rc<Program>>,
    /// The one that its parent ran when it was created.
    pub inherited: Option<Rc<Program>>,
    /// How many it ran.
    pub programs: u32,
    /// The names of those before: the first ones, and the one before the last.
    before: Vec<Box<[u8]>>,
    /// Of its last event.
    pub last: Head,
    pub label: Box<[u8]>,
    /// Where it was at its end, or when it began to run its last program; None: names are not known.
    pub place: Option<Rc<Place>>,
    /// How many other events it had, by their kinds.
    pub events: Vec<(Box<str>, u64)>,
    pub end: Option<End>,
    /// When the run was over, where it had not ended by then.
    pub runs_ns: Option<u64>,
}

impl Process {
    pub fn new(id: u64, head: Head, forked: bool) -> Self {
        Process {
            id,
            parent: None,
            depth: 0,
            pid: head.pid,
            ppid: head.ppid,
            first_ns: head.boot_ns,
            first_unix_ns: head.unix_ns,
            begun: if forked { Begun::Forked } else { Begun::Unseen },
            program: None,
            inherited: None,
            programs: 0,
            before: Vec::new(),
            last: head,
            label: Box::default(),
            place: None,
            events: Vec::new(),
            end: None,
            runs_ns: None,
        }
    }

    /// The program that it ran last: its own, or its parent's.
    pub fn ran(&self) -> Option<&Program> {
        self.program.as_deref().or(self.inherited.as_deref())
    }

    /// The same, to be kept.
    pub fn ran_shared(&self) -> Option<Rc<Program>> {
        self.program.as_ref().or(self.inherited.as_ref()).map(Rc::clone)
    }

    /// Who created it, where that was seen: not always its parent.
    pub fn creator(&self) -> Option<u32> {
        (self.begun == Begun::Forked).then_some(self.ppid)
    }

    /// The name of that program: as it was called, without directories; else its own.
    pub fn name(&self) -> &[u8] {
        called(self.ran().and_then(|program| program.get("argv"))).unwrap_or(self.last.comm())
    }

    /// The container that it is in, as text has it.
    pub fn container(&self) -> Option<&[u8]> {
        self.place.as_ref()?.container.as_ref().map(|container| container.shown().as_bytes())
    }

    /// The unit that it is in.
    pub fn unit(&self) -> Option<&[u8]> {
        self.place.as_ref()?.unit.as_deref()
    }

    /// It runs that program from here on.
    pub fn run(&mut self, program: Program) {
        /// Of each name, and how many there are of them.
        const NAME: usize = 32;
        const NAMES: usize = 3;
        if self.program.is_some() {
            let name = self.name();
            let name = name.get(..NAME).unwrap_or(name).into();
            self.before.truncate(NAMES - 1);
            self.before.push(name);
        }
        self.program = Some(Rc::new(program));
        self.programs += 1;
    }

    /// The names of the programs that it ran before the last one; None: of some that are not kept.
    pub fn before(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let left_out = (self.programs as usize).saturating_sub(self.before.len() + 1);
        let (first, last) = self.before.split_at(self.before.len().saturating_sub(1));
        let (first, last) = (first.iter().map(|name| Some(&**name)), last.iter().map(|name| Some(&**name)));
        first.chain((left_out > 0).then_some(None)).chain(last)
    }

    /// Counts an event of that kind.
    pub fn count(&mut self, kind: &str) {
        match self.events.iter_mut().find(|(of, _)| **of == *kind) {
            Some((_, count)) => *count += 1,
            None => self.events.push((kind.into(), 1)),
        }
    }

    /// Takes what another one of the same number did since then: that was this one.
    pub fn take_from(&mut self, other: &mut Process, since: u64) {
        if let Some(program) = other.program.take_if(|program| program.boot_ns >= since) {
            self.program = Some(program);
            self.programs = 1;
            other.programs = other.programs.saturating_sub(1);
        }
    }

    pub fn end(&mut self, event: &Event<'_>, fields: Fields, start_ns: Option<u64>, lifetime: Option<u64>) {
        let lifetime = lifetime.and_then(|ns| i64::try_from(ns).ok());
        let start_unix_ns = lifetime.map(|ns| event.head.unix_ns.saturating_sub(ns));
        self.last = event.head;
        self.label = event.label.into();
        self.end = Some(End { start_ns, start_unix_ns, fields });
    }

    /// What is known of its end, by name.
    pub fn ended(&self, name: &str) -> Option<Value<'_>> {
        self.end.as_ref().and_then(|end| end.fields.get(name))
    }

    /// How it ended: a code, or a signal.
    pub fn code(&self) -> Option<Value<'_>> {
        self.ended("code").or_else(|| self.ended("signal"))
    }

    /// Whether it ended otherwise than with success.
    pub fn failed(&self) -> bool {
        matches!(self.code(), Some(Value::Code(1..) | Value::Signal(_)))
    }

    /// Until when it is known to have been there: its end, or that of the run; else its last event.
    fn until_ns(&self) -> u64 {
        self.runs_ns.unwrap_or(self.last.boot_ns)
    }

    /// How long it lived, as far as that is known: see [`Process::lived_longer`].
    pub fn lived_ns(&self) -> u64 {
        self.until_ns().saturating_sub(self.start_ns().unwrap_or(self.first_ns))
    }

    /// Whether it lived longer than is known: it runs on, or its beginning or its end was not seen.
    pub fn lived_longer(&self) -> bool {
        self.end.is_none() || self.start_ns().is_none()
    }

    /// Whether it was still there when that one ended (or the run did, and it had not).
    pub fn outlived(&self, other: &Process) -> bool {
        let is_known = other.end.is_some() || other.runs_ns.is_some();
        let is_unseen = self.end.is_none() && self.runs_ns.is_none();
        is_known && (is_unseen || self.until_ns() >= other.until_ns())
    }

    /// When it began, since boot: as its end says, or the event that created it; None: that is not known.
    pub fn start_ns(&self) -> Option<u64> {
        let created = matches!(self.begun, Begun::Forked | Begun::Command).then_some(self.first_ns);
        self.end.as_ref().and_then(|end| end.start_ns).or(created)
    }

    /// Whether it may have been there then.
    pub fn was_there(&self, boot_ns: u64) -> bool {
        self.start_ns().is_none_or(|start| start <= boot_ns) && (self.end.is_none() || self.last.boot_ns >= boot_ns)
    }

    /// When it began: as its end says, else when it was first heard of.
    pub fn start_unix_ns(&self) -> i64 {
        self.end.as_ref().and_then(|end| end.start_unix_ns).unwrap_or(self.first_unix_ns)
    }
}
