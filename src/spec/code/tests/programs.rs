//! Random programs in random worlds: what the code does is what the program means.

use super::evaluate::{FAILED, World};
use super::machine::{CONTEXT, Machine};
use super::properties::check;
use super::*;

const KERNEL: u64 = 0xffff_8880_0000_1000;
const USER: u64 = 0x7f00_0000_1000;
const REGION: u64 = 0x400;

/// Numbers from a seed: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Mostly a pointer to something.
    fn word(&mut self) -> u64 {
        match self.below(12) {
            0 => 0,
            1 => self.below(4096),
            2 => self.next(),
            3 => self.below(200).wrapping_sub(100),
            4..=8 => KERNEL + 8 * self.below(REGION / 8),
            _ => USER + 8 * self.below(REGION / 8),
        }
    }

    fn world(&mut self) -> World {
        let words: Vec<_> = (0..8).map(|_| self.word()).collect();
        let mut world = World { context: CONTEXT, words, seed: self.next(), ..World::default() };
        [world.task, world.ret, world.duration] = [KERNEL, self.word(), self.next()];
        let mut put = |at: u64, word: u64| {
            // Something in each region is not there.
            let bytes = (at..).zip(word.to_le_bytes()).filter(|(at, _)| at % 0x101 != 0x45);
            world.memory.extend(bytes);
        };
        (0..8).for_each(|n| put(CONTEXT + 8 * n, world.words[n as usize]));
        // Something is there at NULL, which must not be seen.
        for region in [KERNEL, USER, 0, 0x1000] {
            (0..REGION / 8).for_each(|n| put(region + 8 * n, self.word()));
        }
        world
    }

    fn offset(&mut self) -> i32 {
        match self.below(12) {
            0 => 40_000,
            1 => i32::try_from(self.below(100)).unwrap() - 50,
            2..=4 => 0,
            _ => 8 * i32::try_from(self.below(12)).unwrap() - 16,
        }
    }

    fn space(&mut self) -> Space {
        self.of(&[Space::Kernel, Space::User, Space::ByAddress, Space::ByAddress])
    }

    fn read(&mut self, space: Space) -> Read {
        let (offset, size) = (self.offset(), self.of(&[1, 2, 4, 8]));
        let limit = 1 + u32::try_from(self.below(4096)).unwrap();
        match self.below(12) {
            0..=2 => {
                let narrow = self.one_in(2).then(|| (self.of(&[1, 2, 4, 8]), self.one_in(2)));
                let shift = if self.one_in(4) { 8 * u8::try_from(self.below(8)).unwrap() } else { 0 };
                Read::Plain { offset, shift, narrow }
            }
            3..=5 => Read::Number { offset, space, size, left: 0, right: 0, signed: self.one_in(2) },
            6 => {
                // A bit field. What has 64 bits and is typed may be a pointer, for all that the machine knows.
                let size = if space == Space::Typed { 4 } else { size };
                let right = u8::try_from(64 - 1 - self.below(u64::from(size) * 8)).unwrap();
                let left = u8::try_from(self.below(u64::from(right) + 1)).unwrap().max(64 - 8 * size).min(right);
                Read::Number { offset, space, size, left, right, signed: self.one_in(2) }
            }
            7 | 8 => Read::Str { offset, space, max: limit, array: false },
            9 => Read::Bytes { offset, space, len: limit },
            10 => Read::Located { offset, max: limit },
            _ => self.of(&[Read::Path { offset: 16 }, Read::Dentry { offset: 24 }]),
        }
    }

    fn slot(&mut self) -> Slot {
        let typed = self.one_in(3);
        let base = match self.below(12) {
            10 => Base::Sum {
                word: self.one_in(2).then(|| u32::try_from(self.below(8)).unwrap()),
                index: u32::try_from(self.below(8)).unwrap(),
                shift: u8::try_from(self.below(4)).unwrap(),
            },
            11 => Base::Constant(self.of(&[0, 5, u64::MAX, KERNEL, USER])),
            0 => Base::Context,
            1 => Base::Task,
            2 => Base::Return,
            3 => Base::Duration,
            _ => Base::Word { index: u32::try_from(self.below(8)).unwrap(), typed },
        };
        let space = |random: &mut Self| if typed && !random.one_in(4) { Space::Typed } else { random.space() };
        let derefs = (0..self.below(4)).map(|_| Deref { offset: self.offset(), space: space(self) }).collect();
        let last = space(self);
        Slot { base, derefs, read: self.read(last) }
    }

    fn test(&mut self, values: &[Result<u64, u64>], depth: u64) -> Test {
        let several = |random: &mut Self| (0..random.below(4)).map(|_| random.test(values, depth + 1)).collect();
        let slot = usize::try_from(self.below(values.len() as u64)).unwrap();
        match self.below(10).max(depth * 3) {
            0..=2 => Test::All(several(self)),
            3 | 4 => Test::Any(several(self)),
            5 | 6 if depth < 3 => Test::Not(Box::new(self.test(values, depth + 1))),
            7 => Test::Text { slot, text: vec![self.of(b"ab")], whole: self.one_in(2) },
            8 => Test::Glob { slot, glob: vec![self.of(b"ab*")] },
            _ => {
                let near = values[slot].unwrap_or(0).wrapping_add(self.below(3)).wrapping_sub(1);
                let operand = self.of(&[near, near, near, 2_u64.wrapping_neg(), 1 << 31, KERNEL]);
                let signed = self.one_in(2);
                let op = self.of(&[
                    Compare::Eq,
                    Compare::Ne,
                    Compare::Less { signed },
                    Compare::LessEqual { signed },
                    Compare::Greater { signed },
                    Compare::GreaterEqual { signed },
                    Compare::Bits,
                ]);
                Test::Number { slot, op, operand }
            }
        }
    }
}

