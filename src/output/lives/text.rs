//! Lives as text: when, how long, how much, how it ended, who.

use std::io::{self, Write};

use super::form::Form;
use crate::event::Value;
use crate::output::line::{Line, Paint};
use crate::output::look::{Look, Time};
use crate::output::processes::{Begun, Process};
use crate::output::spelling::SignalName;
use crate::output::tables::{Room, Show};
use crate::output::text::{At, value};
use crate::output::times::Times;

/// A column before the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Duration,
    Cpu,
    Rss,
    Code,
    Pid,
    Ppid,
    Comm,
    Container,
}

impl Column {
    /// Its title, and how wide it is.
    fn shape(self) -> (&'static str, usize) {
        match self {
            Column::Duration => ("DURATION", 8),
            Column::Cpu => ("CPU", 6),
            Column::Rss => ("RSS", 9),
            Column::Code => ("CODE", 8),
            Column::Pid => ("PID", 7),
            Column::Ppid => ("PPID", 7),
            Column::Comm => ("COMM", 15),
            Column::Container => ("CONTAINER", 15),
        }
    }
}

pub(super) struct LifeText {
    line: Line,
    times: Times,
    columns: Vec<(Column, At)>,
    /// Where the arguments begin.
    rest: usize,
    look: Look,
    /// When the last process ended that did, since 1970.
    newest_ns: i64,
}

impl LifeText {
    pub(super) fn new(look: Look) -> Self {
        use Column::{Code, Comm, Container, Cpu, Duration, Pid, Ppid, Rss};
        let times = Times::new(&look);
        let mut rest = times.end();
        let columns: &[Column] = match look.room() {
            Room::Narrow => &[Duration, Cpu, Rss, Code, Pid],
            Room::Roomy | Room::Wide => &[Duration, Cpu, Rss, Code, Pid, Ppid, Comm],
        };
        let container = (look.wide || look.containers).then_some(&Container);
        let columns = columns.iter().chain(container).map(|column| {
            let (start, width) = (rest, column.shape().1);
            rest += width + 1;
            (*column, if matches!(column, Comm | Container) { At::Start(start) } else { At::End(start + width) })
        });
        let columns = columns.collect();
        LifeText { line: Line::new(look.columns(), look.colour), times, columns, rest, look, newest_ns: i64::MIN }
    }
}

impl Form for LifeText {
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.paint(Paint::Bold);
        line.ascii(self.times.title(if self.look.time == Time::Delta { "END" } else { "START" }));
        self.columns.iter().for_each(|(column, at)| at.ascii(line, column.shape().0));
        At::Start(self.rest).ascii(line, "ARGS");
        line.paint(Paint::Off);
        line.write(out)
    }

    fn life(&mut self, out: &mut dyn Write, process: &Process) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.paint(Paint::Dim);
        self.times.follow(&process.last);
        // Lines are in the order of ends: from one to the next, there is no time between beginnings.
        self.newest_ns = self.newest_ns.max(process.last.unix_ns);
        let time = if self.look.time == Time::Delta { self.newest_ns } else { process.start_unix_ns() };
        line.ascii(self.times.spell(time));
        line.paint(Paint::Off);
        self.columns.iter().for_each(|(column, at)| cell(line, *at, *column, process));
        line.pad_to(self.rest);
        args(line, process, !self.columns.iter().any(|(column, _)| *column == Column::Comm));
        line.write(out)
    }

    fn resize(&mut self, width: Option<usize>) {
        if self.look.columns().is_some() && width.is_some_and(|width| width > 0) {
            self.look.width = width;
            self.line.limit(self.look.columns());
        }
    }
}

fn cell(line: &mut Line, at: At, column: Column, process: &Process) {
    let known = match column {
        Column::Duration => process.ended("lifetime"),
        Column::Cpu => process.ended("cpu"),
        Column::Rss => process.ended("max_rss"),
        Column::Code => process.code(),
        Column::Container => Some(process.container().map_or(Value::Name("-"), Value::Str)),
        Column::Pid => Some(Value::Pid(process.pid)),
        Column::Ppid => Some(Value::Pid(process.last.ppid)),
        Column::Comm => {
            at.begin(line);
            line.paint(Paint::Bold);
            line.escaped(process.last.comm());
            line.paint(Paint::Off);
            return;
        }
    };
    match known {
        Some(Value::Signal(signal)) => at.alarm(line, &SignalName(signal).short(column.shape().1)),
        Some(known) => value(line, at, &known, Show::Whole),
        None => at.ascii(line, "?"),
    }
}

/// What it ran before: `sh → env → `.
pub(in crate::output) fn chain(line: &mut Line, process: &Process) {
    if process.program.is_none() || process.programs < 2 {
        return;
    }
    line.paint(Paint::Dim);
    for name in process.before() {
        match name {
            Some(name) => line.escaped_word(name),
            None => line.ellipsis(),
        }
        line.drawn(" → ");
    }
    line.paint(Paint::Off);
}

/// What it ran, or why that is not known. `named`: its name, too, where it has no arguments that say it.
pub(in crate::output) fn args(line: &mut Line, process: &Process, named: bool) {
    let own = process.program.is_some();
    let shown = process.ran().and_then(|program| program.get("argv"));
    if named && shown.is_none() {
        line.escaped(process.last.comm());
        line.ascii(" ");
    }
    if !own {
        line.paint(Paint::Dim);
        line.ascii("(");
        match process.begun {
            Begun::Forked => {
                line.ascii("fork of ");
                line.number(process.ppid);
            }
            Begun::Command => line.ascii("the command"),
            Begun::Before => line.ascii("before the run"),
            Begun::Unseen => line.ascii("its start was not seen"),
        }
        line.ascii(if shown.is_some() { ") " } else { ")" });
        line.paint(Paint::Off);
    }
    chain(line, process);
    if let Some(shown) = shown {
        value(line, At::Here, &shown, Show::Whole);
    }
    if process.end.is_none() {
        line.ascii(" (its end was not seen)");
    }
}
