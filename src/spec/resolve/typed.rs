//! Types as the resolver looks at them: names and qualifiers taken away.

use crate::types::bytes::Bytes;
use crate::types::model::{Type, Types, kind};

/// The size of an address.
pub(crate) const POINTER: u64 = 8;
/// How many types are walked through to one: more than any kernel nests.
const WALK: usize = 64;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    /// One of BTF (0: `void`), pointed to so often.
    Btf { id: u32, pointers: u32 },
    /// A word that nothing is known of.
    Word,
    /// A number, of a tracepoint's record.
    Number { size: u8, signed: bool },
    /// So many numbers, of a tracepoint's record; or characters.
    Row { size: u8, signed: bool, count: u32, text: bool },
    /// `__data_loc`, of a tracepoint's record.
    Located { text: bool },
}

impl Ty {
    pub fn of(id: u32) -> Self {
        Self::Btf { id, pointers: 0 }
    }
}

/// What a type is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    Void,
    Word,
    Int(Int),
    Enum {
        of: Type<'a>,
        int: Int,
    },
    /// `user`: it is tagged so.
    Float {
        size: u8,
    },
    Pointer {
        to: Ty,
        user: bool,
    },
    Array {
        of: Ty,
        count: u32,
    },
    /// A struct or a union, and its number.
    Struct {
        id: u32,
        of: Type<'a>,
        size: u64,
    },
    Function,
    Located {
        text: bool,
    },
    /// One that is declared but not known, or that is in no kernel.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int {
    pub size: u8,
    pub signed: bool,
    pub form: Form,
    /// Fewer than its bytes have: a bit field of old BTF.
    pub bits: u8,
}

/// What an integer is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Number,
    /// `char` itself, without a sign or with any.
    Char,
    Bool,
}

impl Int {
    pub fn plain(size: u8, signed: bool) -> Self {
        Self { size, signed, form: Form::Number, bits: size.saturating_mul(8) }
    }

    /// From, to: what it can be.
    pub fn range(self, width: u8) -> (i128, i128) {
        let width = u32::from(width.clamp(1, 64));
        if self.signed { (-(1 << (width - 1)), (1 << (width - 1)) - 1) } else { (0, (1 << width) - 1) }
    }
}

/// What a type is, without its names and qualifiers.
pub(crate) fn shape(types: &Types, ty: Ty) -> Shape<'_> {
    match ty {
        Ty::Word => Shape::Word,
        Ty::Number { size, signed } => Shape::Int(Int::plain(size, signed)),
        Ty::Row { size, signed, count, text } => match char_of(types).filter(|_| text) {
            Some(of) => Shape::Array { of, count },
            None => Shape::Array { of: Ty::Number { size, signed }, count },
        },
        Ty::Located { text } => Shape::Located { text },
        Ty::Btf { id, pointers } => match pointers.checked_sub(1) {
            Some(pointers) => Shape::Pointer { to: Ty::Btf { id, pointers }, user: false },
            None => of_btf(types, id),
        },
    }
}

fn of_btf(types: &Types, id: u32) -> Shape<'_> {
    let Some(id) = types.plain(id) else { return if id == 0 { Shape::Void } else { void_or_opaque(types, id) } };
    let Some(of) = types.get(id) else { return Shape::Opaque };
    match of.kind {
        kind::INT => int(of).map_or(Shape::Opaque, Shape::Int),
        kind::ENUM | kind::ENUM64 => match u8::try_from(of.refers).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8)) {
            Some(size) => Shape::Enum { of, int: Int::plain(size, of.flag) },
            None => Shape::Opaque,
        },
        kind::FLOAT => u8::try_from(of.refers).map_or(Shape::Opaque, |size| Shape::Float { size }),
        kind::PTR => Shape::Pointer { to: Ty::of(of.refers), user: is_user(types, of.refers) },
        kind::ARRAY => match Bytes(of.more).u32(0).zip(Bytes(of.more).u32(8)) {
            Some((element, count)) => Shape::Array { of: Ty::of(element), count },
            None => Shape::Opaque,
        },
        kind::STRUCT | kind::UNION => Shape::Struct { id, of, size: of.refers.into() },
        kind::FUNC_PROTO => Shape::Function,
        _ => Shape::Opaque,
    }
}

