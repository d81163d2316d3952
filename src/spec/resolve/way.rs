//! The way to a value: from a word of the context through pointers, members and elements.

use super::error::Wrong;
use super::spell::spell;
use super::typed::{Int, Shape, Ty, shape, size};
use crate::spec::ir::{Base, DEREFS_MAX, Deref, Read, Slot, Space};
use crate::types::model::{Types, kind};

/// How deep anonymous structs and unions are searched.
const DEPTH: u8 = 16;

/// Where a value is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub base: Base,
    /// For a struct by value in two words: the second one.
    pub second: Option<u32>,
    /// The first of the two is where no probe can read it.
    pub first_lost: bool,
    /// How many bits of the word are before it: a member of a struct by value.
    pub shift: u8,
    pub derefs: Vec<Deref>,
    pub at: At,
    pub ty: Ty,
    /// Of a bit field: its first bit, from `at` on, and its width.
    pub bits: Option<(u8, u8)>,
    /// Whose memory a pointer leads to that says nothing of it.
    pub space: Space,
}

/// The last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The value is the address so far, plus this.
    Value { offset: i64 },
    /// It is in memory, at the address so far plus this.
    Memory { offset: i64, space: Space },
}

/// A member that was found, in anonymous ones, too.
struct Found {
    id: u32,
    /// In bits.
    offset: u64,
    bits: u32,
}

impl Way {
    /// To a word of the context.
    pub fn word(index: u32, typed: bool, ty: Ty) -> Self {
        let (at, space) = (At::Value { offset: 0 }, Space::Kernel);
        let (base, derefs) = (Base::Word { index, typed }, Vec::new());
        Self { base, second: None, first_lost: false, shift: 0, derefs, at, ty, bits: None, space }
    }

    /// To the current task.
    pub fn task(ty: Ty) -> Self {
        Self { base: Base::Task, ..Self::word(0, false, ty) }
    }

    /// The same, as another type.
    pub fn cast(self, ty: Ty) -> Self {
        // The verifier knows what it was.
        let base = match self.base {
            Base::Word { index, .. } => Base::Word { index, typed: false },
            base => base,
        };
        Self { base, ty, ..self }
    }

    /// To what the pointer here points to.
    pub fn follow(&self, types: &Types) -> Result<Way, Wrong> {
        let (to, user) = match shape(types, self.ty) {
            Shape::Pointer { to, user } => (to, user),
            Shape::Word => (Ty::of(0), false),
            _ => return Err(Wrong::new(format!("{} is no pointer", spell(types, self.ty)))),
        };
        // What a user's memory has to say of addresses is not believed.
        let space = if user { Space::User } else { self.space };
        let mut next = Way { ty: to, space, bits: None, second: None, first_lost: false, shift: 0, ..self.clone() };
        match self.at {
            At::Value { offset } => next.at = At::Memory { offset, space },
            At::Memory { offset, space: here } => {
                if self.derefs.len() >= DEREFS_MAX {
                    return Err(Wrong::new(format!("more than {DEREFS_MAX} pointers are followed to it")));
                }
                next.derefs.push(Deref { offset: bounded(offset)?, space: here });
                next.at = At::Memory { offset: 0, space };
            }
        }
        Ok(next)
    }

    /// To the address of what is here in memory, as a pointer to `ty` would have it.
    pub fn address(&self) -> Option<Way> {
        match self.at {
            At::Memory { offset, .. } => Some(Way { at: At::Value { offset }, bits: None, ..self.clone() }),
            At::Value { .. } => None,
        }
    }

    /// The struct that has this as its members: what a pointer points to, where it is one.
    pub fn composite(&self, types: &Types) -> Option<Way> {
        match shape(types, self.ty) {
            Shape::Pointer { to, .. } if matches!(shape(types, to), Shape::Struct { .. }) => self.follow(types).ok(),
            Shape::Struct { .. } => Some(self.clone()),
            _ => None,
        }
    }

    /// To a member of the struct here; None: it has none of this name.
    pub fn member(&self, types: &Types, name: &str) -> Option<Result<Way, Wrong>> {
        let Shape::Struct { id, .. } = shape(types, self.ty) else { return None };
        let found = search(types, id, name.as_bytes(), 0, DEPTH)?;
        Some(self.inner(types, &found))
    }

