//! Units and entries, wherever they are: in the main part, among types, or in the part that files share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{
    AbbreviationsCacheStrategy, AttributeValue, DebuggingInformationEntry, DwAt, Dwarf, EndianSlice, LittleEndian,
    Section, Unit, UnitHeader, UnitOffset, UnitType, constants as dw,
};

use super::super::passing::Passing;
use crate::types::image::find;

pub(crate) type Slice<'a> = EndianSlice<'a, LittleEndian>;
pub(super) type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
pub(super) type Value<'a> = AttributeValue<Slice<'a>>;

/// The most entries that one question reads: of a large browser there are 100 million, of which it takes the units that
/// are asked for.
const ENTRIES: u64 = 40_000_000;
/// How often one entry stands for another.
const STEPS: usize = 16;

/// Where entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Info,
    /// Types in a section of their own, of DWARF 4.
    Types,
    /// In the file that others share.
    Shared,
}

/// An entry: its place in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct At {
    pub part: Part,
    pub offset: usize,
}

#[derive(Debug)]
struct File<'a> {
    dwarf: Dwarf<Slice<'a>>,
    headers: Vec<UnitHeader<Slice<'a>>>,
}

/// Those that were read; None: they cannot be.
type Units<'a> = HashMap<(Part, usize), Option<Rc<Unit<Slice<'a>>>>>;

/// Debug information, as it is looked at.
#[derive(Debug)]
pub(crate) struct Debug<'a> {
    info: File<'a>,
    shared: Option<File<'a>>,
    types: Vec<UnitHeader<Slice<'a>>>,
    units: RefCell<Units<'a>>,
    signatures: RefCell<Option<HashMap<u64, At>>>,
    /// How values of types are passed, of those that were asked for.
    pub(super) passings: RefCell<HashMap<At, Passing>>,
    pub(super) left: Cell<u64>,
}

impl<'a> Debug<'a> {
    pub(super) fn new(mut dwarf: Dwarf<Slice<'a>>, shared: Option<Dwarf<Slice<'a>>>) -> Self {
        // (Also, so that many units with one large table do not read it many times.)
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let mut types = Vec::new();
        let mut headers = dwarf.type_units();
        while let Ok(Some(header)) = headers.next() {
            types.push(header);
        }
        let shared = shared.map(|mut shared| {
            shared.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
            File { headers: headers_of(&shared), dwarf: shared }
        });
        let info = File { headers: headers_of(&dwarf), dwarf };
        let (units, signatures) = (RefCell::default(), RefCell::default());
        let passings = RefCell::default();
        Self { info, shared, types, units, signatures, passings, left: Cell::new(ENTRIES) }
    }

