//! Libraries by their names: `libc.so.6`, `libc`, `c`; as the loaders of glibc and musl find them.

use std::fs;
use std::path::{Path, PathBuf};

use super::cache;
use crate::binary::{Machine, below};
use crate::host::arch::{self, Arch};

/// The most files of a directory that are looked at.
const FILES: usize = 50_000;
/// The largest cache or list of directories.
const SIZE: u64 = 16 << 20;

const DIRS: [&str; 8] = [
    arch::LIBRARIES[0],
    arch::LIBRARIES[1],
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/local/lib",
    "/usr/lib",
    "/usr/local/lib64",
];

/// Whether a file is what a name means: `libssl.so.3` is `libssl.so.3`, `libssl.so`, `libssl` and `ssl`.
pub(super) fn is_called(file: &str, name: &str) -> bool {
    let is = |name: &str| {
        let rest = file.strip_prefix(name);
        // libc.musl-x86_64.so.1, libpthread-2.31.so
        let old =
            |rest: &str| rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.starts_with(".so") && rest.get(3..).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                || rest.starts_with(".musl-")
                || name.ends_with(".so") && rest.starts_with('.')
                || old(rest) && rest.contains(".so")
        })
    };
    is(name) || is(&format!("lib{name}"))
}

/// The paths of libraries of this name below a root: what the loader takes comes first, then newer versions.
pub(super) fn called(name: &str, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(bool, Vec<u64>, PathBuf)> = Vec::new();
    for library in of_cache(root).into_iter().filter(|library| is_called(&library.name, name)) {
        found.push((library.special, version(&library.name), library.path));
    }
    if found.is_empty() {
        for path in of_dirs(root) {
            let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
            if is_called(&file, name) {
                found.push((false, version(&file), path));
            }
        }
    }
    found.retain(|(.., path)| is_file(root, path));
    found.sort_by(|a, b| (a.0, &b.1).cmp(&(b.0, &a.1)));
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for (.., path) in found {
        // Several names of one file.
        let real = fs::canonicalize(below(root, &path)).unwrap_or_else(|_| path.clone());
        if !files.contains(&real) {
            files.push(real);
            paths.push(path);
        }
    }
    paths
}

/// The names of all libraries.
pub(super) fn names(root: &Path) -> Vec<String> {
    let of_cache = of_cache(root).into_iter().map(|library| library.name);
    let mut names: Vec<String> = of_cache.collect();
    if names.is_empty() {
        let files = of_dirs(root);
        names.extend(files.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn is_file(root: &Path, path: &Path) -> bool {
    // A link within another root leads to somewhere else from here.
    fs::symlink_metadata(below(root, path)).is_ok_and(|about| about.is_file() || about.is_symlink())
}

fn small(path: &Path) -> Option<Vec<u8>> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file() && about.len() <= SIZE)?;
    (about.len() > 0).then(|| fs::read(path).ok())?
}

fn of_cache(root: &Path) -> Vec<cache::Library> {
    let bytes = small(&below(root, Path::new("/etc/ld.so.cache"))).unwrap_or_default();
    cache::libraries(&bytes, Machine::HERE)
}

/// Files of the directories that loaders look into.
fn of_dirs(root: &Path) -> Vec<PathBuf> {
    let machine = Arch::HERE.machine();
    let list = small(&below(root, Path::new(&format!("/etc/ld-musl-{machine}.path")))).unwrap_or_default();
    let list = String::from_utf8_lossy(&list).into_owned();
    let own = list.split([':', '\n']).map(str::trim).filter(|dir| dir.starts_with('/')).take(64);
    let mut files = Vec::new();
    for dir in own.chain(DIRS) {
        let Ok(entries) = fs::read_dir(below(root, Path::new(dir))) else { continue };
        let names = entries.take(FILES).filter_map(|entry| Some(entry.ok()?.file_name()));
        files.extend(names.filter(|name| name.to_string_lossy().contains(".so")).map(|name| Path::new(dir).join(name)));
    }
    files
}

/// The numbers behind `.so`, for what is newer.
fn version(name: &str) -> Vec<u64> {
    let behind = name.split_once(".so").map_or("", |(_, behind)| behind);
    behind.split('.').filter_map(|part| part.parse().ok()).collect()
}
