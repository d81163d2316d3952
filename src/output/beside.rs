//! What a view shows beside what it is about, as a stream of events would: losses, totals; and what it leaves out.

use std::io::{self, Write};

use super::format::Format;
use super::json::Json;
use super::look::Look;
use super::output::Output;
use super::tables::Table;
use super::text::Text;
use crate::event::Lost;
use crate::event::total::Totals;

pub(super) enum Beside {
    Text(Box<Text>),
    Json(Json),
}

impl Beside {
    pub(super) fn new(format: Format, look: Look, table: Table) -> Self {
        match format {
            Format::Text => Beside::Text(Box::new(Text::new(look, table))),
            Format::Json => Beside::Json(Json::default()),
        }
    }

    fn output(&mut self) -> &mut dyn Output {
        match self {
            Beside::Text(text) => text.as_mut(),
            Beside::Json(json) => json,
        }
    }

    pub(super) fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.output().lost(out, lost)
    }

    pub(super) fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.output().totals(out, totals, now)
    }

    /// So many of something are not in what was shown. None: nothing is said.
    pub(super) fn missing(&mut self, out: &mut dyn Write, now: i64, what: &str, count: u64) -> io::Result<()> {
        match self {
            _ if count == 0 => Ok(()),
            Beside::Text(text) => text.missing(out, what, count),
            Beside::Json(json) => json.missing(out, now, what, count),
        }
    }
}
