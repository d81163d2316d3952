//! What a resolved spec reads at each hit, and what it means: pure data.
//!
//! At a hit, the words of the context are copied first: the arguments (and then what is returned) for BTF-typed hooks
//! and raw tracepoints, the registers (`struct pt_regs`) for probes. Every value starts at one of them. The program
//! reads the slots that tests need, tests, and then reads the rest.

/// The most slots of a program.
pub(crate) const SLOTS_MAX: usize = 32;
/// The most pointers that are followed to one value.
pub(crate) const DEREFS_MAX: usize = 8;
/// The most bytes of one string, with its NUL.
pub(crate) const STR_MAX: u32 = 4096;
/// The most strings that a spec compares with, and the most bytes of each (`TEXTS_MAX`, `TEXT_BYTES` of src/bpf/probe.bpf.h).
pub(crate) const TEXTS_MAX: usize = 8;
pub(crate) const TEXT_MAX: usize = 128;
/// The most globs that a spec compares with (`GLOBS_MAX` there), and the most characters of each: a bit stands for each.
pub(crate) const GLOBS_MAX: usize = 2;
pub(crate) const GLOB_MAX: usize = 63;
/// What a string has where nothing is said.
pub(crate) const STR_DEFAULT: u32 = 256;
/// The most bytes that one program may add to an event, strings at their longest.
pub(crate) const TAIL_MAX: u32 = 16 << 10;
/// The longest path in an event (`PATH_BYTES` of src/bpf/path.bpf.h).
const PATH_MAX: u32 = 4096;

/// A program for one hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Program {
    /// How many words of the context are used.
    pub words: u32,
    /// What is read, in this order. A slot's value is 64 bits in the event: a number, or where its bytes are in the tail.
    pub slots: Vec<Slot>,
    /// The event is wanted where this holds; None: always. Slots that it asks for come before all others, and one
    /// that could not be read makes the whole false, but where something else makes it true. (What is behind a NULL
    /// pointer is nothing: tests of it are false, and `!` of them true.)
    pub test: Option<Test>,
    /// How many of the slots the test needs: the first ones.
    pub early: usize,
}

/// Where a value is, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub base: Base,
    /// The pointers on the way: each is at the address so far plus this offset.
    pub derefs: Vec<Deref>,
    pub read: Read,
}

/// Where the way to a value starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// A word of the context. `typed`: the verifier knows it as a pointer to a struct (BTF-typed hooks), so that what
    /// it points to may be loaded directly.
    Word { index: u32, typed: bool },
    /// The sum of two words of the context, the second one times a power of two: an element of an array, in the way in
    /// which processors address it.
    Sum { word: Option<u32>, index: u32, shift: u8 },
    /// A number that is known before.
    Constant(u64),
    /// The address of the context: of a classic tracepoint's record.
    Context,
    /// The current task's `struct task_struct`.
    Task,
    /// What the function returned, of a hook on its return.
    Return,
    /// How many nanoseconds the call took, of a hook on its return.
    Duration,
}

impl Slot {
    /// Whether the memory of a program is read, or may be.
    pub fn reads_user(&self) -> bool {
        let end = match self.read {
            Read::Number { space, .. } | Read::Str { space, .. } | Read::Bytes { space, .. } => Some(space),
            Read::Plain { .. } | Read::Located { .. } | Read::Path { .. } | Read::Dentry { .. } => None,
        };
        let mut spaces = self.derefs.iter().map(|deref| deref.space).chain(end);
        spaces.any(|space| matches!(space, Space::User | Space::ByAddress))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deref {
    pub offset: i32,
    pub space: Space,
}

/// Whose memory an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Kernel,
    User,
    /// What the address says: user addresses are the lower half.
    ByAddress,
    /// The kernel's, behind a pointer whose type the verifier knows, at a field of that type: it may be loaded without a
    /// helper, where all of the way from a typed word to there is such. No `void *`, no array, no union: their types are
    /// lost on the way. Everywhere else it is as `Kernel`.
    Typed,
}

/// What is read at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The address itself plus `offset`, or the word that the base is; without its lowest bits, so many (a part of a
    /// struct in a register); `narrow`: only the lowest bytes of that count (an `int` argument), with or without a sign.
    Plain { offset: i32, shift: u8, narrow: Option<(u8, bool)> },
    /// 1, 2, 4 or 8 bytes there; then a bit field is cut out: shifted left, then right, with its sign or without.
    Number { offset: i32, space: Space, size: u8, left: u8, right: u8, signed: bool },
    /// A string there, up to its NUL, of at most `max` bytes with it. `array`: there are no more bytes, so that one without
    /// a NUL has all of them, and is whole.
    Str { offset: i32, space: Space, max: u32, array: bool },
    /// So many bytes there.
    Bytes { offset: i32, space: Space, len: u32 },
    /// `__data_loc`: 4 bytes there say where in the context a string is (offset, and length << 16).
    Located { offset: i32, max: u32 },
    /// A `struct path` there, as a path from the process's root.
    Path { offset: i32 },
    /// A `struct dentry` there, as its path in its file system.
    Dentry { offset: i32 },
}

impl Slot {
    /// The same, of the longest string that can be read.
    pub fn whole(mut self) -> Self {
        if let Read::Str { max, array: false, .. } | Read::Located { max, .. } = &mut self.read {
            *max = STR_MAX;
        }
        self
    }
}

impl Read {
    /// Whether it is a string of which nobody has said how much is wanted.
    pub fn is_usual(self) -> bool {
        matches!(self, Read::Str { max: STR_DEFAULT, .. } | Read::Located { max: STR_DEFAULT, .. })
    }

    /// The most bytes that it adds to an event.
    pub fn longest(self) -> u32 {
        match self {
            Read::Plain { .. } | Read::Number { .. } => 0,
            Read::Str { max, array, .. } => max.saturating_add(array.into()),
            Read::Located { max, .. } => max,
            Read::Bytes { len, .. } => len,
            Read::Path { .. } | Read::Dentry { .. } => PATH_MAX,
        }
    }
}

/// Whether an event is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// The slot, a number, against one.
    Number {
        slot: usize,
        op: Compare,
        operand: u64,
    },
    /// The slot, a string, against one; without its NUL. `whole`: all of it, else its beginning.
    Text {
        slot: usize,
        text: Vec<u8>,
        whole: bool,
    },
    /// The slot, a string, against a glob of `*`, `?` and bytes.
    Glob {
        slot: usize,
        glob: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Less {
        signed: bool,
    },
    LessEqual {
        signed: bool,
    },
    Greater {
        signed: bool,
    },
    GreaterEqual {
        signed: bool,
    },
    /// Any of these bits is set.
    Bits,
}
