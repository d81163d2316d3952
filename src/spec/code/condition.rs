//! Code that tests what was read.
//!
//! Every test is a jump or none: at each of the places where ways meet, no register holds anything but the scratch space
//! and the context, so that a verifier, which follows all ways, sees that it has been there.

use anyhow::{Context, Result};

use super::insn::{Asm, Label, Op, R0, R1, R2, R6, When, With, imm};
use super::layout::{Function, Layout};
use super::slots;
use crate::event::BEHIND_NULL;
use crate::spec::ir::{Compare, Slot, Test};

/// What a test is of all events, if it is: where nothing is left to ask, no code may be, as it would not be reached.
pub(super) fn constant(test: &Test) -> Option<bool> {
    match test {
        Test::All(tests) => several(tests, false),
        Test::Any(tests) => several(tests, true),
        Test::Not(test) => constant(test).map(|is| !is),
        Test::Number { .. } | Test::Text { .. } | Test::Glob { .. } => None,
    }
}

/// What several tests are, of which one alone decides if it is `decides`.
fn several(tests: &[Test], decides: bool) -> Option<bool> {
    let mut open = false;
    for is in tests.iter().map(constant) {
        match is {
            Some(is) if is == decides => return Some(decides),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(!decides)
}

/// How many slots, from the first one on, a test needs.
pub(super) fn needs(test: &Test) -> usize {
    match test {
        Test::All(tests) | Test::Any(tests) => tests.iter().map(needs).max().unwrap_or(0),
        Test::Not(test) => needs(test),
        Test::Number { slot, .. } | Test::Text { slot, .. } | Test::Glob { slot, .. } => slot.saturating_add(1),
    }
}

/// Tests of one program.
pub(super) struct Tests<'a> {
    pub layout: &'a Layout,
    pub slots: &'a [Slot],
    /// What strings are held against.
    pub texts: Vec<Vec<u8>>,
    pub globs: Vec<Vec<u8>>,
}

/// The number of it in a list, where it is added if it is not there.
fn number_of(list: &mut Vec<Vec<u8>>, bytes: &[u8], before: usize) -> u64 {
    let at = list.iter().position(|other| other == bytes).unwrap_or_else(|| {
        list.push(bytes.to_vec());
        list.len() - 1
    });
    before.saturating_add(at) as u64
}

impl Tests<'_> {
    /// Jumps there if the test is `when`, else goes on. It must be one that asks something.
    pub(super) fn branch(&mut self, asm: &mut Asm, test: &Test, when: bool, to: Label) -> Result<()> {
        self.branch_within(asm, test, false, (when, to))
    }

    /// `negated`: it is within a `!`, so that what is not known has to count as true, for the whole to be refused.
    fn branch_within(&mut self, asm: &mut Asm, test: &Test, negated: bool, (when, to): (bool, Label)) -> Result<()> {
        match test {
            Test::All(tests) => self.branch_several(asm, tests, false, negated, (when, to)),
            Test::Any(tests) => self.branch_several(asm, tests, true, negated, (when, to)),
            Test::Not(test) => self.branch_within(asm, test, !negated, (!when, to)),
            Test::Number { slot, op, operand } => self.branch_one(asm, *slot, negated, (when, to), |_, asm, jump| {
                compare(asm, *op, *operand, jump, to);
            }),
            Test::Text { slot, text, whole } => self.branch_one(asm, *slot, negated, (when, to), |tests, asm, jump| {
                let arg = number_of(&mut tests.texts, text, tests.layout.texts) | u64::from(*whole) << 32;
                ask(asm, Function::SameText, arg, jump, to);
            }),
            Test::Glob { slot, glob } => self.branch_one(asm, *slot, negated, (when, to), |tests, asm, jump| {
                let arg = number_of(&mut tests.globs, glob, tests.layout.globs) | u64::from(negated) << 32;
                ask(asm, Function::MatchesGlob, arg, jump, to);
            }),
        }
    }

    /// Several tests, of which one alone decides if it is `decides`.
    fn branch_several(
        &mut self,
        asm: &mut Asm,
        tests: &[Test],
        decides: bool,
        negated: bool,
        (when, to): (bool, Label),
    ) -> Result<()> {
        let mut open: Vec<_> = tests.iter().filter(|test| constant(test).is_none()).collect();
        if when == decides {
            return open.iter().try_for_each(|test| self.branch_within(asm, test, negated, (when, to)));
        }
        // The last one says what they all are.
        let Some(last) = open.pop() else { return Ok(()) };
        let past = asm.label();
        open.iter().try_for_each(|test| self.branch_within(asm, test, negated, (decides, past)))?;
        self.branch_within(asm, last, negated, (when, to))?;
        asm.bind(past);
        Ok(())
    }

    /// The test of one slot, whose value is in r2; false where there is none.
    fn branch_one(
        &mut self,
        asm: &mut Asm,
        slot: usize,
        negated: bool,
        (when, to): (bool, Label),
        jump: impl FnOnce(&mut Self, &mut Asm, bool),
    ) -> Result<()> {
        let past = asm.label();
        let of = self.slots.get(slot).with_context(|| format!("a test of slot {slot}, which there is not"))?;
        let unread = slots::can_fail(of).then(|| asm.label());
        asm.load(8, R2, R6, self.layout.value(slot)?);
        if let Some(unread) = unread {
            asm.load(4, R1, R6, i32::try_from(self.layout.unread)?);
            asm.jump(When::Set, R1, With::Imm(slots::bit(slot.saturating_add(self.layout.first))?), unread);
        }
        jump(self, asm, when);
        if let Some(unread) = unread {
            asm.goto(past);
            asm.bind(unread);
            // What is behind a NULL pointer is nothing: that is known.
            let nothing = if when { past } else { to };
            asm.jump(When::Equal, R2, With::Imm(imm(BEHIND_NULL).context("a small number")?), nothing);
            asm.set(R1, 1);
            asm.store(8, R6, i32::try_from(self.layout.undecided)?, R1);
            if negated == when {
                asm.goto(to);
            }
        }
        asm.bind(past);
        Ok(())
    }
}

