//! What generated code knows of the C side: where things are in its scratch space, and the functions that it may call.

use anyhow::{Context, Result};

/// Offsets in bytes in `struct scratch`, and how much code there is room for. Generated functions get the context in r1
/// and the scratch space in r2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// The copies of the context's words, 64 bits each, made before.
    pub words: u32,
    /// The values of the slots, 64 bits each.
    pub values: u32,
    /// 32 bits: the slots that could not be read. Zero before.
    pub unread: u32,
    /// 64 bits, not 0: the condition asked for one of those. Zero before.
    pub undecided: u32,
    /// What was returned, how long it took, and the current task: 64 bits each.
    pub ret: u32,
    pub duration: u32,
    pub task: u32,
    /// How many slots the record has before those of this program, and how many texts and globs there are before its.
    pub first: usize,
    pub texts: usize,
    pub globs: usize,
    /// The programs may sleep.
    pub sleepable: bool,
    /// How many instructions each hole has (see `splice::room`).
    pub test_room: usize,
    pub fetch_room: usize,
}

impl Layout {
    /// Where a word of the context is.
    pub(super) fn word(&self, index: u32) -> Result<i32> {
        nth(self.words, index).with_context(|| format!("word {index} of the context is too far"))
    }

    /// Where the value of a slot is.
    pub(super) fn value(&self, slot: usize) -> Result<i32> {
        let at = slot.checked_add(self.first).and_then(|slot| u32::try_from(slot).ok());
        let at = at.and_then(|slot| nth(self.values, slot));
        at.with_context(|| format!("value {slot} is too far"))
    }
}

/// The place of the n-th of words of 64 bits.
fn nth(start: u32, index: u32) -> Option<i32> {
    i32::try_from(index.checked_mul(8)?.checked_add(start)?).ok()
}

/// A function of the object that generated code calls:
/// `static u64 f(struct scratch *, u64 at, u64 arg, void *ctx)`. It returns the slot's value, or a negative number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// A string at an address; `arg`: most bytes | space << 32.
    Str,
    /// Bytes at an address; `arg`: how many | space << 32.
    Bytes,
    /// What the 4 bytes at an address (`__data_loc`) say where it is in the context; `arg`: most bytes.
    Located,
    /// The path of the `struct path` at an address.
    Path,
    /// The path of the `struct dentry` at an address.
    Dentry,
    /// Whether a string (a slot's value) is a text, or begins with it; `arg`: number of the text | whole << 32.
    SameText,
    /// Whether a glob matches a string (a slot's value); `arg`: number of the glob | what is to be said
    /// where it is not known << 32.
    MatchesGlob,
}

impl Function {
    #[cfg(test)]
    pub(crate) const ALL: [Function; 7] = [
        Function::Str,
        Function::Bytes,
        Function::Located,
        Function::Path,
        Function::Dentry,
        Function::SameText,
        Function::MatchesGlob,
    ];

    /// Its name in the object.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Function::Str => "probe_str",
            Function::Bytes => "probe_bytes",
            Function::Located => "probe_located",
            Function::Path => "probe_path",
            Function::Dentry => "probe_dentry",
            Function::SameText => "probe_same_text",
            Function::MatchesGlob => "probe_matches_glob",
        }
    }
}
