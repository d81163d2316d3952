//! How a value is passed, as far as that is not by what it is made of alone.

/// How a value is passed, or returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// As the calling convention says of what it is made of.
    ByValue,
    /// It is a class that is not simply copied: its address is.
    ByReference,
    /// Whole, in a register for floats: so many bytes.
    InFloat(u64),
    /// It is not known.
    Unknown,
}