/// `const void` leads to the type that has no entry.
fn void_or_opaque(types: &Types, mut id: u32) -> Shape<'_> {
    for _ in 0..WALK {
        match types.get(id) {
            Some(found) if found.is_modifier() && found.refers == 0 => return Shape::Void,
            Some(found) if found.is_modifier() => id = found.refers,
            _ => break,
        }
    }
    Shape::Opaque
}

/// `BTF_INT_…` of include/uapi/linux/btf.h. No compiler writes BTF_INT_CHAR: the name says it.
fn int(of: Type<'_>) -> Option<Int> {
    let size = u8::try_from(of.refers).ok()?;
    let data = Bytes(of.more).u32(0)?;
    let (encoding, bits) = (data >> 24 & 0xf, (data & 0xff) as u8);
    let form = match of.name {
        _ if encoding & 4 != 0 => Form::Bool,
        b"char" => Form::Char,
        _ => Form::Number,
    };
    let signed = encoding & 1 != 0;
    matches!(size, 1 | 2 | 4 | 8 | 16).then_some(Int { size, signed, form, bits })
}

fn is_user(types: &Types, mut id: u32) -> bool {
    for _ in 0..WALK {
        match types.get(id) {
            Some(found) if found.kind == kind::TYPE_TAG && found.name == b"user" => return true,
            Some(found) if found.is_modifier() => id = found.refers,
            _ => return false,
        }
    }
    false
}

/// How many bytes a value has; None: it is not known.
pub(crate) fn size(types: &Types, ty: Ty) -> Option<u64> {
    match shape(types, ty) {
        Shape::Void | Shape::Function | Shape::Opaque => None,
        Shape::Word | Shape::Pointer { .. } => Some(POINTER),
        Shape::Int(int) | Shape::Enum { int, .. } => Some(int.size.into()),
        Shape::Float { size } => Some(size.into()),
        Shape::Array { of, count } => size_of_element(types, of)?.checked_mul(count.into()),
        Shape::Struct { size, .. } => Some(size),
        Shape::Located { .. } => Some(4),
    }
}

fn size_of_element(types: &Types, ty: Ty) -> Option<u64> {
    match ty {
        // libbpf walks through arrays of arrays, and counts how far.
        Ty::Btf { id, pointers: 0 } => types.btf.size(id),
        other => size(types, other),
    }
}

/// The names that `typedef`s give a type, from the outermost one.
pub(crate) fn names(types: &Types, ty: Ty) -> Vec<&[u8]> {
    let mut names = Vec::new();
    let Ty::Btf { mut id, pointers: 0 } = ty else { return names };
    for _ in 0..WALK {
        let Some(found) = types.get(id) else { break };
        if found.kind == kind::TYPEDEF || !found.is_modifier() {
            names.push(found.name);
        }
        if !found.is_modifier() {
            break;
        }
        id = found.refers;
    }
    names
}

/// `char` itself.
pub(crate) fn char_of(types: &Types) -> Option<Ty> {
    named(types, "char", &[kind::INT])
}

/// A type of this very name, of the first kind of these that has one.
pub(crate) fn named(types: &Types, name: &str, kinds: &[u8]) -> Option<Ty> {
    let find = |kind: &u8| types.named(name.as_bytes()).find(|(_, t)| t.kind == *kind && t.name == name.as_bytes());
    kinds.iter().find_map(find).map(|(id, _)| Ty::of(id))
}

/// The values of an enum with their names, as they are in 64 bits.
pub(crate) fn values(types: &Types, of: Type<'_>) -> Vec<(i64, String)> {
    let value = |number: i128| i64::try_from(number).unwrap_or_else(|_| (number as u64).cast_signed());
    types.values(of).map(|(name, number)| (value(number), String::from_utf8_lossy(name).into_owned())).collect()
}
