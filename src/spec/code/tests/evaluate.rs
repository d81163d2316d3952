//! What a program means, expressed another way than by instructions.

use std::collections::BTreeMap;

use super::*;
use crate::event::BEHIND_NULL;

/// What stands in the place of a value that cannot be read.
pub(super) const FAILED: u64 = 0;

/// What a program finds at a hit.
#[derive(Debug, Default)]
pub(super) struct World {
    pub words: Vec<u64>,
    /// Where the context is.
    pub context: u64,
    pub task: u64,
    pub ret: u64,
    pub duration: u64,
    /// Bytes by address: what is not there cannot be read.
    pub memory: BTreeMap<u64, u8>,
    /// Of what is there, some is not in memory: programs that may sleep bring it in, others cannot read it.
    pub absent: bool,
    /// Another one, another answer of the functions.
    pub seed: u64,
}

impl World {
    /// So many bytes that one of the helpers gives, or a load.
    pub fn read(&self, space: Space, address: u64, size: u64) -> Option<u64> {
        let is_user = |address: u64| address.cast_signed() >= 0;
        let user = match space {
            Space::Kernel | Space::Typed => false,
            Space::User => true,
            Space::ByAddress => is_user(address),
        };
        let mut value = 0;
        for n in 0..size {
            let at = address.wrapping_add(n);
            if is_user(at) != user {
                return None;
            }
            value |= u64::from(*self.memory.get(&at)?) << (8 * n);
        }
        Some(value)
    }

    /// What a function returns: a third of them negative numbers, for reads.
    pub fn function(&self, function: Function, at: u64, arg: u64) -> i64 {
        let mut mixed = self.seed ^ at.rotate_left(17) ^ arg.rotate_left(40) ^ (function as u64) << 3;
        for _ in 0..3 {
            mixed = (mixed ^ mixed >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        match function {
            Function::SameText | Function::MatchesGlob => (mixed >> 40 & 1).cast_signed(),
            _ if mixed.is_multiple_of(3) => -14,
            _ => (mixed >> 32).cast_signed(),
        }
    }

    fn base(&self, base: Base) -> u64 {
        match base {
            Base::Word { index, .. } => self.words[index as usize],
            Base::Sum { word, index, shift } => {
                let word = word.map_or(0, |word| self.words[word as usize]);
                word.wrapping_add(self.words[index as usize] << shift)
            }
            Base::Constant(value) => value,
            Base::Context => self.context,
            Base::Task => self.task,
            Base::Return => self.ret,
            Base::Duration => self.duration,
        }
    }

    /// A slot's value, or what stands there if it cannot be read.
    pub fn slot(&self, slot: &Slot) -> Result<u64, u64> {
        let mut at = self.base(slot.base);
        // Whether all of the way so far was typed.
        let mut typed = matches!(slot.base, Base::Word { typed: true, .. });
        let mut load = |at: u64, offset: i32, space: Space, size: u8| {
            typed &= space == Space::Typed;
            let address = at.wrapping_add_signed(offset.into());
            match typed {
                // What is no pointer to anything gives 0.
                true if at != 0 => Ok(self.read(space, address, size.into()).unwrap_or(0)),
                false if at >= 4096 => self.read(space, address, size.into()).ok_or(FAILED),
                _ => Err(BEHIND_NULL),
            }
        };
        for deref in &slot.derefs {
            at = load(at, deref.offset, deref.space, 8)?;
        }
        let space_number = |space| match space {
            Space::Kernel | Space::Typed => 0,
            Space::User => 1,
            Space::ByAddress => 2,
        };
        let ask = |function, offset: i32, arg| {
            let value = self.function(function, at.wrapping_add_signed(offset.into()), arg);
            let null_is_a_value = function == Function::Str && offset == 0;
            if at < 4096 && !null_is_a_value { Err(BEHIND_NULL) } else { u64::try_from(value).map_err(|_| FAILED) }
        };
        match slot.read {
            Read::Plain { offset, shift, narrow } => {
                let value = at.wrapping_add_signed(offset.into()) >> shift;
                Ok(narrow.map_or(value, |(size, signed)| narrowed(value, size, signed)))
            }
            Read::Number { offset, space, size, left, right, signed } => {
                let value = load(at, offset, space, size)?;
                Ok(match (left | right, signed) {
                    (0, _) => narrowed(value, size, signed),
                    (_, false) => value << left >> right,
                    (_, true) => ((value << left).cast_signed() >> right).cast_unsigned(),
                })
            }
            Read::Str { offset, space, max, array } => {
                ask(Function::Str, offset, u64::from(max) + (space_number(space) << 32) + (u64::from(array) << 63))
            }
            Read::Bytes { offset, space, len } => {
                ask(Function::Bytes, offset, u64::from(len) + (space_number(space) << 32))
            }
            Read::Located { offset, max } => ask(Function::Located, offset, max.into()),
            Read::Path { offset } => ask(Function::Path, offset, 0),
            Read::Dentry { offset } => ask(Function::Dentry, offset, 0),
        }
    }

    pub fn test(&self, test: &Test, values: &[Result<u64, u64>], texts: &[Vec<u8>], globs: &[Vec<u8>]) -> bool {
        self.within(test, false, values, (texts, globs))
    }

    /// `negated`: within a `!`, where what is not known counts as true.
    fn within(&self, test: &Test, negated: bool, values: &[Result<u64, u64>], lists: (&[Vec<u8>], &[Vec<u8>])) -> bool {
        let (texts, globs) = lists;
        let find = |list: &[Vec<u8>], bytes: &[u8]| list.iter().position(|other| other == bytes);
        let says = |function, slot: usize, arg| match values[slot] {
            Ok(value) => self.function(function, value, arg) != 0,
            Err(instead) => instead == FAILED && negated,
        };
        match test {
            Test::All(tests) => tests.iter().all(|test| self.within(test, negated, values, lists)),
            Test::Any(tests) => tests.iter().any(|test| self.within(test, negated, values, lists)),
            Test::Not(test) => !self.within(test, !negated, values, lists),
            Test::Number { slot, op, operand } => match values[*slot] {
                Ok(value) => compare(value, *op, *operand),
                Err(instead) => instead == FAILED && negated,
            },
            // What is in no list is of a part that no code was made for.
            Test::Text { slot, text, whole } => find(texts, text)
                .is_some_and(|at| says(Function::SameText, *slot, at as u64 + (u64::from(*whole) << 32))),
            Test::Glob { slot, glob } => find(globs, glob)
                .is_some_and(|at| says(Function::MatchesGlob, *slot, at as u64 | u64::from(negated) << 32)),
        }
    }
}

fn narrowed(value: u64, size: u8, signed: bool) -> u64 {
    let bytes = value.to_le_bytes();
    let kept = &bytes[..size.into()];
    let fill = if signed && kept[kept.len() - 1] >= 0x80 { 0xff } else { 0 };
    let mut filled = [fill; 8];
    filled[..kept.len()].copy_from_slice(kept);
    u64::from_le_bytes(filled)
}

fn compare(value: u64, op: Compare, operand: u64) -> bool {
    let order = |signed| if signed { value.cast_signed().cmp(&operand.cast_signed()) } else { value.cmp(&operand) };
    match op {
        Compare::Eq => value == operand,
        Compare::Ne => value != operand,
        Compare::Less { signed } => order(signed).is_lt(),
        Compare::LessEqual { signed } => order(signed).is_le(),
        Compare::Greater { signed } => order(signed).is_gt(),
        Compare::GreaterEqual { signed } => order(signed).is_ge(),
        Compare::Bits => value & operand != 0,
    }
}
