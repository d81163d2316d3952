//! Type information (BTF) of a kernel as a target: read by libbpf, indexed by name.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::raw::{Layout, Raw, Type, essential, kind, name_at};
use crate::ffi::relo::Btf;

/// All types, as bytes with an index.
#[derive(Debug)]
pub(crate) struct Types {
    pub btf: Btf,
    layout: Layout,
    /// Hash of a name without its flavour, and the type that has it; sorted.
    pub(super) names: Vec<(u32, u32)>,
    /// How much there is to compare at most in one type: what a relocation may cost. Of those that were not looked
    /// through, without limit: none is to be matched with them.
    pub(crate) widest: u32,
    /// The kernel's types, where these are a module's. (After `btf`, which refers to them: fields go in their order.)
    base: Option<Box<Types>>,
}

impl Types {
    /// Indexes what libbpf has accepted.
    pub(super) fn index(btf: Btf, base: Option<Box<Types>>) -> Option<Self> {
        let layout = Layout::read(btf.bytes())?;
        let mut types = Self { btf, layout, names: Vec::new(), widest: u32::MAX, base };
        let mut names = Vec::new();
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
        first..first.saturating_add(u32::try_from(self.layout.count()).unwrap_or(u32::MAX))
    }

    /// A string that a type refers to.
    pub fn string(&self, at: u32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let Some(base) = &self.base else { return name_at(self.strings(), at) };
        let before = base.strings().len();
        if at < before { name_at(base.strings(), at) } else { name_at(self.strings(), at - before) }
    }

    pub(super) fn strings(&self) -> &[u8] {
        self.layout.strings(self.btf.bytes())
    }

    /// A type by its number.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        if let Some(base) = self.base.as_ref().filter(|base| id < base.btf.types()) {
            return base.get(id);
        }
        let place = usize::try_from(id.checked_sub(self.own().start)?).ok()?;
        self.layout.of(self.btf.bytes()).at(place)?.named(|at| self.string(at))
    }

    /// The same without libbpf's part: only for types that go on from no others.
    pub fn raw(&self) -> Raw<'_> {
        self.layout.of(self.btf.bytes())
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

/// FNV-1a, folded to 32 bits.
fn hash(name: &[u8]) -> u32 {
    let mut hasher = FnvHasher::default();
    hasher.write(name);
    let hash = hasher.finish();
    (hash ^ hash >> 32) as u32
}
