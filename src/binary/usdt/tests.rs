//! Every form of an argument, by itself.

use super::*;
use crate::binary::Machine;

/// Symbols: `here` at 0x1000, and the probe is at 0x400.
fn all(machine: Machine, text: &str) -> Vec<Operand> {
    operands(machine, text, 0x400, &|name| (name == "here").then_some(0x1000))
}

fn one(machine: Machine, text: &str) -> Operand {
    let mut all = all(machine, text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn x86(text: &str) -> Origin {
    one(Machine::X86, text).from.unwrap()
}

fn register(word: u32) -> Origin {
    Origin::Register { word, second: false }
}

fn memory(base: u32, offset: i64) -> Origin {
    Origin::Memory { base: Some(base), index: None, offset }
}

#[test]
fn forms_of_x86() {
    assert_eq!(
        (x86("-4@%edi"), x86("8@%r15"), x86("1@%ah")),
        (register(14), register(0), Origin::Register { word: 10, second: true })
    );
    assert_eq!(
        (x86("8@$5"), x86("-4@$-1"), x86("8@$0x10")),
        (Origin::Constant(5), Origin::Constant(-1), Origin::Constant(16))
    );
    assert_eq!((x86("4@-20(%rbp)"), x86("8@(%rax)")), (memory(4, -20), memory(10, 0)));
    let index = |base, index, shift, offset| Origin::Memory { base, index: Some((index, shift)), offset };
    assert_eq!(x86("8@16(%rsp,%rax,8)"), index(Some(19), 10, 3, 16));
    assert_eq!((x86("2@(%rsp,%rax)"), x86("2@(,%rcx,4)")), (index(Some(19), 10, 0, 0), index(None, 11, 2, 0)));
    assert_eq!((x86("8@here(%rip)"), x86("8@here+8(%rip)")), (memory(16, 0xc00), memory(16, 0xc08)));
    assert_eq!((x86("8@here-8"), x86("8@$here")), (memory(16, 0xbf8), Origin::Sum { word: 16, offset: 0xc00 }));
    assert_eq!(x86("8@here(,%rdx,8)"), index(Some(16), 12, 3, 0xc00));
    assert_eq!(x86("8@here(%rdx)"), index(Some(16), 12, 0, 0xc00));
    assert_eq!(x86("%rdi"), register(14), "without a size");
    let four = one(Machine::X86, "-4@%edi");
    assert_eq!((four.size, four.signed, four.float), (4, true, false));
    let float = one(Machine::X86, "8f@-8(%rbp)");
    assert_eq!((float.float, float.from), (true, Ok(memory(4, -8))));
}

#[test]
fn what_cannot_be_read_says_why() {
    let why = |machine, text| one(machine, text).from.unwrap_err();
    let x86 = |text| why(Machine::X86, text);
    assert!(x86("8f@%xmm0").contains("register that probes cannot read"));
    assert!(x86("8@%fs:16").contains("for each thread") && x86("8@%fs:(%rax)").contains("for each thread"));
    assert!(x86("8@nowhere(%rip)").contains("no such symbol") && x86("8@16(%rip)").contains("has no name"));
    assert!(x86("3@%rdi").contains("size") && x86("x@%rdi").contains("size") && x86("-128@%rdi").contains("size"));
    assert!(x86("8@%nope").contains("no register") && x86("8@(%rax,%rbx,3)").contains("no place"));
    assert!(x86("8f@%rax").contains("float"));
    for text in ["8@", "8@(", "8@)", "8@(%rax", "8@()", "@", "8@$", "8@,", "8@(,,)", "8@%", "8@é(%rip)", "8@-(%rip)"] {
        assert!(one(Machine::X86, text).from.is_err(), "{text}");
        assert!(one(Machine::Arm, text).from.is_err(), "{text}");
    }
    let arm = |text| why(Machine::Arm, text);
    assert!(arm("8f@d0").contains("cannot read") && arm("8@[x0, w1, sxtw 2]").contains("no place"));
}

#[test]
fn forms_of_arm() {
    let arm = |text| one(Machine::Arm, text).from.unwrap();
    assert_eq!((arm("8@x0"), arm("-4@w30"), arm("8@sp")), (register(0), register(30), register(31)));
    assert_eq!(
        (arm("-4@[sp, 12]"), arm("8@[x1]"), arm("8@[x29, #-8]")),
        (memory(31, 12), memory(1, 0), memory(29, -8))
    );
    assert_eq!(
        (arm("4@-1"), arm("8@xzr"), arm("8@wzr")),
        (Origin::Constant(-1), Origin::Constant(0), Origin::Constant(0))
    );
    let index = Origin::Memory { base: Some(0), index: Some((1, 3)), offset: 0 };
    assert_eq!((arm("8@[x0, x1, lsl 3]"), arm("8@[x0, x1, lsl #3]")), (index.clone(), index));
}

#[test]
fn arguments_are_separated_by_blanks_outside_of_brackets() {
    assert_eq!(all(Machine::Arm, "-4@[sp, 12]  8@x1 4@5").len(), 3);
    assert_eq!(all(Machine::X86, &"8@%rdi ".repeat(12)).len(), 12);
    assert_eq!(all(Machine::X86, ""), []);
    assert!(x86("8@-8(%rsp)").below(19) && !x86("8@8(%rsp)").below(19));
}
