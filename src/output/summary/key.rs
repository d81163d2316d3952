//! What the events of a row have in common, as it is told apart and shown: like the same values are shown of events.

use std::io;

use serde::ser::SerializeMap;

use crate::event::{List, Path, Value};
use crate::output::json::{bytes, field};
use crate::output::line::Line;
use crate::output::tables::Show;
use crate::output::text::{At, value};

/// What its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A name, a number, an error.
    Name,
    /// A name whose end is missing.
    CutName,
    /// Arguments, each with a NUL behind it, and how long all are.
    Args {
        total: u64,
    },
    Path {
        deleted: bool,
        truncated: bool,
        end_truncated: bool,
        outside: bool,
        as_it_is: bool,
    },
}

/// Of which kind of events, and what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub event: Box<str>,
    pub bytes: Box<[u8]>,
    pub kind: Kind,
}

impl Kind {
    /// That of a path's text.
    pub fn of(path: &Path<'_>) -> Self {
        let Path { deleted, truncated, end_truncated, outside, as_it_is, .. } = *path;
        Kind::Path { deleted, truncated, end_truncated, outside, as_it_is }
    }

    /// That of the directory which it is in.
    pub fn directory(self) -> Self {
        match self {
            Kind::Path { truncated, end_truncated, outside, as_it_is, .. } => {
                Kind::Path { deleted: false, truncated, end_truncated, outside, as_it_is }
            }
            other => other,
        }
    }
}

impl Key {
    fn value(&self) -> Value<'_> {
        let called = &*self.bytes;
        match self.kind {
            Kind::Name => Value::Str(called),
            Kind::CutName => Value::Cut(called),
            Kind::Args { total } => Value::List(List { bytes: called, total }),
            Kind::Path { deleted, truncated, end_truncated, outside, as_it_is } => {
                Value::Path(Path { names: &[], called, deleted, truncated, end_truncated, outside, as_it_is })
            }
        }
    }

    /// Adds it to a line of text.
    pub fn show(&self, line: &mut Line) {
        match self.kind {
            // The last of its line: blanks in it do no harm.
            Kind::Name => line.escaped(&self.bytes),
            _ => value(line, At::Here, &self.value(), Show::Whole),
        }
    }

    /// Adds it to an object: arguments are one string, as text has them.
    pub fn members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self.kind {
            Kind::Args { total } => {
                map.serialize_entry("key", &self.command().unwrap_or_default())?;
                map.serialize_entry("key_bytes", &Some(total).filter(|total| *total != List::UNKNOWN))?;
                let cut = (self.bytes.len() as u64) < total;
                if cut { map.serialize_entry("key_truncated", &true) } else { Ok(()) }
            }
            Kind::Name => bytes(map, "key", &self.bytes),
            Kind::CutName | Kind::Path { .. } => field(map, "key", &self.value(), &mut Vec::new()),
        }
    }

    /// The arguments that are there, as bash reads them.
    fn command(&self) -> io::Result<String> {
        let (mut line, mut text) = (Line::new(None, false), Vec::new());
        let there = List { bytes: &self.bytes, total: self.bytes.len() as u64 };
        value(&mut line, At::Here, &Value::List(there), Show::Whole);
        line.write(&mut text)?;
        Ok(String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(&text)).into_owned())
    }
}
