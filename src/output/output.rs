//! What every output does, from the header to the end of a run.

use std::io::{self, Write};

use crate::event::total::Totals;
use crate::event::{Event, Lost};

/// Turns a stream of events into bytes, or puts together what a whole run comes to. Each call writes whole lines, or
/// nothing; an error is one of `out`.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Output {
    /// Called once, when attached, and again where a new file is begun.
    fn header(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()>;

    /// Events were lost. Whether that belongs among the events or on stderr is the caller's choice.
    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()>;

    /// What was added up in the kernel, as it is at that time: nanoseconds since 1970 (UTC).
    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()>;

    /// Called every so often where that is asked for (--stats), with the time as above.
    fn stats(&mut self, _out: &mut dyn Write, _now: i64) -> io::Result<()> {
        Ok(())
    }

    /// Called about once a second, with the time: nanoseconds since 1970 (UTC). A replay's time is that of its events.
    fn tick(&mut self, _out: &mut dyn Write, _now: i64) -> io::Result<()> {
        Ok(())
    }

    /// Called once, when the run or the recording is over and all its events were given.
    fn end(&mut self, _out: &mut dyn Write, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }

    /// The run began at that time since boot. Called before all events, where it is known.
    fn began(&mut self, _boot_ns: u64) {}

    /// CMD is this process, whose events come now.
    fn command(&mut self, _pid: u32) {}

    /// The terminal has this many columns now: it may have been resized. (Which values have a column stays.)
    fn resize(&mut self, _width: Option<usize>) {}
}

/// What was given to an output in all: the same for a run and for its recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub events: u64,
    /// When the first and the last of them happened, nanoseconds since 1970 (UTC); 0 where there were none.
    pub first_ns: i64,
    pub last_ns: i64,
    /// How many were reported as lost.
    pub lost: u64,
    /// When the run was over, since boot; None: a recording does not say. Events may have come after that.
    pub over_ns: Option<u64>,
}

impl Summary {
    /// Adds an event that happened then. They come in the order of a CPU, not of the host.
    pub fn add(&mut self, unix_ns: i64) {
        let none = self.events == 0;
        self.events += 1;
        self.first_ns = if none { unix_ns } else { self.first_ns.min(unix_ns) };
        self.last_ns = if none { unix_ns } else { self.last_ns.max(unix_ns) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_knows_when_it_began_and_ended_in_whatever_order_events_come() {
        let mut summary = Summary::default();
        [5, 3, 9, 7].into_iter().for_each(|time| summary.add(time));
        assert_eq!(summary, Summary { events: 4, first_ns: 3, last_ns: 9, ..Summary::default() });
    }
}
