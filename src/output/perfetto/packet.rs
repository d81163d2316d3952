//! The packets of a trace (trace_packet.proto): each is put together in a buffer that is kept, and written as a whole.

use std::fmt;
use std::io::{self, Write};

use super::annotation::Annotations;
use super::message::Message;
use super::names::{Named, Names};

/// The field of `Trace` that packets are.
const PACKET: u32 = 1;

/// Fields of `TracePacket`.
mod field {
    pub const CLOCK_SNAPSHOT: u32 = 6;
    pub const TIMESTAMP: u32 = 8;
    pub const SEQUENCE_ID: u32 = 10;
    pub const TRACK_EVENT: u32 = 11;
    pub const INTERNED_DATA: u32 = 12;
    pub const SEQUENCE_FLAGS: u32 = 13;
    pub const TRACK_DESCRIPTOR: u32 = 60;
}

/// Fields of `TrackEvent` (track_event.proto).
mod event {
    pub const CATEGORY_IIDS: u32 = 3;
    pub const DEBUG_ANNOTATIONS: u32 = 4;
    pub const TYPE: u32 = 9;
    pub const NAME_IID: u32 = 10;
    pub const TRACK_UUID: u32 = 11;
    pub const COUNTER_VALUE: u32 = 30;
    pub const FLOW_IDS: u32 = 47;
    pub const TERMINATING_FLOW_IDS: u32 = 48;
}

/// Fields of `TrackDescriptor` (track_descriptor.proto).
mod track {
    pub const UUID: u32 = 1;
    pub const NAME: u32 = 2;
    pub const PARENT_UUID: u32 = 5;
    pub const COUNTER: u32 = 8;
    pub const CHILD_ORDERING: u32 = 11;
    /// Newer than the others: readers that do not know it pass over it.
    pub const SIBLING_MERGE_BEHAVIOR: u32 = 15;

    /// By when each began.
    pub const CHRONOLOGICAL: u64 = 2;
    /// Siblings of one name are one track.
    pub const MERGE_BY_NAME: u64 = 1;
    pub const MERGE_NONE: u64 = 2;
}

/// `CounterDescriptor.unit`: nanoseconds.
const UNIT: (u32, u64) = (3, 1);

/// `BuiltinClock` (builtin_clock.proto): the times of a trace are of the one that counts since boot.
const REALTIME: u64 = 1;
const BOOTTIME: u64 = 6;

/// Which packets may refer to each other's names: there is one writer.
const SEQUENCE: u64 = 1;
/// `SequenceFlags`: from here on, names are written again.
const CLEARED: u64 = 1;
/// The packet refers to names that were written before.
const NEEDS_NAMES: u64 = 2;

/// `TrackEvent.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
    Counter = 4,
}

/// An arrow from one mark to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    None,
    From(u64),
    To(u64),
}

/// What happened on a track.
#[derive(Clone, Copy)]
pub struct Mark<'a> {
    pub of: Type,
    pub track: u64,
    /// The kind of the event, and what is shown; None for an end.
    pub name: Option<(&'a str, &'a dyn fmt::Display)>,
    pub flow: Flow,
}

/// Where marks are shown.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    pub uuid: u64,
    pub parent: Option<u64>,
    pub name: fmt::Arguments<'a>,
    /// Its siblings of the same name are shown as one with it.
    pub merged: bool,
    /// It is one of numbers, in nanoseconds.
    pub counter: bool,
}

/// Writes packets.
#[derive(Debug)]
pub struct Packets {
    message: Message,
    names: Names,
    /// Nothing was written yet that the next packet may refer to.
    fresh: bool,
}

impl Default for Packets {
    fn default() -> Self {
        Packets { message: Message::default(), names: Names::default(), fresh: true }
    }
}

impl Packets {
    /// What was written is in another file.
    pub fn restart(&mut self) {
        self.names.forget();
        self.fresh = true;
    }

