//! Hits that the kernel adds up instead of sending them: `--count-by`, `--sum`, `--hist`, `--by`.

use std::mem::offset_of;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use libbpf_rs::{MapCore, MapFlags, Object, OpenMapMut, OpenObject};

use super::meaning::Meaning;
use super::probe::types::{rodata, total, total_key, total_mode};
use super::recorded::Recorded;
use crate::error::Usage;
use crate::event::total::{Amount, Keys, Measure, Measured, Power, Total, Totals, Unit};
use crate::event::{Shown, ShownKind};
use crate::host::addresses::Addresses;
use crate::host::clock::boot_now;
use crate::host::possible_cpus;
use crate::spec::ast::{Arg, Spec, Word};
use crate::spec::ir::SLOTS_MAX;
use crate::spec::parse::{Grammar, Named, parse, values, with_values};

/// What is added up, as options.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Count hits by these values (at most 4), in the kernel, instead of showing each: 'comm, pid', func
    #[arg(long, value_name = "EXPR,…", help_heading = "Totals")]
    count_by: Option<String>,
    /// Add up a number, as ret or duration: its sum, mean, least and greatest value
    #[arg(long, value_name = "EXPR", group = "number", conflicts_with = "count_by", help_heading = "Totals")]
    sum: Option<String>,
    /// How large a number is: a histogram in powers of two
    #[arg(long, value_name = "EXPR", group = "number", conflicts_with_all = ["count_by", "sum"], help_heading = "Totals")]
    hist: Option<String>,
    /// With --sum and --hist: for each of these values (at most 4)
    #[arg(long, value_name = "EXPR,…", requires = "number", help_heading = "Totals")]
    by: Option<String>,
}

impl Options {
    pub fn are_given(&self) -> bool {
        self.count_by.is_some() || self.sum.is_some() || self.hist.is_some()
    }

    /// What they ask for.
    ///
    /// # Errors
    /// When an expression is none.
    pub(super) fn request(&self) -> Result<Option<Request>> {
        let list = |option: &str, text: &String| values(text).with_context(|| option.to_owned()).context(Usage);
        let one = |option: &'static str, text: &String| {
            let mut all = list(option, text)?;
            let only = all.pop().filter(|value| all.is_empty() && !value.is_func);
            only.with_context(|| format!("{option}: one expression is added up")).context(Usage)
        };
        let keys = match (&self.count_by, &self.by) {
            (Some(text), _) => list("--count-by", text)?,
            (None, Some(text)) => list("--by", text)?,
            (None, None) => Vec::new(),
        };
        let most = total_key::default().number.len();
        ensure!(keys.len() <= most, anyhow!("totals are by at most {most} values").context(Usage));
        let (mode, value) = match (&self.sum, &self.hist) {
            (Some(text), _) => (total_mode::TOTAL_SUM, Some(one("--sum", text)?)),
            (None, Some(text)) => (total_mode::TOTAL_HIST, Some(one("--hist", text)?)),
            (None, None) if self.count_by.is_some() => (total_mode::TOTAL_COUNT, None),
            (None, None) => return Ok(None),
        };
        Ok(Some(Request { mode, keys, value }))
    }
}

/// What is to be added up.
#[derive(Debug)]
pub(super) struct Request {
    mode: total_mode,
    keys: Vec<Named>,
    value: Option<Named>,
}

impl Request {
    fn read(&self) -> impl Iterator<Item = &Named> {
        self.keys.iter().filter(|key| !key.is_func).chain(&self.value)
    }

    /// A spec that reads these values, and no other ones. They are named by their numbers.
    ///
    /// # Errors
    /// When it is not right.
    pub fn spec(&self, text: &str, grammar: Grammar) -> Result<Spec> {
        let read: Vec<&str> = self.read().map(|value| value.text.as_str()).collect();
        let own = parse(text, grammar).context(Usage)?;
        let text = with_values(text, grammar, &read).context(Usage)?;
        let mut spec = parse(&text, grammar).context(Usage)?;
        // They are not shown, but say where arguments are.
        spec.declares = own.args.unwrap_or_default();
        for (n, arg) in spec.args.iter_mut().flatten().enumerate() {
            if let Arg::One { name, value, .. } = arg {
                *name = Some(Word { text: n.to_string(), span: value.span.clone() });
            }
        }
        Ok(spec)
    }

