//! Values as members of a JSON object.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::env;
use super::text::{Base64, Key, Readable, bytes};
use crate::event::{Call, Endpoint, Flags, Group, Icmp, List, Nat, Path, Shape, Stack, Traffic, Value};
use crate::output::spelling::{Device, ErrnoName, Octal, SignalName};

/// What a shape adds to the name of its field.
pub(in crate::output) fn suffix(shape: Shape) -> &'static str {
    match shape {
        Shape::Size => "_bytes",
        Shape::Span => "_ns",
        Shape::Uint | Shape::Pid | Shape::Code | Shape::Signal | Shape::Ret | Shape::Mode | Shape::Bool => "",
        Shape::Str | Shape::Path | Shape::List | Shape::Flags | Shape::Group | Shape::Stack | Shape::Any => "",
        Shape::Endpoint | Shape::Nat | Shape::Traffic | Shape::Icmp => "",
        Shape::Env | Shape::EnvDiff | Shape::Ancestors => "",
    }
}

/// Adds a value, and what stands beside it.
pub(in crate::output) fn field<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: &Value<'_>,
    buffer: &mut Vec<u8>,
) -> Result<(), M::Error> {
    match value {
        Value::Uint(n) => map.serialize_entry(name, n),
        Value::Pid(n) | Value::Code(n) => map.serialize_entry(name, n),
        Value::Signal(n) => map.serialize_entry(name, &Shown(SignalName(*n))),
        Value::Ret(n) => ret(map, name, *n),
        Value::Mode(bits) => map.serialize_entry(name, &Shown(Octal(*bits))),
        Value::Bool(yes) => map.serialize_entry(name, yes),
        Value::Size(n) | Value::Span(n) => map.serialize_entry(&Key(name, suffix(value.shape())), n),
        Value::Str(value) => bytes(map, name, value),
        Value::Path(value) => path(map, name, value, buffer),
        Value::List(value) => list(map, name, value),
        Value::Env(value) => env::env(map, name, value),
        Value::EnvDiff(value) => env::changes(map, name, value),
        Value::Ancestors(value) => env::ancestors(map, name, value),
        Value::Flags(value) => map.serialize_entry(name, &Bits(value)),
        Value::Int(n) => map.serialize_entry(name, n),
        Value::Hex(n) => map.serialize_entry(name, n),
        Value::Float(n) => map.serialize_entry(name, n),
        Value::Address(n) => map.serialize_entry(name, &Shown(format_args!("{n:#x}"))),
        Value::Name(known) => map.serialize_entry(name, known),
        Value::Symbol { name: of, offset: 0, .. } => map.serialize_entry(name, of),
        Value::Symbol { name: of, offset, .. } => map.serialize_entry(name, &format_args!("{of}+{offset:#x}")),
        Value::Cut(value) => {
            bytes(map, name, value)?;
            map.serialize_entry(&Key(name, "_truncated"), &true)
        }
        Value::Bytes(value) => map.serialize_entry(name, &Shown(Digits(value))),
        Value::Device(number) => map.serialize_entry(name, &Shown(Device(*number))),
        Value::Ipv4(address) => map.serialize_entry(name, &Ipv4Addr::from(*address)),
        Value::Ipv6(address) => map.serialize_entry(name, &Ipv6Addr::from(*address)),
        Value::Endpoint(end) => map.serialize_entry(name, &End(end)),
        Value::Nat(nat) => map.serialize_entry(name, &Ends(nat)),
        Value::Traffic(Traffic { packets, bytes }) => {
            map.serialize_entry(name, &Numbers([("packets", *packets), ("bytes", *bytes)]))
        }
        Value::Icmp(Icmp { kind, code, id }) => map.serialize_entry(
            name,
            &Numbers([("type", u64::from(*kind)), ("code", (*code).into()), ("id", (*id).into())]),
        ),
        Value::Group(group) => map.serialize_entry(name, &Members(group, RefCell::new(buffer))),
        Value::Stack(stack) => {
            map.serialize_entry(name, &Calls(stack))?;
            if stack.cut { map.serialize_entry(&Key(name, "_truncated"), &true) } else { Ok(()) }
        }
        Value::Null | Value::BehindNull => {
            map.serialize_entry(name, &())?;
            map.serialize_entry(&Key(name, "_null"), &true)
        }
        Value::Unreadable(shape) => map.serialize_entry(&Key(name, suffix(*shape)), &()),
    }
}

fn ret<M: SerializeMap>(map: &mut M, name: &str, ret: i64) -> Result<(), M::Error> {
    map.serialize_entry(name, &ret)?;
    if ret < 0 {
        map.serialize_entry("errno", &Shown(ErrnoName(ret)))?;
    }
    Ok(())
}

