//! Compiles every `src/bpf/*.bpf.c` with clang and generates a Rust skeleton for each, and the hash of its event
//! layouts, by which recordings of other builds are recognised. Finds out what `--version` says of libbpf and
//! the architecture (of the commit: version/build.rs).

use std::hash::Hasher;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use fnv::FnvHasher;
use libbpf_cargo::SkeletonBuilder;

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set")?);
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let vmlinux = root.join("vmlinux").join(&arch);
    anyhow::ensure!(vmlinux.join("vmlinux.h").exists(), "no vmlinux/{arch}/vmlinux.h: vmlinux/update makes one");

    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed={}", vmlinux.display());
    println!("cargo:rerun-if-env-changed=CLANG");

    let mut sources = Vec::new();
    for entry in fs::read_dir(root.join("src/bpf")).context("reading src/bpf")? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".bpf.c")) {
            sources.push((name.to_owned(), path.clone()));
        }
    }
    sources.sort();
    for (name, source) in &sources {
        skeleton(name, source, &vmlinux, &out).with_context(|| format!("building {}", source.display()))?;
    }
    println!("cargo:rustc-env=CORETRACE_LIBBPF={}", libbpf(&root)?);
    println!("cargo:rustc-env=CORETRACE_ARCH={arch}");
    Ok(())
}

/// The version of libbpf that the crate libbpf-sys has: `1.7.0` of its own version, `1.7.0+v1.7.0`.
fn libbpf(root: &Path) -> Result<String> {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let version = lock.split("name = \"libbpf-sys\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let version = version.and_then(|version| version.split_once("+v")).map(|(_, libbpf)| libbpf.to_owned());
    version.context("Cargo.lock does not say which libbpf there is in libbpf-sys")
}

/// The option with which clang zeroes every variable on the stack. The verifiers of 5.10.218 and older, of 5.11 to 5.19
/// and of 6.0 refuse reads of uninitialised stack, even if the value does not matter ("invalid read from stack"); later
/// ones let privileged programs do it (6715df8d5d24: bpf: Allow reads from uninit stack), and hide the fault.
fn zeroed_variables() -> Result<&'static [&'static str]> {
    const ZERO: &str = "-ftrivial-auto-var-init=zero";
    /// Up to clang 15, the option needs this one, too.
    const ALLOW: &str = "-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang";
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    for options in [&[ZERO] as &[_], &[ZERO, ALLOW]] {
        let mut command = Command::new(&clang);
        command.args(options).args(["-target", "bpf", "-fsyntax-only", "-x", "c", "/dev/null"]).stderr(Stdio::null());
        if command.status().context("starting clang")?.success() {
            return Ok(options);
        }
    }
    anyhow::bail!("clang does not know {ZERO}: it needs to be version 8 or newer")
}

fn skeleton(name: &str, source: &Path, vmlinux: &Path, out: &Path) -> Result<()> {
    let skel = out.join(format!("{name}.skel.rs"));
    let mut builder = SkeletonBuilder::new();
    if let Some(clang) = env::var_os("CLANG") {
        builder.clang(clang);
    }
    let vmlinux = vmlinux.to_str().context("the path of vmlinux/ is not UTF-8")?;
    // Source paths in the debug information do not depend on where this was built.
    let root = source.ancestors().nth(3).and_then(Path::to_str).context("the path of src/bpf is not UTF-8")?;
    let map = format!("-ffile-prefix-map={root}/=");
    builder.source(source).obj(out.join(format!("{name}.bpf.o"))).clang_args(
        zeroed_variables()?.iter().copied().chain([
            "-g",
            "-O2",
            &map,
            "-fdebug-compilation-dir=.",
            // A system header, so that its holes and warnings are ignored.
            "-isystem",
            vmlinux,
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Wpadded",
            "-Werror",
        ]),
    );
    builder.build_and_generate(&skel)?;
    let text = fs::read_to_string(&skel)?;
    // The object as the program carries it: a quarter of its size (src/ffi/packed.rs).
    let object = fs::read(out.join(format!("{name}.bpf.o")))?;
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&object)?;
    fs::write(out.join(format!("{name}.bpf.o.deflate")), packed.finish()?)?;
    // A number that recordings carry: FNV-1a is the same with every version of Rust.
    let mut hash = FnvHasher::default();
    // Sorted: the compiler's order depends on what functions use.
    let mut types = event_types(&text)?;
    types.sort_unstable();
    for item in types {
        hash.write(item.as_bytes());
        hash.write(b"\0");
    }
    fs::write(out.join(format!("{name}.layout.rs")), format!("{:#018x}", hash.finish()))?;
    Ok(())
}

/// The types of events, as spelled in the skeleton: those that EXPORT_TYPE names in event.bpf.h and its users, and the
/// types of their members. Nothing else, so that changed instructions or settings keep recordings readable.
fn event_types(skeleton: &str) -> Result<Vec<&str>> {
    let types = skeleton.split("\n    pub mod types {").nth(1).and_then(|rest| rest.split("\n    }").next());
    let types = types.context("the skeleton has no types")?;
    let between = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let items: Vec<(&str, &str)> = types
        .split("\n        #[derive(")
        .filter_map(|item| Some((item.split("pub struct ").nth(1)?.split(between).next()?, item)))
        .collect();
    let mut names: Vec<&str> = types.split(between).filter_map(|word| word.strip_prefix("__export_")).collect();
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        next += 1;
        let item = items.iter().find(|(item, _)| *item == name).with_context(|| format!("no type {name}"))?.1;
        // Only the struct: its implementations follow.
        let item = item.split("\n        }").next().unwrap_or(item);
        found.push(item);
        // Only the types of its members, not their names: a struct of the kernel may have one of these names.
        let types = item.lines().filter_map(|line| line.trim_start().strip_prefix("pub ")?.split_once(": "));
        for inner in types.flat_map(|(_, of)| of.split(between)) {
            if items.iter().any(|(item, _)| *item == inner) && !names.contains(&inner) {
                names.push(inner);
            }
        }
    }
    anyhow::ensure!(!found.is_empty(), "the skeleton has no types of events");
    Ok(found)
}
