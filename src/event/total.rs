//! What hits come to that were added up in the kernel: by the values that they have in common.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::shown::Shown;
use super::slots::{Group, Slots};
use crate::host::addresses::Addresses;

/// What is added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// How often the spec was hit.
    Count,
    /// The values of an expression: their sum, the least and the greatest.
    Sum(Measured),
    /// The same, as how many of them are how large.
    Histogram(Measured),
}

/// An expression whose values are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// As it was written.
    pub name: String,
    pub unit: Unit,
}

/// What numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Plain,
    Nanoseconds,
}

/// All that was added up in one way.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// When it was read, in nanoseconds since boot.
    pub boot_ns: u64,
    /// The kind of events that these would have been.
    pub kind: u32,
    pub measure: Measure,
    /// The values that hits of one row have in common, as they were written.
    pub names: Vec<String>,
    pub rows: Vec<Total>,
    /// There is one row, and how many hits it has is what the ledger has: see `Pipeline::aggregate`.
    pub in_ledger: bool,
}

/// One row: what was added up of the hits that have the same keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// What was hit.
    pub func: String,
    pub by: Keys,
    pub amount: Amount,
}

/// The values that the hits of a row have in common.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What they mean; their slots are in order.
    shown: Arc<[Shown]>,
    /// A slot for each, and behind these what they refer to.
    record: Vec<u8>,
    unread: u32,
    symbols: Option<Rc<Addresses>>,
    of_program: bool,
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && self.unread == other.unread && self.shown == other.shown
    }
}

impl Keys {
    /// Those in a record of such slots, and what follows them. `symbols`: names for addresses.
    #[must_use]
    pub fn new(shown: Arc<[Shown]>, record: Vec<u8>, unread: u32, symbols: Option<Rc<Addresses>>) -> Self {
        Keys { shown, record, unread, symbols, of_program: false }
    }

    /// Those of a program (`yes`), or of the kernel.
    #[must_use]
    pub fn of_program(self, yes: bool) -> Self {
        Keys { of_program: yes, ..self }
    }

    /// The values by their names.
    #[must_use]
    pub fn group(&self) -> Group<'_> {
        let count = u32::try_from(self.shown.len()).unwrap_or(u32::MAX);
        let slots = Slots::new(&self.record, 0, count, self.unread).with(self.symbols.as_deref());
        Group::new(&self.shown, slots.of_program(self.of_program))
    }
}

/// What a row comes to. Numbers are wider than the kernel's: they may be of any CPUs, and have a sign or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amount {
    /// Hits.
    pub count: u64,
    /// … of which the value could not be read.
    pub unread: u64,
    /// What the values come to.
    pub sum: i128,
    /// The least and the greatest of them; None: there is none.
    pub range: Option<(i128, i128)>,
    /// How many are in which power of two; those with none are left out.
    pub powers: BTreeMap<Power, u64>,
}

impl Amount {
    /// Adds another one to it.
    pub fn add(&mut self, other: &Amount) {
        self.count = self.count.saturating_add(other.count);
        self.unread = self.unread.saturating_add(other.unread);
        self.sum = self.sum.saturating_add(other.sum);
        self.range = match (self.range, other.range) {
            (Some((min, max)), Some((less, more))) => Some((min.min(less), max.max(more))),
            (one, other) => one.or(other),
        };
        for (power, count) in &other.powers {
            let sum = self.powers.entry(*power).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// How many values there are.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.count.saturating_sub(self.unread)
    }
}

/// Numbers of about the same size: 0 for 0, n for those from 2^(n-1) on that are below 2^n, -n for the same of negative
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Power(i8);

impl Power {
    /// How many numbers have one in the kernel's table: 0, and a power of two for each bit.
    pub const COUNT: usize = 65;

    /// By its place in the kernel's table: first those of numbers from 0 on, then those of negative ones.
    #[must_use]
    pub fn at(place: usize) -> Option<Self> {
        let (n, sign) = if place < Self::COUNT { (place, 1) } else { (place - Self::COUNT, -1) };
        let n = i8::try_from(n).ok().filter(|n| usize::from(n.unsigned_abs()) < Self::COUNT)?;
        Some(Power(n * sign))
    }

    /// The least and the greatest number.
    #[must_use]
    pub fn range(self) -> (i128, i128) {
        let n = u32::from(self.0.unsigned_abs());
        let Some(below) = n.checked_sub(1) else { return (0, 0) };
        let (least, most) = (1_i128 << below, (1_i128 << n) - 1);
        if self.0 < 0 { (-most, -least) } else { (least, most) }
    }

