//! One event.

use arrayvec::ArrayVec;

use super::head::Head;
use super::kind::Kind;
use super::value::Value;

/// The most fields that one event may have.
pub const MAX_FIELDS: usize = 16;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: &'static Kind,
    /// Who did it, where and when.
    pub head: Head,
    /// What the map of labels (--labels) says of who did it; empty where it says nothing.
    pub label: &'a [u8],
    /// The rest, in column order.
    pub fields: ArrayVec<(&'static str, Value<'a>), MAX_FIELDS>,
}

impl<'a> Event<'a> {
    /// An event without fields.
    #[must_use]
    pub fn new(kind: &'static Kind, head: Head) -> Self {
        Event { kind, head, label: &[], fields: ArrayVec::new() }
    }

    /// Adds a field.
    ///
    /// # Panics
    /// Never from data: a tracer that has more than [`MAX_FIELDS`] of them fails its own tests.
    pub fn push(&mut self, name: &'static str, value: Value<'a>) {
        self.fields.push((name, value));
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}
