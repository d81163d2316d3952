//! The few types of a kernel, against all of them, by libbpf's matcher.

use std::path::{Path, PathBuf};

use super::*;
use crate::types::model::Types;
use crate::types::relo::minimize::prove;
use crate::types::relo::{Object, Outcome, Target, function, hook_of, walk};

/// The few of a kernel's types; every relocation must come to the same against both.
fn compared(objects: &[&[u8]], whole: &Target) -> Vec<u8> {
    // libbpf has something to say of relocations that fail.
    crate::ffi::log::capture_log(false);
    let mut needs = Needs::default();
    objects.iter().for_each(|object| needs.add(object).unwrap());
    let bytes = few(&needs, whole.types.btf.bytes()).unwrap().btf;
    let objects: Vec<_> = objects.iter().map(|object| Object::read(object).unwrap()).collect();
    let walks: Vec<_> = objects.iter().map(|object| walk(object, whole)).collect();
    prove(&objects, &walks, &bytes).unwrap();

    // All that libbpf would try is there.
    let types = Types::read(&bytes).unwrap();
    for object in &objects {
        for site in object.sites.iter().filter(|site| site.kind().0 != "local_type_id") {
            let local = object.types.get(site.relo.type_id).unwrap();
            let names = |types: &Types| -> Vec<_> {
                types.candidates(&local).into_iter().map(|id| types.get(id).unwrap().name.to_vec()).collect()
            };
            assert_eq!(names(&types), names(&whole.types));
        }
    }
    bytes
}

fn sources() -> Vec<&'static [u8]> {
    let tracers = crate::tracers::sources();
    tracers.iter().map(|source| source.object()).collect()
}

#[test]
fn what_is_hard_to_match_comes_to_the_same() {
    let whole = Target::read(&test_objects::path("namesakes_kernel")).unwrap();
    let object = test_objects::bytes("namesakes");
    let bytes = compared(&[object], &whole);
    assert!(bytes.len() < whole.types.btf.bytes().len() * 3 / 4, "{}", bytes.len());
    // It is what it is made for: some have several meanings, some none.
    let walk = walk(&Object::read(object).unwrap(), &whole);
    let count = |is: fn(&Outcome) -> bool| walk.answers.iter().filter(|answer| is(&answer.outcome)).count();
    let several = count(|outcome| matches!(outcome, Outcome::Error(_)));
    let none = count(|outcome| matches!(outcome, Outcome::Missing | Outcome::Guarded));
    let one = count(|outcome| matches!(outcome, Outcome::Value { .. }));
    assert!(several >= 3 && none >= 8 && one >= 60, "{several} {none} {one}");
}

#[test]
fn every_kind_of_relocation_comes_to_the_same() {
    let whole = Target::read(&test_objects::path("kernel")).unwrap();
    compared(&["field", "type", "enum", "guard"].map(test_objects::bytes), &whole);
}

#[test]
fn numbers_of_types_are_of_the_whole_alone() {
    assert!(Needs::default().add(test_objects::bytes("all")).is_none());
    assert!(Needs::default().add(b"no ELF file").is_none());
}

#[test]
fn damaged_types_do_no_harm() {
    let whole = Target::read(&test_objects::path("namesakes_kernel")).unwrap();
    let mut needs = Needs::default();
    needs.add(test_objects::bytes("namesakes")).unwrap();
    let bytes = whole.types.btf.bytes();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] = value;
            few(&needs, &damaged);
        }
        few(&needs, &bytes[..at]);
    }
}

/// All objects against a kernel.
fn on_kernel(whole: &Target) {
    let bytes = compared(&sources(), whole);
    assert!(bytes.len() < 20_000, "{}: {} bytes", whole.path.display(), bytes.len());
}

/// Whether what programs hook has the number that libbpf would find.
fn hooks(whole: &Target) {
    let mut needs = Needs::default();
    sources().iter().for_each(|object| needs.add(object).unwrap());
    needs.add_hook(function("do_sys_openat2"));
    needs.add_hook(function("there_is_no_such_function"));
    let hooks = few(&needs, whole.types.btf.bytes()).unwrap().hooks;
    for ((kind, name), id) in &hooks {
        let mut all = whole.types.named(name).filter(|(_, found)| (found.kind, found.name) == (*kind, &name[..]));
        assert_eq!(all.next().map(|(first, _)| first), Some(*id), "{}", String::from_utf8_lossy(name));
    }
    let has = |hook: Option<Hook>| hooks.contains_key(&hook.unwrap());
    assert!(has(hook_of("tp_btf/sched_process_exec")) && has(hook_of("fexit/do_sys_openat2")), "{hooks:?}");
    assert!(!has(Some(function("there_is_no_such_function"))));
}

#[test]
fn all_objects_come_to_the_same_on_this_kernel() {
    let own = Object::read(sources()[0]).unwrap().types;
    on_kernel(&Target { path: PathBuf::new(), types: own, about: Default::default() });
    if let Ok(running) = Target::read(Path::new(crate::host::KERNEL_BTF)) {
        on_kernel(&running);
        hooks(&running);
    }
}

#[test]
#[ignore = "takes minutes, and the kernels that the VM tests have fetched (the live test `relocs` asks each of them)"]
fn all_objects_come_to_the_same_on_all_kernels() {
    let list = |dir: PathBuf| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/coretrace/kernels"));
    let images = cache.into_iter().flat_map(list).flat_map(list).map(|build| build.join("vmlinuz"));
    let kernels: Vec<_> = images.filter(|path| path.exists()).collect();
    assert!(kernels.len() > 2, "{kernels:?}");
    kernels.iter().for_each(|path| on_kernel(&Target::read(path).unwrap()));
}
