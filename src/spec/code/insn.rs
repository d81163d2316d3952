//! BPF instructions, one after the other: registers, jumps to what comes later, calls of functions that are elsewhere.

use anyhow::{Context, Result, anyhow};

use super::layout::Function;

/// A register of BPF, by its number: r0 to r10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reg(u8);

/// What functions return.
pub(crate) const R0: Reg = Reg(0);
/// The arguments of functions, which are lost in a call.
pub(crate) const R1: Reg = Reg(1);
pub(crate) const R2: Reg = Reg(2);
pub(crate) const R3: Reg = Reg(3);
pub(crate) const R4: Reg = Reg(4);
/// What calls keep.
pub(crate) const R6: Reg = Reg(6);
pub(crate) const R7: Reg = Reg(7);
pub(crate) const R8: Reg = Reg(8);
/// The end of the stack.
pub(crate) const R10: Reg = Reg(10);

/// The conditions of jumps, by their bits in the opcode: BPF_JEQ, … of include/uapi/linux/bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum When {
    Equal = 0x10,
    Above = 0x20,
    AboveEqual = 0x30,
    Set = 0x40,
    NotEqual = 0x50,
    Greater = 0x60,
    GreaterEqual = 0x70,
    Below = 0xa0,
    BelowEqual = 0xb0,
    Less = 0xc0,
    LessEqual = 0xd0,
}

/// Operations on 64 bits, by their bits in the opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Add = 0x00,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    ShiftSigned = 0xc0,
}

/// The second operand of an operation or a jump.
#[derive(Debug, Clone, Copy)]
pub(crate) enum With {
    Reg(Reg),
    /// With its sign extended to 64 bits.
    Imm(i32),
}

/// A place that jumps go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A call of a function of the object, which [`super::link`] fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// Number of the instruction in its function.
    pub at: usize,
    pub function: Function,
}

/// Instructions, each a `struct bpf_insn`, with the calls that are still without their targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Code {
    pub insns: Vec<u64>,
    pub calls: Vec<Call>,
}

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JUMP: u8 = 0x05;
const LOAD_64: u8 = 0x18;
/// In an opcode: the second operand is a register.
const BY_REG: u8 = 0x08;
/// `src_reg` of a call that is not one of a helper.
const PSEUDO_CALL: u8 = 1;

fn encode(opcode: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> u64 {
    let [op, regs] = [u64::from(opcode), u64::from(dst.0 | src.0 << 4)];
    op | regs << 8 | u64::from(off.cast_unsigned()) << 16 | u64::from(imm.cast_unsigned()) << 32
}

/// A call of what is so many instructions behind the next one.
pub(super) fn call_insn(distance: i32) -> u64 {
    encode(CALL, R0, Reg(PSEUDO_CALL), 0, distance)
}

/// The bits of the opcode for 1, 2, 4 or 8 bytes.
fn width(size: u8) -> Option<u8> {
    Some(match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        8 => 0x18,
        _ => return None,
    })
}

/// Puts instructions together. What cannot be encoded is said at the end, by [`Asm::finish`].
#[derive(Debug, Default)]
pub(crate) struct Asm {
    code: Code,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    /// The jumps, by their place, and where they go.
    jumps: Vec<(usize, Label)>,
    fault: Option<anyhow::Error>,
}

impl Asm {
    fn push(&mut self, opcode: u8, dst: Reg, src: Reg, off: i16, imm: i32) {
        self.code.insns.push(encode(opcode, dst, src, off, imm));
    }

    /// The first fault is the one that counts.
    fn fails(&mut self, error: anyhow::Error) {
        self.fault.get_or_insert(error);
    }

    fn access(&mut self, opcode: u8, size: u8, (dst, src): (Reg, Reg), off: i32) {
        match (width(size), i16::try_from(off)) {
            (Some(width), Ok(off)) => self.push(opcode | width, dst, src, off, 0),
            (None, _) => self.fails(anyhow!("no instruction loads or stores {size} bytes")),
            (_, Err(_)) => self.fails(anyhow!("no instruction reaches as far as {off} bytes")),
        }
    }

