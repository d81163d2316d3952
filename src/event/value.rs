//! Values, and what they mean.

use super::ancestors::Ancestors;
use super::connection::{Endpoint, Icmp, Nat, Traffic};
use super::env::Env;
use super::path::Path;
use super::slots::Group;
use super::stack::Stack;

/// A value and what it means, so that every format and lookup treats it alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A plain number.
    Uint(u64),
    /// A process or thread id, as numbered in coretrace's own PID namespace.
    Pid(u32),
    /// An exit code: 0 is success.
    Code(u32),
    /// A signal number; shown by its name.
    Signal(u32),
    /// What a system call returned: a number, or an error as a negative number, which is shown by its name. JSON has
    /// the number, and the error's name as `errno` beside it.
    Ret(i64),
    /// Permission bits; shown in octal, in JSON as a string (`"0644"`).
    Mode(u32),
    /// Yes or no.
    Bool(bool),
    /// A size in bytes. JSON adds `_bytes` to the name.
    Size(u64),
    /// A length of time in nanoseconds. JSON adds `_ns` to the name.
    Span(u64),
    /// A string of any bytes.
    Str(&'a [u8]),
    /// A path. JSON adds `NAME_deleted`, `NAME_truncated` and `NAME_unreachable` (outside of the root) where they hold.
    Path(Path<'a>),
    /// A list of strings. JSON adds `NAME_bytes` (null where it was not counted), and `NAME_truncated` where it holds.
    List(List<'a>),
    /// Variables of an environment; in JSON an object, with `NAME_bytes`, the length of the whole environment, beside it, and
    /// `NAME_truncated` where not all of that was read.
    Env(Env<'a>),
    /// How an environment differs from another one; in JSON an object of `new`, `changed` and `removed` variables, with
    /// `NAME_truncated` likewise.
    EnvDiff(Env<'a>),
    /// The processes above one. JSON adds `NAME_truncated` where there are more.
    Ancestors(Ancestors<'a>),
    /// Named bits.
    Flags(Flags),
    /// A number that may be negative.
    Int(i64),
    /// A number whose bits mean something; shown in hex, in JSON as a number.
    Hex(u64),
    /// A floating-point number.
    Float(f64),
    /// An address; shown in hex, in JSON as a string: most do not fit the numbers of JavaScript.
    Address(u64),
    /// The function or variable at an address, and how far behind its beginning; in JSON a string, too: `name+0x10`.
    Symbol { address: u64, name: &'a str, offset: u64 },
    /// A name that a number has (of an enum, or NULL).
    Name(&'a str),
    /// A string whose end is missing.
    Cut(&'a [u8]),
    /// Bytes that are no text; shown in hex, in JSON as a string of hex digits.
    Bytes(&'a [u8]),
    /// A device's number as the kernel has it (include/linux/kdev_t.h: the minor one has 20 bits); shown as `8:1`.
    Device(u32),
    /// An IPv4 address, in network byte order.
    Ipv4([u8; 4]),
    /// An IPv6 address, in network byte order.
    Ipv6([u8; 16]),
    /// One end of a connection; in JSON an object of its address and port.
    Endpoint(Endpoint),
    /// What address translation replaces; in JSON an object of the ends that it does.
    Nat(Nat),
    /// Packets and bytes; in JSON an object.
    Traffic(Traffic),
    /// An ICMP message; in JSON an object.
    Icmp(Icmp),
    /// Values with names of their own.
    Group(Group<'a>),
    /// The calls that led there.
    Stack(Stack<'a>),
    /// A string that is NULL. In JSON it is null, and `NAME_null` is true.
    Null,
    /// What would be found by way of a pointer, which is NULL: `?(NULL)` in text; in JSON as a string that is NULL.
    BehindNull,
    /// The kernel could not read it: `?` in text, null in JSON.
    Unreadable(Shape),
}

/// A [`Value`] without the value: what the schema knows of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Uint,
    Pid,
    Code,
    Signal,
    Ret,
    Mode,
    Bool,
    Size,
    Span,
    Str,
    Path,
    List,
    Env,
    EnvDiff,
    Ancestors,
    Flags,
    Endpoint,
    Nat,
    Traffic,
    Icmp,
    /// A member for each of several values.
    Group,
    Stack,
    /// Any of these: which, only the value itself says.
    Any,
}

impl Value<'_> {
    /// What kind of value this is; for an unreadable one, what it would have been.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Value::Uint(_) => Shape::Uint,
            Value::Pid(_) => Shape::Pid,
            Value::Code(_) => Shape::Code,
            Value::Signal(_) => Shape::Signal,
            Value::Ret(_) => Shape::Ret,
            Value::Mode(_) => Shape::Mode,
            Value::Bool(_) => Shape::Bool,
            Value::Size(_) => Shape::Size,
            Value::Span(_) => Shape::Span,
            Value::Str(_) => Shape::Str,
            Value::Path(_) => Shape::Path,
            Value::List(_) => Shape::List,
            Value::Env(_) => Shape::Env,
            Value::EnvDiff(_) => Shape::EnvDiff,
            Value::Ancestors(_) => Shape::Ancestors,
            Value::Flags(_) => Shape::Flags,
            Value::Endpoint(_) => Shape::Endpoint,
            Value::Nat(_) => Shape::Nat,
            Value::Traffic(_) => Shape::Traffic,
            Value::Icmp(_) => Shape::Icmp,
            Value::Group(_) => Shape::Group,
            Value::Stack(_) => Shape::Stack,
            Value::Int(_) | Value::Hex(_) | Value::Float(_) | Value::Address(_) | Value::Name(_) => Shape::Any,
            Value::Symbol { .. }
            | Value::Cut(_)
            | Value::Bytes(_)
            | Value::Null
            | Value::BehindNull
            | Value::Device(_)
            | Value::Ipv4(_)
            | Value::Ipv6(_) => Shape::Any,
            Value::Unreadable(shape) => *shape,
        }
    }
}

/// Strings, NUL-separated as in `/proc/PID/cmdline`, and how long they were in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    /// The strings, each NUL-terminated; the last one is not, where the list was cut inside it.
    pub bytes: &'a [u8],
    /// Length of the whole list in bytes, NULs included; [`List::UNKNOWN`]: more than what is there.
    pub total: u64,
}

impl<'a> List<'a> {
    /// A length that was not counted.
    pub const UNKNOWN: u64 = u64::MAX;

    /// Whether what is there is less than what was.
    #[must_use]
    pub fn truncated(&self) -> bool {
        (self.bytes.len() as u64) < self.total
    }

    /// The strings, one by one; none for an empty list.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes.strip_suffix(b"\0").unwrap_or(self.bytes);
        let count = if self.bytes.is_empty() { 0 } else { usize::MAX };
        bytes.split(|b| *b == 0).take(count)
    }
}

/// A bit mask whose bits have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// The mask, whose bits `names` has.
    pub bits: u64,
    /// Name of each known bit (or group of bits), in the order in which they are shown.
    pub names: &'static [(u64, &'static str)],
}

impl Flags {
    /// Names of the bits that are set, then what remains without a name (0 if nothing). Bits that one name has covered
    /// do not count for those behind it.
    pub fn named(&self) -> (impl Iterator<Item = &'static str> + use<>, u64) {
        let covered = |left: &mut u64, bit: u64| {
            let set = *left & bit == bit;
            *left &= if set { !bit } else { u64::MAX };
            set
        };
        let mut rest = self.bits;
        self.names.iter().for_each(|(bit, _)| _ = covered(&mut rest, *bit));
        let mut left = self.bits;
        (self.names.iter().filter(move |(bit, _)| covered(&mut left, *bit)).map(|(_, name)| *name), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_empty_strings() {
        let items = |bytes: &'static [u8]| List { bytes, total: bytes.len() as u64 }.iter().collect::<Vec<_>>();
        assert!(items(b"").is_empty());
        assert_eq!(items(b"\0"), [b""]);
        assert_eq!(items(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(items(b"a\0\0"), [&b"a"[..], b""]);
        assert_eq!(items(b"cut"), [b"cut"]);
    }

    #[test]
    fn flags_without_a_name_remain() {
        let flags = Flags { bits: 0b1101, names: &[(1, "A"), (2, "B"), (12, "CD")] };
        let (names, rest) = flags.named();
        assert_eq!((names.collect::<Vec<_>>(), rest), (vec!["A", "CD"], 0));
        let (names, rest) = Flags { bits: 0x105, names: &[(1, "A"), (12, "CD")] }.named();
        assert_eq!((names.collect::<Vec<_>>(), rest), (vec!["A"], 0x104));
    }
}
