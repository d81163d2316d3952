//! Which instructions of a function may run, once relocations have made constants of its questions: what is behind a
//! check for something that is not there, the verifier takes out.
//!
//! It knows less than the verifier (nothing of memory, nor of the constants of a run), so that it may take for
//! reachable what is not; never the other way round.

use std::collections::BTreeSet;

/// Classes of instructions (include/uapi/linux/bpf_common.h, bpf.h).
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;
/// BPF_LD | BPF_IMM | BPF_DW
const LOAD_64: u8 = 0x18;

/// What is known of the registers.
type Registers = [Option<u64>; 11];

/// An instruction (`struct bpf_insn` of include/uapi/linux/bpf.h).
#[derive(Debug, Clone, Copy)]
struct Insn {
    code: u8,
    dst: usize,
    src: usize,
    off: i16,
    imm: i32,
}

impl Insn {
    fn new(bytes: &[u8]) -> Option<Self> {
        let [code, registers, a, b, c, d, e, f] = *bytes.first_chunk::<8>()?;
        let (low, high) = (usize::from(registers & 15), usize::from(registers >> 4));
        let (dst, src) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        Some(Self { code, dst, src, off: i16::from_ne_bytes([a, b]), imm: i32::from_ne_bytes([c, d, e, f]) })
    }

    fn operand(self, registers: &Registers) -> Option<u64> {
        const X: u8 = 8;
        if self.code & X == 0 {
            return Some(i64::from(self.imm).cast_unsigned());
        }
        registers.get(self.src).copied().flatten()
    }

    /// BPF_ALU and BPF_ALU64.
    fn calculate(self, registers: &Registers) -> Option<u64> {
        let wide = self.code & 7 == ALU64;
        let cut = |value: u64| if wide { value } else { value & u64::from(u32::MAX) };
        let right = cut(self.operand(registers)?);
        if self.code & 0xf0 == 0xb0 {
            return (self.off == 0).then_some(right);
        }
        let left = cut(registers.get(self.dst).copied().flatten()?);
        let bits = right & if wide { 63 } else { 31 };
        Some(cut(match self.code & 0xf0 {
            0x00 => left.wrapping_add(right),
            0x10 => left.wrapping_sub(right),
            0x40 => left | right,
            0x50 => left & right,
            0x60 => left << bits,
            0x70 => left >> bits,
            0xa0 => left ^ right,
            _ => return None,
        }))
    }

    /// Whether a conditional jump is taken.
    fn jumps(self, registers: &Registers) -> Option<bool> {
        let wide = self.code & 7 == JMP;
        let cut = |value: u64| if wide { value } else { value & u64::from(u32::MAX) };
        let (left, right) = (cut(registers.get(self.dst).copied().flatten()?), cut(self.operand(registers)?));
        Some(match self.code & 0xf0 {
            0x10 => left == right,
            0x20 => left > right,
            0x30 => left >= right,
            0x40 => left & right != 0,
            0x50 => left != right,
            0xa0 => left < right,
            0xb0 => left <= right,
            _ => return None,
        })
    }
}

/// What runs of a function.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Of each of its instructions.
    runs: Vec<bool>,
    /// Numbers of the helpers that it calls (`enum bpf_func_id`).
    pub helpers: BTreeSet<u32>,
}

impl Reached {
    /// Whether this instruction may run.
    pub fn runs(&self, insn: usize) -> bool {
        self.runs.get(insn).is_some_and(|runs| *runs)
    }
}

/// A walk through a function.
struct Flow<'a> {
    insns: &'a [Insn],
    /// Whether an instruction that loads 64 bits loads a value: others load places that the loader fills in.
    constant: &'a dyn Fn(usize) -> bool,
    /// What is known before each instruction, if it is reached.
    states: Vec<Option<Registers>>,
    /// Instructions to look at, each once.
    work: Vec<usize>,
    waits: Vec<bool>,
    helpers: BTreeSet<u32>,
}

