//! Text: aligned columns, then `name=value` details. For people; whatever is traced, a line stays one harmless line.

use std::io::{self, Write};
use std::ops::ControlFlow;

use super::clock::{Clock, Style};
use super::line::{Line, Paint};
use super::tables::{Column, Show, Table};
use super::units::{short, size, span};
use super::{ErrnoName, Format, Look, Octal, SignalName};
use crate::event::{Event, Flags, List, Lost, Path, Value};

/// Writes events as text.
#[derive(Debug)]
pub struct Text {
    line: Line,
    /// For losses, which are neither cut nor painted.
    loss: Line,
    clock: Clock,
    /// The columns that are aligned.
    cells: Vec<(Column, At)>,
    /// The one that takes the rest of the line.
    last: Option<Column>,
    /// Where that rest begins.
    rest: usize,
    /// How it looks, and how wide the terminal is now.
    look: Look,
    /// Labels have a column.
    labelled: bool,
    /// The fields that have one.
    shown: Vec<&'static str>,
    /// The others are shown as `name=value`.
    details: bool,
}

/// Where something stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Behind what is there.
    Here,
    /// From this column on.
    Start(usize),
    /// Up to this column.
    End(usize),
}

impl At {
    /// Goes where something begins whose length is not known yet: it cannot be aligned to the right.
    #[inline]
    fn begin(self, line: &mut Line) {
        match self {
            At::Here => {}
            At::Start(start) => line.pad_to(start),
            At::End(_) => line.pad_to(0),
        }
    }

    /// Goes where something begins that is so long.
    #[inline]
    fn begin_of(self, line: &mut Line, len: usize) {
        match self {
            At::Here | At::Start(_) => self.begin(line),
            At::End(end) => line.pad_to(end.saturating_sub(len)),
        }
    }

    /// Adds visible ASCII there.
    #[inline]
    fn ascii(self, line: &mut Line, text: &str) {
        self.begin_of(line, text.len());
        line.ascii(text);
    }

    /// The same, in red.
    fn alarm(self, line: &mut Line, text: &str) {
        self.begin_of(line, text.len());
        line.paint(Paint::Red);
        line.ascii(text);
        line.paint(Paint::Off);
    }
}

/// Title of a column, how wide it is, and whether it is aligned to the right.
fn shape(column: &Column) -> (&'static str, usize, bool) {
    match *column {
        Column::Kind => ("EVENT", 7, false),
        Column::Pid => ("PID", 7, true),
        Column::Ppid => ("PPID", 7, true),
        Column::Tid => ("TID", 7, true),
        Column::Uid => ("UID", 5, true),
        Column::Gid => ("GID", 5, true),
        Column::Comm => ("COMM", 15, false),
        Column::Label => ("LABEL", 15, false),
        Column::Field { title, width, right, .. } => (title, width, right),
    }
}

impl Text {
    /// Text of that look.
    #[must_use]
    pub fn new(look: Look, table: Table) -> Self {
        let width = look.columns();
        let style = if look.utc { Style::Utc } else { Style::Local };
        let clock = Clock::new(style, if width.is_some() { 3 } else { 6 });
        let (mut cells, mut last, mut end) = (Vec::new(), None, clock.width());
        let mut add = |column: Column| {
            let (_, width, right) = shape(&column);
            if width == 0 {
                last = Some(column);
                return;
            }
            let start = end + 1;
            end = start + width;
            cells.push((column, if right { At::End(end) } else { At::Start(start) }));
        };
        for column in table.columns {
            add(*column);
            if *column == Column::Comm && look.labels {
                add(Column::Label);
            }
        }
        let labelled = cells.iter().any(|(column, _)| *column == Column::Label);
        let named = |column: &Column| match column {
            Column::Field { name, .. } => Some(*name),
            _ => None,
        };
        Text {
            line: Line::new(width, look.colour),
            loss: Line::new(None, false),
            clock,
            cells,
            last,
            rest: end + 1,
            look,
            labelled,
            shown: table.columns.iter().filter_map(named).collect(),
            details: table.details,
        }
    }
}