/// The last part of a path that is longer than what fits has no slash before it: it is not a path from the root.
fn path<M: SerializeMap>(map: &mut M, name: &str, path: &Path<'_>, buffer: &mut Vec<u8>) -> Result<(), M::Error> {
    buffer.clear();
    path.append_to(buffer);
    bytes(map, name, buffer)?;
    if path.deleted {
        map.serialize_entry(&Key(name, "_deleted"), &true)?;
    }
    if path.truncated || path.end_truncated {
        map.serialize_entry(&Key(name, "_truncated"), &true)?;
    }
    if path.outside {
        map.serialize_entry(&Key(name, "_unreachable"), &true)?;
    }
    Ok(())
}

fn list<M: SerializeMap>(map: &mut M, name: &str, list: &List<'_>) -> Result<(), M::Error> {
    // The NULs between the items are valid, so the whole is as valid as each.
    match str::from_utf8(list.bytes) {
        Ok(text) => map.serialize_entry(name, &Strings(text))?,
        Err(_) => {
            map.serialize_entry(name, &Items(list, Readable))?;
            map.serialize_entry(&Key(name, "_b64"), &Items(list, Base64))?;
        }
    }
    let total = Some(list.total).filter(|total| *total != List::UNKNOWN);
    map.serialize_entry(&Key(name, "_bytes"), &total)?;
    if list.truncated() {
        map.serialize_entry(&Key(name, "_truncated"), &true)?;
    }
    Ok(())
}

/// One end of a connection.
struct End<'a>(&'a Endpoint);

impl Serialize for End<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &self.0.address)?;
        if let Some(port) = self.0.port {
            map.serialize_entry("port", &port)?;
        }
        map.end()
    }
}

/// The ends that are replaced.
struct Ends<'a>(&'a Nat);

impl Serialize for Ends<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, end) in [("src", &self.0.src), ("dst", &self.0.dst)] {
            if let Some(end) = end {
                map.serialize_entry(name, &End(end))?;
            }
        }
        map.end()
    }
}

/// Numbers by their names.
struct Numbers<const N: usize>([(&'static str, u64); N]);

impl<const N: usize> Serialize for Numbers<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

/// A group, as an object.
struct Members<'a>(&'a Group<'a>, RefCell<&'a mut Vec<u8>>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut buffer = self.1.borrow_mut();
        for (name, value) in self.0.iter() {
            field(&mut map, name, &value, &mut buffer)?;
        }
        map.end()
    }
}

/// The calls of a stack, innermost first.
struct Calls<'a>(&'a Stack<'a>);

impl Serialize for Calls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.calls().map(One))
    }
}

/// What is known of a call.
struct One<'a>(&'a Call);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Call { address, function, offset, file, file_offset, build_id, source, inlined } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(function) = function {
            map.serialize_entry("function", function)?;
            map.serialize_entry("offset", offset)?;
        }
        if *inlined {
            map.serialize_entry("inlined", &true)?;
        }
        for (name, text) in [("file", file), ("source", source), ("build_id", build_id)] {
            text.as_ref().map_or(Ok(()), |text| map.serialize_entry(name, text))?;
        }
        for (name, place) in [("file_offset", file_offset), ("address", address)] {
            place.map_or(Ok(()), |place| map.serialize_entry(name, &Shown(format_args!("{place:#x}"))))?;
        }
        map.end()
    }
}

/// Bytes in hex.
struct Digits<'a>(&'a [u8]);

impl Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is shown, as a string.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The strings of a list that is UTF-8 as a whole (which is quicker than to look at each).
struct Strings<'a>(&'a str);

impl Serialize for Strings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = if self.0.is_empty() { 0 } else { usize::MAX };
        serializer.collect_seq(self.0.strip_suffix('\0').unwrap_or(self.0).split('\0').take(count))
    }
}

/// The strings of a list, each in that form.
struct Items<'a, F>(&'a List<'a>, F);

impl<'a, T: Serialize, F: Fn(&'a [u8]) -> T> Serialize for Items<'a, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

/// The names of flags, then what has none, in hex.
struct Bits<'a>(&'a Flags);

impl Serialize for Bits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (names, rest) = self.0.named();
        let mut seq = serializer.serialize_seq(None)?;
        for name in names {
            seq.serialize_element(name)?;
        }
        if rest != 0 {
            seq.serialize_element(&Shown(format_args!("{rest:#x}")))?;
        }
        seq.end()
    }
}
