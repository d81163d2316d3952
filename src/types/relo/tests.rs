//! Objects that clang makes of `tests/bpf`, against the types there, which stand for a kernel's.

use std::path::Path;

use super::*;
use crate::fake::Tree;
use crate::types::model::kind;

/// `tests/bpf/NAME.bpf.c`, compiled.
fn compiled(tree: &Tree, name: &str) -> std::path::PathBuf {
    let object = format!("{name}.bpf.o");
    tree.file(&object, test_objects::bytes(name));
    tree.path(&object)
}

/// Its relocations against `kernel.bpf.c`: kind, spec, what came of it.
fn resolved(name: &str) -> Vec<(&'static str, String, String)> {
    let tree = Tree::new();
    let target = Target::read(&compiled(&tree, "kernel")).unwrap();
    let object = Object::read(&std::fs::read(compiled(&tree, name)).unwrap()).unwrap();
    let walk = walk(&object, &target);
    assert_eq!(walk.answers.len(), object.sites.len());
    let resolved = |(site, answer): (&Site, &Answer)| {
        let (file, line) = site.source.clone().unwrap();
        assert!(file == format!("{name}.bpf.c") && line > 5, "{file}:{line}");
        let outcome = match &answer.outcome {
            Outcome::Value { local, target, size } => format!("{local} {target} {size:?}"),
            other => format!("{other:?}"),
        };
        (site.kind().0, answer.spec(), outcome)
    };
    object.sites.iter().zip(&walk.answers).map(resolved).collect()
}

/// Recorded with libbpf 1.7.0: other numbers are those of other structs (src/relo_core.h).
#[test]
fn every_kind_is_what_libbpf_makes_of_it() {
    let all = resolved("all");
    let resolved: Vec<_> = all.iter().map(|(kind, spec, outcome)| format!("{kind} {spec} {outcome}")).collect();
    assert_eq!(
        resolved,
        [
            "byte_off struct thing.inners[1].b 8 28 None",
            "byte_sz struct thing.inners 8 32 None",
            "field_exists struct thing.hidden 1 1 None",
            "signed struct thing.number 0 0 None",
            "lshift_u64 struct thing.bits 57 56 None",
            "rshift_u64 struct thing.bits 57 59 None",
            "type_exists struct thing 1 1 None",
            "type_size struct thing 20 56 None",
            "target_type_id struct inner 6 5 None",
            "local_type_id struct inner 6 6 None",
            "enumval_exists enum color::RED = 1 1 1 None",
            "enumval_value enum color::RED = 1 1 7 None",
            "byte_off struct thing.number 0 8 Some((4, 8))",
        ]
    );
}

#[test]
fn what_is_not_there_is_missing() {
    for (name, outcomes) in [("field", &["Missing"][..]), ("type", &["4 0 None", "Missing"]), ("enum", &["Missing"])] {
        // The size of a type that is not there is 0, and nothing fails by that.
        let resolved: Vec<_> = resolved(name).into_iter().map(|(_, _, outcome)| outcome).collect();
        assert_eq!(resolved, outcomes, "{name}");
    }
}

#[test]
fn what_is_behind_a_check_is_guarded() {
    let resolved = resolved("guard");
    let of = |asks: bool| resolved.iter().filter(move |(kind, ..)| kind.ends_with("exists") == asks);
    assert_eq!((of(true).count(), of(false).count()), (3, 3), "{resolved:#?}");
    assert!(of(true).all(|(_, _, outcome)| outcome == "1 0 None"), "{resolved:#?}");
    assert!(of(false).all(|(kind, _, outcome)| *kind == "type_size" || outcome == "Guarded"), "{resolved:#?}");
}

#[test]
fn files_that_are_none_are_reported_and_damaged_ones_do_no_harm() {
    // libbpf has something to say of each.
    crate::ffi::log::capture_log(false);
    let tree = Tree::new();
    let whole = crate::types::image::read(&compiled(&tree, "kernel")).unwrap().btf;
    let object = Object::read(&std::fs::read(compiled(&tree, "all")).unwrap()).unwrap();
    tree.file("whole", &whole);
    assert!(Target::read(&tree.path("whole")).is_ok());
    for at in 0..whole.len() {
        for value in [0, 1, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            tree.file("damaged", &bytes);
            if let Ok(target) = Target::read(&tree.path("damaged")) {
                assert_eq!(walk(&object, &target).answers.len(), object.sites.len());
            }
        }
    }
    for length in 0..whole.len() {
        tree.file("cut", &whole[..length]);
        assert!(Target::read(&tree.path("cut")).is_err(), "{length}");
    }
    let elf = std::fs::read(compiled(&tree, "all")).unwrap();
    for length in (0..elf.len()).step_by(7) {
        let _ = Object::read(&elf[..length]);
    }
}

