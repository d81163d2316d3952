//! Type information (BTF) of a kernel as a target: read by libbpf, indexed by name.

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::ffi::relo::Btf;
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

/// All types, as bytes with an index.
#[derive(Debug)]
pub(crate) struct Types {
    pub btf: Btf,
    /// Where each type begins; types count from 1, or from where the base ends.
    starts: Vec<u32>,
    /// Where types begin, and where strings do.
    parts: (std::ops::Range<usize>, std::ops::Range<usize>),
    /// Hash of a name without its flavour, and the type that has it; sorted.
    pub(super) names: Vec<(u32, u32)>,
    /// How much there is to compare at most in one type: what a relocation may cost.
    pub(crate) widest: u32,
    /// The kernel's types, where these are a module's. (After `btf`, which refers to them: fields go in their order.)
    base: Option<Box<Types>>,
}

/// How long a name may be. The kernel takes no longer ones of types than KSYM_NAME_LEN, which is 512 since 6.1
/// (`btf_name_valid_identifier` in kernel/bpf/btf.c).
pub(crate) const NAME_MAX: usize = 1023;

impl Types {
    /// Indexes what libbpf has accepted.
    pub(super) fn index(btf: Btf, base: Option<Box<Types>>) -> Option<Self> {
        let bytes = Bytes(btf.bytes());
        let field = |n: usize| usize::try_from(bytes.u32(4 + 4 * n)?).ok();
        let [header, type_off, type_len, str_off, str_len] = [field(0)?, field(1)?, field(2)?, field(3)?, field(4)?];
        let range = |off: usize, len: usize| Some(header.checked_add(off)?..header.checked_add(off)?.checked_add(len)?);
        let parts = (range(type_off, type_len)?, range(str_off, str_len)?);
        bytes.0.get(parts.1.clone())?;
        let all = bytes.0.get(parts.0.clone())?;
        let (mut starts, mut names, mut at) = (Vec::new(), Vec::new(), 0);
        while at < all.len() {
            starts.push(u32::try_from(at).ok()?);
            at = at.checked_add(TYPE)?.checked_add(extra(Bytes(all).u32(at.checked_add(4)?)?)?)?;
        }
        let mut types = Self { btf, starts, parts, names: Vec::new(), widest: 0, base };
        for id in types.own() {
            let found = types.get(id)?;
            if !found.name.is_empty() {
                names.push((hash(essential(found.name)), id));
            }
        }
        names.sort_unstable();
        types.names = names;
        Some(types)
    }

    /// The numbers of its types, without those of the base.
    pub fn own(&self) -> std::ops::Range<u32> {
        let first = self.base.as_ref().map_or(1, |base| base.btf.types());
        first..first.saturating_add(u32::try_from(self.starts.len()).unwrap_or(u32::MAX))
    }

    /// A string that a type refers to.
    pub fn string(&self, at: u32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let Some(base) = &self.base else { return name_at(self.strings(), at) };
        let before = base.strings().len();
        if at < before { name_at(base.strings(), at) } else { name_at(self.strings(), at - before) }
    }

    pub(super) fn strings(&self) -> &[u8] {
        self.btf.bytes().get(self.parts.1.clone()).unwrap_or_default()
    }

    /// A type by its number.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        if let Some(base) = self.base.as_ref().filter(|base| id < base.btf.types()) {
            return base.get(id);
        }
        let all = self.btf.bytes().get(self.parts.0.clone())?;
        let start = *self.starts.get(usize::try_from(id.checked_sub(self.own().start)?).ok()?)? as usize;
        let here = Bytes(all.get(start..)?);
        let info = here.u32(4)?;
        Some(Type {
            kind: kind_of(info),
            name: self.string(here.u32(0)?)?,
            refers: here.u32(8)?,
            flag: info >> 31 != 0,
            vlen: (info & 0xffff) as usize,
            more: here.0.get(TYPE..)?.get(..extra(info)?)?,
        })
    }

    /// A string of the local types, as .BTF.ext refers to them.
    pub fn text(&self, at: u32) -> Option<String> {
        Some(String::from_utf8_lossy(self.string(at)?).into_owned())
    }

    /// The types with this name, whatever flavour (`___…`) of it, in their order.
    pub fn named<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = (u32, Type<'a>)> + use<'a, 'n> {
        self.base.iter().flat_map(move |base| base.own_named(name)).chain(self.own_named(name))
    }

    fn own_named<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = (u32, Type<'a>)> + use<'a, 'n> {
        let name = essential(name);
        let wanted = hash(name);
        let from = self.names.partition_point(|(hash, _)| *hash < wanted);
        let same = self.names.get(from..).unwrap_or_default().iter().take_while(move |(hash, _)| *hash == wanted);
        same.filter_map(|(_, id)| Some((*id, self.get(*id)?))).filter(move |(_, found)| essential(found.name) == name)
    }

    /// What can stand in for a local type: the same name and kind (`bpf_core_add_cands` in libbpf.c).
    pub fn candidates(&self, local: &Type<'_>) -> Vec<u32> {
        let same = |other: &Type<'_>| other.kind == local.kind || other.is_enum() && local.is_enum();
        self.named(local.name).filter(|(_, found)| same(found)).map(|(id, _)| id).collect()
    }

    /// A type of this kind and exactly this name.
    pub fn find<'a>(&'a self, kind: u8, name: &str) -> Option<Type<'a>> {
        self.named(name.as_bytes()).map(|(_, found)| found).find(|t| t.kind == kind && t.name == name.as_bytes())
    }

    /// Whether an enum has this value; none, if there is no such enum.
    pub fn has_value(&self, name: &str, value: u32) -> Option<bool> {
        Some(self.find(kind::ENUM, name)?.rows().any(|row| row.u32(4) == Some(value)))
    }

    /// Whether functions are among the types: not in a file that is made as small as it can be.
    pub fn has_functions(&self) -> bool {
        // The last types of a kernel are its functions and variables.
        (1..self.btf.types()).rev().any(|id| self.get(id).is_some_and(|t| t.kind == kind::FUNC))
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

/// A string, no further than any name goes: there may be as many as the file is long, all of them of that length.
pub(super) fn name_at(strings: &[u8], at: usize) -> Option<&[u8]> {
    let rest = strings.get(at..)?;
    let end = rest.iter().take(NAME_MAX + 1).position(|byte| *byte == 0)?;
    rest.get(..end)
}

/// The name without its flavour: `name___flavour` (`bpf_core_essential_name_len` in relo_core.c).
pub(crate) fn essential(name: &[u8]) -> &[u8] {
    let flavour = |w: &[u8]| matches!(w, [a, b'_', b'_', b'_', z] if *a != b'_' && *z != b'_');
    match name.windows(5).rposition(flavour) {
        Some(at) => name.get(..=at).unwrap_or(name),
        None => name,
    }
}

/// FNV-1a, folded to 32 bits.
fn hash(name: &[u8]) -> u32 {
    let mut hasher = FnvHasher::default();
    hasher.write(name);
    let hash = hasher.finish();
    (hash ^ hash >> 32) as u32
}
