//! Functions by their addresses and names, with what they are called with.

use std::collections::HashMap;

use gimli::{AttributeValue, Unit, constants as dw};

use super::super::machine::Machine;
use super::super::passing::Passing;
use super::entries::{At, Debug, Entry, Part, Slice};
use super::place::{Entry as AtEntry, Found, Stage, passing, place};

/// The most parameters of a function.
const PARAMS: usize = 256;

/// A function, as its source has it.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "where it is, and what it is called, are part of what it is")]
pub(crate) struct Described {
    pub at: At,
    pub name: String,
    pub params: Vec<Param>,
    /// None: it returns nothing.
    pub returns: Option<At>,
    pub result: Passing,
    pub variadic: bool,
    pub is_rust: bool,
    /// It was compiled by LLVM, which says where each argument is that is used.
    pub is_llvm: bool,
    /// It is called with something else than its source says.
    pub is_changed: bool,
    pub never_returns: bool,
}

/// A parameter or a variable.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// None: it has none, or the compiler has made it up.
    pub name: Option<String>,
    /// None: it is not known.
    pub ty: Option<At>,
    pub found: Found,
    pub passing: Passing,
}

impl<'a> Debug<'a> {
    /// The entries of the functions that begin at these addresses.
    pub fn functions_at(&self, addresses: &[u64]) -> HashMap<u64, At> {
        let (mut found, mut by_unit): (HashMap<u64, At>, HashMap<usize, Vec<u64>>) = Default::default();
        for (address, number) in addresses.iter().zip(self.units_of(addresses)) {
            if let Some(number) = number {
                by_unit.entry(number).or_default().push(*address);
            }
        }
        for (number, wanted) in by_unit {
            self.each_function(number, |at, unit, entry| {
                let low = self.address(unit, entry, dw::DW_AT_low_pc).or_else(|| self.first_range(unit, entry));
                if let Some(low) = low.filter(|low| wanted.contains(low)) {
                    found.entry(low).or_insert(at);
                }
                true
            });
        }
        found
    }

    fn first_range(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<u64> {
        entry.attr(dw::DW_AT_ranges)?;
        let entry_pc = self.address(unit, entry, dw::DW_AT_entry_pc);
        entry_pc.or_else(|| Some(self.dwarf(Part::Info).die_ranges(unit, entry).ok()?.next().ok()??.begin))
    }

    /// The unit that an address is in.
    pub(super) fn unit_of(&self, address: u64) -> Option<usize> {
        self.units_of(&[address]).pop()?
    }

    /// The numbers of the units that these addresses are in.
    fn units_of(&self, addresses: &[u64]) -> Vec<Option<usize>> {
        let mut found: Vec<Option<usize>> = vec![None; addresses.len()];
        // Where there is an index, it is of all units, or of those that one compiler made.
        fill(addresses, &mut found, self.indexed());
        if found.contains(&None) {
            fill(addresses, &mut found, self.of_units());
        }
        found
    }

    /// Addresses by the index, with the numbers of their units.
    fn indexed(&self) -> Vec<(u64, u64, usize)> {
        let (mut ranges, mut headers) = (Vec::new(), self.dwarf(Part::Info).debug_aranges.headers());
        while let Ok(Some(header)) = headers.next() {
            let Some(unit) = self.number(At { part: Part::Info, offset: header.debug_info_offset().0 }) else {
                continue;
            };
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                ranges.push((entry.range().begin, entry.range().end, unit));
            }
        }
        ranges
    }

    /// The same by what the units say themselves.
    fn of_units(&self) -> Vec<(u64, u64, usize)> {
        let mut all = Vec::new();
        for number in 0..self.count() {
            let Some(unit) = self.unit(Part::Info, number) else { continue };
            let Ok(mut ranges) = self.dwarf(Part::Info).unit_ranges(&unit) else { continue };
            while let Ok(Some(range)) = ranges.next() {
                if self.spend(1).is_none() {
                    return all;
                }
                all.push((range.begin, range.end, number));
            }
        }
        all
    }