    /// The next greater one.
    #[must_use]
    pub fn next(self) -> Self {
        Power(self.0.saturating_add(1))
    }
}

/// Puts together what is added up alike, and each of it in order: most first.
#[must_use]
pub fn merged(all: Vec<Totals>) -> Vec<Totals> {
    let mut merged: Vec<Totals> = Vec::new();
    for totals in all {
        match merged.iter_mut().find(|of| of.measure == totals.measure && of.names == totals.names) {
            Some(of) => of.rows.extend(totals.rows),
            None => merged.push(totals),
        }
    }
    for totals in &mut merged {
        totals.rows = joined(std::mem::take(&mut totals.rows));
        let by_sum = matches!(totals.measure, Measure::Sum(_));
        let size = |row: &Total| if by_sum { row.amount.sum } else { row.amount.count.into() };
        totals.rows.sort_by_key(|row| Reverse(size(row)));
    }
    merged
}

/// Rows that are the same but for what they come to become one; in the order of what they have in common.
fn joined(mut rows: Vec<Total>) -> Vec<Total> {
    rows.sort_by(|a, b| {
        let key = |row: &Total| (row.by.unread, row.by.record.clone());
        a.func.cmp(&b.func).then_with(|| key(a).cmp(&key(b)))
    });
    let mut joined: Vec<Total> = Vec::new();
    for row in rows {
        match joined.last_mut().filter(|last| last.func == row.func && last.by == row.by) {
            Some(last) => last.amount.add(&row.amount),
            None => joined.push(row),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ShownKind, Value};

    #[test]
    fn powers_of_two_cover_every_number_once() {
        let range = |place| Power::at(place).unwrap().range();
        assert_eq!((range(0), range(1), range(2), range(11)), ((0, 0), (1, 1), (2, 3), (1024, 2047)));
        assert_eq!(range(64), (1 << 63, u64::MAX.into()));
        assert_eq!((range(66), range(67)), ((-1, -1), (-3, -2)));
        assert_eq!(range(65 + 64).1, i64::MIN.into());
        assert_eq!((Power::at(130), Power::at(usize::MAX)), (None, None));
        let mut all: Vec<Power> = (0..130).filter_map(Power::at).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 129, "there is no negative zero");
        assert!(all.windows(2).all(|pair| pair[0].next() == pair[1] && pair[0].range().1 + 1 == pair[1].range().0));
    }

    fn row(func: &str, key: u64, count: u64, sum: i128) -> Total {
        let shown = Shown { name: "pid".to_owned(), kind: ShownKind::Int { slot: 0, signed: false } };
        let by = Keys::new([shown].into(), key.to_ne_bytes().to_vec(), 0, None);
        Total { func: func.to_owned(), by, amount: Amount { count, sum, range: Some((sum, sum)), ..Amount::default() } }
    }

    fn totals(measure: Measure, rows: Vec<Total>) -> Totals {
        Totals { boot_ns: 0, kind: 1, measure, names: vec!["pid".to_owned()], rows, in_ledger: false }
    }

    #[test]
    fn rows_of_several_programs_become_one_and_the_most_is_first() {
        let one = totals(Measure::Count, vec![row("a", 1, 5, 0), row("a", 2, 7, 0)]);
        let two = totals(Measure::Count, vec![row("a", 1, 3, 0), row("b", 1, 9, 0)]);
        let all = merged(vec![one, two]);
        let shown: Vec<_> = all[0].rows.iter().map(|row| (row.func.as_str(), row.amount.count)).collect();
        assert_eq!((all.len(), shown), (1, vec![("b", 9), ("a", 8), ("a", 7)]));
        assert_eq!(all[0].rows[0].by.group().get("pid"), Some(Value::Uint(1)));
    }

    #[test]
    fn sums_are_in_order_of_what_they_come_to() {
        let of = Measured { name: "ret".to_owned(), unit: Unit::Plain };
        let all =
            merged(vec![totals(Measure::Sum(of), vec![row("a", 1, 9, -5), row("a", 2, 1, 4), row("a", 1, 1, 1)])]);
        let shown: Vec<_> =
            all[0].rows.iter().map(|row| (row.amount.count, row.amount.sum, row.amount.range)).collect();
        assert_eq!(shown, [(1, 4, Some((4, 4))), (10, -4, Some((-5, 1)))]);
    }

    #[test]
    fn what_was_not_read_is_another_row_than_zero() {
        let mut unread = row("a", 0, 1, 0);
        unread.by.unread = 1;
        let all = merged(vec![totals(Measure::Count, vec![row("a", 0, 2, 0), unread])]);
        assert_eq!(all[0].rows.len(), 2);
        assert!(matches!(all[0].rows[1].by.group().get("pid"), Some(Value::Unreadable(_))));
    }
}
