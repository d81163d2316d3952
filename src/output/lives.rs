//! `--lives`: a line for each life of a process, when it ends, with all that was known of it.

mod form;
mod json;
pub(super) mod text;

use std::io::{self, Write};

use self::form::Form;
use self::json::LifeJson;
use self::text::LifeText;
use super::beside::{Beside, NOT_ENDED};
use super::format::Lines;
use super::look::Look;
use super::output::{Output, Summary};
use super::processes::{Bounds, Processes};
use super::tables::Table;
use crate::event::total::Totals;
use crate::event::{Event, Lost};

pub(super) use self::json::{LIFE, about};
pub(super) use self::text::chain;

/// Puts lives together.
pub(super) struct Lives {
    processes: Processes,
    form: Box<dyn Form>,
    beside: Beside,
}

impl Lives {
    pub(super) fn new(lines: Lines, look: Look, table: Table, bounds: Bounds) -> Self {
        let form: Box<dyn Form> = match lines {
            Lines::Text => Box::new(LifeText::new(look)),
            Lines::Json => Box::new(LifeJson::default()),
        };
        Lives { processes: Processes::new(bounds), form, beside: Beside::new(lines, look, table) }
    }
}

impl Output for Lives {
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.form.header(out)
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        let mut gone = self.processes.take(event).into_iter();
        gone.try_for_each(|process| self.form.life(out, &process))
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.beside.lost(out, lost)
    }

    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.beside.totals(out, totals, now)
    }

    fn end(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        let Processes { left_out, cut, .. } = self.processes;
        self.beside.missing(out, summary.last_ns, "processes not kept, being too many at once", left_out)?;
        self.beside.missing(out, summary.last_ns, "programs whose arguments are cut, being too many at once", cut)?;
        self.beside.missing(out, summary.last_ns, NOT_ENDED, self.processes.running() as u64)
    }

    fn command(&mut self, pid: u32) {
        self.processes.command(pid);
    }

    fn began(&mut self, boot_ns: u64) {
        self.processes.began(boot_ns);
    }

    fn resize(&mut self, width: Option<usize>) {
        self.form.resize(width);
    }
}
