//! An ELF file of 64 bits by its sections and segments, of which no content is read before it is asked for.

use std::path::Path;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::NoteIterator;
use object::{LittleEndian as Little, pod};

use super::machine::Machine;
use super::source::{Identity, Source};
use crate::error::Wrong;
use crate::types::image::{Format, unpack_all};

type Header = FileHeader64<Little>;
type SectionHeader = SectionHeader64<Little>;
type ProgramHeader = ProgramHeader64<Little>;
const HEADER: u64 = size_of::<Header>() as u64;

/// Where the header says how wide addresses are (`EI_CLASS`).
const CLASS: usize = 4;

/// The most sections and segments that are looked at: more than any linker makes.
const SECTIONS: u64 = 1 << 20;
/// The most bytes of their names.
const NAMES: u64 = 16 << 20;
/// The most libraries of one.
const DYNAMIC: usize = 4096;
/// The most bytes of one section, unpacked.
const CONTENT: u64 = 2 << 30;
/// What is packed grows by less than this, and some bytes.
const GROWS: u64 = 512;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// At a fixed address.
    Executable,
    /// A library, or a program at any address (PIE).
    Shared,
    /// Something else: an object file, a core dump.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    name: u32,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub kind: u32,
    pub executable: bool,
    pub writable: bool,
    pub offset: u64,
    pub address: u64,
    pub in_file: u64,
}

#[derive(Debug)]
pub(crate) struct Elf {
    pub source: Source,
    pub identity: Identity,
    pub machine: Machine,
    #[allow(dead_code, reason = "it is part of what the header says")]
    pub kind: Kind,
    /// Where the program begins; 0: nowhere.
    pub entry: u64,
    pub sections: Vec<Section>,
    names: Vec<u8>,
    pub segments: Vec<Segment>,
}

impl Elf {
    /// # Errors
    /// When it is no file of this kind, or of another machine.
    pub fn open(path: &Path) -> Result<Self, Wrong> {
        let (source, identity) = Source::open(path)?;
        Self::read(source, identity, &path.display().to_string())
    }

    /// What is in these bytes, of no file.
    ///
    /// # Errors
    /// As above.
    #[cfg(any(test, feature = "fuzz"))]
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Wrong> {
        Self::read(Source::Bytes(bytes.to_vec()), (0, 0), "it")
    }

    /// What is packed inside of another file.
    pub(super) fn inside(bytes: Vec<u8>) -> Result<Self, Wrong> {
        Self::read(Source::Bytes(bytes), (0, 0), "it")
    }

    fn read(source: Source, identity: Identity, name: &str) -> Result<Self, Wrong> {
        let head = source.part(0, HEADER.min(source.size())).unwrap_or_default();
        if !head.starts_with(&elf::ELFMAG) {
            let what = if head.starts_with(b"#!") { "a script, no binary" } else { "no ELF file" };
            let wrong = Wrong::new(format!("{name} is {what}"));
            return Err(if head.starts_with(b"#!") { wrong.hint("probe the interpreter that runs it") } else { wrong });
        }
        if head.get(CLASS) == Some(&elf::ELFCLASS32.0) {
            return Err(Wrong::new(format!("{name} is a binary of 32 bits: only those of 64 bits can be probed")));
        }
        let damaged = |why: &str| Wrong::new(format!("{name} is damaged: {why}"));
        let (header, _) = pod::from_bytes::<Header>(&head).map_err(|()| damaged("it ends within its header"))?;
        let order = (header.e_ident.data, header.e_ident.class);
        if order != (elf::ELFDATA2LSB, elf::ELFCLASS64) {
            return Err(Wrong::new(format!("{name} is a binary of another kind of machine")));
        }
        let machine = match header.e_machine.get(Little) {
            elf::EM_X86_64 => Machine::X86,
            elf::EM_AARCH64 => Machine::Arm,
            _ => return Err(Wrong::new(format!("{name} is a binary of another kind of machine"))),
        };
        let kind = match header.e_type.get(Little) {
            elf::ET_EXEC => Kind::Executable,
            elf::ET_DYN => Kind::Shared,
            _ => Kind::Other,
        };
        let entry = header.e_entry.get(Little);
        let (sections, names, segments) = (Vec::new(), Vec::new(), Vec::new());
        let mut elf = Self { source, identity, machine, kind, entry, sections, names, segments };
        elf.segments = elf.read_segments(header).ok_or_else(|| damaged("it ends before its segments do"))?;
        elf.read_sections(header).ok_or_else(|| damaged("it ends before its section headers do"))?;
        Ok(elf)
    }

