//! Code as text, as llvm-objdump has it, and that of a few programs.

use std::fmt::Write;

use super::*;

const OPS: [(u8, &str); 6] = [(0x0, "+="), (0x4, "|="), (0x5, "&="), (0x6, "<<="), (0x7, ">>="), (0xc, "s>>=")];
const JUMPS: [(u8, &str); 11] = [
    (0x1, "=="),
    (0x2, ">"),
    (0x3, ">="),
    (0x4, "&"),
    (0x5, "!="),
    (0x6, "s>"),
    (0x7, "s>="),
    (0xa, "<"),
    (0xb, "<="),
    (0xc, "s<"),
    (0xd, "s<="),
];

fn named<'a>(names: &[(u8, &'a str)], opcode: u8) -> &'a str {
    names.iter().find(|(bits, _)| *bits == opcode >> 4).unwrap_or_else(|| panic!("opcode {opcode:#x}")).1
}

/// One instruction a line; jumps with the number of the instruction that they go to.
fn listing(code: &Code) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(insn) = code.insns.get(at) {
        let [opcode, regs, off_low, off_high, imm @ ..] = insn.to_le_bytes();
        let (dst, src) = (format!("r{}", regs & 15), format!("r{}", regs >> 4));
        let off = i16::from_le_bytes([off_low, off_high]);
        let (imm, to) = (i32::from_le_bytes(imm), at as i64 + 1 + i64::from(off));
        let size = ["u32", "u16", "u8", "u64"][usize::from(opcode >> 3 & 3)];
        let with = if opcode & 8 == 0 { imm.to_string() } else { src.clone() };
        let line = match opcode {
            0x18 => {
                at += 1;
                format!("{dst} = {:#x} ll", u64::from(imm.cast_unsigned()) | code.insns[at])
            }
            _ if opcode & 7 == 1 => format!("{dst} = *({size} *)({src} {off:+})"),
            _ if opcode & 7 == 2 => format!("*({size} *)({dst} {off:+}) = {imm}"),
            _ if opcode & 7 == 3 => format!("*({size} *)({dst} {off:+}) = {src}"),
            0xb7 | 0xbf => format!("{dst} = {with}"),
            _ if opcode & 7 == 7 => format!("{dst} {} {with}", named(&OPS, opcode)),
            0x05 => format!("goto {to}"),
            0x85 if regs == 0 => format!("call {imm}"),
            0x85 => format!("call {:?}", code.calls.iter().find(|call| call.at == at).expect("a call").function),
            0x95 => "exit".into(),
            _ => format!("if {dst} {} {with} goto {to}", named(&JUMPS, opcode)),
        };
        writeln!(text, "{line}").unwrap();
        at += 1;
    }
    text
}

/// What is behind the two instructions that every function begins with.
#[track_caller]
fn assert_listing(code: &Code, expected: &str) {
    let text = listing(code);
    let body = text.strip_prefix("r6 = r2\nr7 = r1\n").unwrap_or_else(|| panic!("{text}"));
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(body.lines().collect::<Vec<_>>(), expected, "\n{text}");
}

fn fetch(slot: Slot) -> Code {
    generate(&late(vec![slot]), &LAYOUT).unwrap().fetch
}

#[test]
fn a_narrow_argument() {
    let int = Read::Plain { offset: 0, shift: 0, narrow: Some((4, true)) };
    assert_listing(
        &fetch(slot(word(2), &[], int)),
        "r8 = *(u64 *)(r6 +272)
        r8 <<= 32
        r8 s>>= 32
        *(u64 *)(r6 +1024) = r8
        r0 = 0
        exit",
    );
}

#[test]
fn a_number_behind_a_pointer() {
    assert_listing(
        &fetch(slot(Base::Return, &[(24, Space::User)], number(-2, Space::ByAddress, 2, true))),
        "r8 = *(u64 *)(r6 +32)
        if r8 < 4096 goto 28
        r3 = r8
        r3 += 24
        r1 = r10
        r1 += -8
        r2 = 8
        call 112
        if r0 != 0 goto 30
        r8 = *(u64 *)(r10 -8)
        if r8 < 4096 goto 28
        r3 = r8
        r3 += -2
        r1 = r10
        r1 += -8
        r2 = 2
        if r3 s< 0 goto 21
        call 112
        goto 22
        call 113
        if r0 != 0 goto 30
        r8 = *(u16 *)(r10 -8)
        r8 <<= 48
        r8 s>>= 48
        *(u64 *)(r6 +1024) = r8
        goto 35
        r8 = 1
        goto 31
        r8 = 0
        *(u64 *)(r6 +1024) = r8
        r1 = *(u32 *)(r6 +1536)
        r1 |= 1
        *(u32 *)(r6 +1536) = r1
        r0 = 0
        exit",
    );
}

#[test]
fn a_program_that_may_sleep_brings_in_a_number() {
    let layout = Layout { sleepable: true, ..LAYOUT };
    let read = late(vec![slot(Base::Return, &[], number(8, Space::User, 4, false))]);
    assert_listing(
        &generate(&read, &layout).unwrap().fetch,
        "r8 = *(u64 *)(r6 +32)
        if r8 < 4096 goto 21
        r3 = r8
        r3 += 8
        r1 = r10
        r1 += -8
        r2 = 4
        call 112
        if r0 == 0 goto 17
        r3 = r8
        r3 += 8
        r1 = r10
        r1 += -8
        r2 = 4
        call 148
        if r0 != 0 goto 23
        r8 = *(u32 *)(r10 -8)
        *(u64 *)(r6 +1024) = r8
        goto 28
        r8 = 1
        goto 24
        r8 = 0
        *(u64 *)(r6 +1024) = r8
        r1 = *(u32 *)(r6 +1536)
        r1 |= 1
        *(u32 *)(r6 +1536) = r1
        r0 = 0
        exit",
    );
}

