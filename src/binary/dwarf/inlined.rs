//! Functions without code of their own.

use gimli::constants as dw;

use super::entries::{At, Debug, Entry, Part};

/// How many places are listed.
const PLACES: usize = 8;

/// Where a function is inlined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inlined {
    /// Addresses, and which functions they are in.
    pub places: Vec<(u64, String)>,
    /// How many more there are.
    pub more: usize,
}

impl Debug<'_> {
    /// Where a function is that has no code of its own; None: there is none that is inlined.
    pub fn inlined(&self, name: &str) -> Option<Inlined> {
        let mut found = Inlined::default();
        let mut any = false;
        if !self.may_have(name) {
            return None;
        }
        for number in 0..self.count() {
            let mut origins: Vec<At> = Vec::new();
            self.each_function(number, |at, _, entry| {
                if entry.attr(dw::DW_AT_inline).is_some() && self.name(at) == Some(name.as_bytes()) {
                    origins.push(at);
                }
                true
            });
            if !origins.is_empty() {
                any = true;
                self.copies(number, &origins, &mut found);
            }
        }
        any.then_some(found)
    }

    /// The copies in a unit of the functions that these entries stand for.
    fn copies(&self, number: usize, origins: &[At], found: &mut Inlined) -> Option<()> {
        let unit = self.unit(Part::Info, number)?;
        let (mut raw, mut entry) = (unit.entries_raw(None).ok()?, Entry::null());
        let (mut outer, mut depth) = (None, 0);
        while !raw.is_empty() {
            self.spend(1)?;
            if !raw.read_entry(&mut entry).ok()? {
                continue;
            }
            if entry.tag() == dw::DW_TAG_subprogram {
                let offset = unit.header.offset().0.checked_add(entry.offset().0)?;
                (outer, depth) = (Some(At { part: Part::Info, offset }), entry.depth());
            }
            let origin = || self.attr_ref(Part::Info, &unit, &entry, dw::DW_AT_abstract_origin);
            if entry.tag() != dw::DW_TAG_inlined_subroutine || !origin().is_some_and(|at| origins.contains(&at)) {
                continue;
            }
            let low = [dw::DW_AT_entry_pc, dw::DW_AT_low_pc].iter().find_map(|name| self.address(&unit, &entry, *name));
            let low = low.or_else(|| Some(self.dwarf(Part::Info).die_ranges(&unit, &entry).ok()?.next().ok()??.begin));
            let Some(low) = low else { continue };
            if found.places.len() >= PLACES {
                found.more = found.more.saturating_add(1);
                continue;
            }
            let name = outer.filter(|_| entry.depth() > depth).and_then(|outer| self.name(outer));
            let within = name
                .map_or_else(|| "place not known".to_owned(), |name| format!("in {}", String::from_utf8_lossy(name)));
            found.places.push((low, within));
        }
        Some(())
    }
}
