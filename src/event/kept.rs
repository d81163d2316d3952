//! Values that outlive their event: for views, which put several events together.

use super::ancestors::Ancestors;
use super::env::Env;
use super::path::Path;
use super::value::{List, Value};

/// A value that owns what it refers to.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It refers to nothing.
    Plain(Value<'static>),
    Str(Box<[u8]>),
    Cut(Box<[u8]>),
    List {
        bytes: Box<[u8]>,
        total: u64,
    },
    /// The variables that are shown; without a total: what differs.
    Env {
        bytes: Box<[u8]>,
        total: Option<u64>,
        truncated: bool,
    },
    Ancestors {
        bytes: Box<[u8]>,
        truncated: bool,
    },
    Path {
        names: Box<[u8]>,
        called: Box<[u8]>,
        /// All else.
        rest: Path<'static>,
    },
}

impl Kept {
    /// Keeps a value, of what may be long at most so many bytes (what is missing can be seen then). None: it refers to more than its
    /// bytes, to types or symbols.
    #[must_use]
    pub fn new(value: &Value<'_>, list_max: usize) -> Option<Self> {
        Some(Kept::Plain(match *value {
            Value::Str(bytes) => return Some(Kept::Str(bytes.into())),
            Value::Cut(bytes) => return Some(Kept::Cut(bytes.into())),
            Value::List(List { bytes, total }) => {
                return Some(Kept::List { bytes: bytes.get(..list_max).unwrap_or(bytes).into(), total });
            }
            Value::Path(path) => return Some(Kept::path(&path)),
            Value::Env(env) | Value::EnvDiff(env) => return Some(Kept::env(&env, list_max)),
            Value::Ancestors(Ancestors { bytes, truncated }) => {
                // Whole ones.
                let most = list_max - list_max % Ancestors::SIZE;
                let kept = bytes.get(..most).unwrap_or(bytes);
                return Some(Kept::Ancestors { bytes: kept.into(), truncated: truncated || kept.len() < bytes.len() });
            }
            Value::Name(_) | Value::Symbol { .. } | Value::Bytes(_) | Value::Group(_) | Value::Stack(_) => return None,
            Value::Uint(n) => Value::Uint(n),
            Value::Pid(n) => Value::Pid(n),
            Value::Code(n) => Value::Code(n),
            Value::Signal(n) => Value::Signal(n),
            Value::Ret(n) => Value::Ret(n),
            Value::Mode(n) => Value::Mode(n),
            Value::Bool(yes) => Value::Bool(yes),
            Value::Size(n) => Value::Size(n),
            Value::Span(n) => Value::Span(n),
            Value::Flags(flags) => Value::Flags(flags),
            Value::Int(n) => Value::Int(n),
            Value::Hex(n) => Value::Hex(n),
            Value::Float(n) => Value::Float(n),
            Value::Address(n) => Value::Address(n),
            Value::Device(n) => Value::Device(n),
            Value::Ipv4(address) => Value::Ipv4(address),
            Value::Ipv6(address) => Value::Ipv6(address),
            Value::Endpoint(end) => Value::Endpoint(end),
            Value::Nat(nat) => Value::Nat(nat),
            Value::Traffic(traffic) => Value::Traffic(traffic),
            Value::Icmp(icmp) => Value::Icmp(icmp),
            Value::Null => Value::Null,
            Value::BehindNull => Value::BehindNull,
            Value::Unreadable(shape) => Value::Unreadable(shape),
        }))
    }

    fn path(path: &Path<'_>) -> Self {
        let Path { names, called, deleted, truncated, end_truncated, outside, as_it_is } = *path;
        let rest = Path { names: &[], called: &[], deleted, truncated, end_truncated, outside, as_it_is };
        Kept::Path { names: names.into(), called: called.into(), rest }
    }

    fn env(env: &Env<'_>, most: usize) -> Self {
        let mut bytes = env.to_bytes();
        let truncated = env.truncated || bytes.len() > most;
        bytes.truncate(most);
        Kept::Env { bytes: bytes.into(), total: env.total, truncated }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Kept::Plain(value) => *value,
            Kept::Str(bytes) => Value::Str(bytes),
            Kept::Cut(bytes) => Value::Cut(bytes),
            Kept::List { bytes, total } => Value::List(List { bytes, total: *total }),
            Kept::Env { bytes, total: Some(total), truncated } => Value::Env(Env::all(bytes, *total, *truncated)),
            Kept::Env { bytes, total: None, truncated } => Value::EnvDiff(Env::changes(bytes, *truncated)),
            Kept::Ancestors { bytes, truncated } => Value::Ancestors(Ancestors { bytes, truncated: *truncated }),
            Kept::Path { names, called, rest } => Value::Path(Path { names, called, ..*rest }),
        }
    }

    /// How many bytes it takes beside itself.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Kept::Plain(_) => 0,
            Kept::Str(bytes) | Kept::Cut(bytes) | Kept::List { bytes, .. } => bytes.len(),
            Kept::Env { bytes, .. } | Kept::Ancestors { bytes, .. } => bytes.len(),
            Kept::Path { names, called, .. } => names.len() + called.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Shape;

    #[test]
    fn what_is_kept_is_what_it_was() {
        let path = Path { names: b"ls\0bin\0", called: b"x", deleted: true, truncated: true, ..Path::default() };
        let list = List { bytes: b"ls\0-l\0", total: 99 };
        for value in [
            Value::Uint(7),
            Value::Span(7),
            Value::Signal(9),
            Value::Str(b"\xff"),
            Value::Cut(b"a"),
            Value::List(list),
            Value::Path(path),
            Value::Env(Env::all(b"A=1\0", 4, false)),
            Value::EnvDiff(Env::changes(b"+A=1\0", true)),
            Value::Ancestors(Ancestors { bytes: &[1; 40], truncated: false }),
            Value::Unreadable(Shape::List),
        ] {
            assert_eq!(Kept::new(&value, 1000).unwrap().value(), value);
        }
        assert_eq!(Kept::new(&Value::Name("A"), 1000), None);
    }

    #[test]
    fn a_list_that_is_cut_says_so() {
        let whole = Value::List(List { bytes: b"abc\0def\0", total: 8 });
        let cut = Kept::new(&whole, 5).unwrap();
        assert_eq!((cut.size(), cut.value()), (5, Value::List(List { bytes: b"abc\0d", total: 8 })));
        let above = Kept::new(&Value::Ancestors(Ancestors { bytes: &[1; 60], truncated: false }), 50).unwrap();
        let whole_ones = Value::Ancestors(Ancestors { bytes: &[1; 40], truncated: true });
        assert_eq!((above.size(), above.value()), (40, whole_ones));
        let env = Kept::new(&Value::Env(Env::all(b"A=1\0B=2\0", 8, false)), 7).unwrap();
        assert_eq!((env.size(), env.value()), (7, Value::Env(Env::all(b"A=1\0B=2", 8, true))));
    }
}
