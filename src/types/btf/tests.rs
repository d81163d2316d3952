//! Each source in its turn, on a made-up host.

use super::*;
use crate::fake::Tree;
use crate::types::archive::{Archive, Entry};
use crate::types::image::samples::{self, RELEASE, elf, packed, vmlinux};
use crate::types::sample::sample;
use crate::types::side::ARCHES;

fn of(tree: &Tree) -> Result<Found, BtfError> {
    find(Wanted::default(), &tree.host())
}

fn of_file(path: &Path, tree: &Tree) -> Result<BtfSource, BtfError> {
    find(Wanted { file: Some(path), dir: None }, &tree.host()).map(|found| found.source)
}

/// A host without BTF of its own.
fn without() -> Tree {
    let tree = Tree::debian();
    tree.remove("sys/kernel/btf/vmlinux");
    tree.file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    tree
}

fn name(found: &Found) -> String {
    found.source.to_string()
}

#[test]
fn the_kernels_own_is_taken_unless_a_file_is_named() {
    let tree = Tree::debian();
    tree.file(&format!("usr/share/coretrace/btf/{RELEASE}.btf"), sample());
    assert_eq!(of(&tree).unwrap().source, BtfSource::Kernel);
    tree.file("my.btf", sample());
    let path = tree.path("my.btf");
    let memory = BtfSource::Memory { name: shown(&path), bytes: sample().into() };
    assert_eq!(of_file(&path, &tree).unwrap(), memory);
}

#[test]
fn a_bad_file_is_an_error_though_the_kernel_has_its_own() {
    let tree = Tree::debian();
    let error = of_file(&tree.path("gone"), &tree).unwrap_err();
    assert!(matches!(error.fault, Some(Fault::Missing)));
    let text = error.to_string();
    assert!(text.contains("/gone: there is no such file\n  check the name given by --btf"), "{text}");
    assert!(text.ends_with("or leave it out: this kernel has its own in /sys/kernel/btf/vmlinux"), "{text}");
}

#[test]
fn what_was_looked_through_is_handed_over_in_memory() {
    let tree = Tree::debian();
    tree.file("my.btf.gz", packed("gzip", &sample()));
    let source = of_file(&tree.path("my.btf.gz"), &tree).unwrap();
    assert!(source.to_string().ends_with("/my.btf.gz"));
    let file = source.file().unwrap().unwrap();
    assert_eq!(std::fs::read(file.path()).unwrap(), sample());
    // What became of the file since makes no difference.
    tree.file("plain.btf", sample());
    let source = of_file(&tree.path("plain.btf"), &tree).unwrap();
    tree.file("plain.btf", "something else");
    assert_eq!(std::fs::read(source.file().unwrap().unwrap().path()).unwrap(), sample());
    assert!(BtfSource::Kernel.file().unwrap().is_none());
}

#[test]
fn a_named_image_of_another_kernel_is_refused() {
    let tree = Tree::debian();
    let outcome = |bytes: Vec<u8>| {
        tree.file("image", bytes);
        of_file(&tree.path("image"), &tree).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    };
    assert_eq!(outcome(vmlinux(&sample(), RELEASE)), "taken");
    let other = outcome(vmlinux(&sample(), "6.1.0-49-cloud-amd64"));
    assert!(
        other.contains("is of another kernel: 6.1.0-49-cloud-amd64, and 6.1.0-50-cloud-amd64 is running\n"),
        "{other}"
    );
    assert!(other.contains("\n  name the BTF file of kernel 6.1.0-50-cloud-amd64"), "{other}");
    assert!(outcome(packed("xz", &vmlinux(&sample(), "6.1.1"))).contains("is of another kernel: 6.1.1, and"));
    // The build id says it for sure.
    tree.file("sys/kernel/notes", samples::notes(b"\x01\x02\x03\x04"));
    assert_eq!(outcome(vmlinux(&sample(), "another-name")), "taken");
    tree.file("sys/kernel/notes", samples::notes(b"\x01\x02\x03\x05"));
    assert!(outcome(vmlinux(&sample(), RELEASE)).contains("also 6.1.0-50-cloud-amd64, but not the same build"));
}

#[test]
fn types_of_another_architecture_are_refused() {
    let tree = Tree::debian();
    let foreign = if cfg!(target_arch = "x86_64") { ("arm64", 183, "syscallno") } else { ("x86_64", 62, "orig_ax") };
    // A second name among the strings.
    let named = |name: &str| {
        let mut bytes = sample();
        bytes.extend(format!("{name}\0").bytes());
        let length = u32::try_from(5 + name.len() + 1).unwrap();
        bytes[20..24].copy_from_slice(&length.to_ne_bytes());
        bytes
    };
    let outcome = |bytes: Vec<u8>| {
        tree.file("f", bytes);
        of_file(&tree.path("f"), &tree).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    };
    let expected = format!("is of another architecture: {}", foreign.0);
    assert!(outcome(elf(foreign.1, &[(".BTF", &sample())])).contains(&expected));
    assert!(outcome(elf(243, &[(".BTF", &sample())])).contains("is of another architecture: riscv"));
    assert!(outcome(named(foreign.2)).contains(&expected));
    assert_eq!(outcome(named(if cfg!(target_arch = "x86_64") { "orig_ax" } else { "syscallno" })), "taken");
    assert_eq!(outcome(named("nothing")), "taken");
}

