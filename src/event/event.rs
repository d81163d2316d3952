//! One event.

use arrayvec::ArrayVec;

use super::head::Head;
use super::kind::{Kind, MAX_FIELDS};
use super::names::Names;
use super::stack::Taken;
use super::value::{List, Value};

/// One event: its kind, its head, and the values of its fields in the order of the kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: &'a Kind,
    /// Who did it, where and when.
    pub head: Head,
    /// Names for its numbers, where they are asked for.
    pub names: Option<Names<'a>>,
    /// What the map of labels (--labels) says of who did it; empty where it says nothing.
    pub label: &'a [u8],
    /// The stacks that were taken, before it is known what is in them.
    pub taken: Option<Taken<'a>>,
    /// With what a program was started, where that is compared.
    pub environment: Option<Environment<'a>>,
    /// The rest, in column order.
    pub fields: ArrayVec<(&'a str, Value<'a>), MAX_FIELDS>,
}

/// With what a program was started: see [`crate::flow::enrich::Environs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment<'a> {
    /// None: it could not be read.
    pub list: Option<List<'a>>,
    /// Stands for the program that runs now, in this process and in those that it forks.
    pub program: u64,
    /// The same for the program of its parent.
    pub parents_program: u64,
    /// Which process started that: the parent, or the one above of which it is a fork.
    pub parents_pid: u32,
}

impl<'a> Event<'a> {
    /// An event without fields.
    #[must_use]
    pub fn new(kind: &'a Kind, head: Head) -> Self {
        Event { kind, head, names: None, label: &[], taken: None, environment: None, fields: ArrayVec::new() }
    }

    /// Adds a field, which the kind has declared. (It thereby fits: the kind has no more than fit.)
    pub fn push(&mut self, name: &'a str, value: Value<'a>) {
        let pushed = self.fields.try_push((name, value));
        debug_assert!(pushed.is_ok(), "{} has more fields than it declares", self.kind.name);
    }

    /// Calls `each` with each address of the kernel that is shown by a name, how far that is behind the symbol's
    /// beginning, and the symbol's name.
    pub fn each_symbol(&self, each: &mut dyn FnMut(u64, u64, &str)) {
        self.fields.iter().for_each(|(_, value)| symbols_of(value, each));
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

fn symbols_of(value: &Value<'_>, each: &mut dyn FnMut(u64, u64, &str)) {
    match value {
        Value::Symbol { address, name, offset } => each(*address, *offset, name),
        Value::Group(group) if group.has_symbols() => group.iter().for_each(|(_, part)| symbols_of(&part, each)),
        _ => {}
    }
}
