//! Values as the user wants them shown, where that makes sense.

use super::error::Wrong;
use super::maker::Maker;
use super::shown::text;
use super::spell::spell;
use super::typed::{Form, Int, Shape, Ty, shape, size};
use super::way::Way;
use crate::event::ShownKind;
use crate::spec::ast::Format;
use crate::spec::ir::{Read, STR_DEFAULT, STR_MAX, Slot};
use crate::types::model::Types;

impl Maker<'_> {
    /// A value in a format. `called` as of [`Maker::kind`].
    pub fn formatted(&mut self, called: &str, way: &Way, format: Format) -> Result<ShownKind, Wrong> {
        match format {
            Format::Hex => self.number(way, |int| Int { signed: false, ..int }, |slot, _| ShownKind::Hex { slot }),
            Format::Octal => self.number(way, |int| Int { signed: false, ..int }, |slot, _| ShownKind::Octal { slot }),
            Format::Char => self.number(way, |int| int, |slot, _| ShownKind::Char { slot }),
            Format::Signed => self.number(way, |int| Int { signed: true, ..int }, plain_int),
            Format::Unsigned => self.number(way, |int| Int { signed: false, ..int }, plain_int),
            Format::Int { size, signed } => {
                let int = Int::plain(size, signed);
                fits(self.types, way, size, "an integer")?;
                Ok(plain_int(self.add(way.number(int)?), int))
            }
            Format::Float { size } => {
                fits(self.types, way, size, "a float")?;
                // Its first bytes are no smaller float.
                if let Shape::Float { size: own } = shape(self.types, way.ty)
                    && own > 8
                    && own != size
                {
                    let [own, size] = [own, size].map(|bytes| u32::from(bytes) * 8);
                    return Err(Wrong::new(format!(
                        "it is a float of {own} bits, and cannot be read as one of {size}"
                    )));
                }
                self.float(way, size)
            }
            Format::Pointer => Ok(ShownKind::Pointer { slot: self.address(way)? }),
            Format::Symbol => Ok(ShownKind::Symbol { slot: self.address(way)? }),
            Format::Str { max } => self.text(way, max),
            Format::Bytes { len } => self.bytes(way, len),
            Format::Raw => self.raw(called, way),
        }
    }

    fn number(
        &mut self,
        way: &Way,
        read: impl Fn(Int) -> Int,
        kind: impl Fn(usize, Int) -> ShownKind,
    ) -> Result<ShownKind, Wrong> {
        let int = read(number(self.types, way)?);
        Ok(kind(self.add(way.number(int)?), int))
    }

    /// An address as a number: what is here, or where an array or a struct is.
    fn address(&mut self, way: &Way) -> Result<usize, Wrong> {
        match shape(self.types, way.ty) {
            Shape::Array { .. } | Shape::Struct { .. } => {
                let address = way.address().ok_or_else(|| Wrong::new("it is passed by value, and has no address"))?;
                Ok(self.add(address.whole()?))
            }
            Shape::Pointer { .. } | Shape::Word | Shape::Int(Int { size: 8, .. }) => Ok(self.add(way.whole()?)),
            _ => Err(Wrong::new(format!("{} is no address", spell(self.types, way.ty)))),
        }
    }

    fn text(&mut self, way: &Way, max: Option<u32>) -> Result<ShownKind, Wrong> {
        let max = max.unwrap_or(STR_DEFAULT);
        if !(1..=STR_MAX).contains(&max) {
            return Err(Wrong::new(format!("a string has 1 to {STR_MAX} bytes")));
        }
        let spelled = spell(self.types, way.ty);
        let wrong = Wrong::new(format!("{spelled} is no string"));
        match shape(self.types, way.ty) {
            Shape::Pointer { to, .. } | Shape::Array { of: to, .. } if may_be_text(self.types, to) => {
                self.string(way, max)
            }
            Shape::Word | Shape::Void | Shape::Located { .. } => self.string(way, max),
            Shape::Pointer { to, .. } if matches!(shape(self.types, to), Shape::Struct { .. }) => {
                Err(wrong.hint("name a member of it that is one: …->name"))
            }
            Shape::Struct { .. } => Err(wrong.hint("name a member of it that is one: ….name")),
            Shape::Int(Int { size: 8, .. }) => Err(wrong.hint("if it is the address of one: (char *)…")),
            _ => Err(wrong),
        }
    }

    fn bytes(&mut self, way: &Way, len: u32) -> Result<ShownKind, Wrong> {
        if !(1..=STR_MAX).contains(&len) {
            return Err(Wrong::new(format!("1 to {STR_MAX} bytes can be shown")));
        }
        let place = match shape(self.types, way.ty) {
            // Whose memory it is that such a pointer leads to, it does not say.
            Shape::Pointer { to, .. } if may_be_text(self.types, to) => way.follow(self.types)?.anywhere(),
            Shape::Word => way.follow(self.types)?.anywhere(),
            Shape::Pointer { .. } => way.follow(self.types)?,
            Shape::Array { count: 0, .. } | Shape::Void => way.clone(),
            _ if way.bits.is_some() => return Err(Wrong::new("a bit field has no bytes of its own")),
            _ => {
                let has = size(self.types, way.ty).unwrap_or(0);
                if u64::from(len) > has {
                    return Err(Wrong::new(format!("{} has only {has} bytes", spell(self.types, way.ty))));
                }
                way.clone()
            }
        };
        let slot = place.memory(|offset, space| Read::Bytes { offset, space, len })?;
        Ok(ShownKind::Bytes { slot: self.add(slot) })
    }

    fn raw(&mut self, called: &str, way: &Way) -> Result<ShownKind, Wrong> {
        match shape(self.types, way.ty) {
            Shape::Pointer { .. } | Shape::Word => Ok(ShownKind::Pointer { slot: self.address(way)? }),
            Shape::Int(_) | Shape::Enum { .. } => self.number(way, |int| int, plain_int),
            Shape::Struct { .. } => self.whole(way),
            _ => self.plain(called, way),
        }
    }
}

