//! What text depends on besides the events: the terminal, and what was asked for.

use super::tables::Room;

/// How TIME is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Time {
    /// Wall-clock time, in the local zone
    #[default]
    Local,
    /// Wall-clock time, in UTC
    Utc,
    /// Seconds since boot, suspend included
    Mono,
    /// Seconds since the line before
    Delta,
    /// Not at all
    None,
}

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Columns of the terminal; `None` (or 0) where that is unknown or there is none: lines are then never cut.
    pub width: Option<usize>,
    pub colour: bool,
    /// All columns, microseconds, and lines of any length.
    pub wide: bool,
    /// How TIME is spelled.
    pub time: Time,
    /// There are labels: they have a column.
    pub labels: bool,
    /// Containers have a column.
    pub containers: bool,
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
    pub(super) fn columns(&self) -> Option<usize> {
        self.width.filter(|width| *width > 0 && !self.wide)
    }
}
