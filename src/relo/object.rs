//! A BPF object: its programs, their instructions, and the relocations that .BTF.ext has of them.

use anyhow::{Context, Result};

use super::types::Types;
use crate::bpf::relo::{Btf, Insns, Relo};
use crate::bytes::Bytes;

/// Bytes of an instruction.
const INSN: u32 = 8;

/// A function: a program, or one that programs call.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// The section it is in: for a program where it hooks in.
    pub section: String,
    /// Byte offsets of its instructions in the section.
    pub range: std::ops::Range<u32>,
    /// Its instructions.
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
    /// Source file and line.
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
fn table<'a>(ext: Bytes<'a>, at: usize) -> Option<Vec<(u32, Vec<Bytes<'a>>)>> {
    let (header, off, len) = (ext.u32(4)?, ext.u32(at)?, ext.u32(at + 4)?);
    let mut rest = ext.part(u64::from(header) + u64::from(off), u64::from(len))?;
    let row = rest.u32(0)?;
    rest = Bytes(rest.0.get(4..)?);
    let mut sections = Vec::new();
    while !rest.0.is_empty() {
        let (name, count) = (rest.u32(0)?, rest.u32(4)?);
        let size = u64::from(row).checked_mul(count.into())?;
        let rows = rest.part(8, size)?;
        sections.push((name, rows.0.chunks(row.max(1) as usize).map(Bytes).collect()));
        rest = Bytes(rest.0.get(8_usize.checked_add(usize::try_from(size).ok()?)?..)?);
    }
    Some(sections)
}

/// Sections of an ELF file of 64 bits and this byte order, by name.
fn sections(elf: Bytes<'_>) -> Option<Vec<(&[u8], Bytes<'_>)>> {
    let (at, size) = (elf.u64(40)?, u64::from(elf.u16(58)?));
    let [count, names] = [elf.u16(60)?, elf.u16(62)?];
    let header = |n: u16| elf.part(at.checked_add(size.checked_mul(n.into())?)?, size);
    let content = |header: Bytes<'_>| elf.part(header.u64(24)?, header.u64(32)?);
    let names = content(header(names)?)?;
    Some((0..count).filter_map(|n| Some((names.string(header(n)?.u32(0)?)?, content(header(n)?)?))).collect())
}

impl Object {
    /// Reads an object.
    ///
    /// # Errors
    /// When it is not one that clang makes with `-g`.
    pub fn read(elf: &[u8]) -> Result<Self> {
        let sections = sections(Bytes(elf)).context("the BPF object is no ELF file")?;
        let find = |name: &str| sections.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, content)| *content);
        let btf = find(".BTF").context("the BPF object has no types")?;
        let btf = Btf::new(btf.0).map_err(std::io::Error::from_raw_os_error).context("the BPF object's types")?;
        let types = Types::new(btf).context("the BPF object's types")?;
        let ext = find(".BTF.ext").context("the BPF object has no .BTF.ext")?;
        Self::tables(types, ext, find).context("the BPF object's .BTF.ext is damaged")
    }

    fn tables<'a>(types: Types, ext: Bytes<'a>, content: impl Fn(&str) -> Option<Bytes<'a>>) -> Option<Self> {
        let mut functions: Vec<Function> = Vec::new();
        for (section, rows) in table(ext, 8)? {
            let section = types.text(section)?;
            let end = u32::try_from(content(&section)?.0.len()).ok()?;
            for row in rows {
                let (start, id) = (row.u32(0)?, row.u32(4)?);
                if let Some(before) = functions.last_mut().filter(|f| f.section == section) {
                    before.range.end = start;
                }
                let name = String::from_utf8_lossy(types.get(id)?.name).into_owned();
                functions.push(Function { name, section: section.clone(), range: start..end, code: Vec::new() });
            }
        }
        for function in &mut functions {
            let range = function.range.start as usize..function.range.end as usize;
            function.code = content(&function.section)?.0.get(range)?.to_vec();
        }
        let lines = table(ext, 16)?;
        let mut sites = Vec::new();
        for (name, rows) in table(ext, 24)? {
            let section = types.text(name)?;
            let code = content(&section)?;
            let lines = lines.iter().find(|(n, _)| types.text(*n).as_ref() == Some(&section)).map(|(_, rows)| rows);
            for (index, row) in rows.iter().enumerate() {
                let relo = Relo {
                    insn_off: row.u32(0)?,
                    type_id: row.u32(4)?,
                    access_str_off: row.u32(8)?,
                    kind: row.u32(12)?,
                };
                let inside = |f: &Function| f.section == section && f.range.contains(&relo.insn_off);
                // As libbpf does: none of ours, if it belongs to a function that the linker took out.
                let Some(function) = functions.iter().position(inside) else { continue };
                let mut insns = Insns::default();
                let rest = code.0.get(relo.insn_off as usize..)?;
                insns.0.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                let source = lines.and_then(|rows| {
                    let upto = rows.partition_point(|row| row.u32(0).is_some_and(|off| off <= relo.insn_off));
                    // Line and column in one number: BPF_LINE_INFO_LINE_NUM of include/uapi/linux/bpf.h. What the
                    // compiler made of several lines is of none.
                    let line = |row: &&Bytes<'_>| row.u32(12).unwrap_or(0) >> 10;
                    let row = rows.get(..upto)?.iter().rev().find(|row| line(row) != 0)?;
                    let file = types.text(row.u32(4)?)?;
                    Some((file.rsplit('/').next().unwrap_or_default().to_owned(), line(&row)))
                });
                sites.push(Site { relo, index, function, source, insns });
            }
        }
        Some(Self { types, functions, sites })
    }
}