#[test]
fn typed_pointers_are_loaded_until_a_step_is_not() {
    let typed = Base::Word { index: 1, typed: true };
    let tail = "*(u64 *)(r6 +1024) = r8
        goto AT
        INSTEAD
        *(u64 *)(r6 +1024) = r8
        r1 = *(u32 *)(r6 +1536)
        r1 |= 1
        *(u32 *)(r6 +1536) = r1
        r0 = 0
        exit";
    let all = slot(typed, &[(40, Space::Typed), (40_000, Space::Typed)], number(8, Space::Typed, 4, false));
    let body = "r8 = *(u64 *)(r7 +8)
        if r8 == 0 goto 12
        r8 = *(u64 *)(r8 +40)
        if r8 == 0 goto 12
        r8 += 40000
        r8 = *(u64 *)(r8 +0)
        if r8 == 0 goto 12
        r8 = *(u32 *)(r8 +8)\n";
    // A number is as it was loaded, with zeros above.
    assert_listing(&fetch(all), &format!("{body}{}", tail.replace("AT", "17").replace("INSTEAD", "r8 = 1")));
    // The string's function gets a number, of which the verifier does not know that it was a pointer.
    let text = slot(typed, &[(40, Space::Typed)], Read::Str { offset: 4, space: Space::User, max: 256, array: false });
    let body = "r8 = *(u64 *)(r7 +8)
        if r8 == 0 goto 19
        r8 = *(u64 *)(r8 +40)
        *(u64 *)(r6 +1024) = r8
        r8 = *(u64 *)(r6 +1024)
        if r8 < 4096 goto 19
        r2 = r8
        r2 += 4
        r1 = r6
        r3 = 0x100000100 ll
        r4 = r7
        call Str
        if r0 s< 0 goto 21
        r8 = r0\n";
    let instead = "r8 = 1\ngoto 22\nr8 = 0";
    assert_listing(&fetch(text), &format!("{body}{}", tail.replace("AT", "26").replace("INSTEAD", instead)));
}

#[test]
fn a_condition_reads_what_its_next_part_needs_and_refuses_at_once() {
    let slots = vec![
        slot(word(0), &[], PLAIN),
        slot(word(1), &[], Read::Str { offset: 0, space: Space::Kernel, max: 64, array: false }),
    ];
    let text = |text: &[u8]| Test::Text { slot: 1, text: text.to_vec(), whole: true };
    let test = Test::All(vec![
        is(0, Compare::Less { signed: true }, 5_u64.wrapping_neg()),
        Test::Not(Box::new(Test::Any(vec![text(b"a"), Test::Glob { slot: 1, glob: b"b*".to_vec() }, text(b"a")]))),
    ]);
    let generated = generate(&early(slots, test), &LAYOUT).unwrap();
    assert_eq!((generated.texts, generated.globs), (vec![b"a".to_vec()], vec![b"b*".to_vec()]));
    let read = "r8 = *(u64 *)(r6 +256)
        *(u64 *)(r6 +1024) = r8
        r2 = *(u64 *)(r6 +1024)
        if r2 s>= -5 goto 65
        r8 = *(u64 *)(r6 +264)
        r2 = r8
        r1 = r6
        r3 = 64
        r4 = r7
        call Str
        if r0 s< 0 goto 16
        r8 = r0
        *(u64 *)(r6 +1032) = r8
        goto 21
        r8 = 0
        *(u64 *)(r6 +1032) = r8
        r1 = *(u32 *)(r6 +1536)
        r1 |= 2
        *(u32 *)(r6 +1536) = r1\n";
    let one = |function: &str, arg: &str, [unread, past]: [u32; 2]| {
        format!(
            "r2 = *(u64 *)(r6 +1032)
            r1 = *(u32 *)(r6 +1536)
            if r1 & 2 goto {unread}
            r1 = r6
            r3 = {arg}
            r4 = r7
            call {function}
            if r0 != 0 goto 65
            goto {past}
            if r2 == 1 goto {past}
            r1 = 1
            *(u64 *)(r6 +1792) = r1
            goto 65\n"
        )
    };
    let whole = |places| one("SameText", "0x100000000 ll", places);
    let tests = [whole([31, 35]), one("MatchesGlob", "0x100000000 ll", [45, 49]), whole([59, 63])].concat();
    let end = "r0 = 1
        exit
        r0 = 0
        exit";
    assert_listing(&generated.test, &format!("{read}{tests}{end}"));
}

#[test]
fn what_needs_no_code_has_none() {
    let test = |test: Option<Test>| generate(&Program { test, ..late(Vec::new()) }, &LAYOUT).unwrap().test;
    assert_listing(&test(None), "r0 = 1\nexit");
    assert_listing(&test(Some(Test::All(Vec::new()))), "r0 = 1\nexit");
    assert_listing(&test(Some(Test::Any(Vec::new()))), "r0 = 0\nexit");
    let never = Test::All(vec![Test::Not(Box::new(Test::All(Vec::new())))]);
    assert_listing(&test(Some(Test::Any(vec![never]))), "r0 = 0\nexit");
}
