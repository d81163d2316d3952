//! What was added up, as a table: what it comes to first, and then the values that hits have in common, as these may be
//! of any length. How large values are is drawn as bars.

use std::io::{self, Write};

use super::group::items;
use super::value::{At, func, here, value};
use crate::event::Value;
use crate::event::total::{Amount, Measure, Measured, Power, Total, Totals, Unit};
use crate::output::line::{Line, Paint};
use crate::output::tables::Show;
use crate::output::units::{Short, short, span};

/// Of what is longer, the rest of the line is pushed to the right.
const COLUMN_MAX: usize = 40;
/// How long bars are: at most, and at least.
const BAR: (usize, usize) = (10, 40);
/// Where there is no terminal.
const WIDTH: usize = 80;

/// Writes all of it below a title. `width`: of the terminal.
pub(super) fn totals(
    line: &mut Line,
    out: &mut dyn Write,
    totals: &Totals,
    time: &str,
    width: Option<usize>,
) -> io::Result<()> {
    title(line, totals, time);
    line.write(out)?;
    match &totals.measure {
        Measure::Count => table(line, out, totals, &["COUNT"], |amount| vec![number(amount.count.into(), Unit::Plain)]),
        Measure::Sum(of) => {
            table(line, out, totals, &["COUNT", "SUM", "MEAN", "MIN", "MAX"], |amount| sums(amount, of.unit))
        }
        Measure::Histogram(of) => {
            totals.rows.iter().try_for_each(|row| bars(line, out, row, of, width.unwrap_or(WIDTH)))
        }
    }
}

/// `12:00:00.000 duration by comm, func`
fn title(line: &mut Line, totals: &Totals, time: &str) {
    line.clear();
    line.paint(Paint::Dim);
    line.ascii(time);
    line.paint(Paint::Off);
    line.ascii(if time.is_empty() { "" } else { " " });
    line.paint(Paint::Bold);
    match &totals.measure {
        Measure::Count => line.ascii("hits"),
        Measure::Sum(of) | Measure::Histogram(of) => line.escaped(of.name.as_bytes()),
    }
    let mut separator = " by ";
    for name in &totals.names {
        line.ascii(separator);
        line.escaped(name.as_bytes());
        separator = ", ";
    }
    line.paint(Paint::Off);
}

fn number(number: i128, unit: Unit) -> Short {
    match unit {
        Unit::Plain => short(format_args!("{number}")),
        Unit::Nanoseconds => span(u64::try_from(number.max(0)).unwrap_or(u64::MAX)),
    }
}

/// Count, sum, mean, least and greatest.
fn sums(amount: &Amount, unit: Unit) -> Vec<Short> {
    let count = match amount.unread {
        0 => short(format_args!("{}", amount.count)),
        unread => short(format_args!("{} ({unread} ?)", amount.count)),
    };
    let (values, none) = (amount.values(), || short(format_args!("-")));
    let Some((min, max)) = amount.range.filter(|_| values > 0) else {
        return vec![count, none(), none(), none(), none()];
    };
    let mean = match unit {
        Unit::Plain => short(format_args!("{:.1}", amount.sum as f64 / values as f64)),
        Unit::Nanoseconds => number(amount.sum / i128::from(values), unit),
    };
    vec![count, number(amount.sum, unit), mean, number(min, unit), number(max, unit)]
}

/// A column that stands behind the numbers.
struct Column<'a> {
    title: String,
    cells: Vec<Value<'a>>,
    width: usize,
    put: Put,
}

/// How a cell is written.
type Put = fn(&mut Line, At, &Value<'_>);

impl<'a> Column<'a> {
    fn new(title: &str, cells: Vec<Value<'a>>, put: Put) -> Self {
        let is_word = title.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let title = if is_word { title.to_uppercase() } else { title.to_owned() };
        let mut line = Line::new(None, false);
        line.escaped(title.as_bytes());
        let mut width = line.column();
        for cell in &cells {
            line.clear();
            put(&mut line, At::Here, cell);
            width = width.max(line.column());
        }
        Column { title, cells, width: width.min(COLUMN_MAX), put }
    }
}

fn columns(rows: &[Total]) -> Vec<Column<'_>> {
    let func = Column::new("func", rows.iter().map(|row| Value::Str(row.func.as_bytes())).collect(), func);
    let names: Vec<&str> =
        rows.first().map_or_else(Vec::new, |row| row.by.group().iter().map(|(name, _)| name).collect());
    let of = |n: usize| rows.iter().filter_map(move |row| row.by.group().iter().nth(n).map(|(_, value)| value));
    let key = |line: &mut Line, at: At, cell: &Value<'_>| value(line, at, cell, Show::Whole);
    let keys = names.iter().enumerate().map(|(n, name)| Column::new(name, of(n).collect(), key));
    std::iter::once(func).chain(keys).collect()
}

