//! Types as they lie in a file: where each begins, and what its first numbers say. Nothing is copied.

use std::ffi::CStr;
use std::ops::Range;

use crate::types::bytes::Bytes;

/// `BTF_KIND_…` of include/uapi/linux/btf.h, as far as they are looked at.
pub(crate) mod kind {
    pub(crate) const INT: u8 = 1;
    pub(crate) const PTR: u8 = 2;
    pub(crate) const ARRAY: u8 = 3;
    pub(crate) const STRUCT: u8 = 4;
    pub(crate) const UNION: u8 = 5;
    pub(crate) const ENUM: u8 = 6;
    pub(crate) const FWD: u8 = 7;
    pub(crate) const TYPEDEF: u8 = 8;
    pub(crate) const VOLATILE: u8 = 9;
    pub(crate) const CONST: u8 = 10;
    pub(crate) const RESTRICT: u8 = 11;
    pub(crate) const FUNC: u8 = 12;
    pub(crate) const FUNC_PROTO: u8 = 13;
    pub(crate) const VAR: u8 = 14;
    pub(crate) const DATASEC: u8 = 15;
    pub(crate) const FLOAT: u8 = 16;
    pub(crate) const DECL_TAG: u8 = 17;
    pub(crate) const TYPE_TAG: u8 = 18;
    pub(crate) const ENUM64: u8 = 19;
}

/// `struct btf_type`: name_off, info, size or type.
pub(super) const TYPE: usize = 12;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Type<'a> {
    pub kind: u8,
    pub name: &'a [u8],
    /// Its size, or the type that it refers to.
    pub refers: u32,
    /// `kind_flag`: its members may be bit fields, its values are signed, it is declared as a union.
    pub flag: bool,
    vlen: usize,
    /// What follows it, in rows.
    pub more: &'a [u8],
}

impl<'a> Type<'a> {
    /// A `typedef` or a `const` or what it is, for one that is another with something added.
    pub fn is_modifier(self) -> bool {
        matches!(self.kind, kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG)
    }

    /// A `struct` or what it is, for one that may hold another.
    pub fn is_composite(self) -> bool {
        matches!(self.kind, kind::STRUCT | kind::UNION)
    }

    pub fn is_enum(self) -> bool {
        matches!(self.kind, kind::ENUM | kind::ENUM64)
    }

    /// Numbers of the row of a member, a value or a parameter.
    pub fn rows(self) -> impl Iterator<Item = Bytes<'a>> {
        let size = self.more.len().checked_div(self.vlen).unwrap_or(0).max(1);
        self.more.chunks(size).map(Bytes)
    }
}

/// Where types and strings are in a file, and where each type begins.
#[derive(Debug)]
pub(crate) struct Layout {
    types: Range<usize>,
    strings: Range<usize>,
    /// In the range of types. The first is not `void`, which is in no file.
    starts: Vec<u32>,
}

impl Layout {
    /// Reads the header (`struct btf_header`), and goes from type to type; none if there is a kind that is not known.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let field = |n: usize| usize::try_from(Bytes(bytes).u32(4 + 4 * n)?).ok();
        let [header, type_off, type_len, str_off, str_len] = [field(0)?, field(1)?, field(2)?, field(3)?, field(4)?];
        let range = |off: usize, len: usize| Some(header.checked_add(off)?..header.checked_add(off)?.checked_add(len)?);
        let (types, strings) = (range(type_off, type_len)?, range(str_off, str_len)?);
        bytes.get(strings.clone())?;
        let all = Bytes(bytes.get(types.clone())?);
        // A kernel's types take some 30 bytes each.
        let (mut starts, mut at) = (Vec::with_capacity(type_len / 24), 0);
        while at < type_len {
            starts.push(u32::try_from(at).ok()?);
            at = at.checked_add(TYPE)?.checked_add(extra(all.u32(at.checked_add(4)?)?)?)?;
        }
        Some(Self { types, strings, starts })
    }

    /// How many types there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The strings in the bytes that were read.
    pub fn strings<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.strings.clone()).unwrap_or_default()
    }

    /// The types, as they lie in the bytes that were read.
    pub fn types<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.types.clone()).unwrap_or_default()
    }

    /// The same bytes again, now as types.
    pub fn of<'a>(&'a self, bytes: &'a [u8]) -> Raw<'a> {
        Raw { types: self.types(bytes), strings: self.strings(bytes), starts: &self.starts }
    }
}

