//! What values mean, by their types.

use std::sync::Arc;

use super::error::Wrong;
use super::maker::Maker;
use super::spell::spell;
use super::typed::{Form, Int, Shape, Ty, names, shape, size, values};
use super::way::{At, Way};
use crate::event::{Shown, ShownKind, Style};
use crate::spec::ir::{Base, Read, STR_DEFAULT, STR_MAX, Slot, Space};
use crate::types::model::Types;

/// How many elements of an array are shown, and bytes of anything.
const ELEMENTS: u32 = 8;
const BYTES: u32 = 64;

/// Typedefs that say how a number is written.
const HEX: &[&str] = &[
    "gfp_t",
    "fmode_t",
    "blk_opf_t",
    "vm_flags_t",
    "__poll_t",
    "phys_addr_t",
    "dma_addr_t",
    "resource_size_t",
    "slab_flags_t",
    "uintptr_t",
    "netdev_features_t",
];
const OCTAL: &[&str] = &["umode_t", "mode_t"];
const NETWORK: &[&str] = &["__be16", "__be32", "__be64"];
/// How names of bits and addresses end, where their type says nothing.
const BITS: &[&str] = &["flags", "mask", "addr", "address"];
/// What results are called, where they are no results of a function.
const RESULTS: &[&str] = &["ret", "retval", "err", "error", "result", "rc"];

impl Maker<'_> {
    /// A value as its type has it. `called`: the name of the parameter or of the member, which may say more than its type.
    pub fn kind(&mut self, called: &str, way: &Way) -> Result<ShownKind, Wrong> {
        match shape(self.types, way.ty) {
            Shape::Word => Ok(ShownKind::Hex { slot: self.add(way.whole()?) }),
            Shape::Int(int) => self.int(called, way, int),
            Shape::Enum { of, int } => {
                let names = Arc::from(values(self.types, of));
                Ok(ShownKind::Enum { slot: self.add(way.number(int)?), signed: int.signed, names })
            }
            Shape::Float { size } => self.float(way, size),
            Shape::Pointer { to, .. } => self.pointer(called, way, to),
            Shape::Array { of, count } => self.array(called, way, of, count),
            Shape::Struct { .. } => self.structure(way),
            Shape::Located { text: true } => Ok(ShownKind::Str { slot: self.add(located(way, STR_DEFAULT)?) }),
            Shape::Located { text: false } => Ok(ShownKind::Hex { slot: self.add(way.number(Int::plain(4, false))?) }),
            Shape::Void | Shape::Function | Shape::Opaque => {
                Err(Wrong::new(format!("a {} has no value to show", spell(self.types, way.ty)))
                    .hint("say what it is: :u32, :str, :bytes[N], or (struct NAME *)"))
            }
        }
    }

    fn int(&mut self, called: &str, way: &Way, int: Int) -> Result<ShownKind, Wrong> {
        if int.size > 8 {
            let slot = way.memory(|offset, space| Read::Bytes { offset, space, len: int.size.into() })?;
            return Ok(ShownKind::Bytes { slot: self.add(slot) });
        }
        let typedefs = names(self.types, way.ty);
        let any = |list: &[&str]| typedefs.iter().any(|name| list.iter().any(|known| known.as_bytes() == *name));
        // Of an int, too, whose bits mean something: the sign is one of them.
        let has_bits = int.form == Form::Number && BITS.iter().any(|end| called.ends_with(end));
        let bits_alone = has_bits && way.space != Space::User && called.ends_with("flags");
        let int = Int { signed: int.signed && !bits_alone, ..int };
        let slot = self.add(way.number(int)?);
        let is_result = way.base == Base::Return && matches!(way.at, At::Value { .. });
        // In programs, a negative number is one: what went wrong is elsewhere (errno), or nothing did.
        let returned = way.space != Space::User && (is_result || RESULTS.contains(&called));
        Ok(match int.form {
            _ if way.base == Base::Duration => ShownKind::Duration { slot },
            Form::Bool => ShownKind::Bool { slot },
            Form::Char if int.size == 1 => ShownKind::Char { slot },
            _ if any(HEX) => ShownKind::Hex { slot },
            _ if any(OCTAL) => ShownKind::Octal { slot },
            _ if any(NETWORK) => ShownKind::Network { slot, size: int.size },
            _ if any(&["dev_t"]) => ShownKind::Device { slot },
            _ if int.signed && int.size >= 4 && returned => ShownKind::Ret { slot },
            _ if !int.signed && has_bits => ShownKind::Hex { slot },
            _ => ShownKind::Int { slot, signed: int.signed },
        })
    }

    /// A float, where it is in memory.
    pub fn float(&mut self, way: &Way, size: u8) -> Result<ShownKind, Wrong> {
        match (way.at, size) {
            (At::Value { .. }, _) => {
                Err(Wrong::new("floats are passed in registers of their own, which probes cannot read"))
            }
            (_, 4 | 8) => Ok(ShownKind::Float { slot: self.add(way.number(Int::plain(size, false))?), size }),
            _ => {
                let slot = way.memory(|offset, space| Read::Bytes { offset, space, len: size.into() })?;
                Ok(ShownKind::Bytes { slot: self.add(slot) })
            }
        }
    }

    fn pointer(&mut self, called: &str, way: &Way, to: Ty) -> Result<ShownKind, Wrong> {
        match shape(self.types, to) {
            Shape::Function => Ok(ShownKind::Symbol { slot: self.add(way.whole()?) }),
            Shape::Int(int) if is_text(self.types, called, to, int) => self.string(way, STR_DEFAULT),
            Shape::Struct { .. } if self.rich => {
                let address = self.add(way.whole()?);
                let found = way.follow(self.types).ok().and_then(|inner| self.known(&inner));
                Ok(match found {
                    Some((style, parts)) => ShownKind::Group { style, address: Some(address), parts },
                    None => ShownKind::Pointer { slot: address },
                })
            }
            _ => Ok(ShownKind::Pointer { slot: self.add(way.whole()?) }),
        }
    }

    fn array(&mut self, called: &str, way: &Way, of: Ty, count: u32) -> Result<ShownKind, Wrong> {
        let each = shape(self.types, of);
        // Types without a char may have text of the kernel's.
        let is_text = matches!(way.ty, Ty::Row { text: true, .. });
        if is_text || matches!(each, Shape::Int(Int { form: Form::Char, .. })) {
            return self.string(way, STR_DEFAULT);
        }
        let all = size(self.types, way.ty).and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0);
        let all = all.ok_or_else(|| Wrong::new("how many it has is not known").hint("say it: [INDEX], :bytes[N]"))?;
        match each {
            Shape::Int(Int { size: 2 | 4 | 8, .. })
            | Shape::Float { size: 4 | 8 }
            | Shape::Enum { .. }
            | Shape::Pointer { .. } => {
                let shown = if self.roomy { ELEMENTS.min(count) } else { 1 };
                if count > shown {
                    self.note(format!("{called}: {shown} of its {count} elements are shown ([INDEX] for others)"));
                }
                let one = |n: u32| {
                    let kind = self.plain(called, &way.index(self.types, n.into())?)?;
                    Ok(Shown { name: n.to_string(), kind })
                };
                let parts = (0..shown).map(one).collect::<Result<_, Wrong>>()?;
                Ok(ShownKind::Group { style: Style::List, address: None, parts })
            }
            _ => {
                let len = all.min(BYTES);
                if all > len {
                    self.note(format!("{called}: {len} of its {all} bytes are shown (:bytes[N] for more)"));
                }
                let slot = way.memory(|offset, space| Read::Bytes { offset, space, len })?;
                Ok(ShownKind::Bytes { slot: self.add(slot) })
            }
        }
    }

    /// A struct that is here, not pointed to.
    fn structure(&mut self, way: &Way) -> Result<ShownKind, Wrong> {
        self.summary(way).map_or_else(|| self.whole(way), Ok)
    }

    /// What is known of the struct here; None: it is not in the list of known ones.
    pub fn summary(&mut self, way: &Way) -> Option<ShownKind> {
        let (style, mut parts) = self.known(way)?;
        if style == Style::Alone && parts.len() == 1 {
            return parts.pop().map(|only| only.kind);
        }
        Some(ShownKind::Group { style, address: None, parts })
    }

    /// A value without a summary of what it points to.
    pub fn plain(&mut self, called: &str, way: &Way) -> Result<ShownKind, Wrong> {
        let rich = std::mem::replace(&mut self.rich, false);
        let kind = self.kind(called, way);
        self.rich = rich;
        kind
    }

    /// What a pointer to characters points to, or an array of them.
    pub fn string(&mut self, way: &Way, max: u32) -> Result<ShownKind, Wrong> {
        let slot = text(self.types, way, max)?;
        Ok(ShownKind::Str { slot: self.add(slot) })
    }
}

