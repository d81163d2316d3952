//! A kernel as an ELF file: its `.BTF` section, and what says which kernel it is.

use std::io::{self, Read};

use object::elf::{self, FileHeader64, Machine, SHT_NOBITS, SectionHeader64};
use object::read::elf::{FileHeader, NoteIterator};
use object::{NativeEndian, pod};

use super::about::{About, Image, release};
use super::budget::{Stream, TYPES_MAX};
use super::fault::Fault;
use super::raw;

pub(super) const MAGIC: &[u8] = &elf::ELFMAG;

type Header = FileHeader64<NativeEndian>;
type Section = SectionHeader64<NativeEndian>;
const HEADER: usize = size_of::<Header>();
const SECTION: usize = size_of::<Section>();

/// Of a stream, the part that is kept: all of a kernel but its DWARF.
const HELD: u64 = 128 << 20;
/// … and the end of it: section names and headers.
const TAIL: u64 = 1 << 20;
/// The most that is read past: a kernel with its DWARF has 0.3 to 1.5 GB.
const SKIPPED: u64 = 4 << 30;

/// Bytes from a place on, fewer where the file ends.
type Part<'a> = &'a dyn Fn(u64, usize) -> Result<Vec<u8>, Fault>;

/// Architectures; BPF objects are of none.
fn machine(number: Machine) -> Option<&'static str> {
    Some(match number {
        elf::EM_386 => "x86, 32 bits",
        elf::EM_MIPS => "mips",
        elf::EM_PPC | elf::EM_PPC64 => "powerpc",
        elf::EM_S390 => "s390",
        elf::EM_ARM => "arm, 32 bits",
        elf::EM_X86_64 => "x86_64",
        elf::EM_AARCH64 => "arm64",
        elf::EM_RISCV => "riscv",
        elf::EM_LOONGARCH => "loongarch",
        _ => return None,
    })
}

/// The file's header, if it is of 64 bits and of this byte order.
fn header(head: &[u8]) -> Result<&Header, Fault> {
    const ORDER: elf::DataEncoding = if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB };
    let (header, _) = pod::from_bytes::<Header>(head).map_err(|()| Fault::EndsEarly)?;
    if header.e_ident.data != ORDER {
        return Err(Fault::ForeignByteOrder);
    }
    if header.e_ident.class != elf::ELFCLASS64 {
        // The machine is at the same place in both.
        let machine = machine(header.e_machine.get(NativeEndian));
        return Err(Fault::ForeignMachine(machine.unwrap_or("one of 32 bits")));
    }
    Ok(header)
}

/// Where the section headers begin, and how many there are.
fn table(header: &Header) -> (u64, usize) {
    (header.e_shoff.get(NativeEndian), header.e_shnum.get(NativeEndian).into())
}

/// An ELF file by its sections, of which no content is read before it is asked for. (`object` can read from files, too,
/// but keeps all that it has read.)
struct Elf<'a> {
    part: Part<'a>,
    /// The file's, where that is known.
    size: Option<u64>,
    machine: Option<&'static str>,
    sections: Vec<Section>,
    names: Vec<u8>,
}

impl<'a> Elf<'a> {
    fn open(part: Part<'a>, size: Option<u64>) -> Result<Self, Fault> {
        let head = part(0, HEADER)?;
        let mut elf = Self { part, size, machine: None, sections: Vec::new(), names: Vec::new() };
        if head.len() < HEADER {
            return Err(elf.ends_before(HEADER as u64));
        }
        let header = header(&head)?;
        elf.machine = machine(header.e_machine.get(NativeEndian));
        let (at, count) = table(header);
        if at == 0 || count == 0 || usize::from(header.e_shentsize.get(NativeEndian)) != SECTION {
            return Err(Fault::NoSection);
        }
        let bytes = part(at, count * SECTION)?;
        if bytes.len() < count * SECTION {
            return Err(elf.ends_before(at.saturating_add((count * SECTION) as u64)));
        }
        elf.sections = pod::slice_from_all_bytes(&bytes).map_err(|()| Fault::NoSection)?.to_vec();
        // None with more sections than any kernel has, whose number would be elsewhere.
        let names = header.shstrndx(NativeEndian, &[][..]).ok().and_then(|n| elf.sections.get(n as usize));
        let names = names.ok_or(Fault::NoSection)?;
        let length = usize::try_from(names.sh_size.get(NativeEndian)).unwrap_or(usize::MAX).min(TAIL as usize);
        elf.names = part(names.sh_offset.get(NativeEndian), length)?;
        Ok(elf)
    }