    pub(super) fn dwarf(&self, part: Part) -> &Dwarf<Slice<'a>> {
        match (part, &self.shared) {
            (Part::Shared, Some(shared)) => &shared.dwarf,
            _ => &self.info.dwarf,
        }
    }

    fn headers(&self, part: Part) -> &[UnitHeader<Slice<'a>>] {
        match (part, &self.shared) {
            (Part::Info, _) => &self.info.headers,
            (Part::Types, _) => &self.types,
            (Part::Shared, Some(shared)) => &shared.headers,
            (Part::Shared, None) => &[],
        }
    }

    /// How many units the main part has.
    pub(super) fn count(&self) -> usize {
        self.info.headers.len()
    }

    pub(super) fn unit(&self, part: Part, number: usize) -> Option<Rc<Unit<Slice<'a>>>> {
        if let Some(known) = self.units.borrow().get(&(part, number)) {
            return known.clone();
        }
        let header = self.headers(part).get(number)?;
        let unit = self.dwarf(part).unit(*header).ok().map(Rc::new);
        self.units.borrow_mut().insert((part, number), unit.clone());
        unit
    }

    /// The number of the unit that an entry is in.
    pub(super) fn number(&self, at: At) -> Option<usize> {
        self.headers(at.part).partition_point(|header| header.offset().0 <= at.offset).checked_sub(1)
    }

    fn within(&self, at: At) -> Option<(Rc<Unit<Slice<'a>>>, UnitOffset<usize>)> {
        let unit = self.unit(at.part, self.number(at)?)?;
        let offset = UnitOffset(at.offset.checked_sub(unit.header.offset().0)?);
        offset.is_in_bounds(&unit.header).then_some((unit, offset))
    }

    /// An entry, with its unit; None: there is none.
    pub(super) fn entry(&self, at: At) -> Option<(Rc<Unit<Slice<'a>>>, Entry<'a>)> {
        self.spend(1)?;
        let (unit, offset) = self.within(at)?;
        let entry = unit.entry(offset).ok()?;
        Some((unit, entry))
    }

    /// Calls for each entry within this one, with its depth in it (from 1), until that returns false.
    pub(super) fn inside(&self, at: At, mut take: impl FnMut(&Entry<'a>, usize) -> bool) -> Option<()> {
        let (unit, offset) = self.within(at)?;
        let (mut raw, mut entry) = (unit.entries_raw(Some(offset)).ok()?, Entry::null());
        raw.read_entry(&mut entry).ok()?;
        if !entry.has_children() {
            return Some(());
        }
        while raw.next_depth() > 0 && !raw.is_empty() {
            self.spend(1)?;
            if raw.read_entry(&mut entry).ok()? && !take(&entry, usize::try_from(entry.depth()).ok()?) {
                break;
            }
        }
        Some(())
    }

    /// The entries right within this one, up to so many.
    pub(super) fn children(&self, at: At, most: usize) -> Vec<(At, Entry<'a>)> {
        let mut found = Vec::new();
        let Some(base) = self.number(at).and_then(|number| self.headers(at.part).get(number)) else { return found };
        let base = base.offset().0;
        self.inside(at, |entry, depth| {
            if depth == 1 {
                let offset = base.saturating_add(entry.offset().0);
                found.push((At { part: at.part, offset }, entry.clone()));
            }
            found.len() < most
        });
        found
    }

    /// So many more entries may be read; None: they may not.
    pub(super) fn spend(&self, count: u64) -> Option<()> {
        self.left.set(self.left.get().checked_sub(count)?);
        Some(())
    }

    /// The entry that an attribute of one in this unit refers to.
    pub(super) fn refers(&self, part: Part, unit: &Unit<Slice<'a>>, value: &Value<'a>) -> Option<At> {
        match value {
            AttributeValue::UnitRef(offset) => Some(At { part, offset: unit.header.offset().0.checked_add(offset.0)? }),
            AttributeValue::DebugInfoRef(offset) => {
                Some(At { part: if part == Part::Shared { part } else { Part::Info }, offset: offset.0 })
            }
            AttributeValue::DebugInfoRefSup(offset) => Some(At { part: Part::Shared, offset: offset.0 }),
            AttributeValue::DebugTypesRef(signature) => self.signed(signature.0),
            _ => None,
        }
    }

    /// The same by the attribute's name.
    pub(super) fn attr_ref(&self, part: Part, unit: &Unit<Slice<'a>>, entry: &Entry<'a>, name: DwAt) -> Option<At> {
        self.refers(part, unit, &entry.attr_value(name)?)
    }

    /// The type that has this signature, in a unit of its own.
    fn signed(&self, signature: u64) -> Option<At> {
        let mut known = self.signatures.borrow_mut();
        let known = known.get_or_insert_with(|| {
            let parts = [(Part::Info, &self.info.headers), (Part::Types, &self.types)];
            let all = parts.into_iter().flat_map(|(part, headers)| headers.iter().map(move |header| (part, header)));
            let of = |(part, header): (Part, &UnitHeader<Slice<'a>>)| match header.type_() {
                UnitType::Type { type_signature, type_offset } => {
                    let offset = header.offset().0.checked_add(type_offset.0)?;
                    Some((type_signature.0, At { part, offset }))
                }
                _ => None,
            };
            all.filter_map(of).collect()
        });
        known.get(&signature).copied()
    }

    pub(super) fn text(&self, part: Part, unit: &Unit<Slice<'a>>, value: Value<'a>) -> Option<&'a [u8]> {
        Some(self.dwarf(part).attr_string(unit, value).ok()?.slice())
    }

    /// The name of an entry, or of what it stands for.
    pub(super) fn name(&self, at: At) -> Option<&'a [u8]> {
        self.own_or_origin(at, |at, unit, entry| self.text(at.part, unit, entry.attr_value(dw::DW_AT_name)?))
    }

    /// What an entry says itself, or the one that it is made from (of an inlined function, or of one that was declared).
    pub(super) fn own_or_origin<T>(
        &self,
        mut at: At,
        find: impl Fn(At, &Unit<Slice<'a>>, &Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..STEPS {
            let (unit, entry) = self.entry(at)?;
            if let Some(found) = find(at, &unit, &entry) {
                return Some(found);
            }
            let origin = [dw::DW_AT_abstract_origin, dw::DW_AT_specification];
            at = origin.iter().find_map(|name| self.attr_ref(at.part, &unit, &entry, *name))?;
        }
        None
    }

    /// Whether there may be anything of this name.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let wanted: Vec<u8> = name.bytes().chain([0]).collect();
        let has = |bytes: &Slice<'a>| find(bytes.slice(), &wanted).is_some();
        let shared = self.shared.as_ref().map(|shared| shared.dwarf.debug_str.reader());
        let own = [self.info.dwarf.debug_str.reader(), self.info.dwarf.debug_info.reader()];
        shared.into_iter().chain(own).any(has)
    }

    /// The address that an attribute has.
    pub(super) fn address(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>, name: DwAt) -> Option<u64> {
        self.info.dwarf.attr_address(unit, entry.attr_value(name)?).ok().flatten()
    }
}

fn headers_of<'a>(dwarf: &Dwarf<Slice<'a>>) -> Vec<UnitHeader<Slice<'a>>> {
    let (mut found, mut headers) = (Vec::new(), dwarf.units());
    while let Ok(Some(header)) = headers.next() {
        found.push(header);
    }
    found
}

/// A number that an entry has.
pub(super) fn udata(entry: &Entry<'_>, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

/// How many elements there are in a dimension of an array.
pub(super) fn count(dimension: &Entry<'_>) -> Option<u64> {
    let last = || udata(dimension, dw::DW_AT_upper_bound)?.checked_add(1);
    udata(dimension, dw::DW_AT_count).or_else(last)
}