    /// To a member of the struct here, by its place in it.
    pub fn inner_at(&self, types: &Types, id: u32, offset: u32, bits: u32) -> Result<Way, Wrong> {
        self.inner(types, &Found { id, offset: offset.into(), bits })
    }

    fn inner(&self, types: &Types, found: &Found) -> Result<Way, Wrong> {
        let ty = Ty::of(found.id);
        let (from, bits) = placed(types, ty, found);
        let mut next = Way { ty, bits, ..self.clone() };
        let from = i64::try_from(from).map_err(|_| too_far())?;
        match self.at {
            At::Memory { offset, space } => {
                next.at = At::Memory { offset: offset.checked_add(from).ok_or_else(too_far)?, space };
                Ok(next)
            }
            At::Value { .. } => {
                let bytes = size(types, ty).unwrap_or(8);
                self.of_value(next, from, i64::try_from(bytes).unwrap_or(i64::MAX))
            }
        }
    }

    /// A struct by value is in one register or two.
    fn of_value(&self, mut next: Way, from: i64, bytes: i64) -> Result<Way, Wrong> {
        let wrong = |why: &str| Err(Wrong::new(format!("the struct is passed by value: {why}")));
        if !self.derefs.is_empty() || next.bits.is_some() {
            return wrong("a bit field of it cannot be read");
        }
        let (half, within) = (from / 8, from % 8);
        if within > 0 && within + bytes > 8 {
            return wrong("what is in two registers in part cannot be read");
        }
        match (half, self.second) {
            (0, _) if self.first_lost && bytes <= 8 => {
                return wrong("this part of it is in a register for floats, which probes cannot read");
            }
            (0, _) => {}
            (1, Some(second)) => {
                next.base = Base::Word { index: second, typed: false };
                (next.second, next.first_lost) = (None, false);
            }
            _ => return wrong("this part of it is in no register that probes can read"),
        }
        next.shift = u8::try_from(within * 8).unwrap_or(0).saturating_add(if half == 0 { self.shift } else { 0 });
        Ok(next)
    }

    /// To an element of the array here, or of what the pointer here points to.
    pub fn index(&self, types: &Types, index: u64) -> Result<Way, Wrong> {
        let (start, of) = match shape(types, self.ty) {
            Shape::Array { of, count } => {
                // One that is declared with none has as many as there is room for.
                if count > 0 && index >= count.into() {
                    let last = count - 1;
                    return Err(Wrong::new(format!("{} ends at [{last}]", spell(types, self.ty))));
                }
                (self.clone(), of)
            }
            Shape::Pointer { to, .. } => (self.follow(types)?, to),
            _ => return Err(Wrong::new(format!("{} is no array", spell(types, self.ty)))),
        };
        let each = size(types, of).filter(|each| *each > 0);
        let each = each.ok_or_else(|| Wrong::new(format!("the size of {} is not known", spell(types, of))))?;
        let from = index.checked_mul(each).and_then(|from| i64::try_from(from).ok()).ok_or_else(too_far)?;
        let mut next = Way { ty: of, bits: None, second: None, ..start };
        match &mut next.at {
            At::Memory { offset, .. } => *offset = offset.checked_add(from).ok_or_else(too_far)?,
            At::Value { .. } => return Err(Wrong::new("the array is passed by value")),
        }
        Ok(next)
    }

    fn slot(&self, read: Read) -> Slot {
        Slot { base: self.base, derefs: self.derefs.clone(), read }
    }

    /// The number here, as it is declared.
    pub fn number(&self, int: Int) -> Result<Slot, Wrong> {
        let wide = int.size.saturating_mul(8);
        match self.at {
            _ if int.size > 8 => Err(Wrong::new(format!("it has {} bytes, and numbers at most 8", int.size))),
            At::Value { offset } => {
                let narrow = (int.size < 8).then_some((int.size, int.signed));
                Ok(self.slot(Read::Plain { offset: bounded(offset)?, shift: self.shift, narrow }))
            }
            At::Memory { offset, space } => {
                let (first, width) = self.bits.unwrap_or((0, wide));
                let (mut size, offset) = (int.size, bounded(offset)?);
                // A bit field that is packed may end behind the bytes of its type.
                while first.saturating_add(width) > size.saturating_mul(8) && size < 8 {
                    size *= 2;
                }
                let right = 64_u8.saturating_sub(width);
                let left =
                    right.checked_sub(first).ok_or_else(|| Wrong::new("the bit field is in more than 8 bytes"))?;
                Ok(self.slot(Read::Number { offset, space, size, left, right, signed: int.signed }))
            }
        }
    }

