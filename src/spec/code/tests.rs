//! Generated code, as text, as it must be for any verifier, and as it runs beside what a program means.

mod evaluate;
mod listing;
mod machine;
mod programs;
mod properties;

use super::{Code, Function, Layout, generate, link};
use crate::spec::ir::{Base, Compare, Deref, Program, Read, Slot, Space, Test};

/// Offsets that leave no two fields side by side.
const LAYOUT: Layout = Layout {
    words: 0x100,
    values: 0x400,
    unread: 0x600,
    undecided: 0x700,
    ret: 0x20,
    duration: 0x40,
    task: 0x60,
    first: 0,
    texts: 0,
    globs: 0,
    sleepable: false,
    test_room: 4096,
    fetch_room: 4096,
};

/// Where functions are in the section: behind everything.
fn place(function: Function) -> Option<usize> {
    Function::ALL.iter().position(|other| *other == function).map(|n| 100_000 + 10 * n)
}

fn word(index: u32) -> Base {
    Base::Word { index, typed: false }
}

fn slot(base: Base, derefs: &[(i32, Space)], read: Read) -> Slot {
    Slot { base, derefs: derefs.iter().map(|&(offset, space)| Deref { offset, space }).collect(), read }
}

fn number(offset: i32, space: Space, size: u8, signed: bool) -> Read {
    Read::Number { offset, space, size, left: 0, right: 0, signed }
}

const PLAIN: Read = Read::Plain { offset: 0, shift: 0, narrow: None };

/// A program with all of its slots before the test.
fn early(slots: Vec<Slot>, test: Test) -> Program {
    Program { words: 8, early: slots.len(), slots, test: Some(test) }
}

/// A program that only reads.
fn late(slots: Vec<Slot>) -> Program {
    Program { words: 8, early: 0, slots, test: None }
}

fn is(slot: usize, op: Compare, operand: u64) -> Test {
    Test::Number { slot, op, operand }
}

#[test]
fn what_has_no_room_is_an_error_with_both_numbers() {
    let program = early(vec![slot(word(0), &[], PLAIN)], is(0, Compare::Eq, 1));
    let needs = generate(&program, &LAYOUT).unwrap();
    let (test, fetch) = (needs.test.insns.len(), needs.fetch.insns.len());
    assert!(generate(&program, &Layout { test_room: test, fetch_room: fetch, ..LAYOUT }).is_ok());
    let error = generate(&program, &Layout { test_room: test - 1, ..LAYOUT }).unwrap_err().to_string();
    assert!(error.ends_with(&format!("needs {test} instructions, and has room for {}", test - 1)), "{error}");
    let error = generate(&program, &Layout { fetch_room: fetch - 1, ..LAYOUT }).unwrap_err().to_string();
    assert!(error.ends_with(&format!("needs {fetch} instructions, and has room for {}", fetch - 1)), "{error}");
}

#[test]
fn what_cannot_be_encoded_is_an_error() {
    let fails = |program: Program, layout: Layout, because: &str| {
        let error = format!("{:#}", generate(&program, &layout).unwrap_err());
        assert!(error.contains(because), "{error}");
    };
    let far = Layout { values: 0x7ff8, ..LAYOUT };
    assert!(generate(&late(vec![slot(word(0), &[], PLAIN)]), &far).is_ok());
    fails(late(vec![slot(word(0), &[], PLAIN); 2]), far, "no instruction reaches as far as 32768 bytes");
    fails(late(vec![slot(word(0), &[], PLAIN); 33]), LAYOUT, "33 values, where there is room for 32");
    fails(late(vec![slot(word(8), &[], PLAIN)]), LAYOUT, "word 8 of 8");
    fails(late(vec![slot(word(0), &[], number(0, Space::User, 3, false))]), LAYOUT, "a number of 3 bytes");
    fails(late(vec![slot(word(0), &[(0, Space::User); 9], PLAIN)]), LAYOUT, "9 pointers on the way");
    fails(early(vec![], is(0, Compare::Eq, 0)), LAYOUT, "a test of slot 0, which there is not");
    // As far as a jump goes, if only just: 7 instructions for each part, behind which the event is refused.
    let long = |parts| early(vec![slot(word(0), &[], PLAIN)], Test::All(vec![is(0, Compare::Eq, 1 << 40); parts]));
    let room = Layout { test_room: usize::MAX, ..LAYOUT };
    assert!(generate(&long(8000), &room).is_ok());
    fails(long(9000), room, "no instruction jumps from 7 to ");
}

#[test]
fn a_call_is_filled_with_the_distance_of_its_function() {
    let read = Read::Path { offset: 16 };
    let program = late(vec![slot(word(0), &[], read)]);
    let fetch = generate(&program, &LAYOUT).unwrap().fetch;
    let [call] = fetch.calls.as_slice() else { panic!("{:?}", fetch.calls) };
    assert_eq!(call.function, Function::Path);
    let insn = |at, to| link(&fetch, at, |_| Some(to)).unwrap()[call.at];
    let to = |distance: i32| 0x1085 | u64::from(distance.cast_unsigned()) << 32;
    assert_eq!(insn(0, 1000), to(1000 - i32::try_from(call.at).unwrap() - 1));
    assert_eq!(insn(1000 - call.at, 0), to(-1001));
    let missing = link(&fetch, 0, |_| None).unwrap_err().to_string();
    assert_eq!(missing, "there is no function probe_path");
    let far = link(&fetch, 0, |_| Some(1 << 40)).unwrap_err().to_string();
    assert_eq!(far, "probe_path is too far");
}
