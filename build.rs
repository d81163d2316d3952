//! Compiles every `src/bpf/*.bpf.c` with clang and generates a Rust skeleton for each, and the hash
//! of its event layouts, by which a recording is told from one of another build.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
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
    Ok(())
}

fn skeleton(name: &str, source: &Path, vmlinux: &Path, out: &Path) -> Result<()> {
    let skel = out.join(format!("{name}.skel.rs"));
    let mut builder = SkeletonBuilder::new();
    if let Some(clang) = env::var_os("CLANG") {
        builder.clang(clang);
    }
    let vmlinux = vmlinux.to_str().context("the path of vmlinux/ is not UTF-8")?;
    builder.source(source).obj(out.join(format!("{name}.bpf.o"))).clang_args([
        "-g",
        "-O2",
        // A system header: its own holes and warnings are not ours.
        "-isystem",
        vmlinux,
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wpadded",
        "-Werror",
    ]);
    builder.build_and_generate(&skel)?;
    let text = fs::read_to_string(&skel)?;
    // The types alone: a comment or an instruction that changes keeps recordings readable.
    let types = text.split("pub mod types").nth(1).context("the skeleton has no types")?;
    let mut hash = DefaultHasher::new();
    types.split("\n}").next().unwrap_or(types).hash(&mut hash);
    fs::write(out.join(format!("{name}.layout.rs")), format!("{:#018x}", hash.finish()))?;
    Ok(())
}
