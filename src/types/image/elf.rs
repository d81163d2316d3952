//! A kernel as an ELF file: its `.BTF` section, and what tells which kernel it is.

use std::io::{self, Read};

use super::about::{About, Image, release};
use super::budget::{Stream, TYPES_MAX};
use super::fault::Fault;
use super::raw;
use crate::types::bytes::Bytes;

pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// `sizeof(Elf64_Ehdr)` and `sizeof(Elf64_Shdr)` (include/uapi/linux/elf.h).
const HEADER: usize = 64;
const SECTION: usize = 64;
/// `SHT_NOBITS`: the content is in another file.
const NOBITS: u32 = 8;
/// `NT_GNU_BUILD_ID`
const BUILD_ID: u32 = 3;

/// Of a stream, the part that is kept: all of a kernel but its DWARF.
const HELD: u64 = 128 << 20;
/// … and the end of it: section names and headers.
const TAIL: u64 = 1 << 20;
/// The most that is read past: a kernel with its DWARF has 0.3 to 1.5 GB.
const SKIPPED: u64 = 4 << 30;

/// Bytes from a place on, fewer where the file ends.
type Part<'a> = &'a dyn Fn(u64, usize) -> Result<Vec<u8>, Fault>;

/// Architectures (include/uapi/linux/elf-em.h); `BPF` objects are of none.
fn machine(number: u16) -> Option<&'static str> {
    Some(match number {
        3 => "x86, 32 bits",
        8 => "mips",
        20 | 21 => "powerpc",
        22 => "s390",
        40 => "arm, 32 bits",
        62 => "x86_64",
        183 => "arm64",
        243 => "riscv",
        258 => "loongarch",
        _ => return None,
    })
}

/// A section.
#[derive(Debug, Clone, Copy)]
struct Section {
    name: u32,
    kind: u32,
    at: u64,
    size: u64,
}

/// Reads it. `size` is the file's, where that is known.
pub(super) fn read(part: Part<'_>, size: Option<u64>) -> Result<Image, Fault> {
    const CLASS_64: u8 = 2;
    const ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
    let ends = |wanted: u64| match size {
        Some(size) => Fault::Cut { size, wanted },
        None => Fault::EndsEarly,
    };
    let head = part(0, HEADER)?;
    if head.len() < HEADER {
        return Err(ends(HEADER as u64));
    }
    if head.get(5) != Some(&ORDER) {
        return Err(Fault::ForeignByteOrder);
    }
    let machine = Bytes(&head).u16(18).and_then(machine);
    if head.get(4) != Some(&CLASS_64) {
        return Err(Fault::ForeignMachine(machine.unwrap_or("one of 32 bits")));
    }
    let table = Bytes(&head).u64(40).unwrap_or(0);
    let [entry, count, names] = [58, 60, 62].map(|at| usize::from(Bytes(&head).u16(at).unwrap_or(0)));
    if table == 0 || count == 0 || entry != SECTION {
        return Err(Fault::NoSection);
    }
    let bytes = part(table, count * SECTION)?;
    if bytes.len() < count * SECTION {
        return Err(ends(table.saturating_add((count * SECTION) as u64)));
    }
    let section = |bytes: &[u8]| {
        let bytes = Bytes(bytes);
        Some(Section { name: bytes.u32(0)?, kind: bytes.u32(4)?, at: bytes.u64(24)?, size: bytes.u64(32)? })
    };
    let sections: Vec<Section> = bytes.chunks_exact(SECTION).filter_map(section).collect();
    let names = sections.get(names).ok_or(Fault::NoSection)?;
    let names = part(names.at, usize::try_from(names.size).unwrap_or(usize::MAX).min(TAIL as usize))?;
    // Of a name only as much as is asked for: all of them may be one, of any length.
    let is_called = |s: &Section, name: &[u8]| {
        let rest = usize::try_from(s.name).ok().and_then(|at| names.get(at..)?.strip_prefix(name));
        rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
    };
    let content = |name: &[u8], max: usize| {
        let found = sections.iter().find(|s| is_called(s, name) && s.kind != NOBITS)?;
        let size = usize::try_from(found.size).ok().filter(|size| *size <= max);
        Some((found, size.ok_or(Fault::TooLarge).and_then(|size| part(found.at, size))))
    };
    let (found, btf) = content(b".BTF", TYPES_MAX).ok_or(Fault::NoSection)?;
    let btf = btf?;
    if (btf.len() as u64) < found.size {
        return Err(ends(found.at.saturating_add(found.size)));
    }
    raw::check(&btf, found.size)?;
    // What cannot be read of these is not known.
    let text = |name: &[u8]| content(name, TYPES_MAX).and_then(|(_, bytes)| bytes.ok());
    let module = sections.iter().any(|s| is_called(s, b".gnu.linkonce.this_module")) || raw::about(&btf).module;
    let kernels = || text(b".rodata").and_then(|bytes| release(&bytes));
    let about = About {
        release: if module { text(b".modinfo").and_then(|bytes| vermagic(&bytes)) } else { kernels() },
        build_id: text(b".notes").and_then(|bytes| build_id(&bytes)),
        machine,
        module,
    };
    // What a module was built against, where that is not the kernel itself (since 6.11).
    let base = content(b".BTF.base", TYPES_MAX).filter(|_| module).and_then(|(_, bytes)| bytes.ok());
    Ok(Image { btf, about, base })
}