/// Types that go on from no others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    starts: &'a [u32],
}

impl<'a> Raw<'a> {
    /// A string that a type refers to.
    pub fn string(self, at: u32) -> Option<&'a [u8]> {
        name_at(self.strings, usize::try_from(at).ok()?)
    }

    /// The numbers of all types.
    pub fn ids(self) -> Range<u32> {
        1..u32::try_from(self.starts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// A type by its number (the first is 1); None: there is none.
    pub fn get(self, id: u32) -> Option<Type<'a>> {
        self.at(usize::try_from(id.checked_sub(1)?).ok()?)?.named(|at| self.string(at))
    }

    /// Of a type its kind and two bytes, with which its name begins (and ends, if it has fewer): enough to see of most
    /// that they are not meant.
    pub fn peek(self, id: u32) -> Option<(u8, [u8; 2])> {
        let here = self.at(usize::try_from(id.checked_sub(1)?).ok()?)?.0;
        let name = self.strings.get(usize::try_from(here.u32(0)?).ok()?..)?;
        Some((kind_of(here.u32(4)?), [*name.first()?, name.get(1).copied().unwrap_or(0)]))
    }

    /// The type at this place of the file.
    pub(super) fn at(self, place: usize) -> Option<Place<'a>> {
        let start = usize::try_from(*self.starts.get(place)?).ok()?;
        Some(Place(Bytes(self.types.get(start..)?)))
    }
}

/// Where a type begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a>(Bytes<'a>);

impl<'a> Place<'a> {
    /// The type, with its name from where names are.
    pub fn named(self, name: impl FnOnce(u32) -> Option<&'a [u8]>) -> Option<Type<'a>> {
        let info = self.0.u32(4)?;
        Some(Type {
            kind: kind_of(info),
            name: name(self.0.u32(0)?)?,
            refers: self.0.u32(8)?,
            flag: info >> 31 != 0,
            vlen: (info & 0xffff) as usize,
            more: self.0.0.get(TYPE..)?.get(..extra(info)?)?,
        })
    }
}

pub(super) fn kind_of(info: u32) -> u8 {
    (info >> 24) as u8 & 0x1f
}

/// Bytes that follow a type.
pub(super) fn extra(info: u32) -> Option<usize> {
    let vlen = (info & 0xffff) as usize;
    match kind_of(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => Some(4),
        kind::ARRAY => Some(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen.checked_mul(12),
        kind::ENUM | kind::FUNC_PROTO => vlen.checked_mul(8),
        1..=18 => Some(0),
        _ => None,
    }
}

/// How long a name may be. The kernel takes no longer ones of types than KSYM_NAME_LEN, which is 512 since 6.1
/// (`btf_name_valid_identifier` in kernel/bpf/btf.c).
pub(crate) const NAME_MAX: usize = 1023;

/// A string, no further than any name goes: there may be as many as the file is long, all of them of that length.
pub(super) fn name_at(strings: &[u8], at: usize) -> Option<&[u8]> {
    let rest = strings.get(at..)?;
    let rest = rest.get(..=NAME_MAX).unwrap_or(rest);
    Some(CStr::from_bytes_until_nul(rest).ok()?.to_bytes())
}

/// The name without its flavour: `name___flavour` (`bpf_core_essential_name_len` in relo_core.c).
pub(crate) fn essential(name: &[u8]) -> &[u8] {
    let flavour = |w: &[u8]| matches!(w, [a, b'_', b'_', b'_', z] if *a != b'_' && *z != b'_');
    match name.windows(5).rposition(flavour) {
        Some(at) => name.get(..=at).unwrap_or(name),
        None => name,
    }
}
