//! Which instructions of a function may run, once relocations have made constants of its questions: what is behind a
//! check for something that is not there, the verifier takes out.
//!
//! It knows less than the verifier (nothing of memory, nor of the constants of a run), so that it may take for
//! reachable what is not; never the other way round.

use std::collections::BTreeSet;

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

    /// Its second operand.
    fn operand(self, registers: &Registers) -> Option<u64> {
        const X: u8 = 8;
        if self.code & X == 0 {
            return Some(i64::from(self.imm).cast_unsigned());
        }
        registers.get(self.src).copied().flatten()
    }

    /// BPF_ALU and BPF_ALU64.
    fn calculate(self, registers: &Registers) -> Option<u64> {
        let wide = self.code & 7 == 7;
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
        let wide = self.code & 7 == 5;
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

/// What is known before each instruction, and those that are to be looked at, each once.
struct Flow {
    states: Vec<Option<Registers>>,
    work: Vec<usize>,
    waits: Vec<bool>,
}

impl Flow {
    /// An instruction is come to with this.
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
}

/// Follows a function from its first instruction. `constant` tells of an instruction that loads 64 bits whether these
/// are a value: others are places that the loader fills in.
pub(crate) fn reached(code: &[u8], constant: impl Fn(usize) -> bool) -> Reached {
    let insns: Vec<Insn> = code.chunks_exact(8).filter_map(Insn::new).collect();
    let count = insns.len();
    let mut flow = Flow { states: vec![None; count], work: Vec::new(), waits: vec![false; count] };
    let mut helpers = BTreeSet::new();
    flow.to(0, &[None; 11]);
    while let Some(at) = flow.work.pop() {
        if let Some(waits) = flow.waits.get_mut(at) {
            *waits = false;
        }
        let (Some(insn), Some(Some(before))) = (insns.get(at).copied(), flow.states.get(at).copied()) else { continue };
        let mut registers = before;
        let mut set = |n: usize, value: Option<u64>| {
            if let Some(register) = registers.get_mut(n) {
                *register = value;
            }
        };
        let jump = at.checked_add_signed(1 + isize::from(insn.off));
        match insn.code & 7 {
            0 if insn.code == 0x18 => {
                let high = insns.get(at + 1).map_or(0, |next| next.imm.cast_unsigned());
                let value = u64::from(insn.imm.cast_unsigned()) | u64::from(high) << 32;
                set(insn.dst, (insn.src == 0 && constant(at)).then_some(value));
                flow.to(at + 2, &registers);
                continue;
            }
            // Old packet loads, and what is loaded.
            0 => set(0, None),
            1 => set(insn.dst, None),
            // Atomic operations bring the old value.
            3 if insn.code & 0xe0 == 0xc0 => {
                set(0, None);
                set(insn.src, None);
            }
            2 | 3 => {}
            4 | 7 => {
                let value = insn.calculate(&before);
                set(insn.dst, value);
            }
            _ => match insn.code & 0xf0 {
                0x00 => {
                    let far = isize::try_from(insn.imm).ok().and_then(|off| at.checked_add_signed(1 + off));
                    let to = if insn.code & 7 == 6 { far } else { jump };
                    if let Some(to) = to {
                        flow.to(to, &registers);
                    }
                    continue;
                }
                0x80 => {
                    // Poisoned instructions are calls, too: of what no kernel has.
                    if insn.src == 0 && insn.imm >> 16 == 0 {
                        helpers.insert(insn.imm.cast_unsigned());
                    }
                    (0..=5).for_each(|n| set(n, None));
                }
                0x90 => continue,
                _ => match insn.jumps(&before) {
                    Some(false) => {}
                    taken => {
                        if let Some(to) = jump {
                            flow.to(to, &registers);
                        }
                        if taken.is_some() {
                            continue;
                        }
                    }
                },
            },
        }
        flow.to(at + 1, &registers);
    }
    Reached { runs: flow.states.iter().map(Option::is_some).collect(), helpers }
}
