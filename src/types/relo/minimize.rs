//! Types of a kernel made as few as the programs here need: every relocation resolves against them as against all.
//!
//! Of members and values those alone are kept that relocations name, at their offsets.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::kept::Kept;
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
    let mut found = Found { types: &target.types, kept: Kept::of(target.types.raw()) };
    for (object, walk) in objects.iter().zip(&walks) {
        for (site, answer) in object.sites.iter().zip(&walk.answers) {
            if let Outcome::Error(errno) = answer.outcome {
                bail!("no program can be loaded with it: relocation {} fails: error {errno}", site.index);
            }
            if let Some((root, way)) = answer.matched.as_ref().and_then(|matched| matched.way.as_ref()) {
                found.keep(site.relo.kind, *root, way);
            }
        }
    }
    found.arch();
    ensure!(!found.kept.is_empty(), "none of what coretrace looks into is among its types");
    let bytes = found.kept.write().context("its types contradict each other")?;

    prove(objects, &walks, &bytes)?;
    Ok(bytes)
}

/// Makes sure, by libbpf's own matcher, that nothing resolves in another way than in these walks.
pub(super) fn prove(objects: &[Object], walks: &[Walk], bytes: &[u8]) -> Result<()> {
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

/// What relocations have found, and what of it is kept.
struct Found<'a> {
    types: &'a Types,
    kept: Kept<'a>,
}

impl Found<'_> {
    /// Keeps what a relocation of this kind has found.
    fn keep(&mut self, relo: u32, root: u32, way: &[u32]) {
        if !FIELDS.contains(&relo) {
            self.kept.shape(root, true);
            if let (true, Some(id), Some(value)) = (VALUES.contains(&relo), self.types.plain(root), way.first()) {
                self.kept.row(id, *value);
            }
            return;
        }
        self.kept.shape(root, false);
        let mut at = root;
        for step in way.iter().skip(1) {
            let Some((id, found)) = self.types.plain(at).and_then(|id| Some((id, self.types.get(id)?))) else { return };
            let next = if found.is_composite() {
                self.kept.row(id, *step);
                found.rows().nth(*step as usize).and_then(|row| row.u32(4))
            } else {
                Bytes(found.more).u32(0)
            };
            let Some(next) = next else { return };
            self.kept.shape(next, false);
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
