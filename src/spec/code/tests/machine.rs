//! A machine that runs generated code in a [`World`], and refuses what a verifier would.
//!
//! Not a crate: of those, rbpf 0.4 compares unsigned with an immediate operand whose sign it does not extend, which
//! kernels do, and lets helpers write by raw pointers only.

use super::evaluate::World;
use super::*;

const SCRATCH: u64 = 0xffff_9000_0000_0000;
const SCRATCH_SIZE: usize = 0x800;
pub(super) const CONTEXT: u64 = 0xffff_a000_0000_0000;
const STACK_END: u64 = 0xffff_b000_0000_0200;

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Nothing,
    Number,
    /// The scratch space, the context or the stack.
    Base,
    /// A pointer of which the verifier knows what it points to; whether it is known not to be NULL.
    Typed(bool),
}

pub(super) struct Machine<'a> {
    pub world: &'a World,
    pub scratch: Vec<u8>,
    /// What helpers wrote there.
    stack: [Option<u8>; 8],
    regs: [(Held, u64); 11],
}

impl<'a> Machine<'a> {
    /// A machine whose scratch space is as the C side leaves it.
    pub fn new(world: &'a World) -> Self {
        let scratch = vec![0xa5; SCRATCH_SIZE];
        let mut machine = Self { world, scratch, stack: [None; 8], regs: [(Held::Nothing, 0); 11] };
        let words = world.words.iter().zip(0..).map(|(word, n)| (LAYOUT.words + 8 * n, *word));
        for (at, value) in
            words.chain([(LAYOUT.ret, world.ret), (LAYOUT.duration, world.duration), (LAYOUT.task, world.task)])
        {
            machine.put(SCRATCH + u64::from(at), 8, value);
        }
        machine.put(SCRATCH + u64::from(LAYOUT.unread), 4, 0);
        machine.put(SCRATCH + u64::from(LAYOUT.undecided), 8, 0);
        machine
    }

    /// A number in the scratch space.
    pub fn get(&self, at: u32, size: usize) -> u64 {
        (0..size).map(|n| u64::from(self.scratch[at as usize + n]) << (8 * n)).sum()
    }

