//! Debug information in files of its own, as distributions have it: found by the build id, or by what the binary says.

use std::fs;
use std::path::{Path, PathBuf};

use super::below::below;
use super::dwarf;
use super::elf::Elf;
use crate::error::Wrong;

/// Where distributions put it.
const DEBUG: &str = "usr/lib/debug";
/// How much of a name is believed.
const NAME: usize = 4096;

/// Where a binary is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What is seen as `/` where it runs.
    pub root: &'a Path,
    /// Its path there.
    pub path: &'a Path,
}

impl Place<'_> {
    fn below(&self, path: &Path) -> PathBuf {
        below(self.root, path)
    }
}

/// The file with a binary's debug information, and its path; None: there is none. Why one that is there was not taken
/// goes to `notes`.
pub(crate) fn find(elf: &Elf, place: Place<'_>, notes: &mut Vec<String>) -> Option<(Elf, PathBuf)> {
    let id = elf.build_id();
    let by_id = id.as_deref().map(|id| place.root.join(DEBUG).join(".build-id").join(of_id(id, ".debug")));
    let mut take = |path: PathBuf, sum: Option<u32>| {
        // What is not there is not missed.
        let found = path.exists().then(|| Elf::open(&path))?;
        let refused = match found {
            Err(fault) => fault.message,
            Ok(found) if found.identity == elf.identity => return None,
            Ok(found) if !is_of(&found, id.as_deref(), sum) => "it belongs to another build".to_owned(),
            Ok(found) if !dwarf::has(&found) && !found.has(".symtab") => "it has no debug information".to_owned(),
            Ok(found) => return Some((found, path)),
        };
        notes.push(format!("{} is not used: {refused}", path.display()));
        None
    };
    if let Some(found) = by_id.and_then(|path| take(path, None)) {
        return Some(found);
    }
    let (name, sum) = link(elf)?;
    let real = fs::canonicalize(place.below(place.path)).ok();
    let real = real.as_deref().and_then(|real| real.strip_prefix(place.root).ok()).map(Path::to_owned);
    let dirs = [Some(place.path.to_owned()), real];
    let dirs = dirs.iter().flatten().filter_map(|path| path.parent());
    let paths = dirs.flat_map(|dir| {
        let dir = place.below(dir);
        let global = dir.strip_prefix(place.root).ok().map(|dir| place.root.join(DEBUG).join(dir).join(&name));
        [Some(dir.join(&name)), Some(dir.join(".debug").join(&name)), global].into_iter().flatten()
    });
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.dedup();
    paths.into_iter().find_map(|path| take(path, Some(sum)))
}

/// `ab/cdef….debug`
fn of_id(id: &[u8], end: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (first, rest) = id.split_at_checked(1).unwrap_or((id, &[]));
    format!("{}/{}{end}", hex(first), hex(rest))
}

/// Whether a file belongs to the binary: the same build, else the same content as when that was linked.
fn is_of(found: &Elf, id: Option<&[u8]>, sum: Option<u32>) -> bool {
    match (id, found.build_id(), sum) {
        (Some(id), Some(own), _) => id == own,
        (_, _, Some(sum)) => {
            let mut crc = flate2::Crc::new();
            found.source.each(|bytes| crc.update(bytes)).is_ok() && crc.sum() == sum
        }
        _ => false,
    }
}

/// `.gnu_debuglink`: a file's name with a NUL, padded to four bytes, and the CRC32 of the file.
fn link(elf: &Elf) -> Option<(String, u32)> {
    let bytes = elf.named(".gnu_debuglink").ok()??;
    let end = bytes.iter().take(NAME).position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(bytes.get(..end)?).ok().filter(|name| !name.is_empty() && !name.contains('/'))?;
    let sum = bytes.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
    Some((name.to_owned(), u32::from_le_bytes(*sum)))
}

/// The file with what several files of debug information share (`.gnu_debugaltlink`: a path with a NUL, then the build id
/// of the file). `of`: the file that says so.
///
/// # Errors
/// When it says so, and the file is not there.
pub(crate) fn shared(elf: &Elf, of: &Path, root: &Path) -> Result<Option<Elf>, Wrong> {
    let Some(bytes) = elf.named(".gnu_debugaltlink")? else { return Ok(None) };
    let parts = bytes.iter().take(NAME).position(|byte| *byte == 0).and_then(|end| bytes.split_at_checked(end));
    let missing = |name: &str| Wrong::new(format!("the debug information is in part in {name}, which is not there"));
    let Some((name, [_, id @ ..])) = parts else { return Err(missing("another file")) };
    let name = String::from_utf8_lossy(name).into_owned();
    let by_id = |end| root.join(DEBUG).join(".build-id").join(of_id(id, end));
    let beside = match Path::new(&name).is_absolute() {
        true => root.join(name.trim_start_matches('/')),
        false => of.parent().unwrap_or(of).join(&name),
    };
    // As Debian has them, whatever the path was when they were made.
    let global = name.split_once(".dwz/").map(|(_, rest)| root.join(DEBUG).join(".dwz").join(rest));
    let paths = [Some(by_id(".debug")), Some(by_id("")), Some(beside), global];
    let mut found = paths.into_iter().flatten().filter_map(|path| Elf::open(&path).ok());
    found.find(|found| found.build_id().as_deref() == Some(id)).map(Some).ok_or_else(|| missing(&name))
}
