//! Types of a kernel made as few as the programs here need: every relocation resolves against them as against all.
//!
//! A type is kept with its size; of its members and values those alone that relocations name, at their offsets. What a
//! member points to is not kept: the matcher does not look there (`bpf_core_fields_are_compat` in relo_core.c).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::object::{Object, Site};
use super::target::Target;
use super::walk::{Answer, Outcome, Walk, in_c, walk};
use crate::types::bytes::Bytes;
use crate::types::model::{Types, kind};

/// `BPF_CORE_TYPE_ID_TARGET` and those before it that name fields, those from it on that name types, and the values of
/// enums (`enum bpf_core_relo_kind`).
const FIELDS: std::ops::RangeInclusive<u32> = 0..=5;
const TARGET_ID: u32 = 7;
const VALUES: std::ops::RangeInclusive<u32> = 10..=11;

/// The types that these objects need of a kernel, as raw BTF. Numbers of types are others than in the whole.
///
/// # Errors
/// When a load would fail there, or when a relocation would resolve in another way than against the whole: nothing is to
/// be written then.
pub(crate) fn minimize(objects: &[Object], target: &Target) -> Result<Vec<u8>> {
    let walks: Vec<_> = objects.iter().map(|object| walk(object, target)).collect();
    let mut kept = Kept { types: &target.types, all: BTreeMap::new() };
    for (object, walk) in objects.iter().zip(&walks) {
        for (site, answer) in object.sites.iter().zip(&walk.answers) {
            if let Outcome::Error(errno) = answer.outcome {
                bail!("no program can be loaded with it: relocation {} fails: error {errno}", site.index);
            }
            if let Some((root, way)) = answer.matched.as_ref().and_then(|matched| matched.way.as_ref()) {
                kept.keep(site.relo.kind, *root, way);
            }
        }
    }
    kept.arch();
    ensure!(!kept.all.is_empty(), "none of what coretrace looks into is among its types");
    let bytes = kept.write().context("its types contradict each other")?;

    prove(objects, &walks, &bytes)?;
    Ok(bytes)
}

/// Makes sure, by libbpf's own matcher, that nothing resolves in another way than in these walks.
fn prove(objects: &[Object], walks: &[Walk], bytes: &[u8]) -> Result<()> {
    // As a run will: what it would refuse is not to be written.
    let read = crate::types::image::check_raw(bytes, bytes.len() as u64).and_then(|()| Types::read(bytes));
    let types = read.map_err(|fault| anyhow::anyhow!("the result cannot be used: it {fault}"))?;
    let small = Target { path: PathBuf::new(), types, about: Default::default() };
    for (object, whole) in objects.iter().zip(walks) {
        let few = walk(object, &small);
        for ((site, a), b) in object.sites.iter().zip(&whole.answers).zip(&few.answers) {
            ensure!(
                is_same(site, a, b),
                "relocation {} ({}) would resolve in another way; please report this",
                site.index,
                a.spec()
            );
        }
    }
    Ok(())
}

/// Whether both make the same instruction of it, from the same member of the same type.
fn is_same(site: &Site, a: &Answer, b: &Answer) -> bool {
    let name = |answer: &Answer| answer.target().map(|target| in_c(target).to_owned());
    let insns = |answer: &Answer| answer.matched.as_ref().map(|matched| matched.insns);
    // Numbers of types say something of the kernel's own BTF alone.
    let by_number = site.relo.kind == TARGET_ID;
    name(a) == name(b) && (by_number || a.same(b) && insns(a) == insns(b))
}

/// What is kept of a type.
#[derive(Debug, Default)]
struct Part {
    /// Numbers of its members or values.
    rows: Vec<usize>,
    /// Also what it points to or what its parameters are.
    deep: bool,
}

struct Kept<'a> {
    types: &'a Types,
    all: BTreeMap<u32, Part>,
}

