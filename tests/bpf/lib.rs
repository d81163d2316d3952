//! `tests/bpf/NAME.bpf.c`, compiled; and programs to look into.

use std::path::{Path, PathBuf};

const ALL: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/list.rs"));

/// The object of this name.
///
/// # Panics
/// When there is none.
pub fn bytes(name: &str) -> &'static [u8] {
    ALL.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no tests/bpf/{name}.bpf.c")).1
}

/// Its file, on the machine that built it.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join(format!("{name}.bpf.o"))
}

/// Programs of tests/bpf/binaries, to be run where there is no file of the machine that built them.
pub const PROGRAMS: [(&str, &[u8]); 2] = [
    ("plain", include_bytes!(concat!(env!("OUT_DIR"), "/binaries/plain"))),
    ("small", include_bytes!(concat!(env!("OUT_DIR"), "/binaries/small"))),
];

/// A program of C++, likewise.
pub const METHODS: (&str, &[u8]) = ("methods", include_bytes!(concat!(env!("OUT_DIR"), "/binaries/methods")));

/// The source of [`PROGRAMS`].
pub const SOURCE: &str = include_str!("binaries/functions.c");

/// A program that was built from `tests/bpf/binaries` (see build.rs).
pub fn binary(name: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join("binaries").join(name)
}
