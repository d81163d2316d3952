//! The whole tree as text.

use std::collections::HashSet;
use std::io::{self, Write};

use super::forest::Forest;
use super::walk::{Item, walk};
use crate::event::Value;
use crate::output::line::{Line, Paint};
use crate::output::lives::chain;
use crate::output::look::Look;
use crate::output::processes::{Begun, Process};
use crate::output::spelling::SignalName;
use crate::output::tables::{Room, Show};
use crate::output::text::{At, value};
use crate::output::units::{Short, short, span};

/// Where columns end: marks, how long, CPU time, memory, how it ended, and, where there is room, which.
const DURATION: usize = 11;
const CPU: usize = 19;
const RSS: usize = 29;
const CODE: usize = 38;
const PID: usize = 46;
/// How many levels are drawn as such.
const DEEP: usize = 16;
/// How much of the longest chain is shown.
const LINKS: usize = 24;

pub(super) struct TreeText {
    line: Line,
    look: Look,
    /// There is a column for process ids.
    pids: bool,
}

impl TreeText {
    pub(super) fn new(look: Look) -> Self {
        let pids = look.room() != Room::Narrow;
        TreeText { line: Line::new(look.columns(), look.colour), look, pids }
    }

    pub(super) fn resize(&mut self, width: Option<usize>) {
        if self.look.columns().is_some() && width.is_some_and(|width| width > 0) {
            self.look.width = width;
            self.line.limit(self.look.columns());
        }
    }

    pub(super) fn tree(&mut self, out: &mut dyn Write, forest: &Forest) -> io::Result<()> {
        let chain = forest.longest_chain();
        let waited: HashSet<u64> = chain.iter().copied().collect();
        self.header(out)?;
        // With -w, all lines there are.
        let apart = (!self.look.wide).then_some(&waited);
        walk(forest, apart, |place, item| self.row(out, place, item, &waited))?;
        self.chain(out, chain.iter().filter_map(|id| forest.get(*id)))
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.paint(Paint::Bold);
        for (end, title) in [(DURATION, "DURATION"), (CPU, "CPU"), (RSS, "RSS"), (CODE, "CODE")] {
            At::End(end).ascii(line, title);
        }
        if self.pids {
            At::End(PID).ascii(line, "PID");
        }
        line.ascii(" PROCESS");
        line.paint(Paint::Off);
        line.write(out)
    }

    fn row(&mut self, out: &mut dyn Write, place: &[bool], item: &Item<'_>, waited: &HashSet<u64>) -> io::Result<()> {
        let TreeText { line, pids, .. } = self;
        line.clear();
        let all: &[&Process] = match item {
            Item::One(process) => &[process],
            Item::Folded(all) => all,
            Item::Hole(..) | Item::More(_) => &[],
        };
        let is_waited = all.iter().any(|process| waited.contains(&process.id));
        line.ascii(if is_waited { "*" } else { " " });
        line.ascii(if all.first().is_some_and(|process| process.failed()) { "!" } else { " " });
        numbers(line, all);
        if *pids {
            match item {
                Item::One(process) => value(line, At::End(PID), &Value::Pid(process.pid), Show::Whole),
                Item::Hole(pid, _) => value(line, At::End(PID), &Value::Pid(*pid), Show::Whole),
                Item::Folded(_) | Item::More(_) => At::End(PID).ascii(line, "-"),
            }
        }
        line.ascii(" ");
        branches(line, place);
        what(line, item, is_waited);
        line.write(out)
    }

    /// The chain by itself, as the mark alone does not say what it means.
    fn chain<'a>(&mut self, out: &mut dyn Write, chain: impl Iterator<Item = &'a Process>) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.ascii("* longest chain of waiting:");
        let mut separator = " ";
        let mut chain = chain.peekable();
        let any = chain.peek().is_some();
        for process in chain.by_ref().take(LINKS) {
            line.ascii(separator);
            line.escaped(process.name());
            line.ascii(" ");
            line.ascii(if process.lived_longer() { MORE } else { "" });
            line.ascii(&*span(process.lived_ns()));
            separator = " > ";
        }
        let more = chain.count();
        if more > 0 {
            line.ascii(separator);
            line.ellipsis();
            line.ascii(" ");
            line.number(more);
            line.ascii(" more");
        }
        if any { line.write(out) } else { Ok(()) }
    }
}

/// Marks what is more than is known.
const MORE: &str = ">";