    /// All 8 bytes here: an address, or a word of no type.
    pub fn whole(&self) -> Result<Slot, Wrong> {
        self.number(Int::plain(8, false))
    }

    /// What is read in memory, here.
    pub fn memory(&self, read: impl FnOnce(i32, Space) -> Read) -> Result<Slot, Wrong> {
        match self.at {
            At::Memory { offset, space } => Ok(self.slot(read(bounded(offset)?, space))),
            At::Value { .. } => Err(Wrong::new("it is in a register, not in memory")),
        }
    }

    /// The same, where it does not matter whose memory it is.
    pub fn anywhere(mut self) -> Self {
        if let At::Memory { space: space @ Space::Kernel, .. } = &mut self.at {
            *space = Space::ByAddress;
        }
        self
    }
}

fn bounded(offset: i64) -> Result<i32, Wrong> {
    i32::try_from(offset).map_err(|_| too_far())
}

fn too_far() -> Wrong {
    Wrong::new("it is more than 2 GB away from where it begins")
}

/// In which byte a member begins, and for a bit field its bits from there: from where its type would be, where it is in it.
fn placed(types: &Types, ty: Ty, found: &Found) -> (u64, Option<(u8, u8)>) {
    let (size, own) = match shape(types, ty) {
        Shape::Int(int) => (u64::from(int.size), u32::from(int.bits)),
        Shape::Enum { int, .. } => (u64::from(int.size), 0),
        _ => (0, 0),
    };
    let declared = if own > 0 && u64::from(own) < size * 8 { own } else { 0 };
    let width = if found.bits > 0 { found.bits } else { declared };
    let Some(width) = u8::try_from(width).ok().filter(|width| (1..=64).contains(width) && size > 0) else {
        return (found.offset / 8, None);
    };
    let aligned = found.offset - found.offset % (size * 8);
    let fits = found.offset - aligned + u64::from(width) <= size * 8;
    let from = if fits { aligned } else { found.offset - found.offset % 8 };
    (from / 8, u8::try_from(found.offset - from).ok().map(|first| (first, width)))
}

/// A member by its name: of the struct itself first, then in what has no name.
fn search(types: &Types, id: u32, name: &[u8], before: u64, depth: u8) -> Option<Found> {
    let of = types.get(id)?;
    let at = |offset: u32| before.checked_add(offset.into());
    if let Some(member) = types.members(of).find(|member| member.name == name && !name.is_empty()) {
        return Some(Found { id: member.id, offset: at(member.offset)?, bits: member.bits });
    }
    let depth = depth.checked_sub(1)?;
    types.members(of).filter(|member| member.name.is_empty()).find_map(|member| {
        let inner = types.plain(member.id)?;
        matches!(types.get(inner)?.kind, kind::STRUCT | kind::UNION).then_some(())?;
        search(types, inner, name, at(member.offset)?, depth)
    })
}

/// The names of a struct's members with their types, those in anonymous ones, too.
pub(crate) fn members(types: &Types, id: u32) -> Vec<(String, Ty)> {
    let mut all = Vec::new();
    collect(types, id, DEPTH, &mut all);
    all
}

fn collect(types: &Types, id: u32, depth: u8, all: &mut Vec<(String, Ty)>) {
    let Some((of, depth)) = types.get(id).zip(depth.checked_sub(1)) else { return };
    for member in types.members(of) {
        match types.plain(member.id) {
            Some(inner) if member.name.is_empty() => collect(types, inner, depth, all),
            _ => all.push((String::from_utf8_lossy(member.name).into_owned(), Ty::of(member.id))),
        }
    }
}