#[test]
fn side_archives_come_before_images_the_named_one_first() {
    let tree = without();
    let arch = ARCHES[0];
    let dir = tree.path("side");
    let wanted = Wanted { file: None, dir: Some(&dir) };
    let found = || name(&find(wanted, &tree.host()).unwrap());
    // From the last to the first.
    tree.file(
        &format!("boot/vmlinuz-{RELEASE}"),
        samples::bz_image(&packed("zstd", &vmlinux(&sample(), RELEASE)), true),
    );
    assert!(found().ends_with(&format!("/boot/vmlinuz-{RELEASE}")));
    tree.file(&format!("usr/lib/debug/boot/vmlinux-{RELEASE}.xz"), packed("xz", &vmlinux(&sample(), RELEASE)));
    assert!(found().ends_with(&format!("/usr/lib/debug/boot/vmlinux-{RELEASE}.xz")));
    tree.file(&format!("boot/vmlinux-{RELEASE}"), vmlinux(&sample(), RELEASE));
    assert!(found().ends_with(&format!("/boot/vmlinux-{RELEASE}")));
    let mut archive = Archive::default();
    let here = Entry { release: RELEASE.into(), arch: arch.into(), ..Entry::default() };
    archive.add(here, sample()).unwrap();
    tree.file("program", [&b"the program"[..], &archive.bytes().unwrap()].concat());
    tree.link("proc/self/exe", tree.path("program").to_str().unwrap());
    assert!(found().starts_with("the archive in ") && found().ends_with("/program"), "{}", found());
    for place in [
        format!("usr/share/coretrace/btf/{RELEASE}.btf"),
        format!("usr/share/coretrace/btf/debian/12/{arch}/{RELEASE}.btf.xz"),
        format!("side/{RELEASE}.btf.gz"),
        format!("side/{arch}/{RELEASE}.btf.zst"),
        format!("side/debian/12/{arch}/{RELEASE}.btf.tar.xz"),
    ] {
        let bytes = match place.rsplit('.').next() {
            Some("xz") if place.contains("tar") => packed("xz", &samples::tar(&[("x.btf", b'0', &sample())])),
            Some("xz") => packed("xz", &sample()),
            Some("gz") => packed("gzip", &sample()),
            Some("zst") => packed("zstd", &sample()),
            _ => sample(),
        };
        tree.file(&place, bytes);
        assert!(found().ends_with(&place), "{place}: {}", found());
    }
}

#[test]
fn what_cannot_be_used_is_reported() {
    let tree = without();
    tree.file(&format!("usr/share/coretrace/btf/{RELEASE}.btf"), &sample()[..30]);
    let mut archive = Archive::default();
    archive.add(Entry::default(), sample()).unwrap();
    let mut program = archive.bytes().unwrap();
    program[20] ^= 1;
    tree.file("program", program);
    tree.link("proc/self/exe", tree.path("program").to_str().unwrap());
    tree.file(&format!("boot/vmlinux-{RELEASE}"), vmlinux(&sample(), "6.1.1"));
    let error = of(&tree).unwrap_err().to_string();
    for part in [
        "btf: it is cut: 30 bytes of 45",
        "program: it is damaged: its checksum is wrong",
        "is of another kernel: 6.1.1",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    tree.file(&format!("boot/vmlinuz-{RELEASE}"), packed("gzip", &vmlinux(&sample(), RELEASE)));
    let found = of(&tree).unwrap();
    assert!(name(&found).ends_with(&format!("/boot/vmlinuz-{RELEASE}")));
    assert_eq!(found.passed_over.len(), 3, "{:?}", found.passed_over);
}

#[test]
fn without_any_the_error_says_what_to_do() {
    let tree = without();
    let error = of(&tree).unwrap_err();
    assert!(error.fault.is_none());
    for part in [RELEASE, "CONFIG_DEBUG_INFO_BTF", KERNEL_BTF, "/boot/vmlinux-6.1.0-50-cloud-amd64,", INSTALLED] {
        assert!(error.cause.contains(part), "{part}: {}", error.cause);
    }
    let text = error.to_string();
    for part in ["btf min", "btf embed", "--btf-dir", "--btf FILE", "debug package of kernel 6.1.0-50", "BTFHub"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_sample_is_what_bpf_tools_write() {
    // As dumped by `bpftool btf dump`: [1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED.
    assert_eq!(sample().len(), 24 + 16 + 5);
}
