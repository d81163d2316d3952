//! Lives as JSON: one object each, with what the events of its last program and of its end have.

use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};

use super::form::Form;
use crate::event::Names;
use crate::output::clock::{Clock, Style};
use crate::output::json::{Json, bytes, field};
use crate::output::processes::Process;

/// How the unit is called, as in events.
const UNIT: &str = "unit";
/// The `kind` of a life.
pub(in crate::output) const LIFE: &str = "life";

pub(super) struct LifeJson {
    json: Json,
    clock: Clock,
    path: Vec<u8>,
}

impl Default for LifeJson {
    fn default() -> Self {
        LifeJson { json: Json::default(), clock: Clock::new(Style::Rfc3339, 9), path: Vec::new() }
    }
}

impl Form for LifeJson {
    fn life(&mut self, out: &mut dyn Write, process: &Process) -> io::Result<()> {
        let LifeJson { json, clock, path } = self;
        json.object_of(LIFE, process.last.unix_ns, |map| about(map, process, clock, path))?;
        json.write(out)
    }
}

/// Adds all that is known of a process.
pub(in crate::output) fn about<M: SerializeMap>(
    map: &mut M,
    process: &Process,
    clock: &mut Clock,
    path: &mut Vec<u8>,
) -> Result<(), M::Error> {
    let head = &process.last;
    map.serialize_entry("boot_ns", &head.boot_ns)?;
    map.serialize_entry("pid", &process.pid)?;
    map.serialize_entry("ppid", &head.ppid)?;
    map.serialize_entry("uid", &head.uid)?;
    map.serialize_entry("gid", &head.gid)?;
    bytes(map, "comm", head.comm())?;
    if !process.label.is_empty() {
        bytes(map, "label", &process.label)?;
    }
    map.serialize_entry("cgroup_id", &head.cgroup_id)?;
    if let Some(place) = &process.place {
        match &place.unit {
            Some(unit) => bytes(map, UNIT, unit)?,
            None => map.serialize_entry(UNIT, &())?,
        }
        map.serialize_entry(Names::CONTAINER.0, &place.container)?;
    }
    map.serialize_entry("begun", process.begun.name())?;
    if let Some(creator) = process.creator() {
        map.serialize_entry("creator_pid", &creator)?;
    }
    if let Some(end) = &process.end {
        map.serialize_entry("start", &end.start_unix_ns.map(|ns| clock.spell(ns).to_owned()))?;
        map.serialize_entry("start_boot_ns", &end.start_ns)?;
    }
    map.serialize_entry("programs", &process.programs)?;
    if let Some(program) = process.ran() {
        if process.program.is_some() {
            map.serialize_entry("exec_time", clock.spell(program.unix_ns))?;
            map.serialize_entry("exec_boot_ns", &program.boot_ns)?;
        } else {
            map.serialize_entry("fork_of", &process.ppid)?;
        }
        for (name, kept) in program.fields.iter().filter(|(name, _)| !is_of_parent(name)) {
            field(map, name, &kept.value(), path)?;
        }
    }
    for (name, kept) in process.end.iter().flat_map(|end| end.fields.iter()) {
        field(map, name, &kept.value(), path)?;
    }
    // Its parent at the end may be another one than when it began to run its program, and a program may be its parent's.
    let began = process.program.iter().filter(|_| process.end.is_none()).flat_map(|program| program.fields.iter());
    for (name, kept) in began.filter(|(name, _)| is_of_parent(name)) {
        field(map, name, &kept.value(), path)?;
    }
    map.serialize_entry("end_seen", &process.end.is_some())?;
    map.serialize_entry("events", &Counts(&process.events))
}

/// Whether a field is of what is above a process, which may change: those of the end are shown.
fn is_of_parent(field: &str) -> bool {
    matches!(field, "parent_comm" | "ancestors")
}

/// How many events there were, by their kinds.
struct Counts<'a>(&'a [(Box<str>, u64)]);

impl serde::ser::Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(kind, count)| (kind, count)))
    }
}