impl Format for Text {
    fn resize(&mut self, width: Option<usize>) {
        // Where lines were never cut, they are not now.
        if self.look.columns().is_some() && width.is_some_and(|width| width > 0) {
            self.look.width = width;
            self.line.limit(self.look.columns());
        }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Text { line, .. } = self;
        line.clear();
        line.paint(Paint::Bold);
        line.ascii("TIME");
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
        let Text { line, clock, .. } = self;
        line.clear();
        line.paint(Paint::Dim);
        line.ascii(clock.spell(event.head.unix_ns));
        line.paint(Paint::Off);
        for (column, at) in &self.cells {
            cell(line, *at, column, event);
        }
        let mut next = self.rest;
        if !event.label.is_empty() && !self.labelled {
            detail(line, next, "label", &Value::Str(event.label));
            next = 0;
        }
        // An empty list shows nothing, and spaces before nothing would be at the line's end.
        if let Some(column) = &self.last
            && !is_empty(column, event)
        {
            cell(line, At::Start(next), column, event);
            next = 0;
        }
        if self.details {
            for (name, value) in &event.fields {
                if line.is_full() {
                    break;
                }
                if !self.shown.contains(name) {
                    detail(line, next, name, value);
                    next = 0;
                }
            }
        }
        line.write(out)
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

fn is_empty(column: &Column, event: &Event<'_>) -> bool {
    let Column::Field { name, .. } = column else { return false };
    matches!(event.get(name), Some(Value::List(list)) if list.bytes.is_empty() && !list.truncated())
}

/// Adds what a column shows.
fn cell(line: &mut Line, at: At, column: &Column, event: &Event<'_>) {
    let head = &event.head;
    let mut digits = itoa::Buffer::new();
    match column {
        Column::Kind => at.ascii(line, &event.kind.name),
        Column::Pid => at.ascii(line, digits.format(head.pid)),
        Column::Ppid => at.ascii(line, digits.format(head.ppid)),
        Column::Tid => at.ascii(line, digits.format(head.tid)),
        Column::Uid => at.ascii(line, digits.format(head.uid)),
        Column::Gid => at.ascii(line, digits.format(head.gid)),
        Column::Comm => {
            at.begin(line);
            line.paint(Paint::Bold);
            line.escaped(head.comm());
            line.paint(Paint::Off);
        }
        Column::Label if event.label.is_empty() => at.ascii(line, "-"),
        Column::Label => {
            at.begin(line);
            line.escaped(event.label);
        }
        Column::Field { name, show, .. } => match event.get(name) {
            Some(known) => value(line, at, known, *show),
            None => at.ascii(line, "-"),
        },
    }
}

/// Adds `name=value`, from the column `start` on.
fn detail(line: &mut Line, start: usize, name: &str, detail: &Value<'_>) {
    line.pad_to(start);
    line.paint(Paint::Dim);
    line.ascii(name);
    line.ascii("=");
    line.paint(Paint::Off);
    value(line, At::Here, detail, Show::Whole);
}

fn value(line: &mut Line, at: At, value: &Value<'_>, show: Show) {
    let mut digits = itoa::Buffer::new();
    match value {
        Value::Uint(n) => at.ascii(line, digits.format(*n)),
        Value::Pid(n) | Value::Code(n @ 0) => at.ascii(line, digits.format(*n)),
        Value::Code(n) => at.alarm(line, digits.format(*n)),
        Value::Signal(n) => at.alarm(line, &short(format_args!("{}", SignalName(*n)))),
        Value::Ret(n) => match (*n < 0, show) {
            (false, Show::Error) | (true, Show::Number) => at.ascii(line, "-"),
            (false, Show::Whole | Show::Number) => at.ascii(line, digits.format(*n)),
            (true, Show::Whole | Show::Error) => at.alarm(line, &short(format_args!("{}", ErrnoName(*n)))),
        },
        Value::Mode(bits) => at.ascii(line, &short(format_args!("{}", Octal(*bits)))),
        Value::Bool(yes) => at.ascii(line, if *yes { "yes" } else { "no" }),
        Value::Size(n) => at.ascii(line, &size(*n)),
        Value::Span(ns) => at.ascii(line, &span(*ns)),
        Value::Str(bytes) => {
            at.begin(line);
            line.escaped_word(bytes);
        }
        Value::Path(value) => {
            at.begin(line);
            path(line, value);
        }
        Value::List(value) => {
            at.begin(line);
            list(line, value);
        }
        Value::Flags(value) => {
            at.begin(line);
            flags(line, value);
        }
        Value::Unreadable(_) => at.ascii(line, "?"),
    }
}

/// `…` stands for what is missing: the names at the root's end, or the end; every other path begins with `/`, or with
/// what getcwd(2) puts before one that the process cannot reach.
fn path(line: &mut Line, path: &Path<'_>) {
    if path.outside {
        line.ascii("(unreachable)");
    }
    if path.truncated {
        line.ellipsis();
    }
    if path.as_it_is && path.called.is_empty() {
        line.ascii("''");
    }
    let whole = path.parts().try_for_each(|(slash, part)| {
        // Behind the mark, the first has one, too.
        line.ascii(if part.starts_with(b"/") || path.as_it_is { slash } else { "/" });
        if !part.is_empty() {
            line.escaped_word(part);
        }
        if line.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if whole.is_break() {
        return;
    }
    if path.end_truncated {
        line.ellipsis();
    }
    if path.deleted {
        line.ascii(" (deleted)");
    }
}

fn list(line: &mut Line, list: &List<'_>) {
    let mut separator = "";
    for word in list.iter() {
        line.ascii(separator);
        line.shell_word(word, separator.is_empty());
        if line.is_full() {
            return;
        }
        separator = " ";
    }
    if list.truncated() {
        line.ascii(separator);
        line.ellipsis();
        let there = list.bytes.len();
        if list.total == List::UNKNOWN {
            line.ascii(short(format_args!("[cut: the first {there} bytes]")).as_str());
        } else {
            line.ascii(short(format_args!("[cut: {there} of {} bytes]", list.total)).as_str());
        }
    }
}

fn flags(line: &mut Line, flags: &Flags) {
    let (names, rest) = flags.named();
    let mut separator = "";
    for name in names {
        line.ascii(separator);
        line.ascii(name);
        separator = "|";
    }
    if rest != 0 {
        line.ascii(separator);
        line.ascii(short(format_args!("{rest:#x}")).as_str());
    } else if separator.is_empty() {
        line.ascii("0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(add: impl Fn(&mut Line)) -> String {
        let (mut line, mut out) = (Line::new(None, false), Vec::new());
        add(&mut line);
        line.write(&mut out).unwrap();
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    #[test]
    fn words_can_be_pasted_into_bash() {
        let table: &[(&[u8], &str)] = &[
            (b"ls", "ls"),
            (b"--opt=a@b%c+d:e,f./_g", "--opt=a@b%c+d:e,f./_g"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"$(reboot);`x`!\"", "'$(reboot);`x`!\"'"),
            (b"~", "'~'"),
            ("Gr\u{fc}\u{df}e".as_bytes(), "'Gr\u{fc}\u{df}e'"),
            (b"it's", r"$'it\'s'"),
            (b"'", r"$'\''"),
            (b"a\\b", r"$'a\\b'"),
            (b"a\nb\t", r"$'a\nb\t'"),
            (b"\x1b[31m\x7f", r"$'\x1b[31m\x7f'"),
            (b"\xffa", r"$'\xffa'"),
            ("\u{202e}\u{e0041}\u{9b}".as_bytes(), r"$'\u202e\U000e0041\u009b'"),
        ];
        for (word, want) in table {
            assert_eq!(shown(|line| line.shell_word(word, false)), *want);
        }
        assert_eq!(shown(|line| line.shell_word(b"a=b", true)), "'a=b'", "not an assignment");
    }
}
