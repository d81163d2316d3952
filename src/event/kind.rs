//! What there is to know of an event before it happens: its name and its fields.

use std::borrow::Cow;

use anyhow::{Result, ensure};

use super::value::Shape;

/// The most fields that one event may have.
pub const MAX_FIELDS: usize = 16;

/// What the schema and the user-space filters know of a kind of event. Most are known when coretrace is built; others
/// are made from what a user asked for, and live as long as the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its number on the wire and in the ledger; unique across tracers.
    pub id: u32,
    /// `kind` in JSON, EVENT in text, a word of `--events`.
    pub name: Cow<'static, str>,
    /// What it says, in one sentence.
    pub doc: Cow<'static, str>,
    /// What it is in the life of a process.
    pub life: Option<Life>,
    /// Some of its events are of no process, or of none that is known.
    pub without_process: bool,
    fields: Cow<'static, [Field]>,
}

/// What an event is in the life of the process that it is of: views that put events together go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs another program from here on, which the fields describe.
    Program,
    /// It has created a process, whose id is in that field.
    Child(&'static str),
    /// It has ended: the fields say how, and what it used.
    End,
    /// It has created a thread, whose id is in that field.
    Thread(&'static str),
    /// One of its threads has ended, and it goes on.
    ThreadEnd,
}

impl Kind {
    /// A kind that is known when coretrace is built: what is wrong with it is an error then.
    ///
    /// # Panics
    /// Where there are more than [`MAX_FIELDS`] fields, or a name is no word.
    #[must_use]
    pub const fn new(id: u32, name: &'static str, doc: &'static str, fields: &'static [Field]) -> Self {
        assert!(fields.len() <= MAX_FIELDS, "more fields than an event has room for");
        assert!(is_word(name), "a kind's name is a word");
        Kind {
            id,
            name: Cow::Borrowed(name),
            doc: Cow::Borrowed(doc),
            life: None,
            without_process: false,
            fields: Cow::Borrowed(fields),
        }
    }

    /// The same kind, as a part of a process's life.
    #[must_use]
    pub const fn of_life(mut self, life: Life) -> Self {
        self.life = Some(life);
        self
    }

    /// The same kind, of which some events are of no process.
    #[must_use]
    pub const fn some_without_process(mut self) -> Self {
        self.without_process = true;
        self
    }

    /// A kind that is made at run time.
    ///
    /// # Errors
    /// Where there are more than [`MAX_FIELDS`] fields, or a name is no word: formats write names as they are.
    pub fn owned(id: u32, name: String, doc: String, fields: Vec<Field>) -> Result<Self> {
        ensure!(fields.len() <= MAX_FIELDS, "{} fields, of at most {MAX_FIELDS}", fields.len());
        for name in fields.iter().map(|field| &*field.name).chain([&*name]) {
            ensure!(is_word(name), "{name:?} is no name: letters, digits and _, a letter first");
        }
        Ok(Kind { id, name: name.into(), doc: doc.into(), life: None, without_process: false, fields: fields.into() })
    }

    /// Its fields, in column order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

pub(super) const PARENT_COMM: &str = "parent_comm";
pub(super) const ANCESTORS: &str = "ancestors";

/// A field of a [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// A word (see [`Shape`] for what JSON adds to it).
    pub name: Cow<'static, str>,
    /// What its value means.
    pub shape: Shape,
    /// Whether every event of the kind has it.
    pub always: bool,
    /// What it says, in one sentence.
    pub doc: Cow<'static, str>,
}

impl Field {
    /// What events have of the process above theirs, where it was asked for: see [`super::decode::Above`].
    pub const PARENT_COMM: Field = Field::new(
        PARENT_COMM,
        Shape::Str,
        false,
        "name of the parent process (-w, JSON, recordings); missing where it has none",
    );
    /// Likewise of all above it.
    pub const ANCESTORS: Field =
        Field::new(ANCESTORS, Shape::Ancestors, false, "the processes above it, its parent first (--ancestors)");

    /// A field that is known when coretrace is built.
    ///
    /// # Panics
    /// Where the name is no word.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape, always: bool, doc: &'static str) -> Self {
        assert!(is_word(name), "a field's name is a word");
        Field { name: Cow::Borrowed(name), shape, always, doc: Cow::Borrowed(doc) }
    }
}

/// Letters, digits and `_`, a letter first.
const fn is_word(name: &str) -> bool {
    let (name, mut at) = (name.as_bytes(), 0);
    while at < name.len() {
        let first = name[at].is_ascii_alphabetic();
        if !(first || at > 0 && (name[at].is_ascii_digit() || name[at] == b'_')) {
            return false;
        }
        at += 1;
    }
    at > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Field {
        Field { name: name.to_owned().into(), shape: Shape::Uint, always: true, doc: "a sample".into() }
    }

    fn owned(fields: Vec<Field>) -> Result<Kind> {
        Kind::owned(1, "call".to_owned(), "a function was called".to_owned(), fields)
    }

    #[test]
    fn a_kind_has_no_more_fields_than_an_event_has_room_for() {
        assert_eq!(owned(vec![field("a"); MAX_FIELDS]).unwrap().fields().len(), MAX_FIELDS);
        let error = owned(vec![field("a"); MAX_FIELDS + 1]).unwrap_err().to_string();
        assert_eq!(error, "17 fields, of at most 16");
    }

    #[test]
    fn a_name_that_a_format_would_have_to_escape_is_refused() {
        for bad in ["", "1a", "a b", "a=b", "\u{1b}[31m", "a\"", "\u{e4}", "_a"] {
            assert!(owned(vec![field(bad)]).is_err(), "{bad:?}");
            assert!(Kind::owned(1, bad.to_owned(), String::new(), Vec::new()).is_err(), "{bad:?}");
        }
        assert!(owned(vec![field("old_tid"), field("a1")]).is_ok());
    }
}