impl Flow<'_> {
    /// The next instruction to look at, with what is known before it.
    fn next(&mut self) -> Option<(usize, Insn, Registers)> {
        loop {
            let at = self.work.pop()?;
            if let Some(waits) = self.waits.get_mut(at) {
                *waits = false;
            }
            if let (Some(insn), Some(Some(before))) = (self.insns.get(at), self.states.get(at)) {
                return Some((at, *insn, *before));
            }
        }
    }

    /// An instruction is reached with this.
    fn to(&mut self, at: usize, registers: &Registers) {
        let Some((state, waits)) = self.states.get_mut(at).zip(self.waits.get_mut(at)) else { return };
        let joined = match state {
            None => *registers,
            Some(before) => std::array::from_fn(|n| before[n].filter(|value| registers[n] == Some(*value))),
        };
        if *state != Some(joined) {
            *state = Some(joined);
            if !std::mem::replace(waits, true) {
                self.work.push(at);
            }
        }
    }

    /// Follows one instruction, by its class (BPF_CLASS).
    fn step(&mut self, at: usize, insn: Insn, before: &Registers) {
        let mut registers = *before;
        match insn.code & 7 {
            LD if insn.code == LOAD_64 => {
                // It takes the place of two.
                let high = self.insns.get(at + 1).map_or(0, |next| next.imm.cast_unsigned());
                let value = u64::from(insn.imm.cast_unsigned()) | u64::from(high) << 32;
                set(&mut registers, insn.dst, (insn.src == 0 && (self.constant)(at)).then_some(value));
                return self.to(at + 2, &registers);
            }
            // Old loads from packets.
            LD => set(&mut registers, 0, None),
            LDX => set(&mut registers, insn.dst, None),
            // Atomic operations bring the old value.
            STX if insn.code & 0xe0 == 0xc0 => {
                set(&mut registers, 0, None);
                set(&mut registers, insn.src, None);
            }
            ST | STX => {}
            ALU | ALU64 => set(&mut registers, insn.dst, insn.calculate(before)),
            _ => {
                if !self.jump(at, insn, &mut registers) {
                    return;
                }
            }
        }
        self.to(at + 1, &registers);
    }

    /// The same of BPF_JMP and BPF_JMP32; whether the next instruction may run.
    fn jump(&mut self, at: usize, insn: Insn, registers: &mut Registers) -> bool {
        let to = |distance: isize| at.checked_add_signed(1 + distance);
        match insn.code & 0xf0 {
            // BPF_JA
            0x00 => {
                let far = insn.code & 7 == JMP32;
                let distance = if far { isize::try_from(insn.imm).ok() } else { Some(insn.off.into()) };
                if let Some(to) = distance.and_then(to) {
                    self.to(to, registers);
                }
                false
            }
            // BPF_CALL. Poisoned instructions are calls, too: of what no kernel has.
            0x80 => {
                if insn.src == 0 && insn.imm >> 16 == 0 {
                    self.helpers.insert(insn.imm.cast_unsigned());
                }
                (0..=5).for_each(|n| set(registers, n, None));
                true
            }
            // BPF_EXIT
            0x90 => false,
            _ => {
                let taken = insn.jumps(registers);
                if taken != Some(false)
                    && let Some(to) = to(insn.off.into())
                {
                    self.to(to, registers);
                }
                taken != Some(true)
            }
        }
    }
}

fn set(registers: &mut Registers, n: usize, value: Option<u64>) {
    if let Some(register) = registers.get_mut(n) {
        *register = value;
    }
}

/// Follows a function from its first instruction. `constant` says of an instruction that loads 64 bits whether these are a
/// value.
pub(crate) fn reached(code: &[u8], constant: impl Fn(usize) -> bool) -> Reached {
    let insns: Vec<Insn> = code.chunks_exact(8).filter_map(Insn::new).collect();
    let count = insns.len();
    let mut flow = Flow {
        insns: &insns,
        constant: &constant,
        states: vec![None; count],
        work: Vec::new(),
        waits: vec![false; count],
        helpers: BTreeSet::new(),
    };
    flow.to(0, &[None; 11]);
    while let Some((at, insn, before)) = flow.next() {
        flow.step(at, insn, &before);
    }
    Reached { runs: flow.states.iter().map(Option::is_some).collect(), helpers: flow.helpers }
}
