//! Libraries and processes of a made up host.

use super::samples::cache;
use super::*;
use crate::binary::Machine;
use crate::fake::Tree;

fn flags() -> u32 {
    if Machine::HERE == Machine::X86 { 0x0303 } else { 0x0a03 }
}

#[test]
fn names_of_libraries() {
    for name in ["libssl.so.3", "libssl.so", "libssl", "ssl"] {
        assert!(libraries::is_called("libssl.so.3", name), "{name}");
    }
    for name in ["libss", "libssl.so.1", "libssl.s", "s", "sl", "libssl3"] {
        assert!(!libraries::is_called("libssl.so.3", name), "{name}");
    }
    assert!(
        libraries::is_called("libpthread-2.31.so", "pthread") && libraries::is_called("libc.musl-x86_64.so.1", "libc")
    );
    assert!(!libraries::is_called("libc-client.so.1", "libc") && !libraries::is_called("libcap.so.2", "libc"));
}

#[test]
fn the_cache_says_what_the_loader_takes() {
    let tree = Tree::new();
    let of = |name: &'static str, path: &'static str| (name, path, flags(), 0);
    for file in ["lib/x/libssl.so.1.1", "lib/x/libssl.so.3", "lib/x/fast/libssl.so.3", "opt/libc.so.6"] {
        tree.file(file, "x");
    }
    let mut all = vec![
        of("libssl.so.1.1", "/lib/x/libssl.so.1.1"),
        of("libssl.so.3", "/lib/x/libssl.so.3"),
        of("libc.so.6", "/opt/libc.so.6"),
        of("libgone.so.1", "/lib/x/libgone.so.1"),
    ];
    all.push(("libssl.so.3", "/lib/x/fast/libssl.so.3", flags(), 1 << 62));
    all.push(("libc.so.6", "/lib32/libc.so.6", 0x0003, 0));
    for old in [false, true] {
        tree.file("etc/ld.so.cache", cache(&all, old));
        let paths = |name| {
            let found = libraries::called(name, tree.root());
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths("ssl"), ["/lib/x/libssl.so.3", "/lib/x/libssl.so.1.1", "/lib/x/fast/libssl.so.3"]);
        assert_eq!((paths("libc"), paths("libgone")), (vec!["/opt/libc.so.6".to_owned()], vec![]));
    }
    let error = on_host("sssl", tree.root(), Some(OsStr::new("/nowhere"))).unwrap_err().to_string();
    assert!(error.contains("closest: ssl"), "{error}");
    let error = on_host("ssl", tree.root(), None).unwrap_err().to_string();
    assert!(error.contains("no ELF file"), "{error}");
}

#[test]
fn without_a_cache_there_are_directories() {
    let tree = Tree::new();
    let machine = if Machine::HERE == Machine::X86 { "x86_64" } else { "aarch64" };
    tree.file(&format!("etc/ld-musl-{machine}.path"), "/opt/lib\n/lib\n");
    tree.file("opt/lib/libz.so.1.3.1", "x");
    tree.file("lib/libc.musl-x86_64.so.1", "x");
    let one = |name| libraries::called(name, tree.root()).first().map(|path| path.display().to_string());
    assert_eq!(
        (one("z"), one("libc"), one("q")),
        (Some("/opt/lib/libz.so.1.3.1".into()), Some("/lib/libc.musl-x86_64.so.1".into()), None)
    );
}

#[test]
fn what_a_process_has_mapped() {
    let maps = b"00400000-00401000 r--p 00000000 fd:01 12 /usr/bin/a b\n\
                 00401000-00402000 r-xp 00001000 fd:01 12 /usr/bin/a b\n\
                 7f0000000000-7f0000001000 r-xp 00000000 fd:01 13                  /usr/lib/libx.so.1 (deleted)\n\
                 7f0000002000-7f0000003000 r-xp 00000000 00:00 0 [vdso]\n\
                 7f0000004000-7f0000005000 r-xp 00000000 fd:01 14 /tmp/x\\012y\n\
                 7f0000006000-7f0000007000 rwxp 00000000 00:00 0 \n\
                 7f0000008000-7f0000009000 r-xp 00002000 fd:01 12 /usr/bin/a b\nnonsense\n\n";
    let found = process::of_bytes(maps);
    let paths: Vec<_> = found.iter().map(|one| (one.path.to_str().unwrap(), one.deleted)).collect();
    assert_eq!(paths, [("/usr/bin/a b", false), ("/usr/lib/libx.so.1", true), ("/tmp/x\ny", false)]);
    assert_eq!(found[1].at, Some(PathBuf::from("/proc/1/map_files/7f0000000000-7f0000001000")));
}

