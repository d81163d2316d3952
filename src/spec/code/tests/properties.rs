//! What every verifier asks of code, whatever it does.

use std::collections::BTreeSet;

use super::*;

/// A set of registers.
type Regs = u16;

/// The registers that an instruction reads, and those that have no value behind it, and that it writes.
fn registers(opcode: u8, regs: u8) -> (Regs, Regs, Regs) {
    let (dst, src) = (1 << (regs & 15), 1 << (regs >> 4));
    let second = if opcode & 8 == 0 { 0 } else { src };
    match opcode {
        0x18 => (0, 0, dst),
        0x05 => (0, 0, 0),
        // All of them may be arguments: of a function as many as it has, of a helper three.
        0x85 if regs == 0 => (0b1110, 0b11_1110, 1),
        0x85 => (0b1_1110, 0b11_1110, 1),
        0x95 => (1, 0, 0),
        0xb7 | 0xbf => (second, 0, dst),
        _ => match opcode & 7 {
            1 => (src, 0, dst),
            2 => (dst, 0, 0),
            3 => (dst | src, 0, 0),
            5 => (dst | second, 0, 0),
            7 => (dst | second, 0, dst),
            _ => panic!("opcode {opcode:#x}"),
        },
    }
}

/// Checks one function.
pub(super) fn check(code: &Code) {
    let insns = &code.insns;
    assert_eq!(insns.last(), Some(&0x95), "the last one is exit");
    // Registers with values, where an instruction is reached; r1, r2 and r10 at the beginning.
    let mut known: Vec<Option<Regs>> = vec![None; insns.len()];
    known[0] = Some(0b100_0000_0110);
    let mut at = 0;
    while at < insns.len() {
        let [opcode, regs, off_low, off_high, ..] = insns[at].to_le_bytes();
        let off = i16::from_le_bytes([off_low, off_high]);
        let before = known[at].unwrap_or_else(|| panic!("{at} cannot be reached"));
        let (reads, loses, writes) = registers(opcode, regs);
        assert_eq!(reads & !before, 0, "{at} reads registers without a value: {:#b}", reads & !before);
        assert_eq!(writes & 1 << 10, 0, "{at} writes r10");
        let after = before & !loses | writes;
        let next = at + if opcode == 0x18 { 2 } else { 1 };
        if opcode == 0x18 {
            assert_eq!(insns[at + 1] as u32, 0, "{at} has no second half");
        }
        let mut to = Vec::new();
        if opcode & 7 == 5 && opcode != 0x85 && opcode != 0x95 {
            assert!(off >= 0, "{at} jumps back");
            to.push(at + 1 + usize::try_from(off).unwrap());
        }
        if opcode != 0x05 && opcode != 0x95 {
            to.push(next);
        }
        for to in to {
            assert!(to < insns.len(), "{at} goes to {to}, which is outside");
            known[to] = Some(known[to].unwrap_or(after) & after);
        }
        at = next;
    }
    // A jump into the middle of an instruction would have been none of those that were looked at.
    let halves: BTreeSet<_> = (1..insns.len()).filter(|at| insns[at - 1] as u8 == 0x18).collect();
    assert!(halves.iter().all(|at| known[*at].is_none()), "a jump into a ld_imm64");
}

#[test]
fn the_check_sees_what_is_wrong() {
    let code = |insns: &[u64]| Code { insns: insns.to_vec(), calls: Vec::new() };
    let wrong = |insns: &[u64]| std::panic::catch_unwind(|| check(&code(insns))).is_err();
    let (zero, exit) = (0xb7, 0x95);
    check(&code(&[zero, exit]));
    assert!(wrong(&[exit]), "r0 has no value");
    assert!(wrong(&[zero, exit, zero]), "no end");
    assert!(wrong(&[zero, exit, zero, exit]), "not reached");
    assert!(wrong(&[zero, 0x2_0005, exit]), "outside");
    assert!(wrong(&[zero, 0x0015 | 1 << 16, 0x18, 0, exit]), "into a ld_imm64");
    // A jump over what r3 gets its value from, and a call that takes it.
    assert!(wrong(&[zero, 0x0115 | 1 << 16, 0x03b7, 0x30bf, exit]), "r3 has a value on one way only");
    assert!(wrong(&[0x03b7, 113 << 32 | 0x85, 0x30bf, exit]), "r3 is lost in a call");
}