#[test]
fn types_without_an_end_are_refused() {
    let tree = Tree::new();
    let mut bytes = crate::types::sample::sample();
    // A typedef of itself in place of the int.
    bytes.splice(28..40, [8_u32 << 24, 1].iter().flat_map(|n| n.to_ne_bytes()));
    bytes[12..16].copy_from_slice(&12_u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&12_u32.to_ne_bytes());
    tree.file("endless", &bytes);
    let error = Target::read(&tree.path("endless")).unwrap_err().to_string();
    assert!(error.contains("contradict"), "{error}");
}

/// As a module has them: a struct with a member of the kernel's first type, and strings that go on.
fn split() -> Vec<u8> {
    let mut bytes = crate::types::sample::sample();
    bytes.truncate(24);
    // The kernel's strings are 5 bytes, and it has one type.
    let words = [5_u32, 4 << 24 | 1, 4, 15, 1, 0];
    bytes[12..16].copy_from_slice(&24_u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&24_u32.to_ne_bytes());
    bytes[20..24].copy_from_slice(&17_u32.to_ne_bytes());
    bytes.extend(words.iter().flat_map(|n| n.to_ne_bytes()));
    bytes.extend(b"of_module\0member\0");
    bytes
}

#[test]
fn a_modules_types_are_read_with_its_kernels() {
    use crate::types::image::samples::{MACHINE, elf};
    let tree = Tree::new();
    let kernel = crate::types::sample::sample();
    tree.file("alone/module", split());
    tree.file("kernel", &kernel);
    let alone = tree.path("alone/module");
    for error in [Target::read(&alone), Target::read_with(&alone, None)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("has the types of a module") && error.contains("--base KERNEL"), "{error}");
    }
    let shows = |path: &Path, base: Option<&Path>| {
        let target = Target::read_with(path, base).unwrap();
        let found = target.types.find(kind::STRUCT, "of_module").unwrap();
        let members: Vec<_> = target.types.members(found).map(|member| (member.name, member.id)).collect();
        assert_eq!(members, [(&b"member"[..], 1)]);
        assert!(target.types.find(kind::INT, "int").is_some() && target.types.own() == (2..3));
    };
    // Named, beside it, or brought along.
    shows(&alone, Some(&tree.path("kernel")));
    tree.file("btf/vmlinux", &kernel);
    tree.file("btf/module", split());
    shows(&tree.path("btf/module"), None);
    let module = [(".BTF", &split()[..]), (".gnu.linkonce.this_module", b"x")];
    tree.file("module.ko", elf(MACHINE, &module));
    assert!(Target::read_with(&tree.path("module.ko"), None).is_err());
    tree.file("module.ko", elf(MACHINE, &[&module[..], &[(".BTF.base", &kernel)]].concat()));
    shows(&tree.path("module.ko"), None);
}

#[test]
fn a_modules_types_go_on_from_its_kernels() {
    let all = super::joined(&crate::types::sample::sample(), &split()).unwrap();
    let types = crate::types::model::Types::read(&all).unwrap();
    let found = types.find(kind::STRUCT, "of_module").unwrap();
    let members: Vec<_> = types.members(found).map(|member| (member.name, member.id)).collect();
    assert_eq!(members, [(&b"member"[..], 1)]);
    assert_eq!(super::joined(&split()[..20], &split()), None);
}

#[test]
fn kinds_that_are_newer_are_named() {
    let tree = Tree::new();
    let mut bytes = crate::types::sample::sample();
    bytes[28..32].copy_from_slice(&(20_u32 << 24).to_ne_bytes());
    tree.file("newer", &bytes);
    let error = Target::read(&tree.path("newer")).unwrap_err().to_string();
    assert!(error.contains("has types of kind 20, which is newer than this coretrace"), "{error}");
}
