//! Missing types, files of types, and invalid files.

use std::fs;

use crate::btf::{KERNEL, assert_right, first, trace};
use crate::host::{Scratch, text};
use crate::support::{Trace, coretrace, targets};

#[test]
fn without_any_types_the_error_says_what_to_do() {
    let ended = trace(&[], None);
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0));
    let printed = ended.stderr.join("\n");
    for words in ["no type information (BTF)", KERNEL, "CONFIG_DEBUG_INFO_BTF", "--btf FILE"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
}

#[test]
fn a_file_beside_the_kernels_own_is_taken_where_it_is_named() {
    let scratch = Scratch::new("btf-beside");
    let file = scratch.file("full.btf", fs::read(KERNEL).unwrap());
    let targets = targets();
    let ended = Trace::proc(["--btf", text(&file), "--", text(&targets), "exit", "3"]).end();
    assert_right(&ended, &first("tp_btf/sched_process_exec"), &file);
}

#[test]
fn a_file_that_is_no_good_is_named_with_its_fault() {
    let scratch = Scratch::new("btf-bad");
    let whole = fs::read(KERNEL).unwrap();
    let mut foreign = whole.clone();
    foreign[..2].reverse();
    let mut zeroes = whole.clone();
    // The header says where types and strings are; both are gone.
    zeroes[24..].fill(0);
    let files = [
        (scratch.file("half", &whole[..whole.len() / 2]), "is cut"),
        (scratch.file("header", &whole[..20]), "is cut"),
        (scratch.file("one-byte-less", &whole[..whole.len() - 1]), "is cut"),
        (scratch.file("text", "no types\n"), "is not BTF"),
        (scratch.file("empty", ""), "is not BTF"),
        (scratch.file("packed", [&b"\x1f\x8b\x08"[..], &whole[..100]].concat()), "is damaged: what gzip packed"),
        (scratch.file("bzip2", "BZh91AY&SY"), "is compressed with bzip2"),
        (scratch.file("foreign", foreign), "other byte order"),
        (scratch.path("missing"), "there is no such file"),
        (scratch.path("."), "cannot be read"),
        (scratch.file("zeroes", zeroes), "contradict each other"),
        (coretrace(), "without a .BTF section"),
    ];
    for (file, fault) in &files {
        let ended = trace(&["--btf", text(file)], None);
        let printed = ended.stderr.join("\n");
        assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0), "{}: {printed}", file.display());
        assert!(printed.contains(fault), "{}: {printed}", file.display());
        assert!(printed.contains(text(file)), "{}: {printed}", file.display());
    }
}