    /// What is added up of a hit that has these values.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub fn of(&self, meaning: &Meaning, label: &str) -> Result<Aggregation> {
        let mut aggregation = Aggregation { mode: self.mode, label: label.to_owned(), ..Aggregation::default() };
        aggregation.names = self.keys.iter().map(|key| key.name.clone()).collect();
        let mut shown = Vec::new();
        for (n, named) in self.read().enumerate() {
            let number = n.to_string();
            let found = meaning.args.iter().find(|shown| shown.name == number);
            let kind = &found.with_context(|| format!("{}: it is not read here", named.name))?.kind;
            let is_value = self.value.as_ref().is_some_and(|value| std::ptr::eq(value, named));
            if is_value {
                aggregation.value = Some(Value::new(named, kind).context(Usage)?);
            } else {
                aggregation.slots.push(KeySlot::new(named, kind).context(Usage)?);
                shown.push(Shown { name: named.name.clone(), kind: kind.clone().in_slot(n) });
            }
        }
        // Last, so that the others' places are those that they are shown by.
        if self.keys.iter().any(|key| key.is_func) {
            aggregation.slots.push(KeySlot::Func);
        }
        aggregation.shown = shown.into();
        Ok(aggregation)
    }
}

/// Whether a spec asks for what is known at a return alone. (A name of the target may be the same: then it is waited for.)
pub(super) fn asks_for_return(spec: &Spec) -> bool {
    let all = spec.args.iter().flatten().any(|arg| matches!(arg, Arg::All(_)));
    all || spec.expressions().iter().any(|expr| matches!(expr.root(), "ret" | "duration"))
}

/// Where the program has a key from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeySlot {
    Number(usize),
    Text(usize),
    Path(usize),
    /// By where the probe was hit.
    Func,
}

impl KeySlot {
    fn new(named: &Named, kind: &ShownKind) -> Result<Self> {
        let refused = || format!("{}: it is several values, and one has to be named: …->member", named.name);
        let slot = kind.only_slot().with_context(refused)?;
        match kind {
            ShownKind::Str { .. } | ShownKind::Bytes { .. } | ShownKind::Ipv6 { .. } => Ok(KeySlot::Text(slot)),
            ShownKind::Path { .. } => Ok(KeySlot::Path(slot)),
            ShownKind::Group { .. } => Err(anyhow!(refused())),
            _ => Ok(KeySlot::Number(slot)),
        }
    }
}

/// The number that is added up.
#[derive(Debug)]
struct Value {
    slot: usize,
    signed: bool,
    of: Measured,
}

impl Value {
    fn new(named: &Named, kind: &ShownKind) -> Result<Self> {
        let (signed, unit) = match kind {
            ShownKind::Int { signed, .. } | ShownKind::Enum { signed, .. } => (*signed, Unit::Plain),
            ShownKind::Ret { .. } => (true, Unit::Plain),
            ShownKind::Duration { .. } => (false, Unit::Nanoseconds),
            ShownKind::Hex { .. } | ShownKind::Octal { .. } | ShownKind::Bool { .. } | ShownKind::Char { .. } => {
                (false, Unit::Plain)
            }
            _ => return Err(anyhow!("{}: it is no number that can be added up", named.name)),
        };
        let slot = kind.only_slot().context("a number has a slot")?;
        Ok(Value { slot, signed, of: Measured { name: named.name.clone(), unit } })
    }
}

/// What a program adds up, and what that means.
#[derive(Debug)]
pub(super) struct Aggregation {
    mode: total_mode,
    slots: Vec<KeySlot>,
    value: Option<Value>,
    /// The keys that are read, by their places.
    shown: Arc<[Shown]>,
    /// All keys, as they were written.
    names: Vec<String>,
    /// What the spec names, where functions are not distinguished.
    label: String,
    /// That is the spec itself, as another one names the same: functions of both would have one row.
    of_spec: bool,
}

impl Default for Aggregation {
    fn default() -> Self {
        let mode = total_mode::TOTAL_NONE;
        Aggregation {
            mode,
            slots: Vec::new(),
            value: None,
            shown: Arc::from([]),
            names: Vec::new(),
            label: String::new(),
            of_spec: false,
        }
    }
}

const MAP: &str = "totals";

fn map_of<'a>(object: &'a mut OpenObject) -> Result<OpenMapMut<'a>> {
    object.maps_mut().find(|map| map.name() == MAP).context("the object has no totals")
}

/// Leaves out the map of a program that has no rows in it.
pub(super) fn leave_out(object: &mut OpenObject) -> Result<()> {
    map_of(object)?.set_autocreate(false).context("leaving out the totals")
}

