//! The files that a process runs: `/proc/PID/maps`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::Wrong;

/// The most bytes of a list: of some 100,000 mappings.
const MAPS: u64 = 64 << 20;
/// The most files of a process.
const FILES: usize = 10_000;

/// A file that a process has mapped to execute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// As the process sees it.
    pub path: PathBuf,
    pub deleted: bool,
    /// By what it can be opened without its name.
    pub at: Option<PathBuf>,
}

/// The files that a process has mapped to execute them, each once, in the order of their addresses.
///
/// # Errors
/// When there is no such process, or its files cannot be seen.
pub(crate) fn mapped(pid: u32, proc: &Path) -> Result<Vec<Mapped>, Wrong> {
    let dir = proc.join(pid.to_string());
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(dir.join("maps"))?.take(MAPS).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !proc.join("self").exists() => Wrong::new("/proc is not mounted"),
        io::ErrorKind::NotFound => Wrong::new(format!("there is no process {pid} (any more)")),
        // ESRCH, while it ends.
        _ if error.raw_os_error() == Some(3) => Wrong::new(format!("process {pid} has ended")),
        io::ErrorKind::PermissionDenied => {
            let wrong = Wrong::new(format!("what process {pid} has mapped cannot be seen: {error}"));
            wrong.hint("as root it can, or with the capability CAP_SYS_PTRACE")
        }
        _ => Wrong::new(format!("what process {pid} has mapped cannot be read: {error}")),
    })?;
    let found = files(&bytes, &dir);
    match found.is_empty() {
        true if bytes.is_empty() => Err(Wrong::new(format!(
            "process {pid} has no memory of its own: it has ended, or it is a thread of the kernel"
        ))),
        true => Err(Wrong::new(format!("process {pid} has no file mapped that it executes"))),
        false => Ok(found),
    }
}

/// What a process has mapped to execute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// 0: it is no file.
    pub inode: u64,
    /// As the process sees it; of what is no file, a name in brackets, or nothing.
    pub path: PathBuf,
    pub deleted: bool,
    /// By what a file can be opened without its name.
    pub at: PathBuf,
}

/// All that a process has mapped to execute it, in the order of addresses.
///
/// # Errors
/// When it cannot be seen: there is no such process, or no right to.
pub(crate) fn mappings(pid: u32, proc: &Path) -> io::Result<Vec<Mapping>> {
    let dir = proc.join(pid.to_string());
    let mut bytes = Vec::new();
    fs::File::open(dir.join("maps"))?.take(MAPS).read_to_end(&mut bytes)?;
    Ok(executable(&bytes, &dir).collect())
}

/// `START-END PERMS OFFSET DEVICE INODE  PATH`
fn executable<'a>(maps: &'a [u8], dir: &'a Path) -> impl Iterator<Item = Mapping> + 'a {
    maps.split(|byte| *byte == b'\n').filter_map(move |line| {
        let mut rest = line;
        let mut word = || {
            let begin = rest.iter().position(|byte| *byte != b' ')?;
            let from = rest.get(begin..)?;
            let end = from.iter().position(|byte| *byte == b' ').unwrap_or(from.len());
            let (word, after) = from.split_at_checked(end)?;
            rest = after;
            std::str::from_utf8(word).ok()
        };
        let (range, perms, offset, _, inode) = (word()?, word()?, word()?, word()?, word()?);
        if perms.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = range.split_once('-')?;
        let path = rest.trim_ascii_start();
        let (path, deleted) = match path.strip_suffix(b" (deleted)") {
            Some(path) => (path, true),
            None => (path, false),
        };
        Some(Mapping {
            start: hex(start)?,
            end: hex(end)?,
            offset: hex(offset)?,
            inode: inode.parse().ok()?,
            path: PathBuf::from(std::ffi::OsString::from_vec(unescaped(path))),
            deleted,
            at: dir.join("map_files").join(range),
        })
    })
}

/// The files of these mappings, each once.
fn files(maps: &[u8], dir: &Path) -> Vec<Mapped> {
    let mut found: Vec<Mapped> = Vec::new();
    for Mapping { inode, path, deleted, at, .. } in executable(maps, dir) {
        let known = found.iter().any(|other| other.path == path && other.deleted == deleted);
        if inode != 0 && path.has_root() && !known && found.len() < FILES {
            found.push(Mapped { path, deleted, at: Some(at) });
        }
    }
    found
}

/// A line break in a path is `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), path);
    while let [first, after @ ..] = rest {
        rest = after;
        match after.strip_prefix(b"012") {
            Some(behind) if *first == b'\\' => {
                plain.push(b'\n');
                rest = behind;
            }
            _ => plain.push(*first),
        }
    }
    plain
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn of_bytes(maps: &[u8]) -> Vec<Mapped> {
    files(maps, Path::new("/proc/1"))
}