/// A string whose type says that it may be one.
pub(crate) fn text(types: &Types, way: &Way, max: u32) -> Result<Slot, Wrong> {
    let within = |way: &Way, max: u32, array: bool| way.memory(|offset, space| Read::Str { offset, space, max, array });
    let read = |way: &Way, max: u32| within(way, max, false);
    match shape(types, way.ty) {
        Shape::Located { text: true } => located(way, max),
        Shape::Pointer { .. } | Shape::Word => read(&way.follow(types)?.anywhere(), max),
        Shape::Array { count: 0, .. } => read(way, max),
        Shape::Array { count, .. } if count <= max && count < STR_MAX => within(way, count, true),
        _ => read(way, max),
    }
}

fn located(way: &Way, max: u32) -> Result<Slot, Wrong> {
    match way.at {
        At::Memory { space: Space::Kernel, .. } => way.memory(|offset, _| Read::Located { offset, max }),
        _ => Err(Wrong::new("it is in no record")),
    }
}

/// Whether a pointer to this is one to text: `char` is, and `unsigned char` where it is called a name.
fn is_text(types: &Types, called: &str, to: Ty, int: Int) -> bool {
    let declared = names(types, to);
    let char = |name: &[u8]| name == b"unsigned char" && called.ends_with("name");
    int.size == 1 && (int.form == Form::Char || declared.first().is_some_and(|name| char(name)))
}
