//! Where a value is when a probe is hit, in terms of registers.

/// Where a value is. Registers are words of `struct pt_regs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Constant(i64),
    /// In a register: its lowest bytes, or those from the second one on.
    Register {
        word: u32,
        second: bool,
    },
    /// In two registers, its first eight bytes in the first one; None: that half is where no probe can read it.
    Pair {
        low: Option<u32>,
        high: Option<u32>,
    },
    /// What is in the register, plus this.
    Sum {
        word: u32,
        offset: i64,
    },
    /// In memory, at the sum of a register, another one times a power of two, and this.
    Memory {
        base: Option<u32>,
        index: Option<(u32, u8)>,
        offset: i64,
    },
}

impl Origin {
    /// Whether it is in memory below what this register points to.
    pub fn below(&self, stack: u32) -> bool {
        matches!(self, Origin::Memory { base: Some(base), index: None, offset: ..0 } if *base == stack)
    }
}