    fn put(&mut self, address: u64, size: usize, value: u64) {
        let at = usize::try_from(address.wrapping_sub(SCRATCH)).unwrap();
        self.scratch[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    fn number(&self, reg: u8) -> u64 {
        let (held, value) = self.regs[usize::from(reg)];
        assert_eq!(held, Held::Number, "r{reg} is no number");
        value
    }

    /// `size` bytes at a register's address, and whether they are a typed pointer.
    fn load(&self, base: u8, off: i16, size: usize) -> (Held, u64) {
        let (held, value) = self.regs[usize::from(base)];
        let address = value.wrapping_add_signed(off.into());
        match held {
            Held::Typed(true) => {
                let value = self.world.read(Space::Typed, address, size as u64).unwrap_or(0);
                // Whether it is a pointer, only its use will show.
                (if size == 8 { Held::Typed(false) } else { Held::Number }, value)
            }
            Held::Base if value == CONTEXT => {
                assert!(size == 8 && off >= 0 && off % 8 == 0, "the context has words");
                let word = self.world.words[usize::try_from(off / 8).unwrap()];
                (Held::Typed(false), word)
            }
            Held::Base if value == STACK_END => {
                assert_eq!(off, -8, "the stack has one word");
                let byte = |n: usize| u64::from(self.stack[n].expect("something is there")) << (8 * n);
                (Held::Number, (0..size).map(byte).sum())
            }
            Held::Base if value == SCRATCH => (Held::Number, self.get(u32::try_from(off).unwrap(), size)),
            _ => panic!("a load from {held:?} {address:#x}"),
        }
    }

    fn store(&mut self, base: u8, off: i16, size: usize, value: u64) {
        assert_eq!(self.regs[usize::from(base)], (Held::Base, SCRATCH), "a store elsewhere");
        self.put(SCRATCH.wrapping_add_signed(off.into()), size, value);
    }

    fn lose_arguments(&mut self, result: u64) {
        self.regs[1..=5].fill((Held::Nothing, 0xdead));
        self.regs[0] = (Held::Number, result);
    }

    fn helper(&mut self, number: i32) {
        let space = match number {
            112 | 148 => Space::User,
            113 => Space::Kernel,
            _ => panic!("helper {number}"),
        };
        assert_eq!(self.regs[1], (Held::Base, STACK_END - 8), "where helpers put what they read");
        let size = self.number(2);
        assert!((1..=8).contains(&size), "{size} bytes");
        let address = self.number(3);
        let absent = number == 112 && self.world.absent && address & 16 != 0;
        let read = self.world.read(space, address, size).filter(|_| !absent);
        // As the kernel does it: zeros, where nothing is read.
        for (n, byte) in read.unwrap_or(0).to_le_bytes().into_iter().take(size as usize).enumerate() {
            self.stack[n] = Some(byte);
        }
        self.lose_arguments(if read.is_some() { 0 } else { 14_u64.wrapping_neg() });
    }

    fn function(&mut self, to: usize) {
        let function = Function::ALL.into_iter().find(|function| place(*function) == Some(to)).expect("a function");
        assert_eq!(self.regs[1], (Held::Base, SCRATCH), "the first argument");
        assert_eq!(self.regs[4], (Held::Base, CONTEXT), "the last argument");
        let result = self.world.function(function, self.number(2), self.number(3));
        // The stack below is the function's.
        self.lose_arguments(result.cast_unsigned());
    }

    fn operate(&mut self, opcode: u8, dst: u8, second: u64) {
        let (held, value) = self.regs[usize::from(dst)];
        let pointer = held != Held::Number;
        let shift = u32::try_from(second & 63).unwrap();
        let value = match opcode >> 4 {
            0x0 => value.wrapping_add(second),
            _ if pointer => panic!("an operation on {held:?}"),
            0x4 => value | second,
            0x5 => value & second,
            0x6 => value << shift,
            0x7 => value >> shift,
            0xc => (value.cast_signed() >> shift).cast_unsigned(),
            _ => panic!("opcode {opcode:#x}"),
        };
        assert!(!matches!(held, Held::Nothing | Held::Typed(false)), "an operation on {held:?}");
        self.regs[usize::from(dst)] = (held, value);
    }

    fn holds(&mut self, opcode: u8, dst: u8, second: u64) -> bool {
        let (held, value) = self.regs[usize::from(dst)];
        let (signed, second_signed) = (value.cast_signed(), second.cast_signed());
        if let Held::Typed(_) = held {
            assert_eq!((opcode, second), (0x15, 0), "typed pointers are only held against NULL");
            self.regs[usize::from(dst)].0 = Held::Typed(true);
        } else {
            assert_eq!(held, Held::Number, "r{dst} is compared");
        }
        match opcode >> 4 {
            0x0 => true,
            0x1 => value == second,
            0x2 => value > second,
            0x3 => value >= second,
            0x4 => value & second != 0,
            0x5 => value != second,
            0x6 => signed > second_signed,
            0x7 => signed >= second_signed,
            0xa => value < second,
            0xb => value <= second,
            0xc => signed < second_signed,
            0xd => signed <= second_signed,
            _ => panic!("opcode {opcode:#x}"),
        }
    }

    /// Runs a function to its end; what it returns.
    pub fn run(&mut self, insns: &[u64]) -> u64 {
        self.regs = [(Held::Nothing, 0xdead); 11];
        self.regs[1] = (Held::Base, CONTEXT);
        self.regs[2] = (Held::Base, SCRATCH);
        self.regs[10] = (Held::Base, STACK_END);
        self.stack = [None; 8];
        let mut at = 0;
        loop {
            let [opcode, regs, off_low, off_high, imm @ ..] = insns[at].to_le_bytes();
            at += 1;
            let (dst, src) = (regs & 15, regs >> 4);
            let (off, imm) = (i16::from_le_bytes([off_low, off_high]), i32::from_le_bytes(imm));
            let extended = i64::from(imm).cast_unsigned();
            let size = [4, 2, 1, 8][usize::from(opcode >> 3 & 3)];
            match (opcode, opcode & 7) {
                (0x18, _) => {
                    self.regs[usize::from(dst)] = (Held::Number, u64::from(imm.cast_unsigned()) | insns[at]);
                    at += 1;
                }
                (0x85, _) if src == 0 => self.helper(imm),
                (0x85, _) => self.function(at.checked_add_signed(isize::try_from(imm).unwrap()).unwrap()),
                (0x95, _) => return self.number(0),
                (0x05, _) => at += usize::try_from(off).unwrap(),
                (0xb7, _) => self.regs[usize::from(dst)] = (Held::Number, extended),
                (0xbf, _) => {
                    assert_ne!(self.regs[usize::from(src)].0, Held::Nothing, "r{src} holds nothing");
                    self.regs[usize::from(dst)] = self.regs[usize::from(src)];
                }
                (_, 1) => self.regs[usize::from(dst)] = self.load(src, off, size),
                (_, 2) => self.store(dst, off, size, extended),
                (_, 3) => {
                    let (held, value) = self.regs[usize::from(src)];
                    assert_ne!(held, Held::Nothing, "r{src} holds nothing");
                    self.store(dst, off, size, value);
                }
                (_, class) => {
                    let second = if opcode & 8 == 0 { extended } else { self.number(src) };
                    match class {
                        7 => self.operate(opcode, dst, second),
                        5 if self.holds(opcode, dst, second) => at += usize::try_from(off).unwrap(),
                        5 => {}
                        _ => panic!("opcode {opcode:#x}"),
                    }
                }
            }
        }
    }
}
