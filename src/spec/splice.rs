//! Puts generated instructions into the object of the tracer, in place of fillers, before libbpf opens it.
//!
//! A hole is a function of fillers (`goto +0`) and its own ending. Code goes to its end: behind it fillers could not be
//! reached, which no verifier takes. Those before it are jumped over, on a condition that always holds: the verifier sees
//! that, and removes them all at once. (Fillers that it comes by it removes one by one, and moves all the rest each time:
//! kernel/bpf/verifier.c: opt_remove_dead_code, opt_remove_nops. That took longer than all else at a start.) Nothing
//! changes its place or its size, so that what .BTF.ext says of functions stays true; its lines say nothing of the second half of a `ld_imm64`
//! (which the kernel refuses), as endings are short, and so are those of generated code.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use object::elf::{FileHeader64, SHT_SYMTAB};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{NativeEndian, SectionIndex};

use super::code::{Code, Function, Generated, link};

type Header = FileHeader64<NativeEndian>;

/// Bytes of an instruction.
const INSN: usize = 8;
/// `goto +0`.
const FILLER: [u8; INSN] = [0x05, 0, 0, 0, 0, 0, 0, 0];
/// `r0 = 0`.
const ZERO: [u8; INSN] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
/// The opcode of `exit`.
const EXIT: u8 = 0x95;
/// How many instructions the ending of a hole may have: `r0 = 0`, `exit`. So many at the end of generated code are never
/// part of a `ld_imm64`.
const ENDING_MAX: usize = 2;

/// The holes of one program: for `test`, and for `fetch`.
pub(crate) type Holes = [&'static str; 2];
/// Those of a program that makes an event, or keeps a call until it returns.
pub(crate) const ENTRY: Holes = ["probe_test", "probe_fetch"];
/// Those of the program on its return.
pub(crate) const RETURN: Holes = ["probe_return_test", "probe_return_fetch"];

/// How many instructions these holes have.
///
/// # Errors
/// When the object has no such holes.
pub(crate) fn room(elf: &[u8], [test, fetch]: Holes) -> Result<(usize, usize)> {
    let text = Text::read(elf)?;
    Ok((text.hole(test)?.len() / INSN, text.hole(fetch)?.len() / INSN))
}

/// A copy of the object with the holes filled.
///
/// # Errors
/// When the object is not one with such holes, or when they are too small.
pub(crate) fn splice(elf: &[u8], [test, fetch]: Holes, generated: &Generated) -> Result<Vec<u8>> {
    let text = Text::read(elf)?;
    let mut copy = elf.to_vec();
    for (name, code) in [(test, &generated.test), (fetch, &generated.fetch)] {
        text.fill(&mut copy, name, code).with_context(|| format!("filling {name}"))?;
    }
    Ok(copy)
}

/// The section with the functions that programs call.
struct Text<'a> {
    index: SectionIndex,
    /// Where it is in the file.
    start: usize,
    code: &'a [u8],
    symbols: SymbolTable<'a, Header>,
    sections: SectionTable<'a, Header>,
    elf: &'a [u8],
}

impl<'a> Text<'a> {
    fn read(elf: &'a [u8]) -> Result<Self> {
        let header = Header::parse(elf).context("the BPF object is no ELF file")?;
        // `parse` takes files of both byte orders.
        ensure!(header.endian().is_ok_and(|order| order == NativeEndian), "the BPF object has another byte order");
        let sections = header.sections(NativeEndian, elf).context("the BPF object's sections")?;
        let (index, section) =
            sections.section_by_name(NativeEndian, b".text").context("the BPF object has no .text")?;
        let (start, _) = section.file_range(NativeEndian).context("the BPF object's .text is empty")?;
        let code = section.data(NativeEndian, elf).context("the BPF object's .text")?;
        let symbols = sections.symbols(NativeEndian, elf, SHT_SYMTAB).context("the BPF object's symbols")?;
        Ok(Self { index, start: usize::try_from(start)?, code, symbols, sections, elf })
    }