impl Kept<'_> {
    /// Keeps what a relocation of this kind has found.
    fn keep(&mut self, relo: u32, root: u32, way: &[u32]) {
        if !FIELDS.contains(&relo) {
            self.shape(root, true);
            if let (true, Some(id), Some(value)) = (VALUES.contains(&relo), self.types.plain(root), way.first()) {
                self.row(id, *value);
            }
            return;
        }
        self.shape(root, false);
        let mut at = root;
        for step in way.iter().skip(1) {
            let Some((id, found)) = self.types.plain(at).and_then(|id| Some((id, self.types.get(id)?))) else { return };
            let next = if found.is_composite() {
                self.row(id, *step);
                found.rows().nth(*step as usize).and_then(|row| row.u32(4))
            } else {
                Bytes(found.more).u32(0)
            };
            let Some(next) = next else { return };
            self.shape(next, false);
            at = next;
        }
    }

    /// What shows the architecture: the registers that a system call is found by.
    fn arch(&mut self) {
        let Some((id, found)) = self.types.named(b"pt_regs").find(|(_, found)| found.kind == kind::STRUCT) else {
            return;
        };
        let name = |row: &Bytes<'_>| self.types.string(row.u32(0)?);
        let marks = |row: Bytes<'_>| matches!(name(&row), Some(b"orig_ax" | b"syscallno"));
        if let Some(n) = found.rows().position(marks).and_then(|n| u32::try_from(n).ok()) {
            self.keep(*FIELDS.start(), id, &[0, n]);
        }
    }

    fn row(&mut self, id: u32, row: u32) {
        self.all.entry(id).or_default().rows.push(row as usize);
    }

    /// Keeps a type, and what its size and kind hang on.
    fn shape(&mut self, id: u32, deep: bool) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let Some(found) = self.types.get(id) else { continue };
            let new = !self.all.contains_key(&id);
            let part = self.all.entry(id).or_default();
            if !new && (part.deep || !deep) {
                continue;
            }
            part.deep |= deep;
            match found.kind {
                kind::ARRAY => todo.extend([Bytes(found.more).u32(0), Bytes(found.more).u32(4)].into_iter().flatten()),
                kind::PTR if deep => todo.push(found.refers),
                kind::FUNC_PROTO if deep => {
                    todo.push(found.refers);
                    todo.extend(found.rows().filter_map(|row| row.u32(4)));
                }
                _ if found.is_modifier() => todo.push(found.refers),
                _ => {}
            }
        }
    }

    /// As raw BTF: include/uapi/linux/btf.h.
    fn write(&self) -> Option<Vec<u8>> {
        let ids: HashMap<u32, u32> = self.all.keys().zip(1..).map(|(old, new)| (*old, new)).collect();
        let id = |old: u32| ids.get(&old).copied().unwrap_or(0);
        let mut strings = Strings { bytes: vec![0], known: HashMap::new() };
        let mut words: Vec<u32> = Vec::new();
        for (old, part) in &self.all {
            let found = self.types.get(*old)?;
            let name = strings.add(found.name)?;
            let mut rows: Vec<u32> = Vec::new();
            let mut count = 0_u32;
            for (n, row) in found.rows().enumerate() {
                let text = || self.types.string(row.u32(0)?);
                match found.kind {
                    kind::STRUCT | kind::UNION if part.rows.contains(&n) => {
                        rows.extend([strings.add(text()?)?, id(row.u32(4)?), row.u32(8)?]);
                    }
                    kind::ENUM if part.rows.contains(&n) => rows.extend([strings.add(text()?)?, row.u32(4)?]),
                    kind::ENUM64 if part.rows.contains(&n) => {
                        rows.extend([strings.add(text()?)?, row.u32(4)?, row.u32(8)?]);
                    }
                    kind::FUNC_PROTO if part.deep => rows.extend([0, id(row.u32(4)?)]),
                    _ => continue,
                }
                count += 1;
            }
            let refers = match found.kind {
                kind::PTR if !part.deep => 0,
                kind::PTR | kind::FUNC_PROTO => id(found.refers),
                _ if found.is_modifier() => id(found.refers),
                _ => found.refers,
            };
            match found.kind {
                kind::INT => rows.push(Bytes(found.more).u32(0)?),
                kind::ARRAY => {
                    let more = Bytes(found.more);
                    rows.extend([id(more.u32(0)?), id(more.u32(4)?), more.u32(8)?]);
                }
                _ => {}
            }
            words.extend([name, u32::from(found.flag) << 31 | u32::from(found.kind) << 24 | count, refers]);
            words.append(&mut rows);
        }
        let (types, text) = (u32::try_from(words.len() * 4).ok()?, u32::try_from(strings.bytes.len()).ok()?);
        let mut bytes = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
        let header = [24, 0, types, types, text];
        bytes.extend(header.iter().chain(&words).flat_map(|word| word.to_ne_bytes()));
        bytes.append(&mut strings.bytes);
        Some(bytes)
    }
}

/// Strings, each once.
struct Strings<'a> {
    bytes: Vec<u8>,
    known: HashMap<&'a [u8], u32>,
}

impl<'a> Strings<'a> {
    fn add(&mut self, text: &'a [u8]) -> Option<u32> {
        if text.is_empty() {
            return Some(0);
        }
        let at = *self.known.entry(text).or_insert(u32::try_from(self.bytes.len()).ok()?);
        if at as usize == self.bytes.len() {
            self.bytes.extend(text);
            self.bytes.push(0);
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> Object {
        Object::read(test_objects::bytes(name)).unwrap()
    }

    fn target(bytes: &[u8]) -> Target {
        Target { path: PathBuf::new(), types: Types::read(bytes).unwrap(), about: Default::default() }
    }

    /// Objects that ask for what is there and for what is not, against tests/bpf/kernel.bpf.c.
    #[test]
    fn every_kind_of_relocation_resolves_as_before() {
        let whole = Target::read(&test_objects::path("kernel")).unwrap();
        let objects = ["all", "field", "type", "enum", "guard"].map(object);
        let bytes = minimize(&objects, &whole).unwrap();
        let few = target(&bytes);
        let members = |of: &Target| {
            let thing = of.types.find(kind::STRUCT, "thing").unwrap();
            assert_eq!(thing.refers, 56);
            of.types.members(thing).count()
        };
        assert_eq!((members(&whole), members(&few)), (6, 4));
        assert!(few.types.has_value("color", 7) == Some(true) && few.types.has_value("color", 8) == Some(false));
        assert!(!few.types.has_functions() && bytes.len() < whole.types.btf.bytes().len());
        // Nothing is left to take away.
        assert_eq!(minimize(&objects, &few).unwrap(), bytes);
    }

    #[test]
    fn a_result_that_says_something_else_is_refused() {
        // libbpf has something to say of most.
        crate::ffi::log::capture_log(false);
        let whole = Target::read(&test_objects::path("kernel")).unwrap();
        let objects = [object("all")];
        let walks = [walk(&objects[0], &whole)];
        let bytes = minimize(&objects, &whole).unwrap();
        prove(&objects, &walks, &bytes).unwrap();
        let refused = (24..bytes.len()).filter(|at| {
            let mut spoiled = bytes.clone();
            spoiled[*at] ^= 1;
            // Numbers that libbpf itself refuses are none of ours.
            let is_read = Types::read(&spoiled).is_ok();
            is_read && prove(&objects, &walks, &spoiled).is_err()
        });
        assert!(refused.count() > 50);
    }
}
