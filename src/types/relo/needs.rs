//! What the relocations of objects ask a kernel's types for, by name: read from the objects alone.

use std::collections::{HashMap, HashSet};

use fnv::FnvBuildHasher;

use super::object::{Table, sections};
use crate::ffi::relo::Relo;
use crate::types::bytes::Bytes;
use crate::types::model::{Layout, Raw, essential, kind};

/// Kinds of relocations (`enum bpf_core_relo_kind` of include/uapi/linux/bpf.h).
const FIELDS: std::ops::RangeInclusive<u32> = 0..=5;
const LOCAL_ID: u32 = 6;
const TYPES: std::ops::RangeInclusive<u32> = 8..=9;
const VALUES: std::ops::RangeInclusive<u32> = 10..=11;

/// How many modifiers one type may have: libbpf has no such limit, our own objects need few.
const MODIFIERS: usize = 32;

/// The names that relocations ask for.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Names of types without their flavours: the kinds that can stand in for them (a bit for each), and those of which
    /// also what they point to is compared.
    roots: HashMap<Vec<u8>, Root, FnvBuildHasher>,
    /// Names of members.
    members: HashSet<Vec<u8>, FnvBuildHasher>,
    /// Names of enums' values, without flavours.
    values: HashSet<Vec<u8>, FnvBuildHasher>,
    /// Functions, and types of tracepoints, that typed programs hook: kind and name.
    hooks: HashSet<Hook, FnvBuildHasher>,
    begins: Begins,
}

/// How the names of types begin that are asked for, with the kinds of these.
#[derive(Debug, Default)]
struct Begins(Vec<u32>);

impl Begins {
    fn add(&mut self, name: &[u8], kinds: u32) {
        self.0.resize(1 << 16, 0);
        let first = name.first().copied().unwrap_or(0);
        // Of a name of one letter, a flavour may follow.
        let second = name.get(1).map_or([0, b'_'], |second| [*second; 2]);
        for second in second {
            if let Some(begin) = self.0.get_mut(usize::from(u16::from_ne_bytes([first, second]))) {
                *begin |= kinds;
            }
        }
    }

    fn has(&self, kind: u8, begin: [u8; 2]) -> bool {
        self.0.get(usize::from(u16::from_ne_bytes(begin))).is_some_and(|kinds| kinds >> kind & 1 != 0)
    }
}

/// What a typed program hooks, as the kernel's types have it: kind and name.
pub(crate) type Hook = (u8, Vec<u8>);

/// What the program of a section hooks, where its name says that (`section_defs` in libbpf.c).
pub(crate) fn hook_of(section: &str) -> Option<Hook> {
    match section.split_once('/')? {
        ("tp_btf", name) => Some((kind::TYPEDEF, format!("btf_trace_{name}").into_bytes())),
        ("fentry" | "fexit", name) => Some(function(name)),
        _ => None,
    }
}

/// A function that is hooked.
pub(crate) fn function(name: &str) -> Hook {
    (kind::FUNC, name.as_bytes().to_vec())
}

/// What is asked for by the name of a type.
#[derive(Debug, Default, Clone, Copy)]
struct Root {
    kinds: u32,
    deep: u32,
}

impl Needs {
    /// Adds those of an object: none if it is damaged, or asks for what only a whole kernel's types answer: numbers of
    /// types, and whether two types match in all their members.
    pub fn add(&mut self, elf: &[u8]) -> Option<()> {
        let sections = sections(elf)?;
        let (btf, ext) = (sections.get(&b".BTF"[..])?, sections.get(&b".BTF.ext"[..])?);
        let hooked = sections.keys().filter_map(|name| hook_of(std::str::from_utf8(name).ok()?));
        hooked.for_each(|hook| self.add_hook(hook));
        let layout = Layout::read(btf.0)?;
        let mut known = HashSet::<_, FnvBuildHasher>::default();
        let table = Table::read(*ext, 24, 4, sections.len())?;
        for row in table.parts.iter().flat_map(|(_, part)| table.rows(*part)) {
            let [insn_off, type_id, access_str_off, kind] = [row.u32(0)?, row.u32(4)?, row.u32(8)?, row.u32(12)?];
            let relo = Relo { insn_off, type_id, access_str_off, kind };
            if known.insert((type_id, access_str_off, kind)) {
                self.relocation(layout.of(btf.0), &relo)?;
            }
        }
        Some(())
    }