#[test]
fn the_binaries_of_a_process_are_those_that_it_sees() {
    let tree = Tree::new();
    let program = test_objects::binary("plain");
    let bytes = std::fs::read(&program).unwrap();
    tree.file("proc/7/root/usr/bin/plain", bytes.clone());
    tree.file("proc/7/root/lib64/libother.so.2", bytes);
    tree.file("proc/7/maps", "1000-2000 r-xp 0 fd:01 12 /usr/bin/plain\n3000-4000 r-xp 0 fd:01 13 /lib/libgone.so\n");
    tree.dir("proc/self");
    let proc = tree.path("proc");
    let of = |word| of_process(word, 7, &proc);
    let name = |word| of(word).unwrap().pop().unwrap().name;
    assert_eq!(
        (name("plain"), name("/usr/bin/plain"), name("*")),
        ("/usr/bin/plain".into(), "/usr/bin/plain".into(), "/usr/bin/plain".into())
    );
    let later = of("other").unwrap().pop().unwrap();
    assert_eq!(later.name, "/lib64/libother.so.2");
    assert_eq!(later.take_notes(), ["process 7 has not mapped /lib64/libother.so.2 so far"]);
    let error = of("nothing").unwrap_err().to_string();
    assert!(error.contains("it has: plain, libgone.so"), "{error}");
    assert!(of_process("x", 8, &proc).unwrap_err().to_string().contains("no process 8"));
    tree.file("proc/9/maps", "");
    assert!(of_process("x", 9, &proc).unwrap_err().to_string().contains("has ended"));
}

#[test]
fn a_relative_path_is_one_from_where_it_was_typed() {
    let (tree, own) = (Tree::new(), std::env::current_dir().unwrap());
    let program = test_objects::binary("plain");
    let up = "../".repeat(own.components().count() - 1);
    let word = format!("{up}{}", program.canonicalize().unwrap().strip_prefix("/").unwrap().display());
    let full = program.canonicalize().unwrap().display().to_string();
    tree.file(&format!("proc/7/root{full}"), std::fs::read(&program).unwrap());
    tree.file("proc/7/maps", format!("1000-2000 r-xp 0 fd:01 12 {full}\n"));
    tree.file("proc/8/maps", "1000-2000 r-xp 0 fd:01 12 /app/server\n");
    tree.dir("proc/self");
    let found = of_process(&word, 7, &tree.path("proc")).unwrap().pop().unwrap();
    assert_eq!((found.name.as_str(), found.take_notes().len()), (full.as_str(), 0), "{word}");
    let error = of_process("./server", 8, &tree.path("proc")).unwrap_err().to_string();
    let sees = format!("process 8 sees no {}", own.join("server").display());
    assert!(error.starts_with(&sees) && error.contains("it has: /app/server"), "{error}");
}

#[test]
fn this_very_process_has_mapped_its_program() {
    let all = mapped(std::process::id(), Path::new("/proc")).unwrap();
    let own = std::env::current_exe().unwrap();
    assert!(all.iter().any(|one| one.path == own && !one.deleted), "{all:?}");
}

#[test]
fn what_has_moved_to_libc_is_said_to_be_there() {
    let tree = Tree::new();
    let bytes = std::fs::read(test_objects::binary("plain")).unwrap();
    for (file, moved) in [("lib/libpthread.so.0", true), ("lib/libdl-2.31.so", false), ("lib/libm.so.6", false)] {
        tree.file(file, &bytes);
        let binary = Binary::open(tree.root(), Path::new(&format!("/{file}"))).unwrap();
        let wrong = binary.functions("pthread_create").unwrap_err().to_string();
        assert!(wrong.contains("there is no function pthread_create"), "{wrong}");
        assert_eq!(wrong.contains("since glibc 2.34 it is in libc: libc:pthread_create"), moved, "{file}: {wrong}");
    }
}