    /// Calls for each function of a unit, until that returns false.
    pub(super) fn each_function(
        &self,
        number: usize,
        mut take: impl FnMut(At, &Unit<Slice<'a>>, &Entry<'a>) -> bool,
    ) -> Option<()> {
        let unit = self.unit(Part::Info, number)?;
        let (mut raw, mut entry) = (unit.entries_raw(None).ok()?, Entry::null());
        while !raw.is_empty() {
            self.spend(1)?;
            let (offset, before) = (raw.next_offset(), raw.clone());
            let Some(abbreviation) = raw.read_abbreviation().ok()? else { continue };
            if abbreviation.tag() != dw::DW_TAG_subprogram {
                raw.skip_attributes(abbreviation.attributes()).ok()?;
                continue;
            }
            raw = before;
            raw.read_entry(&mut entry).ok()?;
            let at = At { part: Part::Info, offset: unit.header.offset().0.saturating_add(offset.0) };
            if !take(at, &unit, &entry) {
                break;
            }
        }
        Some(())
    }

    /// The functions with code that are called so in the source, and their addresses: for names that the linker does not
    /// have as they are written.
    pub fn functions_called(&self, name: &str) -> Vec<(u64, At)> {
        let mut found = Vec::new();
        let count = if self.may_have(name) { self.count() } else { 0 };
        for number in 0..count {
            self.each_function(number, |at, unit, entry| {
                let low = || self.address(unit, entry, dw::DW_AT_low_pc).or_else(|| self.first_range(unit, entry));
                let declared = entry.attr(dw::DW_AT_declaration).is_some() || entry.attr(dw::DW_AT_inline).is_some();
                if !declared && self.name(at) == Some(name.as_bytes()) {
                    found.extend(low().filter(|low| *low > 0).map(|low| (low, at)));
                }
                true
            });
        }
        found.sort_unstable();
        found.dedup_by_key(|(address, _)| *address);
        found
    }

    /// Whether what is known of functions is in files of its own (`.dwo`).
    pub fn is_split(&self) -> bool {
        let is_split =
            |number| self.unit(Part::Info, number).is_some_and(|unit| unit.dwo_name().is_ok_and(|name| name.is_some()));
        (0..self.count().min(64)).any(is_split)
    }

    /// What a function is called with, at its entry.
    pub fn described(&self, at: At, machine: Machine) -> Option<Described> {
        let (unit, entry) = self.entry(at)?;
        // Assemblers say where functions are, and know nothing of what they are called with.
        let language = language(&unit);
        if language == Some(dw::DW_LANG_Mips_Assembler) {
            return None;
        }
        let is_rust = language == Some(dw::DW_LANG_Rust);
        let is_llvm =
            is_rust || self.producer(at.part, &unit).is_some_and(|name| name.windows(5).any(|word| word == b"clang"));
        let low = self.address(&unit, &entry, dw::DW_AT_low_pc).or_else(|| self.first_range(&unit, &entry));
        let name = self.name(at).unwrap_or_default();
        let here = AtEntry { machine, address: low.unwrap_or(0), stage: entry_stage(&unit, &entry) };
        let (params, variadic) = self.params(at, &here);
        let returns = self.own_or_origin(at, |at, unit, entry| self.attr_ref(at.part, unit, entry, dw::DW_AT_type));
        let (name, result) = (String::from_utf8_lossy(name).into_owned(), self.passing(returns));
        // The compiler has changed what a function is called with that only it calls (LLVM: DeadArgumentElimination.cpp).
        let convention = entry.attr_value(dw::DW_AT_calling_convention);
        let is_changed = convention == Some(AttributeValue::CallingConvention(dw::DW_CC_nocall));
        let never = self.own_or_origin(at, |_, _, entry| entry.attr_value(dw::DW_AT_noreturn));
        let never_returns = never == Some(AttributeValue::Flag(true));
        Some(Described { at, name, params, returns, result, variadic, is_rust, is_llvm, is_changed, never_returns })
    }