    /// `dst` = `size` bytes at `base + off`, with zeros above.
    pub(crate) fn load(&mut self, size: u8, dst: Reg, base: Reg, off: i32) {
        self.access(0x61, size, (dst, base), off);
    }

    /// `size` bytes at `base + off` = `src`.
    pub(crate) fn store(&mut self, size: u8, base: Reg, off: i32, src: Reg) {
        self.access(0x63, size, (base, src), off);
    }

    /// `size` bytes at `base + off` = 0.
    pub(crate) fn mov(&mut self, dst: Reg, src: Reg) {
        self.push(0xbf, dst, src, 0, 0);
    }

    /// `dst` = a number, in as few instructions as it takes.
    pub(crate) fn set(&mut self, dst: Reg, value: u64) {
        match imm(value) {
            Some(imm) => self.push(0xb7, dst, R0, 0, imm),
            None => {
                self.push(LOAD_64, dst, R0, 0, (value as u32).cast_signed());
                self.push(0, R0, R0, 0, ((value >> 32) as u32).cast_signed());
            }
        }
    }

    pub(crate) fn op(&mut self, op: Op, dst: Reg, with: With) {
        match with {
            With::Reg(src) => self.push(0x07 | BY_REG | op as u8, dst, src, 0, 0),
            With::Imm(imm) => self.push(0x07 | op as u8, dst, R0, 0, imm),
        }
    }

    /// Nothing is added where that is 0.
    pub(crate) fn add(&mut self, dst: Reg, imm: i32) {
        if imm != 0 {
            self.op(Op::Add, dst, With::Imm(imm));
        }
    }

    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is where these jumps go.
    pub(crate) fn bind(&mut self, label: Label) {
        let here = self.code.insns.len();
        match self.labels.get_mut(label.0) {
            Some(place @ None) => *place = Some(here),
            _ => self.fails(anyhow!("{label:?} has two places, or is of another function")),
        }
    }

    /// Whether anything jumps there so far.
    pub(crate) fn is_used(&self, label: Label) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    pub(crate) fn goto(&mut self, to: Label) {
        self.jumps.push((self.code.insns.len(), to));
        self.push(JUMP, R0, R0, 0, 0);
    }

    pub(crate) fn jump(&mut self, when: When, dst: Reg, with: With, to: Label) {
        self.jumps.push((self.code.insns.len(), to));
        match with {
            With::Reg(src) => self.push(JUMP | BY_REG | when as u8, dst, src, 0, 0),
            With::Imm(imm) => self.push(JUMP | when as u8, dst, R0, 0, imm),
        }
    }

    /// A call of one of the kernel's helpers.
    pub(crate) fn helper(&mut self, number: i32) {
        self.push(CALL, R0, R0, 0, number);
    }

    pub(crate) fn call(&mut self, function: Function) {
        self.code.calls.push(Call { at: self.code.insns.len(), function });
        self.code.insns.push(call_insn(-1));
    }

    pub(crate) fn exit(&mut self) {
        self.push(EXIT, R0, R0, 0, 0);
    }

    /// The instructions, with the jumps' distances.
    ///
    /// # Errors
    /// When something cannot be encoded.
    pub(crate) fn finish(mut self) -> Result<Code> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for (at, label) in self.jumps {
            let to = self.labels.get(label.0).copied().flatten();
            let to = to.with_context(|| format!("{label:?} has no place"))?;
            // Only ever forward: no verifier has to look for the end of a loop.
            let distance = to.checked_sub(at + 1).and_then(|distance| i16::try_from(distance).ok());
            let distance = distance.with_context(|| format!("no instruction jumps from {at} to {to}"))?;
            if let Some(insn) = self.code.insns.get_mut(at) {
                *insn |= u64::from(distance.cast_unsigned()) << 16;
            }
        }
        Ok(self.code)
    }
}

/// As an instruction's immediate operand, whose sign is extended, if it can be one.
pub(crate) fn imm(value: u64) -> Option<i32> {
    i32::try_from(value.cast_signed()).ok()
}
