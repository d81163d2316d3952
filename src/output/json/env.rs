//! Environments as members of a JSON object.

use std::borrow::Cow;
use std::collections::HashSet;

use arrayvec::ArrayVec;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::text::{Base64, Key, Readable, bytes};
use crate::event::{Ancestor, Ancestors, Change, Env, Variable};

/// Adds variables: an object of their values, and all bytes of those that it does not have as they are.
pub(super) fn env<M: SerializeMap>(map: &mut M, name: &str, env: &Env<'_>) -> Result<(), M::Error> {
    map.serialize_entry(name, &Values(env, None))?;
    if env.iter().any(|variable| is_odd(&variable)) {
        map.serialize_entry(&Key(name, "_b64"), &Whole(env, None))?;
    }
    map.serialize_entry(&Key(name, "_bytes"), &env.total)?;
    truncated(map, name, env.truncated)
}

/// Adds what differs: an object of each kind of change.
pub(super) fn changes<M: SerializeMap>(map: &mut M, name: &str, env: &Env<'_>) -> Result<(), M::Error> {
    map.serialize_entry(name, &Changes(|change| Values(env, Some(change))))?;
    if env.iter().any(|variable| is_odd(&variable)) {
        map.serialize_entry(&Key(name, "_b64"), &Changes(|change| Whole(env, Some(change))))?;
    }
    truncated(map, name, env.truncated)
}

fn truncated<M: SerializeMap>(map: &mut M, name: &str, truncated: bool) -> Result<(), M::Error> {
    if truncated { map.serialize_entry(&Key(name, "_truncated"), &true) } else { Ok(()) }
}

/// Whether the readable form of a variable is not all of it, or may be that of another one's name, too.
fn is_odd(variable: &Variable<'_>) -> bool {
    let name = str::from_utf8(variable.name);
    name.map_or(true, |name| name.contains(char::REPLACEMENT_CHARACTER)) || str::from_utf8(variable.value).is_err()
}

/// All variables; of changes, those of that kind.
fn of<'a>(env: &Env<'a>, change: Option<Change>) -> impl Iterator<Item = Variable<'a>> + use<'a> {
    env.iter().filter(move |variable| change.is_none_or(|change| variable.change == Some(change)))
}

/// The characters of a name's readable form.
fn readable(name: &[u8]) -> impl Iterator<Item = char> {
    name.utf8_chunks().flat_map(|chunk| {
        let odd = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(odd)
    })
}

/// Names that were seen, by their readable form.
#[derive(Default)]
struct Seen<'a> {
    /// As many as most environments have are compared one by one: no memory is taken for them.
    few: ArrayVec<&'a [u8], 64>,
    more: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Whether it is a new one.
    fn insert(&mut self, name: &'a [u8]) -> bool {
        !self.few.iter().any(|seen| readable(seen).eq(readable(name)))
            && (self.few.try_push(name).is_ok() || self.more.insert(String::from_utf8_lossy(name)))
    }
}

/// The values by their names. Members of an object are unique: of those of one name the first, as getenv(3) takes it.
struct Values<'a>(&'a Env<'a>, Option<Change>);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = Seen::default();
        let firsts = of(self.0, self.1).filter(|variable| seen.insert(variable.name));
        serializer.collect_map(firsts.map(|variable| (Readable(variable.name), Readable(variable.value))))
    }
}

/// All bytes of each variable that is not readable.
struct Whole<'a>(&'a Env<'a>, Option<Change>);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let odd = of(self.0, self.1).filter(is_odd);
        serializer.collect_seq(odd.map(|variable| Base64(variable.whole)))
    }
}

/// What there is of each kind of change.
struct Changes<F>(F);

impl<T: Serialize, F: Fn(Change) -> T> Serialize for Changes<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Change::ALL.map(|change| (change.name(), (self.0)(change))))
    }
}

/// Adds the processes above one: an array, the nearest first.
pub(super) fn ancestors<M: SerializeMap>(map: &mut M, name: &str, all: &Ancestors<'_>) -> Result<(), M::Error> {
    map.serialize_entry(name, &Above(all))?;
    truncated(map, name, all.truncated)
}

struct Above<'a>(&'a Ancestors<'a>);

impl Serialize for Above<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(One))
    }
}

struct One<'a>(Ancestor<'a>);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pid", &self.0.pid)?;
        bytes(&mut map, "comm", self.0.comm)?;
        map.end()
    }
}
