//! Compiles each object with clang, and lists them for lib.rs.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={}", here.display());
    println!("cargo:rerun-if-env-changed=CLANG");
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut names: Vec<String> = fs::read_dir(&here)
        .expect("reading tests/bpf")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".bpf.c")?.to_owned()))
        .collect();
    names.sort_unstable();
    let mut list = String::new();
    for name in &names {
        let (source, object) = (here.join(format!("{name}.bpf.c")), out.join(format!("{name}.bpf.o")));
        let mut command = Command::new(&clang);
        command.args(["-g", "-O2", "-target", "bpf", "-c", "-o"]).arg(&object).arg(&source);
        let status = command.status().unwrap_or_else(|error| panic!("starting clang: {error}"));
        assert!(status.success(), "building {}", source.display());
        list.push_str(&format!("({name:?}, include_bytes!({object:?})),\n"));
    }
    fs::write(out.join("list.rs"), format!("&[\n{list}]")).expect("writing the list");
}