/// Reads it as it comes: the types are near the begin, and where they are is told at the end.
pub(super) fn stream(mut from: Stream<'_>) -> Result<Image, Fault> {
    let mut held = Vec::new();
    (&mut from).take(HEADER as u64).read_to_end(&mut held)?;
    let table = Bytes(&held).u64(40).unwrap_or(0);
    let end = table.saturating_add((SECTION * usize::from(Bytes(&held).u16(60).unwrap_or(0))) as u64);
    (&mut from).take(end.min(HELD).saturating_sub(held.len() as u64)).read_to_end(&mut held)?;
    let (mut tail_at, mut tail) = (held.len() as u64, Vec::new());
    if end > HELD && tail_at == HELD {
        let skipped = end.saturating_sub(TAIL).max(HELD) - HELD;
        if skipped > SKIPPED {
            return Err(Fault::TooLarge);
        }
        tail_at += io::copy(&mut (&mut from).take(skipped), &mut io::sink())?;
        (&mut from).take(end - tail_at).read_to_end(&mut tail)?;
    }
    let part = |at: u64, len: usize| {
        let (bytes, at) = if at >= tail_at { (&tail, at - tail_at) } else { (&held, at) };
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest).to_vec())
    };
    read(&part, None)
}

/// The release that a module is for, among strings of `NAME=VALUE`: `vermagic=6.1.0-50-cloud-amd64 SMP …`.
fn vermagic(modinfo: &[u8]) -> Option<String> {
    let value = modinfo.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"vermagic="))?;
    let word = value.split(|byte| *byte == b' ').next()?;
    (word.len() <= 64 && word.iter().all(u8::is_ascii_graphic)).then(|| String::from_utf8_lossy(word).into_owned())
}

/// The build id among notes: each has the lengths of its name and its content, its kind, and both, padded to 4 bytes.
pub(crate) fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let note = Bytes(notes);
        let [name, content, kind] = [note.u32(0)?, note.u32(4)?, note.u32(8)?];
        let padded = |len: u32| usize::try_from(len).ok().and_then(|len| len.checked_next_multiple_of(4));
        let at = padded(name)?.checked_add(12)?;
        if kind == BUILD_ID && notes.get(12..16) == Some(b"GNU\0") {
            return Some(notes.get(at..at.checked_add(usize::try_from(content).ok()?)?)?.to_vec());
        }
        notes = notes.get(at.checked_add(padded(content)?)?..)?;
    }
}