    /// The bytes of a function in .text.
    fn function(&self, name: &str) -> Result<Range<usize>> {
        let of_name = |symbol: &&_| self.symbols.symbol_name(NativeEndian, symbol) == Ok(name.as_bytes());
        let mut found = self.symbols.iter().filter(of_name);
        let symbol = found.next().with_context(|| format!("the BPF object has no {name}"))?;
        ensure!(found.next().is_none(), "the BPF object has two of {name}");
        let in_text = usize::from(symbol.st_shndx(NativeEndian).0) == self.index.0;
        ensure!(in_text, "{name} is not in .text of the BPF object");
        let start = usize::try_from(symbol.st_value(NativeEndian))?;
        let size = usize::try_from(symbol.st_size(NativeEndian))?;
        let range = start..start.checked_add(size).with_context(|| format!("the size of {name}"))?;
        let fits = self.code.get(range.clone()).is_some_and(|code| !code.is_empty());
        ensure!(fits && start.is_multiple_of(INSN) && size.is_multiple_of(INSN), "{name} is no function");
        Ok(range)
    }

    /// The bytes of a hole in .text.
    fn hole(&self, name: &str) -> Result<Range<usize>> {
        let range = self.function(name)?;
        let (insns, _) = self.code.get(range.clone()).unwrap_or_default().as_chunks::<INSN>();
        let fillers = insns.iter().take_while(|insn| **insn == FILLER).count();
        let ending = insns.get(fillers..).unwrap_or_default();
        let ends = ending.last().is_some_and(|[opcode, ..]| *opcode == EXIT);
        ensure!(
            fillers > 0 && ends && ending.len() <= ENDING_MAX,
            "{name} is no hole: {fillers} fillers, then {} other instructions",
            ending.len()
        );
        self.unrelocated(name, &range)?;
        Ok(range)
    }

    /// What libbpf would relocate in a hole would no longer be there.
    fn unrelocated(&self, name: &str, hole: &Range<usize>) -> Result<()> {
        let inside = |offset: u64| usize::try_from(offset).is_ok_and(|offset| hole.contains(&offset));
        for section in self.sections.iter() {
            if usize::try_from(section.sh_info(NativeEndian)) != Ok(self.index.0) {
                continue;
            }
            let rel = section.rel(NativeEndian, self.elf).context("relocations of .text")?;
            let rela = section.rela(NativeEndian, self.elf).context("relocations of .text")?;
            let mut offsets = (rel.iter().flat_map(|(all, _)| *all).map(|rel| rel.r_offset(NativeEndian)))
                .chain(rela.iter().flat_map(|(all, _)| *all).map(|rela| rela.r_offset(NativeEndian)));
            if let Some(offset) = offsets.find(|offset| inside(*offset)) {
                bail!("{name} has a relocation at {offset:#x} of .text");
            }
        }
        Ok(())
    }

    /// Writes code to the end of a hole.
    fn fill(&self, elf: &mut [u8], name: &str, code: &Code) -> Result<()> {
        let hole = self.hole(name)?;
        let (needs, has) = (code.insns.len(), hole.len() / INSN);
        ensure!(needs > 0, "there is no code");
        let at = (hole.end / INSN).checked_sub(needs).filter(|_| needs <= has);
        let at = at.with_context(|| format!("needs {needs} instructions, has room for {has}"))?;
        let place = |function: Function| Some(self.function(function.symbol()).ok()?.start / INSN);
        let insns = link(code, at, place)?;
        // The hole's own ending goes in any case: nothing behind it would be reached.
        let kept = has.saturating_sub(needs);
        let linked = over(kept)?.into_iter().chain(insns.iter().map(|insn| insn.to_le_bytes()));
        let to = self.start.checked_add(hole.start).zip(self.start.checked_add(hole.end));
        let to = to.and_then(|(start, end)| elf.get_mut(start..end)).context("it is not in the file")?;
        to.as_chunks_mut::<INSN>().0.iter_mut().zip(linked).for_each(|(to, insn)| *to = insn);
        Ok(())
    }
}

