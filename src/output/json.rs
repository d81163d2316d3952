//! JSON: one object a line, for programs. Always valid UTF-8; no byte of what was traced is lost.
//!
//! Keys are in column order: the head's, then the fields. Where bytes are not UTF-8, `NAME` is the readable form (U+FFFD for
//! what is not) and `NAME_b64` beside it has all of them, in base64. Numbers are integers of up to 64 bits, also above
//! 2^53, where a reader that makes them floating-point loses digits.
//!
//! What a terminal obeys or hides is written as `\uXXXX`: the same string to a program, and harmless to a reader.

mod env;
mod field;
mod pick;
mod rest;
mod text;
mod totals;

use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};

pub(super) use self::field::{field, suffix};
use self::pick::Pick;
use self::rest::Rest;
pub(super) use self::text::bytes;
use super::clock::{Clock, Style};
use super::output::Output;
use crate::event::total::Totals;
use crate::event::{Event, Head, Lost, Names};

/// Writes events as JSON lines.
#[derive(Debug)]
pub struct Json {
    line: Vec<u8>,
    path: Vec<u8>,
    clock: Clock,
    /// The members that are wanted; None: all.
    only: Option<Vec<String>>,
}

impl Default for Json {
    fn default() -> Self {
        Json { line: Vec::with_capacity(1024), path: Vec::new(), clock: Clock::new(Style::Rfc3339, 9), only: None }
    }
}

impl Json {
    /// Of events, these members alone, in that order.
    pub(super) fn only(names: Vec<String>) -> Self {
        Json { only: Some(names), ..Json::default() }
    }

    fn picked(&mut self, event: &Event<'_>) -> serde_json::Result<()> {
        let (head, mut all) = (&event.head, Pick::default());
        all.serialize_entry("kind", &*event.kind.name)?;
        all.serialize_entry("time", self.clock.spell(head.unix_ns))?;
        all.serialize_entry("boot_ns", &head.boot_ns)?;
        all.serialize_entry("cpu", &head.cpu)?;
        all.serialize_entry("seq", &head.seq)?;
        let ids = [("pid", head.pid), ("tid", head.tid), ("ppid", head.ppid), ("uid", head.uid), ("gid", head.gid)];
        ids.iter().try_for_each(|(name, id)| all.serialize_entry(name, &known(*id)))?;
        rest(&mut all, event, &mut self.path)?;
        all.write(self.only.as_deref().unwrap_or_default(), &mut self.line);
        Ok(())
    }

    fn object(&mut self, event: &Event<'_>) -> serde_json::Result<()> {
        let head = &event.head;
        self.begin(&event.kind.name, head.unix_ns);
        self.uint(",\"boot_ns\":", head.boot_ns);
        self.uint(",\"cpu\":", head.cpu);
        self.uint(",\"seq\":", head.seq);
        if head.has_process() {
            self.uint(",\"pid\":", head.pid);
            self.uint(",\"tid\":", head.tid);
            self.uint(",\"ppid\":", head.ppid);
            self.uint(",\"uid\":", head.uid);
            self.uint(",\"gid\":", head.gid);
        } else {
            self.line.extend_from_slice(NO_PROCESS.as_bytes());
        }
        let mut json = serde_json::Serializer::with_formatter(&mut self.line, Rest::default());
        let mut map = json.serialize_map(None)?;
        rest(&mut map, event, &mut self.path)?;
        SerializeMap::end(map)
    }

    /// Builds an object of that kind; `members` adds all but the kind and the time.
    pub(super) fn object_of<F>(&mut self, kind: &str, unix_ns: i64, members: F) -> serde_json::Result<()>
    where
        F: FnOnce(&mut Members<'_>) -> serde_json::Result<()>,
    {
        self.begin(kind, unix_ns);
        let mut json = serde_json::Serializer::with_formatter(&mut self.line, Rest::default());
        let mut map = json.serialize_map(None)?;
        members(&mut map)?;
        SerializeMap::end(map)
    }

    /// So many of something are not in what was shown.
    pub(super) fn missing(&mut self, out: &mut dyn Write, now: i64, what: &str, count: u64) -> io::Result<()> {
        self.object_of(MISSING, now, |map| {
            map.serialize_entry("what", what)?;
            map.serialize_entry("count", &count)
        })?;
        self.write(out)
    }

    /// The beginning that every line has, by hand: half of an event is its head, and serde takes twice as long for it.
    /// A kind is named by us and needs no escaping.
    fn begin(&mut self, kind: &str, unix_ns: i64) {
        self.line.clear();
        for part in ["{\"kind\":\"", kind, "\",\"time\":\"", self.clock.spell(unix_ns), "\""] {
            self.line.extend_from_slice(part.as_bytes());
        }
    }

    fn uint(&mut self, key: &str, number: impl itoa::Integer) {
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Writes the object that was built.
    pub(super) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line.push(b'\n');
        out.write_all(&self.line)
    }
}

/// The ids of an event that no process is known of.
const NO_PROCESS: &str = r#","pid":null,"tid":null,"ppid":null,"uid":null,"gid":null"#;

fn known(id: u32) -> Option<u32> {
    Some(id).filter(|id| *id != Head::NO_PROCESS)
}

/// Adds what follows the numbers that every event has.
pub(super) fn rest<M: SerializeMap>(map: &mut M, event: &Event<'_>, path: &mut Vec<u8>) -> Result<(), M::Error> {
    let known = event.head.has_process();
    if known {
        bytes(map, "comm", event.head.comm())?;
    } else {
        map.serialize_entry("comm", &())?;
    }
    if !event.label.is_empty() {
        bytes(map, "label", event.label)?;
    }
    map.serialize_entry("cgroup_id", &known.then_some(event.head.cgroup_id))?;
    for (name, value) in event.names.iter().flat_map(Names::all) {
        match value {
            Some(value) => bytes(map, name, value)?,
            None => map.serialize_entry(name, &())?,
        }
    }
    if let Some(names) = &event.names {
        map.serialize_entry(Names::CONTAINER.0, &names.container)?;
    }
    event.fields.iter().try_for_each(|(name, value)| field(map, name, value, path))
}

impl Output for Json {
    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        match self.only {
            None => self.object(event)?,
            Some(_) => self.picked(event)?,
        }
        self.write(out)
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.object_of(LOST, lost.unix_ns, |map| {
            map.serialize_entry("class", &lost.class)?;
            map.serialize_entry("cause", lost.cause)?;
            map.serialize_entry("count", &lost.count)?;
            map.serialize_entry("cpu", &lost.cpu)
        })?;
        self.write(out)
    }

    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        let mut path = std::mem::take(&mut self.path);
        totals.rows.iter().try_for_each(|row| {
            self.object_of(TOTAL, now, |map| totals::row(map, &totals.measure, row, &mut path))?;
            self.write(out)
        })
    }
}

/// The `kind` of a loss.
pub(super) const LOST: &str = "lost";
/// The `kind` of what was added up.
pub(super) const TOTAL: &str = "total";
/// The `kind` of what a view does not show.
pub(super) const MISSING: &str = "missing";

/// The members of an object that is being written.
pub(super) type Members<'a> = serde_json::ser::Compound<'a, &'a mut Vec<u8>, Rest>;