/// How many rows there may be.
fn entries(key: u32, value: u32, cpus: u32) -> u32 {
    /// Bytes of all of them, on all CPUs …
    const MEMORY: u64 = 64 << 20;
    /// … but at least and at most so many.
    const ROWS: (u64, u64) = (128, 8192);
    let each = u64::from(value).next_multiple_of(8) * u64::from(cpus) + u64::from(key);
    u32::try_from((MEMORY / each.max(1)).clamp(ROWS.0, ROWS.1)).unwrap_or(u32::MAX)
}

impl Aggregation {
    fn value_bytes(&self) -> usize {
        match self.mode {
            total_mode::TOTAL_COUNT => offset_of!(total, unread),
            total_mode::TOTAL_SUM => offset_of!(total, powers),
            _ => size_of::<total>(),
        }
    }

    /// Up to the last string; where there is none, to the last number.
    fn key_bytes(&self) -> usize {
        let is_text = |slot: &KeySlot| matches!(slot, KeySlot::Text(_) | KeySlot::Path(_));
        match self.slots.iter().rposition(is_text) {
            Some(last) => offset_of!(total_key, text) + (last + 1) * text_bytes(),
            None => offset_of!(total_key, number) + self.slots.len() * size_of::<u64>(),
        }
    }

    /// The same for what a spec has hooked: hits of one function are not distinguished by it.
    pub fn of_hooked(mut self, recorded: &Recorded) -> Self {
        if self.mode == total_mode::TOTAL_COUNT
            && self.slots == [KeySlot::Func]
            && let Some(only) = recorded.only_function()
        {
            self.slots.clear();
            only.clone_into(&mut self.label);
        }
        self
    }

    /// The same, with rows that are named by the spec.
    pub fn of_spec(self, text: &str) -> Self {
        Aggregation { label: text.to_owned(), of_spec: true, ..self }
    }

    /// Whether hits are counted, all of them together: the ledger does that (`total_in_ledger` of totals.bpf.h).
    fn in_ledger(&self) -> bool {
        self.mode == total_mode::TOTAL_COUNT && self.slots.is_empty()
    }

    /// Sizes the map, or leaves it out.
    pub fn size(&self, object: &mut OpenObject) -> Result<()> {
        if self.in_ledger() {
            return leave_out(object);
        }
        let (key, value) = (u32::try_from(self.key_bytes())?, u32::try_from(self.value_bytes())?);
        let mut map = map_of(object)?;
        map.set_key_size(key).context("sizing the totals")?;
        map.set_value_size(value).context("sizing the totals")?;
        map.set_max_entries(entries(key, value, possible_cpus()?)).context("sizing the totals")
    }

    pub fn set(&self, rodata: &mut rodata) -> Result<()> {
        rodata.total_mode = self.mode.0;
        rodata.total_keys = u32::try_from(self.slots.len())?;
        for (n, key) in self.slots.iter().enumerate() {
            let places = rodata.total_slot.get_mut(n).zip(rodata.total_is_text.get_mut(n));
            let (slot, is_text) = places.context("more keys than there is room for")?;
            let (from, text) = match key {
                KeySlot::Number(from) => (*from, false),
                KeySlot::Text(from) | KeySlot::Path(from) => (*from, true),
                KeySlot::Func => (SLOTS_MAX, false),
            };
            (*slot, *is_text) = (u32::try_from(from)?, text.into());
        }
        if let Some(value) = &self.value {
            rodata.total_value = u32::try_from(value.slot)?;
            rodata.total_signed = value.signed.into();
        }
        Ok(())
    }

    fn measure(&self) -> Measure {
        match (&self.value, self.mode) {
            (Some(value), total_mode::TOTAL_SUM) => Measure::Sum(value.of.clone()),
            (Some(value), _) => Measure::Histogram(value.of.clone()),
            (None, _) => Measure::Count,
        }
    }

    /// What the programs of this object have added up so far.
    ///
    /// By system calls: see `ledger` in event.bpf.h for what the kernel may skip meanwhile, if its hooks are still there.
    pub fn read(&self, object: &Object, recorded: &Recorded, symbols: Option<&Rc<Addresses>>) -> Result<Totals> {
        let rows = match self.in_ledger() {
            true => vec![self.row(&total_key::default(), Amount::default(), recorded, symbols)],
            false => self.rows(object, recorded, symbols)?,
        };
        Ok(Totals {
            boot_ns: boot_now(),
            kind: recorded.kind,
            measure: self.measure(),
            names: self.names.clone(),
            rows,
            in_ledger: self.in_ledger(),
        })
    }

