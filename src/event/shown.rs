//! What the values mean that a program reads whose values were chosen when it was started.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The values of an enum, as they are in 64 bits, and their names.
pub type EnumNames = Arc<[(i64, String)]>;

/// One value as it is printed; a member in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The member that it is in JSON, and what it is called in text.
    pub name: String,
    /// What it is.
    pub kind: ShownKind,
}

/// What a value is. `slot`: which of the record's slots has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownKind {
    /// A decimal number.
    Int { slot: usize, signed: bool },
    /// A number of so many bytes in network byte order.
    Network { slot: usize, size: u8 },
    /// A number whose bits mean something.
    Hex { slot: usize },
    /// Permission bits.
    Octal { slot: usize },
    /// A byte that is a character.
    Char { slot: usize },
    /// Yes or no.
    Bool { slot: usize },
    /// A name; a number that has none is itself.
    Enum { slot: usize, signed: bool, names: EnumNames },
    /// An address. From -4095 on, it is an error instead (`IS_ERR` of include/linux/err.h).
    Pointer { slot: usize },
    /// A string, with its NUL unless it was cut.
    Str { slot: usize },
    /// Bytes that need not be a string.
    Bytes { slot: usize },
    /// The function or variable at that address.
    Symbol { slot: usize },
    /// What was returned: a negative number is an error, down to -4095.
    Ret { slot: usize },
    /// A floating-point number of 4 or 8 bytes.
    Float { slot: usize, size: u8 },
    /// Nanoseconds.
    Duration { slot: usize },
    /// A device's number as the kernel has it: minor in the lower 20 bits.
    Device { slot: usize },
    /// 4 bytes in network byte order, as a number.
    Ipv4 { slot: usize },
    /// 16 bytes.
    Ipv6 { slot: usize },
    /// A path or the name of a dentry, which the program walked.
    Path { slot: usize },
    /// Several values that belong together. `address`: the pointer that led there, which says whether there is anything:
    /// NULL, or an error.
    Group { style: Style, address: Option<usize>, parts: Vec<Shown> },
}

/// How a group is summed up in text. JSON has its parts by name, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
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

impl Shown {
    /// The same where the record has so many other slots before.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        Shown { name: self.name, kind: self.kind.moved(by) }
    }
}

impl ShownKind {
    /// Whether names of the kernel's symbols are shown somewhere in it.
    #[must_use]
    pub fn has_symbols(&self) -> bool {
        match self {
            ShownKind::Symbol { .. } => true,
            ShownKind::Group { parts, .. } => parts.iter().any(|part| part.kind.has_symbols()),
            _ => false,
        }
    }

    fn moved(mut self, by: usize) -> Self {
        self.each_slot(&mut |slot| *slot += by);
        self
    }

    /// Its slot, where it has but one.
    #[must_use]
    pub fn only_slot(&self) -> Option<usize> {
        let (mut all, mut copy) = (Vec::new(), self.clone());
        copy.each_slot(&mut |slot| all.push(*slot));
        match all.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// The same in that slot.
    #[must_use]
    pub fn in_slot(mut self, to: usize) -> Self {
        self.each_slot(&mut |slot| *slot = to);
        self
    }

    fn each_slot(&mut self, change: &mut dyn FnMut(&mut usize)) {
        match self {
            ShownKind::Int { slot, .. }
            | ShownKind::Network { slot, .. }
            | ShownKind::Hex { slot }
            | ShownKind::Octal { slot }
            | ShownKind::Char { slot }
            | ShownKind::Bool { slot }
            | ShownKind::Enum { slot, .. }
            | ShownKind::Pointer { slot }
            | ShownKind::Str { slot }
            | ShownKind::Bytes { slot }
            | ShownKind::Symbol { slot }
            | ShownKind::Ret { slot }
            | ShownKind::Float { slot, .. }
            | ShownKind::Duration { slot }
            | ShownKind::Device { slot }
            | ShownKind::Ipv4 { slot }
            | ShownKind::Ipv6 { slot }
            | ShownKind::Path { slot } => change(slot),
            ShownKind::Group { address, parts, .. } => {
                address.iter_mut().for_each(&mut *change);
                parts.iter_mut().for_each(|part| part.kind.each_slot(change));
            }
        }
    }
}
