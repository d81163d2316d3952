//! `--summary`: what a stream comes to: programs and what they used, files and failures, calls and how long they took.

mod amounts;
mod by;
mod json;
mod key;
mod spread;
mod text;

use std::io::{self, Write};

use self::amounts::Amounts;
use self::json::SummaryJson;
use self::text::SummaryText;
use super::beside::{Beside, NOT_ENDED};
use super::format::Lines;
use super::look::Look;
use super::output::{Output, Summary as Given};
use super::processes::{Bounds, Processes};
use super::tables::Table;
use crate::event::total::Totals;
use crate::event::{Event, Lost};

pub(super) use self::amounts::Of;
pub use self::by::By;
pub(super) use self::json::SUMMARY;

/// Arguments are a key at most: what is cut is marked, and counted.
pub(super) const BOUNDS: Bounds = Bounds { processes: 1 << 16, bytes: 64 << 20, list: 4096 };
/// How many rows of each table there are at most.
pub(super) const ROWS: usize = 1 << 14;
/// What became of arguments that differ behind what is kept of them.
const ALIKE: &str = "processes whose arguments are cut: a row has all that begin alike and are as long";

enum Form {
    Text(SummaryText),
    Json(SummaryJson),
}

/// Adds up.
pub(super) struct Summary {
    processes: Processes,
    amounts: Amounts,
    form: Form,
    beside: Beside,
    /// There was an event.
    any: bool,
}

impl Summary {
    pub(super) fn new(by: By, lines: Lines, look: Look, table: Table, bounds: Bounds, rows: usize) -> Self {
        let form = match lines {
            Lines::Text => Form::Text(SummaryText::new(look)),
            Lines::Json => Form::Json(SummaryJson::default()),
        };
        let (processes, beside) = (Processes::new(bounds), Beside::new(lines, look, table));
        Summary { processes, amounts: Amounts::new(by, rows), form, beside, any: false }
    }
}

impl Output for Summary {
    fn event(&mut self, _: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        self.any = true;
        self.amounts.add(event);
        // What else processes do is no part of their rows.
        if let Form::Text(text) = &mut self.form {
            text.follow(&event.head);
        }
        if event.kind.life.is_some() {
            self.processes.take(event).into_iter().for_each(|process| self.amounts.ended(&process));
        }
        Ok(())
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.beside.lost(out, lost)
    }

    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.beside.totals(out, totals, now)
    }

    fn stats(&mut self, out: &mut dyn Write, now: i64) -> io::Result<()> {
        match &mut self.form {
            Form::Text(text) if self.amounts.is_empty() => text.nothing(out, self.any)?,
            Form::Text(text) => text.summary(out, &self.amounts, now)?,
            Form::Json(json) => json.summary(out, &self.amounts, now)?,
        }
        let (beside, Processes { left_out, cut, .. }) = (&mut self.beside, &self.processes);
        beside.missing(out, now, "processes not kept, being too many at once", *left_out)?;
        beside.missing(out, now, "programs whose arguments are cut, being too many at once", *cut)?;
        beside.missing(out, now, ALIKE, self.amounts.cut)?;
        beside.missing(out, now, "what would have been rows of their own, being too many", self.amounts.left_out())?;
        beside.missing_events(out, now, "events lost: they are in no row")?;
        beside.missing(out, now, NOT_ENDED, self.processes.running() as u64)
    }

    fn end(&mut self, out: &mut dyn Write, given: &Given) -> io::Result<()> {
        self.stats(out, given.last_ns)
    }

    fn began(&mut self, boot_ns: u64) {
        self.processes.began(boot_ns);
    }

    fn resize(&mut self, width: Option<usize>) {
        if let Form::Text(text) = &mut self.form {
            text.resize(width);
        }
    }
}
