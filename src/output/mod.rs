//! Formats: each turns an [`Event`] into bytes, knowing values and what they mean, never a tracer.
//!
//! A format builds its line in a buffer that it keeps and hands it over in one write: nothing is allocated per event.

pub mod clock;
pub mod json;
mod line;
pub mod schema;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod text;
mod units;

use std::fmt;
use std::io::{self, Write};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use self::tables::{Room, Table};
use crate::event::{Event, Lost};

/// Turns events into bytes. Each call writes whole lines.
pub trait Format {
    /// Called once, when attached.
    ///
    /// # Errors
    /// Those of `out`.
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()>;

    /// Writes an event.
    ///
    /// # Errors
    /// Those of `out`.
    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()>;

    /// Writes that events were lost. Whether that belongs among the events or on stderr is the caller's choice.
    ///
    /// # Errors
    /// Those of `out`.
    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()>;

    /// The terminal has this many columns now: it may have been resized. (Which values have a column stays.)
    fn resize(&mut self, _width: Option<usize>) {}
}

/// The formats one can choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Choice {
    /// Aligned columns, for people
    #[default]
    Text,
    /// One JSON object a line, for programs
    Json,
}

impl Choice {
    /// Makes the format. JSON looks the same everywhere.
    #[must_use]
    pub fn build(self, look: Look, table: Table) -> Box<dyn Format> {
        match self {
            Choice::Text => Box::new(text::Text::new(look, table)),
            Choice::Json => Box::new(json::Json::default()),
        }
    }
}

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Columns of the terminal; `None` (or 0) where that is unknown or there is none: lines are then never cut.
    pub width: Option<usize>,
    /// Whether to use colours.
    pub colour: bool,
    /// All columns, microseconds, and lines of any length.
    pub wide: bool,
    /// TIME in UTC, not in the local zone.
    pub utc: bool,
    /// There are labels: they have a column.
    pub labels: bool,
}

/// Below this many columns, a terminal is narrow.
const ROOMY: usize = 110;

impl Look {
    /// How much room a line has.
    #[must_use]
    pub fn room(&self) -> Room {
        match self.columns() {
            _ if self.wide => Room::Wide,
            Some(..ROOMY) => Room::Narrow,
            _ => Room::Roomy,
        }
    }

    /// Where lines are cut.
    fn columns(&self) -> Option<usize> {
        self.width.filter(|width| *width > 0 && !self.wide)
    }
}

/// A signal's name, as C spells it; `SIG99` for a number that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub u32);

/// SIGRTMIN as programs know it: glibc keeps the kernel's first two (32 and 33) for itself.
const RT_MIN: u32 = 34;
/// The kernel's last signal.
const RT_MAX: u32 = 64;

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RT_MIN => f.write_str("SIGRTMIN"),
            n @ RT_MIN..=RT_MAX => write!(f, "SIGRTMIN+{}", n - RT_MIN),
            n => match i32::try_from(n).ok().and_then(|n| Signal::try_from(n).ok()) {
                Some(signal) => f.write_str(signal.as_str()),
                None => write!(f, "SIG{n}"),
            },
        }
    }
}

/// The error that a system call returned, by its name; by its number where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrnoName(pub i64);

impl fmt::Display for ErrnoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.checked_neg().and_then(|n| i32::try_from(n).ok());
        match number.map(Errno::from_raw) {
            Some(errno) if errno != Errno::UnknownErrno => fmt::Debug::fmt(&errno, f),
            _ => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// Permission bits in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octal(pub u32);

impl fmt::Display for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:03o}", self.0)
    }
}
