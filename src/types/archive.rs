//! Types of many kernels appended to the program itself, by `coretrace btf embed`.
//!
//! At the very end of the file: the archive (blobs, then entries that refer to them, since many kernels have the same
//! few types) and a trailer: length and checksum of the archive, version, magic.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use fnv::FnvHasher;

use super::side::{ARCHES, distribution};
use crate::host::Host;
use crate::types::image::Fault;

const MAGIC: &[u8; 12] = b"coretraceBTF";
const VERSION: u32 = 1;
/// Length (u64), checksum (u64), version (u32), magic.
const TRAILER: usize = 32;
/// More than thousands of kernels need.
const SIZE_MAX: u64 = 64 << 20;
/// The same of kernels: each takes more memory than it does in the file.
const COUNT_MAX: u32 = 1 << 18;

/// Which kernel types are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// As `uname -r` has it.
    pub release: String,
    /// As BTFHub calls it: `x86_64`, `arm64`.
    pub arch: String,
    /// os-release's `ID`; empty: of any distribution.
    pub distro: String,
    /// os-release's `VERSION_ID`.
    pub version: String,
}

/// Types of kernels, each as few as coretrace needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    blobs: Vec<Vec<u8>>,
    /// Sorted, with the number of the blob.
    entries: Vec<(Entry, u32)>,
}

impl Archive {
    /// Adds types, or replaces those of the same kernel.
    pub fn add(&mut self, entry: Entry, btf: Vec<u8>) -> Option<()> {
        let known = self.blobs.iter().position(|blob| *blob == btf);
        let blob = u32::try_from(known.unwrap_or(self.blobs.len())).ok()?;
        if known.is_none() {
            self.blobs.push(btf);
        }
        match self.entries.binary_search_by(|(known, _)| known.cmp(&entry)) {
            Ok(at) => self.entries.get_mut(at)?.1 = blob,
            Err(at) => self.entries.insert(at, (entry, blob)),
        }
        Some(())
    }

    /// Each kernel with its types.
    pub fn entries(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        self.entries.iter().filter_map(|(entry, blob)| Some((entry, self.blobs.get(*blob as usize)?.as_slice())))
    }

    /// How many different types there are.
    pub fn blobs(&self) -> usize {
        self.blobs.len()
    }

    /// The running kernel's: of its distribution's version, of its distribution, of any.
    pub fn find(&self, host: &Host) -> Option<(&Entry, &[u8])> {
        let (distro, version) = distribution(&host.root).unwrap_or_default();
        let rank = |entry: &Entry| match (entry.distro.as_str(), entry.version.as_str()) {
            ("", _) => Some(2),
            (d, v) if d == distro => Some(if v == version { 0 } else { 1 }),
            _ => None,
        };
        let here = self.entries().filter(|(e, _)| e.release == host.release && ARCHES.contains(&e.arch.as_str()));
        here.filter_map(|found| Some((rank(found.0)?, found))).min_by_key(|(rank, _)| *rank).map(|(_, found)| found)
    }

    /// The archive as bytes, as `btf embed` appends it to a program.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let number = |n: usize, bytes: &mut Vec<u8>| {
            bytes.extend(u32::try_from(n).ok()?.to_le_bytes());
            Some(())
        };
        // Blobs that nothing refers to any more are left out.
        let mut used: Vec<u32> = self.entries.iter().map(|(_, blob)| *blob).collect();
        used.sort_unstable();
        used.dedup();
        number(used.len(), &mut bytes)?;
        for blob in &used {
            let blob = self.blobs.get(*blob as usize)?;
            number(blob.len(), &mut bytes)?;
            bytes.extend(blob);
        }
        number(self.entries.len(), &mut bytes)?;
        for (entry, blob) in &self.entries {
            for text in [&entry.release, &entry.arch, &entry.distro, &entry.version] {
                bytes.push(u8::try_from(text.len()).ok()?);
                bytes.extend(text.bytes());
            }
            number(used.binary_search(blob).ok()?, &mut bytes)?;
        }
        let (length, sum) = (bytes.len() as u64, checksum(&bytes));
        if length > SIZE_MAX {
            return None;
        }
        bytes.extend(length.to_le_bytes().into_iter().chain(sum.to_le_bytes()).chain(VERSION.to_le_bytes()));
        bytes.extend(MAGIC);
        Some(bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut archive = Self::default();
        for _ in 0..number(&mut rest).filter(|count| *count <= COUNT_MAX)? {
            let length = number(&mut rest)?;
            archive.blobs.push(take(&mut rest, usize::try_from(length).ok()?)?.to_vec());
        }
        for _ in 0..number(&mut rest).filter(|count| *count <= COUNT_MAX)? {
            let mut text = || {
                let length = take(&mut rest, 1)?.first().copied()?;
                String::from_utf8(take(&mut rest, usize::from(length))?.to_vec()).ok()
            };
            let entry = Entry { release: text()?, arch: text()?, distro: text()?, version: text()? };
            let blob = number(&mut rest)?;
            archive.blobs.get(blob as usize)?;
            archive.entries.push((entry, blob));
        }
        rest.is_empty().then_some(archive)
    }
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (found, after) = rest.split_at_checked(size)?;
    *rest = after;
    Some(found)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

/// FNV-1a, of 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// A program, its length without an archive, and the archive that it carries, if any.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub file: File,
    pub length: u64,
    /// What is wrong with it, where it is damaged: then `length` is that of all.
    pub archive: Result<Option<Archive>, Fault>,
}

impl Carrier {
    /// Opens the file of a program, and reads what is appended to it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        Ok(match read(&mut file, length) {
            Ok(Some((before, archive))) => Self { file, length: before, archive: Ok(Some(archive)) },
            Ok(None) => Self { file, length, archive: Ok(None) },
            Err(fault) => Self { file, length, archive: Err(fault) },
        })
    }
}

fn read(file: &mut File, size: u64) -> Result<Option<(u64, Archive)>, Fault> {
    const DAMAGED: Fault = Fault::BadHeader("its checksum is wrong");
    let Some(end) = size.checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut trailer)?;
    let [length, sum] =
        [0, 8].map(|at| trailer.get(at..).and_then(<[u8]>::first_chunk).map(|b| u64::from_le_bytes(*b)));
    let version = trailer.get(16..).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b));
    if !trailer.ends_with(MAGIC) {
        return Ok(None);
    }
    if version != Some(VERSION) {
        return Err(Fault::BadHeader("it is of another version of coretrace"));
    }
    let length = length.filter(|length| *length <= SIZE_MAX).ok_or(DAMAGED)?;
    let before = end.checked_sub(length).ok_or(DAMAGED)?;
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length || sum != Some(checksum(&bytes)) {
        return Err(DAMAGED);
    }
    Archive::parse(&bytes).map(|archive| Some((before, archive))).ok_or(DAMAGED)
}

#[cfg(test)]
mod tests;