/// So many instructions that do nothing.
fn over(count: usize) -> Result<Vec<[u8; INSN]>> {
    let mut all = vec![FILLER; count];
    if let [first, second, skipped @ ..] = all.as_mut_slice() {
        let [low, high] = i16::try_from(skipped.len()).context("the hole is too large")?.to_le_bytes();
        // `if r0 == 0 goto +skipped`
        (*first, *second) = (ZERO, [0x15, 0, low, high, 0, 0, 0, 0]);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::code::{Layout, generate};
    use crate::spec::ir::{Base, Compare, Deref, Program, Read, Slot, Space, Test};

    fn object() -> &'static [u8] {
        test_objects::bytes("hole")
    }

    /// As tests/bpf/hole.bpf.c has it.
    fn layout() -> Layout {
        let (test_room, fetch_room) = room(object(), ENTRY).unwrap();
        Layout {
            words: 0,
            values: 128,
            ret: 384,
            duration: 392,
            task: 400,
            unread: 408,
            test_room,
            fetch_room,
            ..Layout::default()
        }
    }

    fn generated() -> Generated {
        let word = |index| Base::Word { index, typed: false };
        let text = Read::Str { offset: 8, space: Space::ByAddress, max: 256, array: false };
        let number = Read::Number { offset: 4, space: Space::Kernel, size: 4, left: 0, right: 0, signed: true };
        let way = vec![Deref { offset: 16, space: Space::Kernel }, Deref { offset: 0, space: Space::ByAddress }];
        let slots = vec![
            Slot {
                base: word(0),
                derefs: Vec::new(),
                read: Read::Plain { offset: 0, shift: 0, narrow: Some((4, true)) },
            },
            Slot { base: word(1), derefs: way.clone(), read: text },
            Slot { base: Base::Context, derefs: way, read: number },
            Slot { base: Base::Task, derefs: Vec::new(), read: Read::Path { offset: 64 } },
        ];
        let test = Test::All(vec![
            Test::Number { slot: 0, op: Compare::Greater { signed: true }, operand: 2 },
            Test::Any(vec![
                Test::Text { slot: 1, text: b"/etc/".to_vec(), whole: false },
                Test::Glob { slot: 1, glob: b"*.conf".to_vec() },
            ]),
        ]);
        generate(&Program { words: 8, slots, test: Some(test), early: 2 }, &layout()).unwrap()
    }

    /// The instructions of a function.
    fn insns(elf: &[u8], name: &str) -> Vec<u64> {
        let text = Text::read(elf).unwrap();
        let code = &text.code[text.function(name).unwrap()];
        code.as_chunks().0.iter().map(|insn| u64::from_le_bytes(*insn)).collect()
    }

    #[test]
    fn code_is_at_the_ends_of_the_holes_and_nothing_else_changes() {
        let generated = generated();
        let spliced = splice(object(), ENTRY, &generated).unwrap();
        assert_eq!(room(object(), ENTRY).unwrap(), (401, 801));
        let text = Text::read(object()).unwrap();
        for (name, code) in [(ENTRY[0], &generated.test), (ENTRY[1], &generated.fetch)] {
            let filled = insns(&spliced, name);
            let (fillers, body) = filled.split_at(filled.len() - code.insns.len());
            let [zero, jump, fillers @ ..] = fillers else { panic!("{fillers:x?}") };
            assert!(fillers.iter().all(|insn| *insn == 0x05), "{fillers:x?}");
            assert_eq!((*zero, *jump), (0xb7, 0x15 | (fillers.len() as u64) << 16), "to the code");
            let calls: Vec<_> = code.calls.iter().map(|call| call.at).collect();
            let changed: Vec<_> = (0..body.len()).filter(|at| body[*at] != code.insns[*at]).collect();
            assert_eq!(changed, calls);
            for call in &code.calls {
                // The kernel counts from the next instruction.
                let distance = ((body[call.at] >> 32) as u32).cast_signed();
                let next = text.function(name).unwrap().end / INSN - body.len() + call.at + 1;
                let to = next.checked_add_signed(distance as isize).unwrap();
                assert_eq!(to * INSN, text.function(call.function.symbol()).unwrap().start, "{call:?}");
            }
        }
        let holes = [ENTRY[0], ENTRY[1]].map(|name| text.function(name).unwrap());
        let inside = |at: usize| holes.iter().any(|hole| (hole.start..hole.end).contains(&at.wrapping_sub(text.start)));
        let outside = |(at, (before, after)): (usize, (&u8, &u8))| before != after && !inside(at);
        assert!(!object().iter().zip(&spliced).enumerate().any(outside));
        assert_eq!(object().len(), spliced.len());
    }

    #[test]
    fn code_may_fill_a_hole_but_no_more() {
        // The second hole: there is something before it, where code that is too long could go.
        let filled = |extra: usize| {
            let (_, room) = room(object(), ENTRY).unwrap();
            let mut generated = generated();
            generated.fetch = Code { insns: vec![0x05; room + extra - 1], calls: Vec::new() };
            generated.fetch.insns.push(0x95);
            splice(object(), ENTRY, &generated).map(|elf| insns(&elf, ENTRY[1]) == generated.fetch.insns)
        };
        assert!(filled(0).unwrap());
        let error = format!("{:#}", filled(1).unwrap_err());
        assert_eq!(error, "filling probe_fetch: needs 802 instructions, has room for 801");
    }

    #[test]
    fn what_is_no_hole_is_not_filled() {
        let generated = generated();
        let fails = |elf: &[u8]| format!("{:#}", splice(elf, ENTRY, &generated).unwrap_err());
        // A hole that is filled is none any more.
        let twice = fails(&splice(object(), ENTRY, &generated).unwrap());
        assert!(twice.starts_with("filling probe_test: probe_test is no hole: "), "{twice}");
        assert_eq!(fails(b"no object"), "the BPF object is no ELF file: Invalid ELF header size or alignment");
        assert_eq!(fails(test_objects::bytes("layout")), "filling probe_test: the BPF object has no probe_test");
        let text = Text::read(object()).unwrap();
        let changed = |at: usize, byte: u8| {
            let mut elf = object().to_vec();
            elf[text.start + at] = byte;
            fails(&elf)
        };
        let hole = text.hole(ENTRY[1]).unwrap();
        for (at, byte) in [(hole.start + 8, 0xb7), (hole.end - 8, 0xb7), (hole.start + 26, 1)] {
            let error = changed(at, byte);
            assert!(error.starts_with("filling probe_fetch: probe_fetch is no hole: "), "{error}");
        }
    }

    #[test]
    fn a_hole_with_a_relocation_is_an_error() {
        let mut elf = object().to_vec();
        // The one of the program's section, as if it were one of .text.
        let text = Text::read(object()).unwrap();
        let (index, _) = text.sections.section_by_name(NativeEndian, b"raw_tp/sys_enter").unwrap();
        let (header, at) = (Header::parse(object()).unwrap(), |n: usize| n * 64 + 44);
        let table = usize::try_from(header.e_shoff.get(NativeEndian)).unwrap();
        let of_program = text.sections.enumerate().find(|(_, section)| {
            section.sh_info(NativeEndian) == u32::try_from(index.0).unwrap() && section.sh_size(NativeEndian) > 0
        });
        let place = table + at(of_program.unwrap().0.0);
        elf[place..place + 4].copy_from_slice(&u32::try_from(text.index.0).unwrap().to_ne_bytes());
        let error = format!("{:#}", splice(&elf, ENTRY, &generated()).unwrap_err());
        assert!(error.starts_with("filling probe_test: probe_test has a relocation at 0x"), "{error}");
    }
}
