//! A BPF object: its programs, their instructions, and the relocations that .BTF.ext has of them.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use object::NativeEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};

use crate::ffi::relo::{Insns, Relo};
use crate::types::bytes::Bytes;
use crate::types::model::{NAME_MAX, Types};

/// Bytes of an instruction.
const INSN: u32 = 8;

/// How large an object may be that is looked into, and a function in it: the kernel takes none of more than a million
/// instructions (`BPF_COMPLEXITY_LIMIT_INSNS` in include/linux/bpf.h).
pub(crate) const SIZE_MAX: u64 = 16 << 20;
const CODE_MAX: u32 = 1_000_000 * INSN;
/// How many functions and relocations it may have: far more than any.
const FUNCTIONS_MAX: usize = 1 << 15;
const SITES_MAX: usize = 1 << 15;

/// A function: a program, or one that programs call.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub name: String,
    /// The section it is in: for a program where it hooks in.
    pub section: Rc<str>,
    /// Byte offsets of its instructions in the section.
    pub range: Range<u32>,
    pub code: Vec<u8>,
}

/// A relocation, with where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub relo: Relo,
    /// Its number, as libbpf counts in the section.
    pub index: usize,
    /// Which function it is in.
    pub function: usize,
    pub source: Option<(String, u32)>,
    /// The instruction as it was compiled.
    pub insns: Insns,
}

impl Site {
    /// Number of the instruction in its function.
    pub fn insn(&self, functions: &[Function]) -> u32 {
        let start = functions.get(self.function).map_or(0, |f| f.range.start);
        self.relo.insn_off.saturating_sub(start) / INSN
    }
}

/// What there is to know of an object.
#[derive(Debug)]
pub(crate) struct Object {
    pub types: Types,
    pub functions: Vec<Function>,
    pub sites: Vec<Site>,
}

/// A table of .BTF.ext: rows of numbers, by section.
pub(super) struct Table<'a> {
    row: usize,
    /// Name of the section, and its rows.
    pub parts: Vec<(u32, Bytes<'a>)>,
}

impl<'a> Table<'a> {
    /// Reads it; no row has fewer numbers than that, and no more sections than these.
    pub fn read(ext: Bytes<'a>, at: usize, numbers: usize, sections: usize) -> Option<Self> {
        let (header, off, len) = (ext.u32(4)?, ext.u32(at)?, ext.u32(at + 4)?);
        let mut rest = ext.part(u64::from(header) + u64::from(off), u64::from(len))?;
        let row = rest.u32(0)?;
        rest = Bytes(rest.0.get(4..)?);
        let mut parts = Vec::new();
        while !rest.0.is_empty() {
            let (name, count) = (rest.u32(0)?, rest.u32(4)?);
            let size = u64::from(row).checked_mul(count.into())?;
            parts.push((name, rest.part(8, size)?));
            if parts.len() > sections || (row as usize) < numbers * 4 {
                return None;
            }
            rest = Bytes(rest.0.get(8_usize.checked_add(usize::try_from(size).ok()?)?..)?);
        }
        Some(Self { row: row as usize, parts })
    }

    pub fn rows(&self, part: Bytes<'a>) -> impl Iterator<Item = Bytes<'a>> + use<'a> {
        part.0.chunks(self.row.max(1)).map(Bytes)
    }
}

/// Sections of an ELF file of 64 bits and this byte order, by name: of several, the first.
pub(super) fn sections(elf: &[u8]) -> Option<HashMap<&[u8], Bytes<'_>>> {
    let header = FileHeader64::<NativeEndian>::parse(elf).ok()?;
    // `parse` takes files of both byte orders.
    header.endian().ok().filter(|order| *order == NativeEndian)?;
    let headers = header.section_headers(NativeEndian, elf).ok()?;
    let names = headers.get(header.shstrndx(NativeEndian, elf).ok()? as usize)?.data(NativeEndian, elf).ok()?;
    let mut all = HashMap::new();
    for section in headers {
        // No further than any name goes: all of them may be one, of any length.
        let name = usize::try_from(section.sh_name(NativeEndian)).ok().and_then(|at| {
            let rest = names.get(at..)?;
            rest.get(..rest.iter().take(NAME_MAX + 1).position(|byte| *byte == 0)?)
        });
        if let (Some(name), Ok(content)) = (name, section.data(NativeEndian, elf)) {
            all.entry(name).or_insert(Bytes(content));
        }
    }
    Some(all)
}

/// Sections with functions, by name: the code, and the numbers of its functions in their order.
type Coded<'a> = HashMap<Rc<str>, (Bytes<'a>, Range<usize>)>;

impl Object {
    /// Reads an object.
    ///
    /// # Errors
    /// When it is not one that clang makes with `-g`.
    pub fn read(elf: &[u8]) -> Result<Self> {
        let sections = sections(elf).context("the BPF object is no ELF file")?;
        let find = |name: &str| sections.get(name.as_bytes()).copied();
        let btf = find(".BTF").context("the BPF object has no types")?;
        let types = Types::read(btf.0).map_err(|fault| anyhow!("the BPF object {fault}"))?;
        let ext = find(".BTF.ext").context("the BPF object has no .BTF.ext")?;
        let most = sections.len();
        Self::tables(types, ext, most, find).context("the BPF object's .BTF.ext is damaged, or is more than any has")
    }