/// How long one lived that had not ended when the run did. (Of one whose end was not seen, nobody knows.)
fn so_far(process: &Process) -> Option<Short> {
    process.runs_ns.map(|_| short(format_args!("{MORE}{}", &*span(process.lived_ns()))))
}

/// Of several: the longest, the sum of CPU time (of what is known), the most memory.
fn numbers(line: &mut Line, all: &[&Process]) {
    let number = |name: &str, process: &Process| match process.ended(name) {
        Some(Value::Span(ns) | Value::Size(ns)) => Some(ns),
        _ => None,
    };
    let known = |name: &'static str| all.iter().filter_map(move |process| number(name, process));
    let so_far = all.first().and_then(|process| so_far(process));
    let columns = [
        (DURATION, known("lifetime").max().map(Value::Span)),
        (CPU, known("cpu").reduce(u64::saturating_add).map(Value::Span)),
        (RSS, known("max_rss").max().map(Value::Size)),
        (CODE, all.first().and_then(|process| process.code())),
    ];
    let cpu_is_partial = known("cpu").count() < all.len();
    for (end, known) in columns {
        match known {
            Some(Value::Span(sum)) if end == CPU && cpu_is_partial => {
                At::End(end).ascii(line, &short(format_args!("{MORE}{}", &*span(sum))));
            }
            Some(Value::Signal(signal)) => At::End(end).alarm(line, &SignalName(signal).short(CODE - RSS - 1)),
            Some(known) => value(line, At::End(end), &known, Show::Whole),
            None if end == DURATION && so_far.is_some() => At::End(end).ascii(line, so_far.as_deref().unwrap_or("?")),
            None => At::End(end).ascii(line, if all.is_empty() { "" } else { "?" }),
        }
    }
}

/// The lines that lead to it: none to one without a parent.
fn branches(line: &mut Line, place: &[bool]) {
    let place = place.get(1..).unwrap_or_default();
    let Some((last, above)) = place.split_last() else { return };
    let deeper = above.len().saturating_sub(DEEP);
    line.paint(Paint::Dim);
    above.iter().take(DEEP).for_each(|last| line.drawn(if *last { "  " } else { "│ " }));
    line.drawn(if *last { "└ " } else { "├ " });
    if deeper > 0 {
        line.ascii("+");
        line.number(deeper);
        line.ascii(" ");
    }
    line.paint(Paint::Off);
}

fn what(line: &mut Line, item: &Item<'_>, waited: bool) {
    match item {
        Item::One(process) => command(line, process, waited),
        Item::Folded(all) => {
            line.drawn("× ");
            line.number(all.len());
            line.ascii(" ");
            if let Some((first, others)) = all.split_first() {
                if others.iter().all(|other| same_args(first, other)) {
                    command(line, first, waited);
                } else {
                    line.escaped(first.name());
                    line.ascii(" ");
                    line.ellipsis();
                }
            }
        }
        Item::Hole(..) => line.ascii("? (not seen, but by its children)"),
        Item::More(count) => {
            line.ellipsis();
            line.ascii(" ");
            line.number(*count);
            line.ascii(" more");
        }
    }
}

fn same_args(one: &Process, other: &Process) -> bool {
    one.before().eq(other.before())
        && match (one.ran(), other.ran()) {
            (Some(one), Some(other)) => one.get("argv") == other.get("argv"),
            (one, other) => one.is_none() && other.is_none(),
        }
}

/// The name of the program, its arguments, and what is special about it.
fn command(line: &mut Line, process: &Process, waited: bool) {
    let argv = process.ran().and_then(|program| program.get("argv"));
    chain(line, process);
    if waited {
        line.paint(Paint::Bold);
    }
    match (argv, &process.program) {
        (Some(Value::List(list)), Some(_)) => {
            line.shell_word(process.name(), true);
            for word in list.iter().skip(1) {
                if line.is_full() {
                    break;
                }
                line.ascii(" ");
                line.shell_word(word, false);
            }
            if list.truncated() {
                line.ascii(" ");
                line.ellipsis();
            }
        }
        _ => {
            line.shell_word(process.name(), true);
            line.ascii(match process.begun {
                Begun::Forked => " (fork)",
                Begun::Command => " (the command)",
                Begun::Before => " (before the run)",
                Begun::Unseen => "",
            });
        }
    }
    if waited {
        line.paint(Paint::Off);
    }
    if process.end.is_none() {
        line.ascii(" (not ended)");
    }
}