    /// Writes what happened at that time (since boot), with annotations.
    pub fn mark<F>(&mut self, out: &mut dyn Write, at: u64, mark: &Mark<'_>, annotate: F) -> io::Result<()>
    where
        F: FnOnce(&mut Annotations<'_>) -> fmt::Result,
    {
        self.packet(out, at, |message, names| {
            let whole = message.open(field::TRACK_EVENT);
            message.uint(event::TYPE, mark.of as u64);
            message.uint(event::TRACK_UUID, mark.track);
            if let Some((category, name)) = mark.name {
                message.uint(event::CATEGORY_IIDS, names.number(Named::Category, category));
                message.uint(event::NAME_IID, names.number_of(Named::Event, name));
            }
            match mark.flow {
                Flow::None => {}
                Flow::From(id) => message.fixed(event::FLOW_IDS, id),
                Flow::To(id) => message.fixed(event::TERMINATING_FLOW_IDS, id),
            }
            annotate(&mut Annotations::new(message, names, event::DEBUG_ANNOTATIONS))?;
            message.close(whole);
            Ok(())
        })
    }

    /// Writes the value of a counter.
    pub fn count(&mut self, out: &mut dyn Write, at: u64, track: u64, value: u64) -> io::Result<()> {
        self.packet(out, at, |message, _| {
            let whole = message.open(field::TRACK_EVENT);
            message.uint(event::TYPE, Type::Counter as u64);
            message.uint(event::TRACK_UUID, track);
            message.uint(event::COUNTER_VALUE, value);
            message.close(whole);
            Ok(())
        })
    }

    /// Writes what a track is; of one that was described before, its name may be another one.
    pub fn describe(&mut self, out: &mut dyn Write, at: u64, of: &Track<'_>) -> io::Result<()> {
        self.packet(out, at, |message, _| {
            let whole = message.open(field::TRACK_DESCRIPTOR);
            message.uint(track::UUID, of.uuid);
            if let Some(parent) = of.parent {
                message.uint(track::PARENT_UUID, parent);
            }
            let name = message.open(track::NAME);
            fmt::write(message, of.name)?;
            message.close(name);
            message.uint(track::CHILD_ORDERING, track::CHRONOLOGICAL);
            let merge = if of.merged { track::MERGE_BY_NAME } else { track::MERGE_NONE };
            message.uint(track::SIBLING_MERGE_BEHAVIOR, merge);
            if of.counter {
                let counter = message.open(track::COUNTER);
                message.uint(UNIT.0, UNIT.1);
                message.close(counter);
            }
            message.close(whole);
            Ok(())
        })
    }

    /// Writes what the wall clock says at that time.
    pub fn clocks(&mut self, out: &mut dyn Write, boot_ns: u64, unix_ns: i64) -> io::Result<()> {
        self.packet(out, boot_ns, |message, _| {
            let whole = message.open(field::CLOCK_SNAPSHOT);
            for (id, now) in [(BOOTTIME, boot_ns), (REALTIME, u64::try_from(unix_ns).unwrap_or(0))] {
                let clock = message.open(1);
                message.uint(1, id);
                message.uint(2, now);
                message.close(clock);
            }
            // The one that times are of.
            message.uint(2, BOOTTIME);
            message.close(whole);
            Ok(())
        })
    }

    fn packet<F>(&mut self, out: &mut dyn Write, at: u64, fill: F) -> io::Result<()>
    where
        F: FnOnce(&mut Message, &mut Names) -> fmt::Result,
    {
        let Packets { message, names, fresh } = self;
        message.clear();
        let cleared = names.make_room() | std::mem::take(fresh);
        let packet = message.open(PACKET);
        message.uint(field::TIMESTAMP, at);
        message.uint(field::SEQUENCE_ID, SEQUENCE);
        message.uint(field::SEQUENCE_FLAGS, NEEDS_NAMES | if cleared { CLEARED } else { 0 });
        fill(message, names).map_err(io::Error::other)?;
        names.flush(message, field::INTERNED_DATA);
        message.close(packet);
        out.write_all(message.bytes())
    }
}