fn table(
    line: &mut Line,
    out: &mut dyn Write,
    totals: &Totals,
    titles: &[&str],
    numbers: impl Fn(&Amount) -> Vec<Short>,
) -> io::Result<()> {
    let (columns, rows) = (columns(&totals.rows), totals.rows.iter().map(|row| numbers(&row.amount)));
    let rows: Vec<Vec<Short>> = rows.collect();
    let widest = |n: usize| rows.iter().filter_map(|row| Some(row.get(n)?.len())).max().unwrap_or(0);
    let ends = titles.iter().enumerate().scan(0, |end, (n, title)| {
        *end += widest(n).max(title.len()).max(5) + 1;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let behind = ends.last().map_or(0, |end| end + 1);
    line.clear();
    line.paint(Paint::Bold);
    ends.iter().zip(titles).for_each(|(end, title)| At::End(*end).ascii(line, title));
    let mut start = behind;
    for column in &columns {
        line.pad_to(start);
        line.escaped(column.title.as_bytes());
        start += column.width + 1;
    }
    line.paint(Paint::Off);
    line.write(out)?;
    for (n, row) in rows.iter().enumerate() {
        line.clear();
        ends.iter().zip(row).for_each(|(end, number)| At::End(*end).ascii(line, number));
        let mut start = behind;
        for column in &columns {
            if let Some(cell) = column.cells.get(n) {
                (column.put)(line, At::Start(start), cell);
            }
            start += column.width + 1;
        }
        line.write(out)?;
    }
    Ok(())
}

/// One row as bars: a line for each power of two between the least and the greatest value.
fn bars(line: &mut Line, out: &mut dyn Write, row: &Total, of: &Measured, width: usize) -> io::Result<()> {
    line.clear();
    line.paint(Paint::Bold);
    line.escaped(row.func.as_bytes());
    line.paint(Paint::Off);
    let by = row.by.group();
    if by.iter().next().is_some() {
        line.ascii(" ");
        items(line, &by, " ", true, here);
    }
    let count = row.amount.count;
    line.ascii(short(format_args!(": {count} hit{}", if count == 1 { "" } else { "s" })).as_str());
    line.write(out)?;
    let bars = ranges(&row.amount, of.unit);
    let widest = bars.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let digits = short(format_args!("{most}")).len();
    let before = widest + digits + 5;
    let room = width.saturating_sub(before + 2).clamp(BAR.0, BAR.1);
    for (label, count) in bars {
        line.clear();
        At::End(widest + 2).ascii(line, &label);
        At::End(widest + digits + 4).ascii(line, &short(format_args!("{count}")));
        let long = bar(count, most, room);
        for part in [" |", &"@".repeat(long), &" ".repeat(room.saturating_sub(long)), "|"] {
            line.ascii(part);
        }
        line.write(out)?;
    }
    Ok(())
}

/// How long a bar is: whatever is there can be seen.
fn bar(count: u64, most: u64, room: usize) -> usize {
    let long = (u128::from(count) * room as u128).div_ceil(u128::from(most.max(1)));
    usize::try_from(long).unwrap_or(room).min(room)
}

/// The powers of two from the first to the last, with how many there are; and what could not be read.
fn ranges(amount: &Amount, unit: Unit) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    if let (Some((first, _)), Some((last, _))) = (amount.powers.first_key_value(), amount.powers.last_key_value()) {
        let mut power = *first;
        while power <= *last {
            all.push((label(power, unit), amount.powers.get(&power).copied().unwrap_or(0)));
            power = power.next();
        }
    }
    if amount.unread > 0 {
        all.push(("?".to_owned(), amount.unread));
    }
    all
}

fn label(power: Power, unit: Unit) -> String {
    let (least, most) = power.range();
    match least == most {
        true => number(least, unit).to_string(),
        false => format!("{} .. {}", number(least, unit), number(most, unit)),
    }
}
