//! Which file is meant: a path, a library by its short name, a program of PATH, or what a process has mapped.

mod cache;
mod libraries;
mod process;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod samples;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(crate) use self::process::{Mapped, Mapping, mapped, mappings};
use super::open::Binary;
use crate::error::Wrong;
use crate::names::closest;

/// Where a binary is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scene<'a> {
    /// On this host. `path`: where programs are (PATH).
    Host { path: Option<&'a OsStr> },
    /// Where a process sees its files; what it has mapped comes first.
    Process(u32),
}

/// The binaries that are meant, opened: one, or all that a process has mapped, where none is named (`*`, or nothing).
///
/// # Errors
/// When there is none.
pub(crate) fn binaries(word: &str, scene: Scene<'_>) -> Result<Vec<Binary>, Wrong> {
    match scene {
        Scene::Host { path } => on_host(word, Path::new("/"), path).map(|binary| vec![binary]),
        Scene::Process(pid) => of_process(word, pid, Path::new("/proc")),
    }
}

fn on_host(word: &str, root: &Path, path: Option<&OsStr>) -> Result<Binary, Wrong> {
    if matches!(word, "" | "*") {
        return Err(Wrong::new("all binaries are those of a process: -p PID says which"));
    }
    if word.contains('/') {
        let absolute = std::path::absolute(word).unwrap_or_else(|_| PathBuf::from(word));
        return Binary::open(root, &absolute);
    }
    let (found, others) = library(word, root);
    if let Some(found) = found {
        let binary = Binary::open(root, &found)?;
        if !others.is_empty() {
            binary.note(format!("{word} is taken to be {}; there is {}, too", binary.name, others.join(", ")));
        }
        return Ok(binary);
    }
    let dirs = path.unwrap_or_else(|| OsStr::new("/usr/local/bin:/bin:/usr/bin"));
    let mut programs = std::env::split_paths(dirs).filter(|dir| dir.is_absolute()).map(|dir| dir.join(word));
    match programs.find(|program| program.is_file()) {
        Some(program) => Binary::open(root, &program),
        None => Err(missing(word, root)),
    }
}

/// The full path of one that is relative to where this process runs.
fn from_here(word: &str) -> PathBuf {
    let absolute = || std::path::absolute(word).unwrap_or_else(|_| PathBuf::from(word));
    // As processes have mapped it: without links.
    std::fs::canonicalize(word).unwrap_or_else(|_| absolute())
}

/// The library of this name, and others that the name could mean.
fn library(word: &str, root: &Path) -> (Option<PathBuf>, Vec<String>) {
    let mut all = libraries::called(word, root);
    let best = (!all.is_empty()).then(|| all.remove(0));
    let others = all.into_iter().map(|path| path.display().to_string()).take(4).collect();
    (best, others)
}

/// The paths that a library which a binary needs (`DT_NEEDED`) may have, as it is seen where `root` is `/`.
pub(crate) fn needed(library: &str, root: &Path) -> Vec<PathBuf> {
    libraries::called(library, root)
}

fn missing(word: &str, root: &Path) -> Wrong {
    let names = libraries::names(root);
    let short: Vec<&str> = names.iter().map(|name| name.split(".so").next().unwrap_or(name)).collect();
    let bare = short.iter().filter_map(|name| name.strip_prefix("lib")).collect::<Vec<_>>();
    let close = closest(word, names.iter().map(String::as_str).chain(short).chain(bare));
    let wrong = Wrong::new(format!("there is no library and no program of PATH that is called {word}"));
    let wrong = wrong.list("closest", &close);
    if Path::new(word).exists() { wrong.hint(format!("the file here is ./{word}")) } else { wrong }
}

fn of_process(word: &str, pid: u32, proc: &Path) -> Result<Vec<Binary>, Wrong> {
    let all = mapped(pid, proc)?;
    let root = proc.join(pid.to_string()).join("root");
    let open = |one: &Mapped| {
        let at = if one.deleted { one.at.clone() } else { None };
        match at {
            Some(at) => {
                let binary = Binary::open_at(&root, &one.path, &at)?;
                binary.note(format!("{} was deleted: it is probed as process {pid} has it", one.path.display()));
                Ok(binary)
            }
            None => Binary::open(&root, &one.path),
        }
    };
    if matches!(word, "" | "*") {
        // What cannot be opened is reported, and the others are taken.
        let (mut opened, mut last) = (Vec::new(), None);
        for one in &all {
            match open(one) {
                Ok(binary) => opened.push(binary),
                Err(fault) => last = Some(fault),
            }
        }
        return match last {
            Some(fault) if opened.is_empty() => Err(fault),
            _ => Ok(opened),
        };
    }
    // As the shell would have it: `./server` is below the directory that this was typed in.
    let here = (word.contains('/') && Path::new(word).is_relative()).then(|| from_here(word));
    let full = here.as_deref().unwrap_or(Path::new(word));
    let named = |one: &&Mapped| match word.contains('/') {
        true => one.path == full,
        false => one.path.file_name().is_some_and(|name| libraries::is_called(&name.to_string_lossy(), word)),
    };
    if let Some(one) = all.iter().find(named) {
        return open(one).map(|binary| vec![binary]);
    }
    // It may be loaded later.
    let path = match word.contains('/') {
        true => Some(full.to_owned()),
        false => library(word, &root).0,
    };
    let Some(path) = path else {
        let names: Vec<String> =
            all.iter().filter_map(|one| Some(one.path.file_name()?.to_string_lossy().into_owned())).collect();
        let wrong =
            Wrong::new(format!("process {pid} has no {word}, and there is no library of that name where it runs"));
        return Err(wrong.list("it has", &names));
    };
    let seen = |root: &Path| std::fs::metadata(root.join(path.strip_prefix("/").unwrap_or(&path)));
    if here.is_some() && seen(&root).is_err() {
        let names: Vec<String> = all.iter().map(|one| one.path.display().to_string()).collect();
        let wrong = Wrong::new(format!("process {pid} sees no {}", path.display()));
        return Err(wrong.hint("it may run in a container: its paths are those that it sees").list("it has", &names));
    }
    let binary = Binary::open(&root, &path)?;
    binary.note(format!("process {pid} has not mapped {} so far", path.display()));
    Ok(vec![binary])
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn of_maps(maps: &[u8]) -> Vec<Mapped> {
    process::of_bytes(maps)
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn of_cache(bytes: &[u8]) -> usize {
    cache::libraries(bytes, super::machine::Machine::HERE).len()
}

#[cfg(test)]
mod tests;