fn plain_int(slot: usize, int: Int) -> ShownKind {
    ShownKind::Int { slot, signed: int.signed }
}

/// What is here as a number, whatever it is used for.
pub(crate) fn number(types: &Types, way: &Way) -> Result<Int, Wrong> {
    match shape(types, way.ty) {
        Shape::Int(int) | Shape::Enum { int, .. } => Ok(Int { form: Form::Number, ..int }),
        Shape::Pointer { .. } | Shape::Word => Ok(Int::plain(8, false)),
        Shape::Located { .. } => Ok(Int::plain(4, false)),
        Shape::Void => Err(Wrong::new("how large it is is not known").hint("say it: :u8 to :u64, :i8 to :i64")),
        _ => Err(Wrong::new(format!("{} is no number", spell(types, way.ty)))),
    }
}

fn fits(types: &Types, way: &Way, wanted: u8, what: &str) -> Result<(), Wrong> {
    if way.bits.is_some() {
        return Err(Wrong::new("a bit field has the width that it has"));
    }
    match (shape(types, way.ty), size(types, way.ty)) {
        (Shape::Void, _) => Ok(()),
        (_, Some(has)) if u64::from(wanted) <= has => Ok(()),
        _ => Err(Wrong::new(format!("{} is too small for {what} of {wanted} bytes", spell(types, way.ty)))),
    }
}

/// Whether this may be a character: of one byte, or not known.
fn may_be_text(types: &Types, ty: Ty) -> bool {
    matches!(shape(types, ty), Shape::Int(Int { size: 1, .. }) | Shape::Void)
}

/// The string here, for a condition; None: it is none.
pub(crate) fn as_text(types: &Types, way: &Way) -> Option<Result<Slot, Wrong>> {
    as_text_of(types, way, STR_DEFAULT)
}

/// The same, of up to so many bytes.
pub(crate) fn as_text_of(types: &Types, way: &Way, most: u32) -> Option<Result<Slot, Wrong>> {
    let is = match shape(types, way.ty) {
        Shape::Pointer { to, .. } | Shape::Array { of: to, .. } => {
            matches!(shape(types, to), Shape::Int(Int { size: 1, .. }))
        }
        Shape::Located { text } => text,
        // It may be an address, and somebody says of what.
        Shape::Word => true,
        _ => false,
    };
    is.then(|| text(types, way, most))
}