    fn tables<'a>(
        types: Types,
        ext: Bytes<'a>,
        most: usize,
        content: impl Fn(&str) -> Option<Bytes<'a>>,
    ) -> Option<Self> {
        let (mut functions, coded) = functions(&types, ext, most, content)?;
        fill(&mut functions, &coded)?;
        let sites = sites(&types, ext, most, &functions, &coded)?;
        Some(Self { types, functions, sites })
    }

    /// What an access says: `0:1:2`.
    pub fn access(&self, relo: &Relo) -> Option<&[u8]> {
        self.types.string(relo.access_str_off)
    }
}

/// The functions that .BTF.ext names, without their code; no more sections than these.
fn functions<'a>(
    types: &Types,
    ext: Bytes<'a>,
    most: usize,
    content: impl Fn(&str) -> Option<Bytes<'a>>,
) -> Option<(Vec<Function>, Coded<'a>)> {
    let (mut functions, mut coded): (Vec<Function>, Coded<'a>) = Default::default();
    let table = Table::read(ext, 8, 2, most)?;
    for (name, part) in &table.parts {
        let section: Rc<str> = types.text(*name)?.into();
        let code = content(&section)?;
        let (first, end) = (functions.len(), u32::try_from(code.0.len()).ok()?);
        for row in table.rows(*part) {
            let (start, id) = (row.u32(0)?, row.u32(4)?);
            if let Some(before) = functions.get_mut(first..).and_then(<[_]>::last_mut) {
                before.range.end = start;
            }
            let name = String::from_utf8_lossy(types.get(id)?.name).into_owned();
            functions.push(Function { name, section: section.clone(), range: start..end, code: Vec::new() });
            if functions.len() > FUNCTIONS_MAX {
                return None;
            }
        }
        // One part has all functions of a section.
        if coded.insert(section, (code, first..functions.len())).is_some() {
            return None;
        }
    }
    Some((functions, coded))
}

/// Gives each function its code.
fn fill(functions: &mut [Function], coded: &Coded<'_>) -> Option<()> {
    let mut left = SIZE_MAX;
    for (code, which) in coded.values() {
        for function in functions.get_mut(which.clone())? {
            let Range { start, end } = function.range;
            let size = end.checked_sub(start).filter(|size| *size <= CODE_MAX)?;
            // Sections may be the same bytes of the file.
            left = left.checked_sub(size.into())?;
            function.code = code.0.get(start as usize..end as usize)?.to_vec();
        }
    }
    Some(())
}

/// The relocations that .BTF.ext has.
fn sites(types: &Types, ext: Bytes<'_>, most: usize, functions: &[Function], coded: &Coded<'_>) -> Option<Vec<Site>> {
    let lines = Table::read(ext, 16, 4, most)?;
    let by_section: HashMap<_, _> =
        lines.parts.iter().rev().filter_map(|(name, part)| Some((types.text(*name)?, *part))).collect();
    let table = Table::read(ext, 24, 4, most)?;
    let mut sites = Vec::new();
    for (name, part) in &table.parts {
        let section = types.text(*name)?;
        let Some((code, which)) = coded.get(section.as_str()) else { continue };
        let lines: Vec<_> = by_section.get(&section).into_iter().flat_map(|part| lines.rows(*part)).collect();
        let of_section = functions.get(which.clone())?;
        for (index, row) in table.rows(*part).enumerate() {
            let [insn_off, type_id, access_str_off, kind] = [row.u32(0)?, row.u32(4)?, row.u32(8)?, row.u32(12)?];
            // As libbpf does: none of ours, if it belongs to a function that the linker took out.
            let upto = of_section.partition_point(|function| function.range.start <= insn_off);
            let Some(place) = upto.checked_sub(1) else { continue };
            if !of_section.get(place)?.range.contains(&insn_off) {
                continue;
            }
            let mut insns = Insns::default();
            insns.0.iter_mut().zip(code.0.get(insn_off as usize..)?).for_each(|(to, from)| *to = *from);
            let relo = Relo { insn_off, type_id, access_str_off, kind };
            let function = which.start.checked_add(place)?;
            sites.push(Site { relo, index, function, source: source(types, &lines, insn_off), insns });
            if sites.len() > SITES_MAX {
                return None;
            }
        }
    }
    Some(sites)
}

/// How many instructions back one of a known line is looked for.
const LINES_MAX: usize = 4096;

/// File and line of an instruction. What the compiler made of several lines is of none: then that of one before it.
fn source(types: &Types, lines: &[Bytes<'_>], insn_off: u32) -> Option<(String, u32)> {
    let upto = lines.partition_point(|row| row.u32(0).is_some_and(|off| off <= insn_off));
    // Line and column in one number: BPF_LINE_INFO_LINE_NUM of include/uapi/linux/bpf.h.
    let line = |row: &&Bytes<'_>| row.u32(12).unwrap_or(0) >> 10;
    let near = lines.get(upto.saturating_sub(LINES_MAX)..upto)?;
    let row = near.iter().rev().find(|row| line(row) != 0)?;
    let file = types.text(row.u32(4)?)?;
    Some((file.rsplit('/').next().unwrap_or_default().to_owned(), line(&row)))
}