    /// Adds what a typed program hooks that its section does not name.
    pub fn add_hook(&mut self, hook: Hook) {
        self.begins.add(&hook.1, 1 << hook.0);
        self.hooks.insert(hook);
    }

    fn relocation(&mut self, types: Raw<'_>, relo: &Relo) -> Option<()> {
        if relo.kind == LOCAL_ID {
            return Some(());
        }
        // Without a name it is refused.
        let root = types.get(relo.type_id).filter(|root| !root.name.is_empty())?;
        // As `btf_kind_core_compat` in relo_core.h has it: either kind of enum stands in for the other.
        let kinds = if root.is_enum() { 1 << kind::ENUM | 1 << kind::ENUM64 } else { 1 << root.kind };
        let name = essential(root.name);
        self.begins.add(name, kinds);
        let entry = self.roots.entry(name.to_vec()).or_default();
        entry.kinds |= kinds;
        if TYPES.contains(&relo.kind) {
            entry.deep |= kinds;
            return Some(());
        }
        let access = types.string(relo.access_str_off)?;
        let steps = access.split(|byte| *byte == b':').map(|step| std::str::from_utf8(step).ok()?.parse().ok());
        let steps: Vec<usize> = steps.collect::<Option<_>>()?;
        match relo.kind {
            kind if FIELDS.contains(&kind) => self.way(types, relo.type_id, steps.get(1..)?),
            kind if VALUES.contains(&kind) => {
                let row = types.get(plain(types, relo.type_id)?)?.rows().nth(*steps.first()?)?;
                self.values.insert(essential(types.string(row.u32(0)?)?).to_vec());
                Some(())
            }
            _ => None,
        }
    }

    /// The names on the way to a member: `bpf_core_parse_spec` in relo_core.c.
    fn way(&mut self, types: Raw<'_>, mut at: u32, steps: &[usize]) -> Option<()> {
        for step in steps {
            let found = types.get(plain(types, at)?)?;
            at = if found.is_composite() {
                let row = found.rows().nth(*step)?;
                let name = types.string(row.u32(0)?)?;
                if !name.is_empty() {
                    self.members.insert(name.to_vec());
                }
                row.u32(4)?
            } else {
                Bytes(found.more).u32(0).filter(|_| found.kind == kind::ARRAY)?
            };
        }
        Some(())
    }

    /// How many types are asked for, by their names.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// Whether a type of this kind may be asked for whose name begins so.
    pub fn may_be(&self, (kind, begin): (u8, [u8; 2])) -> bool {
        self.begins.has(kind, begin)
    }

    /// Whether this is hooked.
    pub fn hook(&self, name: &[u8], kind: u8) -> Option<&Hook> {
        self.hooks.get(&(kind, name.to_vec()))
    }

    /// Whether a type of this name and kind is asked for, and then, whether with what it points to.
    pub fn root(&self, name: &[u8], kind: u8) -> Option<bool> {
        let root = self.roots.get(essential(name)).filter(|root| root.kinds >> kind & 1 != 0)?;
        Some(root.deep >> kind & 1 != 0)
    }

    /// Whether members of this name are asked for. Of those without a name, members are looked into.
    pub fn member(&self, name: &[u8]) -> bool {
        name.is_empty() || self.members.contains(name)
    }

    /// Whether values of this name are asked for.
    pub fn value(&self, name: &[u8]) -> bool {
        self.values.contains(essential(name))
    }
}

/// What a type is when its names and qualifiers are taken away.
fn plain(types: Raw<'_>, mut id: u32) -> Option<u32> {
    for _ in 0..MODIFIERS {
        match types.get(id)? {
            found if found.is_modifier() => id = found.refers,
            _ => return Some(id),
        }
    }
    None
}
