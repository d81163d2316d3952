//! `--tree`: the processes as a tree. Live, each event is indented as deep as its process is; at the end, the whole tree.

mod forest;
mod json;
mod text;
mod walk;

use std::io::{self, Write};

use self::forest::Forest;
use self::json::TreeJson;
use self::text::TreeText;
use super::beside::{Beside, NOT_ENDED};
use super::format::Lines;
use super::look::Look;
use super::output::{Output, Summary};
use super::processes::{Bounds, Processes};
use super::tables::Table;
use super::text::Text;
use crate::event::total::Totals;
use crate::event::{Event, Lost};

pub(super) use self::json::NODE;

/// When a tree is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TreeMode {
    /// While it grows (text), and at the end
    Live,
    /// At the end alone
    End,
}

/// The bounds of a tree: of those that ended, too.
pub(super) const BOUNDS: Bounds = Bounds { processes: 1 << 16, bytes: 64 << 20, list: 4096 };

enum Form {
    Text(TreeText),
    Json(TreeJson),
}

pub(super) struct Tree {
    processes: Processes,
    forest: Forest,
    /// What is shown meanwhile.
    live: Option<Box<Text>>,
    form: Form,
    beside: Beside,
}

impl Tree {
    pub(super) fn new(mode: TreeMode, lines: Lines, look: Look, table: Table, bounds: Bounds) -> Self {
        let (live, form) = match lines {
            Lines::Text => (mode == TreeMode::Live, Form::Text(TreeText::new(look))),
            Lines::Json => (false, Form::Json(TreeJson::default())),
        };
        Tree {
            processes: Processes::new(bounds),
            forest: Forest::new(bounds.processes),
            live: live.then(|| Box::new(Text::new(look, Table::tree(look.room())))),
            form,
            beside: Beside::new(lines, look, table),
        }
    }
}

impl Output for Tree {
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.live.as_mut().map_or(Ok(()), |text| text.header(out))
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        let gone = self.processes.take(event);
        if let Some(text) = &mut self.live {
            let of = self.processes.get(event.head.pid).or(gone.ended.as_ref());
            text.indent(of.map_or(0, |process| process.depth));
            text.event(out, event)?;
        }
        gone.into_iter().for_each(|process| self.forest.add(process));
        Ok(())
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.beside.lost(out, lost)
    }

    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.beside.totals(out, totals, now)
    }

    fn end(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        let running = self.processes.drain(summary.over_ns);
        let unfinished = running.len() as u64;
        running.into_iter().for_each(|process| self.forest.add(process));
        self.forest.link();
        match &mut self.form {
            Form::Text(text) => text.tree(out, &self.forest)?,
            Form::Json(json) => json.tree(out, &self.forest)?,
        }
        let (now, Processes { left_out, cut, .. }) = (summary.last_ns, &self.processes);
        let beside = &mut self.beside;
        beside.missing(out, now, "processes not kept, being too many at once", *left_out)?;
        beside.missing(out, now, "processes not shown, being too many", self.forest.left_out)?;
        beside.missing(out, now, "programs whose arguments are cut, being too many", *cut)?;
        beside.missing_events(out, now, "events lost: the tree may have holes")?;
        let what = match summary.over_ns {
            Some(_) => NOT_ENDED,
            None => {
                "processes that have not ended (or whose end was not seen), shown up to the last event: when the run was over is not known"
            }
        };
        beside.missing(out, now, what, unfinished)
    }

    fn command(&mut self, pid: u32) {
        self.processes.command(pid);
    }

    fn began(&mut self, boot_ns: u64) {
        self.processes.began(boot_ns);
    }

    fn resize(&mut self, width: Option<usize>) {
        if let Some(text) = &mut self.live {
            text.resize(width);
        }
        if let Form::Text(text) = &mut self.form {
            text.resize(width);
        }
    }
}
