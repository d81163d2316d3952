//! Instructions that the kernel puts no probe on: what a probe replaces is executed elsewhere, which it allows for some.

use iced_x86::{Decoder, DecoderOptions};

use super::machine::Machine;

/// Bytes of the longest instruction.
pub(super) const LONGEST: u64 = 15;

/// What it is that keeps a probe off the instruction that these bytes begin with, as far as is known
/// (arch/x86/kernel/uprobes.c: is_prefix_bad, good_insns_64).
pub(super) fn refused(machine: Machine, bytes: &[u8]) -> Option<&'static str> {
    if machine != Machine::X86 {
        return None;
    }
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let prefixes = bytes.iter().take_while(|byte| is_prefix(byte)).count();
    let (prefixes, rest) = bytes.split_at_checked(prefixes)?;
    for prefix in prefixes {
        match prefix {
            0xf0 => return Some("a locked instruction"),
            0x26 | 0x2e | 0x36 | 0x3e => return Some("an instruction with a segment"),
            _ => {}
        }
    }
    // The last prefix of 64 bits has the rest of registers' numbers.
    let opcode = rest.iter().find(|byte| !matches!(byte, 0x40..=0x4f))?;
    match opcode {
        0x62 | 0xc4 | 0xc5 => Some("an AVX instruction"),
        0x6c..=0x6f | 0xe4..=0xe7 | 0xec..=0xef => Some("an instruction for ports"),
        0xcc..=0xce | 0xf1 | 0xf4 | 0xfa | 0xfb => Some("an instruction that traps"),
        _ => None,
    }
}

/// Where the instruction begins that has byte `at` of a function's code; None: there is something in it that is none, so
/// that it is not known where instructions begin.
pub(super) fn instruction_at(machine: Machine, code: &[u8], at: usize) -> Option<usize> {
    if machine != Machine::X86 {
        return Some(at / 4 * 4);
    }
    let (mut decoder, mut found) = (Decoder::new(64, code, DecoderOptions::NONE), None);
    while decoder.can_decode() {
        let begin = decoder.position();
        if decoder.decode().is_invalid() {
            return None;
        }
        if (begin..decoder.position()).contains(&at) {
            found = Some(begin);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_found_by_any_of_its_bytes() {
        // push %rbp; mov %rsp,%rbp; mov $0x5,%edi; vmovd %esi,%xmm0; (no instruction)
        let code = b"\x55\x48\x89\xe5\xbf\x05\x00\x00\x00\xc5\xf9\x6e\xc6\x06";
        let begins = |at| instruction_at(Machine::X86, &code[..13], at);
        assert_eq!([0, 1, 3, 4, 5, 8, 9, 12].map(begins), [0, 1, 1, 4, 4, 4, 9, 9].map(Some));
        assert_eq!([13, 99].map(begins), [None; 2]);
        assert_eq!([0, 4, 13].map(|at| instruction_at(Machine::X86, code, at)), [None; 3], "there is data in it");
        assert_eq!(instruction_at(Machine::X86, &code[..6], 0), None, "the last one is cut");
        assert_eq!([0, 3, 4, 7].map(|at| instruction_at(Machine::Arm, b"", at)), [0, 0, 4, 4].map(Some));
    }

    #[test]
    fn what_is_executed_elsewhere_takes_a_probe() {
        let refused = |bytes: &[u8]| refused(Machine::X86, bytes);
        assert_eq!(refused(b"\xf0\x48\xff\x47\x08"), Some("a locked instruction"), "lock incq 8(%rdi)");
        assert_eq!(refused(b"\x66\xf0\x0f\xc1\x07"), Some("a locked instruction"), "lock xadd %ax,(%rdi)");
        assert_eq!(refused(b"\xc5\xf9\x6e\xc6"), Some("an AVX instruction"), "vmovd %esi,%xmm0");
        assert_eq!(refused(b"\x62\xf2\x7d\x48\x7c\xc6"), Some("an AVX instruction"), "vpbroadcastd %esi,%zmm0");
        assert_eq!(refused(b"\x3e\xff\xe0"), Some("an instruction with a segment"), "notrack jmp *%rax");
        assert_eq!(refused(b"\xcd\x80"), Some("an instruction that traps"), "int $0x80");
        for takes_one in [
            &b"\xf3\x0f\x1e\xfa"[..],
            b"\x55",
            b"\x41\x57",
            b"\x66\x0f\x6e\xc6",
            b"\x64\x48\x8b\x04\x25\x28",
            b"\x66\x90",
            b"\x0f\x05",
            b"",
            b"\x48",
        ] {
            assert_eq!(refused(takes_one), None, "{takes_one:x?}");
        }
        assert_eq!(super::refused(Machine::Arm, b"\xc5\xf9\x6e\xc6"), None);
    }
}