    /// What a unit was compiled by.
    fn producer(&self, part: Part, unit: &Unit<Slice<'a>>) -> Option<&'a [u8]> {
        let root = unit.entry(gimli::UnitOffset(unit.header.size_of_header())).ok()?;
        self.text(part, unit, root.attr_value(dw::DW_AT_producer)?)
    }

    /// Its own parameters, or of what it is made from where it has none.
    fn params(&self, at: At, here: &AtEntry) -> (Vec<Param>, bool) {
        let mut from = at;
        for _ in 0..4 {
            let (mut params, mut variadic) = (Vec::new(), false);
            for (child, entry) in self.children(from, 4096) {
                match entry.tag() {
                    dw::DW_TAG_formal_parameter if params.len() < PARAMS => params.extend(self.variable(child, here)),
                    dw::DW_TAG_unspecified_parameters => variadic = true,
                    _ => {}
                }
            }
            let origin = || {
                let (unit, entry) = self.entry(from)?;
                let names = [dw::DW_AT_abstract_origin, dw::DW_AT_specification];
                names.iter().find_map(|name| self.attr_ref(from.part, &unit, &entry, *name))
            };
            match origin() {
                Some(origin) if params.is_empty() && !variadic => from = origin,
                _ => return (params, variadic),
            }
        }
        (Vec::new(), false)
    }

    /// A parameter or a variable, and where it is.
    pub(super) fn variable(&self, at: At, here: &AtEntry) -> Option<Param> {
        let (unit, entry) = self.entry(at)?;
        let made_up = matches!(
            self.own_or_origin(at, |_, _, entry| entry.attr_value(dw::DW_AT_artificial)),
            Some(AttributeValue::Flag(true))
        );
        let name = self.name(at).map(|name| String::from_utf8_lossy(name).into_owned());
        let name = name.filter(|name| !name.is_empty() && (!made_up || name == "this"));
        let ty = self.own_or_origin(at, |at, unit, entry| self.attr_ref(at.part, unit, entry, dw::DW_AT_type));
        let location = entry.attr_value(dw::DW_AT_location);
        let stated = location.as_ref().and_then(|location| passing(self, &unit, location, here));
        let found = match location {
            Some(value) => place(self, &unit, value, here),
            None => match entry.attr_value(dw::DW_AT_const_value).and_then(|value| constant(&value)) {
                Some(constant) => Found::At(super::super::origin::Origin::Constant(constant)),
                None => Found::Nowhere,
            },
        };
        let passing = match (self.passing(ty), stated) {
            // What is read there at its entry is an address.
            (Passing::ByValue | Passing::Unknown, Some(Passing::ByReference)) => Passing::ByReference,
            // Older Clang does not say of a constructor that it is the one of every class.
            (Passing::ByReference, Some(Passing::ByValue)) => Passing::ByValue,
            (passing, _) => passing,
        };
        Some(Param { name, ty, found, passing })
    }
}

/// How variables are counted at the entry of a function.
pub(super) fn entry_stage<'a>(unit: &Unit<Slice<'a>>, function: &Entry<'a>) -> Stage {
    let by_caller = match function.attr_value(dw::DW_AT_frame_base) {
        Some(AttributeValue::Exprloc(expression)) => {
            matches!(expression.operations(unit.encoding()).next(), Ok(Some(gimli::Operation::CallFrameCFA)))
        }
        _ => false,
    };
    Stage::Entry { by_caller }
}

/// Finds the range that each address is in.
fn fill(addresses: &[u64], found: &mut [Option<usize>], mut ranges: Vec<(u64, u64, usize)>) {
    ranges.sort_unstable();
    for (address, found) in addresses.iter().zip(found).filter(|(_, found)| found.is_none()) {
        let before = ranges.partition_point(|(begin, ..)| begin <= address);
        let last = before.checked_sub(1).and_then(|last| ranges.get(last));
        *found = last.filter(|(_, end, _)| address < end).map(|(.., unit)| *unit);
    }
}

fn constant(value: &AttributeValue<Slice<'_>>) -> Option<i64> {
    value.sdata_value().or_else(|| value.udata_value().map(u64::cast_signed))
}

/// What a unit was written in.
fn language(unit: &Unit<Slice<'_>>) -> Option<gimli::DwLang> {
    let root = unit.entry(gimli::UnitOffset(unit.header.size_of_header())).ok()?;
    match root.attr_value(dw::DW_AT_language)? {
        AttributeValue::Language(language) => Some(language),
        _ => None,
    }
}
