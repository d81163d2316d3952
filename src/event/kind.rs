//! What there is to know of an event before it happens: its name and its fields.

use super::value::Shape;

/// What the schema and the user-space filters know of a kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its number on the wire and in the ledger; unique across tracers.
    pub id: u32,
    /// Its name: `kind` in JSON, EVENT in text, a word of `--events`.
    pub name: &'static str,
    /// What it tells, in one sentence.
    pub doc: &'static str,
    /// Its fields, in column order.
    pub fields: &'static [Field],
}

/// A field of a [`Kind`].
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name (see [`Shape`] for what JSON adds to it).
    pub name: &'static str,
    /// What its value means.
    pub shape: Shape,
    /// Whether every event of the kind has it.
    pub always: bool,
    /// What it tells, in one sentence.
    pub doc: &'static str,
}

impl Field {
    /// A field.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape, always: bool, doc: &'static str) -> Self {
        Field { name, shape, always, doc }
    }
}