    /// The fault of a file that ends before this byte.
    fn ends_before(&self, wanted: u64) -> Fault {
        self.size.map_or(Fault::EndsEarly, |size| Fault::Cut { size, wanted })
    }

    /// The first section of this name. Of each name only as much is looked at as is asked for: all of them may be one, of
    /// any length.
    fn section(&self, name: &[u8]) -> Option<&Section> {
        let is_called = |section: &&Section| {
            let at = usize::try_from(section.sh_name.get(NativeEndian)).ok();
            let rest = at.and_then(|at| self.names.get(at..)?.strip_prefix(name));
            rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
        };
        self.sections.iter().find(is_called)
    }

    /// All that is in the first section of this name; none, where that or its content is not in the file.
    fn content(&self, name: &[u8]) -> Option<Result<Vec<u8>, Fault>> {
        let found = self.section(name).filter(|section| section.sh_type.get(NativeEndian) != SHT_NOBITS)?;
        let [at, size] = [found.sh_offset, found.sh_size].map(|number| number.get(NativeEndian));
        let read = || {
            let length = usize::try_from(size).ok().filter(|size| *size <= TYPES_MAX).ok_or(Fault::TooLarge)?;
            let bytes = (self.part)(at, length)?;
            if bytes.len() < length { Err(self.ends_before(at.saturating_add(size))) } else { Ok(bytes) }
        };
        Some(read())
    }

    /// The same of what may be missing or damaged: then it is not known.
    fn known(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.content(name)?.ok()
    }
}

/// Reads it. `size` is the file's, where that is known.
pub(super) fn read(part: Part<'_>, size: Option<u64>) -> Result<Image, Fault> {
    let elf = Elf::open(part, size)?;
    let btf = elf.content(b".BTF").ok_or(Fault::NoSection)??;
    raw::check(&btf, btf.len() as u64)?;
    let module = elf.section(b".gnu.linkonce.this_module").is_some() || raw::about(&btf).module;
    let release = match module {
        true => elf.known(b".modinfo").and_then(|bytes| vermagic(&bytes)),
        false => elf.known(b".rodata").and_then(|bytes| release(&bytes)),
    };
    let build_id = elf.known(b".notes").and_then(|bytes| build_id(&bytes));
    // What a module was built against, where that is not the kernel itself (since 6.11).
    let base = if module { elf.known(b".BTF.base") } else { None };
    Ok(Image { btf, about: About { release, build_id, machine: elf.machine, module }, base })
}

/// Reads it as it comes: the types are near the begin, and the section headers, which say where, at the end.
pub(super) fn stream(mut from: Stream<'_>) -> Result<Image, Fault> {
    let mut held = Vec::new();
    (&mut from).take(HEADER as u64).read_to_end(&mut held)?;
    let (table, count) = table(header(&held)?);
    let end = table.saturating_add((SECTION * count) as u64);
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

/// The build id among notes, as in an ELF section or in /sys/kernel/notes.
pub(crate) fn build_id(notes: &[u8]) -> Option<Vec<u8>> {
    const ALIGN: u64 = 4;
    let notes = NoteIterator::<Header>::new(NativeEndian, ALIGN, notes).ok()?;
    let is_id = |note: &object::read::elf::Note<'_, Header>| {
        note.name() == elf::ELF_NOTE_GNU && note.n_type(NativeEndian) == elf::NT_GNU_BUILD_ID
    };
    notes.map_while(Result::ok).find(is_id).map(|note| note.desc().to_vec())
}
