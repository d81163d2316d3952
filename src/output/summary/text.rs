//! A summary as tables.

use std::io::{self, Write};

use super::amounts::{Amount, Amounts, Rows};
use super::key::Key;
use super::spread::Spread;
use crate::event::Head;
use crate::output::line::{Line, Paint};
use crate::output::look::Look;
use crate::output::text::At;
use crate::output::times::Times;
use crate::output::units::{Short, short, size, span};

/// How many rows of a table are shown without -w: of programs, and of others.
const PROGRAMS: usize = 20;
const OTHERS: usize = 10;

/// A column of numbers.
type Column = (&'static str, fn(&Amount) -> Short);

const COUNT: Column = ("COUNT", |amount| short(format_args!("{}", amount.count)));
const HITS: Column = ("HITS", COUNT.1);
const RUNS: Column = ("RUNS", COUNT.1);
const FAILED: Column = ("FAILED", |amount| short(format_args!("{}", amount.failed)));
const TOTAL: Column = ("TOTAL", |amount| sum(amount, &amount.duration));
const MEAN: Column = ("MEAN", |amount| known(&amount.duration, Spread::mean, span));
const P95: Column = ("P95", |amount| known(&amount.duration, Spread::p95, span));
const MAX: Column = ("MAX", |amount| known(&amount.duration, |it| Some(it.max), span));
const CPU: Column = ("CPU", |amount| sum(amount, &amount.cpu));
const RSS: Column = ("RSS", |amount| known(&amount.rss, |it| Some(it.max), size));

fn known(spread: &Spread, number: impl Fn(&Spread) -> Option<u64>, spell: fn(u64) -> Short) -> Short {
    let number = Some(spread).filter(|spread| spread.count > 0).and_then(number);
    number.map_or_else(|| short(format_args!("?")), spell)
}

/// Of some, it may not be known: it is more than this.
fn sum(amount: &Amount, spread: &Spread) -> Short {
    let sum = known(spread, |it| Some(it.sum), span);
    if spread.count > 0 && spread.count < amount.count { short(format_args!(">{sum}")) } else { sum }
}

pub(super) struct SummaryText {
    line: Line,
    times: Times,
    look: Look,
}

/// What a table shows.
struct Table<'a> {
    title: &'a str,
    columns: &'a [Column],
    /// The title of what rows have in common, and how it is shown.
    key: (&'a str, fn(&mut Line, &Key)),
    rows: Vec<(&'a Key, &'a Amount)>,
    most: usize,
}

impl SummaryText {
    pub(super) fn new(look: Look) -> Self {
        SummaryText { line: Line::new(look.columns(), look.colour), times: Times::new(&look), look }
    }

    /// The time of its tables goes by that of events.
    pub(super) fn follow(&mut self, head: &Head) {
        self.times.follow(head);
    }

    pub(super) fn resize(&mut self, width: Option<usize>) {
        if self.look.columns().is_some() && width.is_some_and(|width| width > 0) {
            self.look.width = width;
            self.line.limit(self.look.columns());
        }
    }

    /// There is no row: so that it can be told from what does not work.
    pub(super) fn nothing(&mut self, out: &mut dyn Write, events: bool) -> io::Result<()> {
        self.line.clear();
        self.line.ascii(if events { "-- nothing in the events to add up" } else { "-- no events" });
        self.line.write(out)
    }

    pub(super) fn summary(&mut self, out: &mut dyn Write, amounts: &Amounts, now: i64) -> io::Result<()> {
        let by = amounts.by.name().to_uppercase();
        let failures = |rows| {
            let sorted: Vec<_> = Rows::sorted(rows, |amount| amount.failed);
            sorted.into_iter().filter(|(_, amount)| amount.failed > 0).collect::<Vec<_>>()
        };
        let most = |rows| Rows::sorted(rows, |amount| amount.count);
        let of_event = |title, columns, key, rows| Table { title, columns, key, rows, most: OTHERS };
        let tables = [
            Table {
                title: "programs that ended, by how long they took in all (a process counts for the last one that it ran)",
                columns: &[RUNS, FAILED, TOTAL, MEAN, P95, MAX, CPU, RSS],
                key: (&by, alone),
                rows: amounts.processes.sorted(|amount| amount.duration.sum),
                most: PROGRAMS,
            },
            of_event("paths, most first", &[COUNT, FAILED], ("PATH", of_kind), most(&amounts.paths)),
            of_event("paths that failed, most first", &[FAILED, COUNT], ("PATH", of_kind), failures(&amounts.paths)),
            of_event("by directory", &[COUNT, FAILED], ("DIRECTORY", of_kind), most(&amounts.directories)),
            of_event("failures by reason", &[COUNT], ("ERROR", of_kind), most(&amounts.errors)),
            of_event(
                "calls, most first",
                &[HITS, FAILED, TOTAL, MEAN, P95, MAX],
                ("FUNC", of_kind),
                most(&amounts.calls),
            ),
        ];
        tables.into_iter().filter(|table| !table.rows.is_empty()).try_for_each(|table| self.table(out, &table, now))
    }

    fn table(&mut self, out: &mut dyn Write, table: &Table<'_>, now: i64) -> io::Result<()> {
        let SummaryText { line, times, look } = self;
        line.clear();
        line.paint(Paint::Dim);
        line.ascii(times.spell(now));
        line.paint(Paint::Off);
        line.ascii(if times.end() > 0 { " " } else { "" });
        line.ascii(table.title);
        line.write(out)?;
        let most = if look.wide { usize::MAX } else { table.most };
        let numbers = |amount: &Amount| table.columns.iter().map(|(_, number)| number(amount)).collect::<Vec<_>>();
        let shown: Vec<_> =
            table.rows.iter().take(most).map(|(key, amount)| (*key, *amount, numbers(amount))).collect();
        let ends = ends(table.columns, shown.iter().map(|(_, _, numbers)| numbers));
        line.clear();
        line.paint(Paint::Bold);
        ends.iter().zip(table.columns).for_each(|(end, (title, _))| At::End(*end).ascii(line, title));
        line.ascii(" ");
        line.ascii(table.key.0);
        line.paint(Paint::Off);
        line.write(out)?;
        for (key, amount, numbers) in &shown {
            line.clear();
            for ((end, number), (title, _)) in ends.iter().zip(numbers).zip(table.columns) {
                if *title == FAILED.0 && amount.failed > 0 {
                    At::End(*end).alarm(line, number);
                } else {
                    At::End(*end).ascii(line, number);
                }
            }
            line.ascii(" ");
            table.key.1(line, key);
            line.write(out)?;
        }
        let more = table.rows.len().saturating_sub(most);
        if more > 0 {
            line.clear();
            line.pad_to(ends.last().map_or(0, |end| end + 1));
            line.ellipsis();
            line.ascii(short(format_args!(" {more} more (-w)")).as_str());
            line.write(out)?;
        }
        Ok(())
    }
}

/// Where the columns end.
fn ends<'a>(columns: &[Column], rows: impl Iterator<Item = &'a Vec<Short>>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|(title, _)| title.len()).collect();
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, number)| *width = number.len().max(*width));
    }
    let mut end = 0;
    let ends = widths.into_iter().map(|width| {
        end += width + 1;
        end
    });
    ends.collect()
}

fn alone(line: &mut Line, key: &Key) {
    key.show(line);
}

fn of_kind(line: &mut Line, key: &Key) {
    line.ascii(key.event.as_bytes());
    line.ascii(" ");
    key.show(line);
}