    fn table<T: pod::Pod + Copy>(&self, at: u64, count: u64) -> Option<Vec<T>> {
        if at == 0 || count == 0 {
            return Some(Vec::new());
        }
        let bytes = self.source.part(at, count.min(SECTIONS).checked_mul(size_of::<T>() as u64)?)?;
        Some(pod::slice_from_all_bytes(&bytes).ok()?.to_vec())
    }

    fn read_segments(&self, header: &Header) -> Option<Vec<Segment>> {
        let all: Vec<ProgramHeader> = self.table(header.e_phoff.get(Little), header.e_phnum.get(Little).into())?;
        let segment = |one: &ProgramHeader| {
            let flags = one.p_flags.get(Little).0;
            Segment {
                kind: one.p_type.get(Little).0,
                executable: flags & elf::PF_X.0 != 0,
                writable: flags & elf::PF_W.0 != 0,
                offset: one.p_offset.get(Little),
                address: one.p_vaddr.get(Little),
                in_file: one.p_filesz.get(Little),
            }
        };
        Some(all.iter().map(segment).collect())
    }

    fn read_sections(&mut self, header: &Header) -> Option<()> {
        let at = header.e_shoff.get(Little);
        let first: Vec<SectionHeader> = self.table(at, u64::from(at != 0))?;
        let Some(first) = first.first() else { return Some(()) };
        // Where there are too many for the header, the first section says how many, and which one has their names.
        let count = match header.e_shnum.get(Little) {
            0 => first.sh_size.get(Little),
            count => count.into(),
        };
        let names = match header.e_shstrndx.get(Little).0 {
            0xffff => first.sh_link.get(Little),
            index => index.into(),
        };
        let all: Vec<SectionHeader> = self.table(at, count)?;
        let section = |one: &SectionHeader| Section {
            name: one.sh_name.get(Little),
            kind: one.sh_type.get(Little).0,
            flags: one.sh_flags.get(Little).0,
            address: one.sh_addr.get(Little),
            offset: one.sh_offset.get(Little),
            size: one.sh_size.get(Little),
            link: one.sh_link.get(Little),
        };
        self.sections = all.iter().map(section).collect();
        if let Some(names) = self.sections.get(names as usize) {
            self.names = self.source.part(names.offset, names.size.min(NAMES)).unwrap_or_default();
        }
        Some(())
    }