/// Jumps if what a function says of r2 is `when`.
fn ask(asm: &mut Asm, function: Function, arg: u64, when: bool, to: Label) {
    slots::call(asm, function, arg);
    asm.jump(if when { When::NotEqual } else { When::Equal }, R0, With::Imm(0), to);
}

/// Jumps if comparing r2 gives `when`.
fn compare(asm: &mut Asm, op: Compare, operand: u64, when: bool, to: Label) {
    let with = imm(operand).map_or(With::Reg(R1), With::Imm);
    if let With::Reg(reg) = with {
        asm.set(reg, operand);
    }
    if op == Compare::Bits {
        // There is no jump for "none of these bits".
        asm.op(Op::And, R2, with);
        asm.jump(if when { When::NotEqual } else { When::Equal }, R2, With::Imm(0), to);
    } else {
        asm.jump(jump_of(op, when), R2, with, to);
    }
}

fn jump_of(op: Compare, when: bool) -> When {
    use Compare::{Bits, Eq, Greater, GreaterEqual, Less, LessEqual, Ne};
    match (op, when) {
        (Eq, true) | (Ne, false) => When::Equal,
        (Eq, false) | (Ne, true) => When::NotEqual,
        (Less { signed: false }, true) | (GreaterEqual { signed: false }, false) => When::Below,
        (Less { signed: true }, true) | (GreaterEqual { signed: true }, false) => When::Less,
        (LessEqual { signed: false }, true) | (Greater { signed: false }, false) => When::BelowEqual,
        (LessEqual { signed: true }, true) | (Greater { signed: true }, false) => When::LessEqual,
        (Greater { signed: false }, true) | (LessEqual { signed: false }, false) => When::Above,
        (Greater { signed: true }, true) | (LessEqual { signed: true }, false) => When::Greater,
        (GreaterEqual { signed: false }, true) | (Less { signed: false }, false) => When::AboveEqual,
        (GreaterEqual { signed: true }, true) | (Less { signed: true }, false) => When::GreaterEqual,
        (Bits, _) => When::Set,
    }
}
