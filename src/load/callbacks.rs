//! For kernels that do not know addresses of functions (before 5.13, 69c087ba6225: bpf: Add bpf_for_each_map_elem()
//! helper): programs have them for bpf_loop (src/bpf/compat.bpf.h: REPEAT), in a branch that is never taken there. The
//! kernel refuses each instruction that it does not know all the same, and each function that nothing calls.

use anyhow::{Context, Result};
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_SYMTAB};
use object::read::elf::{FileHeader, Rel, SectionHeader, Sym};
use object::{NativeEndian, SectionIndex};

/// Bytes of an instruction.
const INSN: usize = 8;
/// The opcode of `rN = ADDRESS ll`, two instructions long.
const LD_IMM64: u8 = 0x18;
/// `goto +0`
const NOTHING: [u8; INSN] = [0x05, 0, 0, 0, 0, 0, 0, 0];

/// A copy of the object where each address of a function is a call of it, and how many there were.
///
/// # Errors
/// When it is no BPF object.
pub(crate) fn called(elf: &[u8]) -> Result<(Vec<u8>, usize)> {
    let header = FileHeader64::<NativeEndian>::parse(elf).context("the BPF object is no ELF file")?;
    let sections = header.sections(NativeEndian, elf).context("the BPF object's sections")?;
    let symbols = sections.symbols(NativeEndian, elf, SHT_SYMTAB).context("the BPF object's symbols")?;
    let code = |index: usize| {
        let section = sections.section(SectionIndex(index)).ok()?;
        (section.sh_flags(NativeEndian) & SHF_EXECINSTR == SHF_EXECINSTR).then(|| section.file_range(NativeEndian))?
    };
    let mut copy = elf.to_vec();
    let mut count = 0;
    for section in sections.iter() {
        let Some((relocations, _)) = section.rel(NativeEndian, elf).context("relocations of the BPF object")? else {
            continue;
        };
        let Some((start, _)) = code(usize::try_from(section.sh_info(NativeEndian))?) else { continue };
        for relocation in relocations {
            let symbol = relocation.symbol(NativeEndian).context("a relocation without a symbol")?;
            let symbol = symbols.symbol(symbol).context("a symbol of the BPF object")?;
            let at = usize::try_from(start.wrapping_add(relocation.r_offset(NativeEndian)))?;
            let insns =
                at.checked_add(2 * INSN).and_then(|end| copy.get_mut(at..end)).context("a relocation's place")?;
            if insns.first() == Some(&LD_IMM64) && code(usize::from(symbol.st_shndx(NativeEndian).0)).is_some() {
                let (pair, _) = insns.as_chunks_mut::<INSN>();
                let [first, second] = pair else { continue };
                let [.., a, b, c, d] = *first;
                (*first, *second) = (call(i32::from_le_bytes([a, b, c, d])), NOTHING);
                count += 1;
            }
        }
    }
    Ok((copy, count))
}

/// The call of a function that is so many bytes after its relocation's symbol. In instructions, from the next one on: as
/// libbpf reads it (libbpf.c: bpf_object__reloc_code).
fn call(bytes: i32) -> [u8; INSN] {
    let [a, b, c, d] = (bytes / INSN as i32 - 1).to_le_bytes();
    // BPF_JMP | BPF_CALL, with BPF_PSEUDO_CALL as its source register.
    [0x85, 0x10, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_functions_become_calls_of_them() {
        let object = test_objects::bytes("callback");
        let (changed, count) = called(object).unwrap();
        assert_eq!((count, changed.len()), (1, object.len()));
        let header = FileHeader64::<NativeEndian>::parse(object).unwrap();
        let sections = header.sections(NativeEndian, object).unwrap();
        let (_, text) = sections.section_by_name(NativeEndian, b"raw_tp/sys_enter").unwrap();
        let (start, size) = text.file_range(NativeEndian).unwrap();
        let insns = |elf: &[u8]| elf[start as usize..][..size as usize].as_chunks::<INSN>().0.to_vec();
        let (before, after) = (insns(object), insns(&changed));
        let other: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        let [first, second] = other[..] else { panic!("{other:?}") };
        assert_eq!((first + 1, before[first][0], after[second]), (second, LD_IMM64, NOTHING));
        assert_eq!(after[first], call(i32::from_le_bytes(before[first][4..].try_into().unwrap())));
        // Nothing is left to change.
        assert_eq!(called(&changed).unwrap(), (changed, 0));
    }

    #[test]
    fn a_call_counts_instructions_from_the_next_one_on() {
        assert_eq!(call(0), [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(call(24), [0x85, 0x10, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        let error = format!("{:#}", called(b"no object").unwrap_err());
        assert_eq!(error, "the BPF object is no ELF file: Invalid ELF header size or alignment");
    }
}