    /// Those of the map.
    fn rows(&self, object: &Object, recorded: &Recorded, symbols: Option<&Rc<Addresses>>) -> Result<Vec<Total>> {
        let map = object.maps().find(|map| map.name() == MAP).context("the object has no totals")?;
        let mut rows = Vec::new();
        for key in map.keys() {
            let found = map.lookup_percpu(&key, MapFlags::ANY).context("reading the totals")?;
            let mut amount = Amount::default();
            for value in found.into_iter().flatten() {
                amount.add(&self.amount(&padded(&value)?));
            }
            // It was just made: its hit is not counted yet.
            if amount.count > 0 {
                rows.push(self.row(&padded(&key)?, amount, recorded, symbols));
            }
        }
        Ok(rows)
    }

    /// Where in the kernel it was added up is not in it: rows that are else the same are joined when they are shown.
    fn row(&self, key: &total_key, amount: Amount, recorded: &Recorded, symbols: Option<&Rc<Addresses>>) -> Total {
        let func = match self.slots.iter().position(|slot| *slot == KeySlot::Func) {
            Some(at) if self.of_spec && recorded.only_function().is_none() => {
                format!("{} of {}", recorded.func(key.number.get(at).copied().unwrap_or(0)), self.label)
            }
            _ if self.of_spec => self.label.clone(),
            Some(at) => recorded.func(key.number.get(at).copied().unwrap_or(0)).to_owned(),
            None => self.label.clone(),
        };
        let (mut slots, mut texts, read) = (Vec::new(), Vec::new(), self.shown.len());
        for ((slot, number), text) in self.slots.iter().zip(key.number).zip(key.text.chunks(text_bytes())).take(read) {
            let number = match slot {
                KeySlot::Number(_) | KeySlot::Func => number,
                KeySlot::Text(_) => placed(number, read * 8 + texts.len()),
                KeySlot::Path(_) => placed(whole_names(number, text), read * 8 + texts.len()),
            };
            slots.extend_from_slice(&number.to_ne_bytes());
            if !matches!(slot, KeySlot::Number(_) | KeySlot::Func) {
                texts.extend_from_slice(text);
            }
        }
        slots.append(&mut texts);
        let symbols = self.shown.iter().any(|shown| shown.kind.has_symbols()).then(|| symbols.cloned()).flatten();
        let by = Keys::new(Arc::clone(&self.shown), slots, key.unread, symbols).of_program(recorded.is_of_program());
        Total { func, by, amount }
    }

    /// What one CPU has added up.
    fn amount(&self, value: &total) -> Amount {
        let mut amount = Amount { count: value.count, unread: value.unread, ..Amount::default() };
        let Some(of) = &self.value else { return amount };
        let wide = |number: u64| if of.signed { number.cast_signed().into() } else { i128::from(number) };
        if self.mode == total_mode::TOTAL_SUM && amount.values() > 0 {
            amount.sum = (wide(value.high) << 32) + i128::from(value.low);
            amount.range = Some((wide(value.min), wide(value.max)));
        }
        let powers = value.powers.iter().enumerate().filter(|(_, count)| **count > 0);
        amount.powers = powers.filter_map(|(place, count)| Some((Power::at(place)?, *count))).collect();
        amount
    }
}

/// Bytes of a key that is a string.
fn text_bytes() -> usize {
    let key = total_key::default();
    key.text.len() / key.number.len()
}

/// A string's slot, where it begins there.
fn placed(number: u64, at: usize) -> u64 {
    number & !0xffff | at as u64 & 0xffff
}

/// A path's slot, without a name that was cut: those at the root's end are missing.
fn whole_names(number: u64, text: &[u8]) -> u64 {
    /// `PATH_CUT` of path.bpf.h.
    const CUT: u64 = 2 << 32;
    let len = usize::try_from(number >> 16 & 0xffff).unwrap_or(usize::MAX);
    let Some(names) = text.get(..len).filter(|names| len == text.len() && !names.ends_with(b"\0")) else {
        return number;
    };
    let kept = names.iter().rposition(|byte| *byte == 0).map_or(len, |last| last + 1);
    number & !0xffff_0000 | (kept as u64) << 16 | CUT
}

/// A struct of which the end may be missing.
fn padded<T: plain::Plain + Default>(bytes: &[u8]) -> Result<T> {
    let mut all = bytes.to_vec();
    all.resize(size_of::<T>().max(bytes.len()), 0);
    let mut value = T::default();
    plain::copy_from_bytes(&mut value, &all).ok().context("the bytes of the totals")?;
    Ok(value)
}

#[cfg(test)]
mod tests;
