//! Sample bytes to a fixed struct and its tail: no clock, no state, no panic, any input.

use anyhow::{Context, Result};
use plain::Plain;

use super::ancestors::Ancestors;
use super::event::Event;
use super::head::until_nul;
use super::kind::{ANCESTORS, PARENT_COMM};
use super::value::{List, Shape, Value};

/// Where the kind is in every sample: in `struct event_head` (checked where a skeleton is declared).
pub const KIND_AT: usize = 24;

/// The kind of a sample.
///
/// # Errors
/// When it is too short to have one.
pub fn kind(sample: &[u8]) -> Result<u32> {
    let bytes = sample.get(KIND_AT..).and_then(|rest| rest.first_chunk());
    Ok(u32::from_ne_bytes(*bytes.context("a sample is too short for an event")?))
}

/// A place in the tail of a sample: `struct slice` of event.bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Where it begins, in bytes behind the fixed struct.
    pub off: u16,
    /// How long it is.
    pub len: u16,
}

/// Where in a sample the processes above that of its event are.
#[derive(Debug, Clone, Copy)]
pub struct Above {
    /// In the whole sample; 0: none was asked for.
    pub at: u16,
    /// How many there are.
    pub count: u8,
    /// All of them are shown, not only the name of the parent.
    pub all: bool,
    /// There are more above.
    pub truncated: bool,
}

impl Above {
    /// Adds them to their event: `parent_comm`, where it has a parent, and `ancestors`.
    ///
    /// # Errors
    /// When they reach past the sample.
    pub fn add<'a>(self, event: &mut Event<'a>, sample: &'a [u8]) -> Result<()> {
        if self.at == 0 {
            return Ok(());
        }
        let len = u16::from(self.count) * Ancestors::SIZE as u16;
        let bytes = part(sample, Slice { off: self.at, len }).context("what is above its process")?;
        let ancestors = Ancestors { bytes, truncated: self.truncated };
        match ancestors.iter().next() {
            Some(parent) => event.push(PARENT_COMM, Value::Str(parent.comm)),
            None if event.head.ppid == 0 || !event.head.has_process() => {}
            // There was no room.
            None => event.push(PARENT_COMM, Value::Unreadable(Shape::Str)),
        }
        if self.all {
            event.push(ANCESTORS, Value::Ancestors(ancestors));
        }
        Ok(())
    }
}

/// The variable bytes behind an event's fixed struct.
#[derive(Debug, Clone, Copy)]
pub struct Tail<'a>(&'a [u8]);

/// Splits a sample into its fixed struct and the tail. Copies the struct, since a sample need not be
/// aligned.
///
/// # Errors
/// When the sample is shorter than the struct.
pub fn split<T: Plain + Default>(sample: &[u8]) -> Result<(T, Tail<'_>)> {
    let mut fixed = T::default();
    let size = size_of::<T>();
    plain::copy_from_bytes(&mut fixed, sample)
        .ok()
        .with_context(|| format!("a sample of {} bytes where {size} were expected", sample.len()))?;
    Ok((fixed, Tail(sample.get(size..).unwrap_or_default())))
}

/// Bytes of a sample: the slice is one of the whole of it.
///
/// # Errors
/// When it reaches past the sample.
pub fn part(sample: &[u8], slice: impl Into<Slice>) -> Result<&[u8]> {
    Tail(sample).bytes(slice)
}

/// The label at that place of a sample, without its padding.
///
/// # Errors
/// When the slice reaches past the sample.
pub fn label(sample: &[u8], slice: impl Into<Slice>) -> Result<&[u8]> {
    part(sample, slice).map(until_nul).context("its label")
}

impl<'a> Tail<'a> {
    /// The bytes of a slice.
    ///
    /// # Errors
    /// When the slice reaches past the tail.
    pub fn bytes(&self, slice: impl Into<Slice>) -> Result<&'a [u8]> {
        let slice = slice.into();
        let start = usize::from(slice.off);
        let end = start + usize::from(slice.len);
        self.0.get(start..end).with_context(|| format!("bytes {start} to {end} of a tail that has {}", self.0.len()))
    }

    /// A list of NUL-separated strings of which `total` bytes were there.
    ///
    /// # Errors
    /// When the slice reaches past the tail.
    pub fn list(&self, slice: impl Into<Slice>, total: u64) -> Result<List<'a>> {
        Ok(List { bytes: self.bytes(slice)?, total })
    }
}

/// Turns samples into events: a function of their bytes, and of what the tracer is, alone.
pub trait Decode {
    /// The event in a record as the kernel sent it; it borrows from that.
    ///
    /// # Errors
    /// When the bytes are no event of this tracer.
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>>;
    /// Takes the name that an address of the kernel has in a recording.
    fn learn(&self, _address: u64, _offset: u64, _name: &str) {}
}
