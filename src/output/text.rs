//! Text: aligned columns, then `name=value` details. For people; whatever is traced, a line stays one harmless line.

mod column;
mod env;
mod group;
mod stack;
mod totals;
mod value;

use std::borrow::Cow;
use std::io::{self, Write};

use self::column::{CALL, FUNC, cell, detail, is_call, is_empty, name, named, shape};
pub(super) use self::value::{At, value};
use super::line::{Line, Paint};
use super::look::Look;
use super::output::Output;
use super::tables::{Column, Table};
use super::times::Times;
use crate::event::total::Totals;
use crate::event::{Event, Lost, Names, Value};

/// How many columns a level is indented, and how many levels are.
const INDENT: usize = 2;
const DEEP: usize = 16;

/// Fields that only -w shows, where they have no column.
const WIDE: [&str; 1] = ["parent_comm"];

/// Writes events as text.
#[derive(Debug)]
pub struct Text {
    line: Line,
    /// An event and its stacks.
    lines: Vec<u8>,
    /// For losses, which are neither cut nor painted.
    loss: Line,
    times: Times,
    /// The columns that are aligned.
    cells: Vec<(Column, At)>,
    /// The one that takes the rest of the line.
    last: Option<Column>,
    /// Where that rest begins.
    rest: usize,
    /// How many levels deep it is to be indented.
    depth: usize,
    /// How it looks, and how wide the terminal is now.
    look: Look,
    /// Labels have a column.
    labelled: bool,
    /// The number of a thread that is not the first of its process is a detail: it has no column, as for most it is none.
    tids: bool,
    /// The fields and names that have one, or are not shown.
    shown: Vec<Cow<'static, str>>,
    /// The others are shown as `name=value`.
    details: bool,
    /// Stacks are shown, whatever is named.
    stacks: bool,
}

impl Text {
    #[must_use]
    pub fn new(look: Look, table: Table) -> Self {
        let width = look.columns();
        let times = Times::new(&look);
        let hidden: &[&str] = if look.wide { &[] } else { &WIDE };
        let mut text = Text {
            line: Line::new(width, look.colour),
            lines: Vec::new(),
            loss: Line::new(None, false),
            rest: times.end(),
            times,
            cells: Vec::new(),
            last: None,
            depth: 0,
            look,
            labelled: false,
            tids: table.columns.contains(&Column::Name) && !table.columns.contains(&Column::Tid),
            shown: table.columns.iter().flat_map(named).chain(hidden.iter().copied().map(Cow::Borrowed)).collect(),
            details: table.details,
            stacks: table.stacks,
        };
        for column in table.columns.into_owned() {
            let is_who = column == Column::Comm;
            text.add(column);
            if is_who && look.labels {
                text.add(Column::Label);
            }
            if is_who && look.containers {
                text.shown.extend(named(&Column::Container));
                text.add(Column::Container);
            }
        }
        text
    }

    /// Behind the columns, lines are indented by as many levels from here on, within limits.
    pub(super) fn indent(&mut self, depth: usize) {
        self.depth = depth.min(DEEP);
    }

    /// So many of something are not in what was shown.
    pub(super) fn missing(&mut self, out: &mut dyn Write, what: &str, count: u64) -> io::Result<()> {
        let line = &mut self.loss;
        line.clear();
        line.ascii("-- ");
        line.ascii(what);
        line.ascii(": ");
        line.number(count);
        line.write(out)
    }

    /// Adds a column behind those that are there; the last one takes the rest of the line.
    fn add(&mut self, column: Column) {
        self.labelled |= column == Column::Label;
        let (_, width, right) = shape(&column);
        if matches!(column, Column::Stack(_)) {
            return;
        }
        if width == 0 {
            self.last = Some(column);
            return;
        }
        let (start, end) = (self.rest, self.rest + width);
        self.rest = end + 1;
        self.cells.push((column, if right { At::End(end) } else { At::Start(start) }));
    }
}

impl Output for Text {
    fn resize(&mut self, width: Option<usize>) {
        // Where lines were never cut, they are not now.
        if self.look.columns().is_some() && width.is_some_and(|width| width > 0) {
            self.look.width = width;
            self.line.limit(self.look.columns());
        }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Text { line, times, .. } = self;
        line.clear();
        line.paint(Paint::Bold);
        line.ascii(times.title("TIME"));
        for (column, at) in &self.cells {
            at.ascii(line, shape(column).0);
        }
        let mut next = self.rest;
        for title in self.last.iter().map(|column| shape(column).0).chain(self.details.then_some("DETAILS")) {
            At::Start(next).ascii(line, title);
            next = 0;
        }
        line.paint(Paint::Off);
        line.write(out)
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        let Text { line, times, .. } = self;
        line.clear();
        line.paint(Paint::Dim);
        line.ascii(times.of(&event.head));
        line.paint(Paint::Off);
        for (column, at) in &self.cells {
            cell(line, *at, column, event);
        }
        let mut next = self.rest + INDENT * self.depth;
        if !event.label.is_empty() && !self.labelled {
            detail(line, next, "label", &Value::Str(event.label));
            next = 0;
        }
        if let Some(column) = &self.last
            && !is_empty(column, event)
        {
            cell(line, At::Start(next), column, event);
            next = 0;
        }
        if self.tids && event.head.has_process() && event.head.tid != event.head.pid {
            detail(line, next, "tid", &Value::Pid(event.head.tid));
            next = 0;
        }
        if self.details {
            let names = event.names.iter().filter(|_| self.look.wide).flat_map(Names::details);
            let names = names.map(|(called, known)| (called, name(known)));
            let fields = event.fields.iter().copied();
            let is_call = is_call(event);
            if is_call && !self.shown.iter().any(|it| it == FUNC) {
                cell(line, At::Start(next), &Column::Call, event);
                next = 0;
            }
            let shown = |called: &str| self.shown.iter().any(|it| it == called) || (is_call && CALL.contains(&called));
            let on_line = |value: &Value<'_>| !stack::is_stack(value);
            for (called, value) in fields.chain(names).filter(|(called, value)| !shown(called) && on_line(value)) {
                if line.is_full() {
                    break;
                }
                detail(line, next, called, &value);
                next = 0;
            }
        }
        let wanted = |name: &str| self.stacks || self.shown.iter().any(|it| it == name);
        if !event.fields.iter().any(|(name, value)| stack::is_stack(value) && wanted(name)) {
            return line.write(out);
        }
        self.lines.clear();
        line.write(&mut self.lines)?;
        stack::stacks(line, &mut self.lines, event, wanted)?;
        out.write_all(&self.lines)
    }

    fn totals(&mut self, out: &mut dyn Write, totals: &Totals, now: i64) -> io::Result<()> {
        self.times.know(totals.boot_ns, now);
        totals::totals(&mut self.line, out, totals, self.times.spell(now), self.look.columns())
    }

    /// A loss is never cut: it may go elsewhere than the events, and it must not be lost as well.
    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        let events = if lost.count == 1 { "event" } else { "events" };
        let line = &mut self.loss;
        line.clear();
        line.ascii("-- lost ");
        line.number(lost.count);
        for part in [" ", &lost.class, " ", events, " on cpu "] {
            line.ascii(part);
        }
        line.number(lost.cpu);
        line.ascii(": ");
        line.ascii(lost.cause);
        line.write(out)
    }
}
