//! Finds out which commit this is built from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result};

/// What the binary is made of.
const SOURCES: [&str; 7] = ["src", "vmlinux", "version", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo"];

fn main() -> Result<()> {
    let here = env::var("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set")?;
    let root = Path::new(&here).parent().context("there is no directory above version/")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let commit = commit(root).unwrap_or_else(|| "unknown".to_owned());
    let text = format!("#[macro_export] macro_rules! commit {{ () => {{ {commit:?} }} }}");
    fs::write(out.join("commit.rs"), text).context("writing commit.rs")
}

/// What the environment says, else what git says of `root`, if that is a checkout of its own, and not a directory in one
/// of something else.
fn commit(root: &Path) -> Option<String> {
    println!("cargo:rerun-if-env-changed=CORETRACE_COMMIT");
    for source in SOURCES.iter().map(|source| root.join(source)).filter(|source| source.exists()) {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    if let Some(given) = env::var("CORETRACE_COMMIT").ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(root).args(args).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // Every commit and checkout adds a line to it. (Cargo would run this each time for a file that is not there.)
    let log = root.join(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    if fs::exists(&log).unwrap_or(false) {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if changes.is_empty() { commit } else { commit + "-changed" })
}
