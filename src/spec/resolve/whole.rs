//! A struct as a whole: its members, by their names.

use super::error::Wrong;
use super::maker::Maker;
use super::spell::spell;
use super::typed::{Shape, shape};
use super::way::Way;
use crate::event::{Shown, ShownKind, Style};
use crate::types::model::Types;

/// How many values of it are shown, and how deep structs in it are.
const VALUES: usize = 24;
const LEVELS: u8 = 3;
/// The same where there is no room for more.
const FEW: usize = 4;
/// How many names are listed of what is left out.
const LISTED: usize = 8;

/// What is shown so far.
struct Whole {
    /// How many slots there may be.
    until: usize,
    left_out: Vec<String>,
}

impl Maker<'_> {
    /// The struct here, with the structs in it.
    pub fn whole(&mut self, way: &Way) -> Result<ShownKind, Wrong> {
        let values = if self.roomy { VALUES } else { FEW };
        let mut whole = Whole { until: self.slots.len() + values, left_out: Vec::new() };
        let parts = self.members(way, LEVELS, &mut whole);
        let name = spell(self.types, way.ty);
        if parts.is_empty() {
            return Err(Wrong::new(format!("no member of {name} can be shown")));
        }
        let count = whole.left_out.len();
        if count > 0 {
            let listed =
                whole.left_out.get(..LISTED).map_or_else(|| whole.left_out.join(", "), |few| few.join(", ") + ", …");
            self.note(format!("{name}: {} of its members left out: {listed}", count));
        }
        Ok(ShownKind::Group { style: Style::Braces, address: None, parts })
    }

    fn members(&mut self, way: &Way, levels: u8, whole: &mut Whole) -> Vec<Shown> {
        let mut parts = Vec::new();
        let Shape::Struct { of, .. } = shape(self.types, way.ty) else { return parts };
        // (So that libbpf's bytes are not borrowed from self while it changes.)
        let types: &Types = self.types;
        for member in types.members(of) {
            let name = String::from_utf8_lossy(member.name).into_owned();
            let Ok(inner) = way.inner_at(types, member.id, member.offset, member.bits) else {
                whole.left_out.push(name);
                continue;
            };
            let composite = matches!(shape(types, inner.ty), Shape::Struct { .. });
            if name.is_empty() {
                // An anonymous struct's members are those of what it is in; a bit field without a name is a gap.
                if composite && levels > 0 {
                    parts.extend(self.members(&inner, levels - 1, whole));
                }
                continue;
            }
            match self.member_kind(&name, &inner, levels, whole) {
                Some(kind) => parts.push(Shown { name, kind }),
                None => whole.left_out.push(name),
            }
        }
        parts
    }

    fn member_kind(&mut self, name: &str, way: &Way, levels: u8, whole: &mut Whole) -> Option<ShownKind> {
        let (before, notes) = (self.slots.len(), self.notes.len());
        if before >= whole.until {
            return None;
        }
        let kind = match shape(self.types, way.ty) {
            Shape::Struct { .. } => match self.summary(way) {
                Some(kind) => Some(kind),
                None => {
                    let levels = levels.checked_sub(1).filter(|levels| *levels > 0)?;
                    let parts = self.members(way, levels, whole);
                    (!parts.is_empty()).then_some(ShownKind::Group { style: Style::Braces, address: None, parts })
                }
            },
            // A list of structs is no value, and a page full of numbers is none to read.
            Shape::Array { of, .. } if matches!(shape(self.types, of), Shape::Struct { .. } | Shape::Array { .. }) => {
                None
            }
            _ => self.plain(name, way).ok(),
        };
        if kind.is_none() || self.slots.len() > whole.until {
            self.slots.truncate(before);
            self.notes.truncate(notes);
            return None;
        }
        kind
    }
}