/// How much of what there is came about.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    refused: usize,
    read: usize,
    unread: usize,
}

fn compare(program: &Program, world: &World, values: &[Result<u64, u64>], seen: &mut Seen) {
    let generated = generate(program, &Layout { sleepable: world.absent, ..LAYOUT }).unwrap();
    check(&generated.test);
    check(&generated.fetch);
    let [test, fetch] = [&generated.test, &generated.fetch].map(|code| link(code, 0, place).unwrap());
    let mut machine = Machine::new(world);
    let accepted = machine.run(&test);
    let wanted = program.test.as_ref();
    let wanted = wanted.is_none_or(|test| world.test(test, values, &generated.texts, &generated.globs));
    assert_eq!(accepted, u64::from(wanted), "whether it is wanted");
    let failed = |slot: usize| values[slot] == Err(FAILED);
    let undecided = machine.get(LAYOUT.undecided, 8);
    match &program.test {
        Some(Test::Number { slot, .. } | Test::Text { slot, .. } | Test::Glob { slot, .. }) => {
            assert_eq!(undecided, u64::from(failed(*slot)), "whether its condition could be judged");
        }
        _ => assert!(undecided == 0 || (0..program.early).any(failed), "undecided, where all was read"),
    }
    if !wanted {
        seen.refused += 1;
        return;
    }
    seen.accepted += 1;
    let mut expected = Machine::new(world).scratch;
    expected[LAYOUT.undecided as usize..][..8].copy_from_slice(&undecided.to_le_bytes());
    machine.run(&fetch);
    let mut unread = 0_u32;
    for (n, value) in values.iter().enumerate() {
        unread |= u32::from(value.is_err()) << n;
        let stands = value.unwrap_or_else(|instead| instead);
        let at = LAYOUT.values as usize + 8 * n;
        assert_eq!(machine.get(u32::try_from(at).unwrap(), 8), stands, "value {n}");
        expected[at..at + 8].copy_from_slice(&stands.to_le_bytes());
        *if value.is_ok() { &mut seen.read } else { &mut seen.unread } += 1;
    }
    expected[LAYOUT.unread as usize..][..4].copy_from_slice(&unread.to_le_bytes());
    assert_eq!(machine.get(LAYOUT.unread, 4), u64::from(unread), "what is unread");
    assert_eq!(machine.scratch, expected, "nothing else is written");
}

#[test]
fn code_does_what_programs_mean() {
    let mut seen = Seen::default();
    let mut world = World::default();
    for seed in 0..4000_u64 {
        let mut random = Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if seed % 20 == 0 {
            world = World { absent: random.one_in(2), ..random.world() };
        }
        let count = if random.one_in(50) { 32 } else { random.below(9) };
        let slots: Vec<_> = (0..count).map(|_| random.slot()).collect();
        let values: Vec<_> = slots.iter().map(|slot| world.slot(slot)).collect();
        let early = usize::try_from(random.below(count + 1)).unwrap();
        let test = (early > 0).then(|| random.test(&values[..early], 0));
        let program = Program { words: 8, slots, test, early };
        let run = std::panic::AssertUnwindSafe(|| compare(&program, &world, &values, &mut seen));
        assert!(std::panic::catch_unwind(run).is_ok(), "seed {seed}: {program:#?}\n{values:x?}");
    }
    let Seen { accepted, refused, read, unread } = seen;
    assert!([accepted, refused, read, unread].iter().all(|n| *n > 1000), "{seen:?}");
}
