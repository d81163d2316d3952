//! What the values that a program reads mean: for whoever prints them.

use std::sync::Arc;

/// The values of an enum, as they are in 64 bits, and their names.
pub(crate) type EnumNames = Arc<[(i64, String)]>;

/// One value as it is printed; a member in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub name: String,
    pub kind: ShownKind,
}

/// What a value is. `slot`: which of the program's slots has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShownKind {
    Int {
        slot: usize,
        signed: bool,
    },
    /// A number of so many bytes in network byte order.
    Network {
        slot: usize,
        size: u8,
    },
    Hex {
        slot: usize,
    },
    Octal {
        slot: usize,
    },
    Char {
        slot: usize,
    },
    Bool {
        slot: usize,
    },
    /// A number without a name: itself.
    Enum {
        slot: usize,
        signed: bool,
        names: EnumNames,
    },
    /// An address. From -4095 on, it is an error instead (`IS_ERR` of include/linux/err.h).
    Pointer {
        slot: usize,
    },
    Str {
        slot: usize,
    },
    Bytes {
        slot: usize,
    },
    /// The function or variable at that address.
    Symbol {
        slot: usize,
    },
    /// What was returned: a negative number is an error, down to -4095.
    Ret {
        slot: usize,
    },
    Float {
        slot: usize,
        size: u8,
    },
    /// Nanoseconds.
    Duration {
        slot: usize,
    },
    /// A device's number as the kernel has it: minor in the lower 20 bits.
    Device {
        slot: usize,
    },
    /// 4 bytes in network byte order, as a number.
    Ipv4 {
        slot: usize,
    },
    /// 16 bytes.
    Ipv6 {
        slot: usize,
    },
    /// A path or the name of a dentry, which the program walked.
    Path {
        slot: usize,
    },
    /// Several values that belong together. `address`: the pointer that led there, which says whether there is anything:
    /// NULL, or an error.
    Group {
        style: Style,
        address: Option<usize>,
        parts: Vec<Shown>,
    },
}

/// How a group is summed up in text. JSON has its parts by name, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `{a=1 b={c=2}}`
    Braces,
    /// `[1 2 3]`; its parts are named by their numbers.
    List,
    /// One part, which says all: a name, a number.
    Alone,
    /// A file by its path, with its flags.
    File,
    /// `dev`, `ino`, `mode`
    Inode,
    /// `family`, `state`, and of addresses those that the family has: `saddr:sport -> daddr:dport`
    Socket,
    /// `family`, and what it has: `port` and `v4` or `v6`, or `path`
    Address,
    /// `pid`, `tid`, `comm`
    Task,
    /// `seconds`, `nanoseconds`
    Time,
    /// Some parts by their names, without braces of its own: `len=5 dev=eth0`
    Words,
}