    /// The first section of this name. Of each name only as much is looked at as is asked for.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| {
            let rest = self.names.get(section.name as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        })
    }

    /// Whether there is a section of this name with content in this file.
    pub fn has(&self, name: &str) -> bool {
        self.section(name).is_some_and(|section| section.kind != elf::SHT_NOBITS.0 && section.size > 0)
    }

    /// All that is in a section, unpacked; None: it has no content in this file.
    ///
    /// # Errors
    /// When the file ends before that, when it cannot be unpacked, or when it is too large.
    pub fn content(&self, section: &Section) -> Result<Option<Vec<u8>>, Wrong> {
        if section.kind == elf::SHT_NOBITS.0 {
            return Ok(None);
        }
        if section.size > CONTENT {
            return Err(Wrong::new("a section is larger than 2 GB"));
        }
        let bytes = self.source.part(section.offset, section.size);
        let bytes = bytes.ok_or_else(|| Wrong::new("the file ends before one of its sections does"))?;
        if section.flags & elf::SHF_COMPRESSED.0 == 0 {
            return Ok(Some(bytes));
        }
        unpacked(&bytes).map(Some)
    }

    /// The same by the section's name; None: there is none, or nothing in it.
    ///
    /// # Errors
    /// As above.
    pub fn named(&self, name: &str) -> Result<Option<Vec<u8>>, Wrong> {
        if let Some(section) = self.section(name) {
            let fault = |fault: Wrong| Wrong { message: format!("{name}: {}", fault.message), ..fault };
            return self.content(section).map_err(fault);
        }
        // As compilers packed it before there was a flag for that: `ZLIB`, and how long it is.
        let Some(old) = name.strip_prefix(".debug_").and_then(|rest| self.section(&format!(".zdebug_{rest}"))) else {
            return Ok(None);
        };
        let Some(bytes) = self.content(old)? else { return Ok(None) };
        let packed = bytes.strip_prefix(b"ZLIB").and_then(|rest| rest.get(8..)).unwrap_or_default();
        unpack(Format::Zlib, packed, CONTENT).map(Some)
    }

    /// Where in the file an address of the program is.
    pub fn offset(&self, address: u64) -> Option<u64> {
        self.loaded(address).map(|segment| address - segment.address + segment.offset)
    }

    /// The part of the program that has this address, and has it from the file.
    pub fn loaded(&self, address: u64) -> Option<&Segment> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == elf::PT_LOAD.0)
            .find(|segment| address.checked_sub(segment.address).is_some_and(|from| from < segment.in_file))
    }

    /// The part of the program that is at this place of the file, and the address of that place.
    pub fn at_offset(&self, offset: u64) -> Option<(&Segment, u64)> {
        let mut loads = self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0);
        // A page may be in two of them: code before data.
        let has = |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|from| from < segment.in_file);
        let found = loads.clone().filter(has).find(|segment| segment.executable).or_else(|| loads.find(has))?;
        Some((found, (offset - found.offset).checked_add(found.address)?))
    }

    /// The notes of a section, or all that are in segments where there are no sections: their names and contents.
    pub fn notes(&self, section: &str) -> Vec<Note> {
        let Ok(Some(bytes)) = self.named(section) else { return Vec::new() };
        notes(&bytes)
    }

    /// What the linker says this very build is.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let own = self.notes(".note.gnu.build-id");
        let found = own.into_iter().find_map(Note::build_id);
        found.or_else(|| {
            let all = self.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0);
            let mut parts = all.filter_map(|segment| self.source.part(segment.offset, segment.in_file.min(NAMES)));
            parts.find_map(|bytes| notes(&bytes).into_iter().find_map(Note::build_id))
        })
    }

    /// Strings that the dynamic section refers to by this tag.
    fn dynamic(&self, tag: u64) -> Vec<String> {
        let Some(section) = self.section(".dynamic") else { return Vec::new() };
        let content = |section: &Section| self.content(section).ok().flatten().unwrap_or_default();
        let strings = self.sections.get(section.link as usize).map(content).unwrap_or_default();
        let bytes = content(section);
        let (pairs, _) = bytes.as_chunks::<16>();
        let number = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |eight| u64::from_le_bytes(*eight));
        let value = |pair: &[u8; 16]| (number(pair.first_chunk()), number(pair.last_chunk()));
        let found = pairs.iter().map(value).filter(|(other, _)| *other == tag).take(DYNAMIC);
        let text = |(_, at)| {
            let rest = strings.get(usize::try_from(at).ok()?..)?;
            let end = rest.iter().take(4096).position(|byte| *byte == 0)?;
            Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
        };
        found.filter_map(text).collect()
    }

    /// The libraries that it needs (`DT_NEEDED`).
    pub fn libraries(&self) -> Vec<String> {
        self.dynamic(1)
    }

    /// What it is called as a library (`DT_SONAME`).
    pub fn own_name(&self) -> Option<String> {
        self.dynamic(14).into_iter().next()
    }

    /// Whether it needs a loader: a program that is linked statically has none.
    pub fn has_interpreter(&self) -> bool {
        self.segments.iter().any(|segment| segment.kind == elf::PT_INTERP.0)
    }
}

/// A note: who it is by, what kind of theirs, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub owner: Vec<u8>,
    pub kind: u32,
    pub content: Vec<u8>,
}

impl Note {
    fn build_id(self) -> Option<Vec<u8>> {
        (self.owner == b"GNU" && self.kind == 3 && self.content.len() >= 2).then_some(self.content)
    }
}

/// How many notes are read at most.
const NOTES: usize = 200_000;

fn notes(bytes: &[u8]) -> Vec<Note> {
    const ALIGN: u64 = 4;
    let Ok(notes) = NoteIterator::<Header>::new(Little, ALIGN, bytes) else { return Vec::new() };
    let note = |note: object::read::elf::Note<'_, Header>| Note {
        owner: note.name().to_vec(),
        kind: note.n_type(Little).0,
        content: note.desc().to_vec(),
    };
    notes.take(NOTES).map_while(Result::ok).map(note).collect()
}

/// What is behind the header of a packed section (`Elf64_Chdr`: type, reserved, size, alignment).
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Wrong> {
    let kind = bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
    let size = bytes.get(8..).and_then(|rest| rest.first_chunk()).map(|eight| u64::from_le_bytes(*eight));
    let (Some(size), Some(packed)) = (size, bytes.get(24..)) else { return Err(Wrong::new("it is damaged")) };
    match kind {
        Some(1) => unpack(Format::Zlib, packed, size),
        Some(2) => unpack(Format::Zstd, packed, size),
        _ => Err(Wrong::new("it is packed in a way that is not known")),
    }
}

/// All that was packed, which should come to so much.
pub(super) fn unpack(format: Format, packed: &[u8], size: u64) -> Result<Vec<u8>, Wrong> {
    let most = (packed.len() as u64).saturating_mul(GROWS).saturating_add(1 << 20).min(size).min(CONTENT);
    let bytes = unpack_all(format, packed, usize::try_from(most).unwrap_or(usize::MAX));
    bytes.map_err(|error| Wrong::new(format!("what is packed in it cannot be unpacked: {error}")))
}
