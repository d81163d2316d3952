//! `/etc/ld.so.cache`: where the loader of glibc finds libraries.

use std::path::PathBuf;

use crate::binary::Machine;
use crate::types::image::find;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Behind the magic number: u32 entries, u32 bytes of strings, u8 flags, padding, u32 extensions, three unused ones.
const HEADER: usize = 48;
/// i32 flags, u32 name, u32 path (places from the magic number on), u32 version of the kernel, u64 capabilities.
const ENTRY: usize = 24;
/// The most entries, and bytes of a path.
const ENTRIES: usize = 200_000;
const PATH: usize = 4096;

/// A library: its name, and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    pub name: String,
    pub path: PathBuf,
    /// It is for processors that have more than others.
    pub special: bool,
}

/// The libraries of this machine that a cache lists; none, where it is of another format.
pub(super) fn libraries(bytes: &[u8], machine: Machine) -> Vec<Library> {
    // Behind a cache of the format before that, perhaps.
    let Some(cache) = find(bytes, MAGIC).and_then(|at| bytes.get(at..)) else { return Vec::new() };
    let word = |at: usize| Some(u32::from_le_bytes(*cache.get(at..)?.first_chunk()?));
    let count = word(MAGIC.len()).map_or(0, |count| count as usize).min(ENTRIES);
    // `FLAG_ELF_LIBC6` with `FLAG_X8664_LIB64`, `FLAG_AARCH64_LIB64` (sysdeps/generic/ldconfig.h of glibc).
    let wanted = match machine {
        Machine::X86 => 0x0303,
        Machine::Arm => 0x0a03,
    };
    let text = |at: u32| {
        let rest = cache.get(at as usize..)?;
        let end = rest.iter().take(PATH).position(|byte| *byte == 0)?;
        std::str::from_utf8(rest.get(..end)?).ok().filter(|text| !text.is_empty())
    };
    let library = |n: usize| {
        let at = HEADER.checked_add(n.checked_mul(ENTRY)?)?;
        let (flags, name, path) = (word(at)?, word(at + 4)?, word(at + 8)?);
        let special = word(at + 16)? != 0 || word(at + 20)? != 0;
        (flags == wanted).then_some(())?;
        Some(Library { name: text(name)?.to_owned(), path: PathBuf::from(text(path)?), special })
    };
    (0..count).map_while(|n| cache.get(HEADER + n * ENTRY..).map(|_| n)).filter_map(library).collect()
}
