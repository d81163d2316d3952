//! What a view shows beside what it is about, as a stream of events would: losses, totals; and what it leaves out.

use std::io::{self, Write};

use super::format::Lines;
use super::json::Json;
use super::look::Look;
use super::output::Output;
use super::tables::Table;
use super::text::Text;
use crate::event::Lost;
use crate::event::total::Totals;

/// What is left when a run is over. That an end was filtered or lost does not show.
pub(super) const NOT_ENDED: &str = "processes that have not ended (or whose end was not seen)";

enum Form {
    Text(Box<Text>),
    Json(Json),
}

pub(super) struct Beside {
    form: Form,
    /// How many events were lost.
    lost: u64,
}

impl Beside {
    pub(super) fn new(lines: Lines, look: Look, table: Table) -> Self {
        let form = match lines {
            Lines::Text => Form::Text(Box::new(Text::new(look, table))),
            Lines::Json => Form::Json(Json::default()),
        };
        Beside { form, lost: 0 }
    }

    fn output(&mut self) -> &mut dyn Output {
        match &mut self.form {
            Form::Text(text) => text.as_mut(),
            Form::Json(json) => json,
        }
    }

    pub(super) fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.lost = self.lost.saturating_add(lost.count);
        self.output().lost(out, lost)
    }

    pub(super) fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.output().totals(out, totals, now)
    }

    /// So many of something are not in what was shown. None: nothing is said.
    pub(super) fn missing(&mut self, out: &mut dyn Write, now: i64, what: &str, count: u64) -> io::Result<()> {
        match &mut self.form {
            _ if count == 0 => Ok(()),
            Form::Text(text) => text.missing(out, what, count),
            Form::Json(json) => json.missing(out, now, what, count),
        }
    }

    /// The same of the events that were lost.
    pub(super) fn missing_events(&mut self, out: &mut dyn Write, now: i64, what: &str) -> io::Result<()> {
        self.missing(out, now, what, self.lost)
    }
}
