//! Environments as members of a JSON object.

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::text::{Base64, Key, Readable, bytes};
use crate::event::{Ancestor, Ancestors, Change, Env, Variable};

/// Adds variables: an object of their values.
pub(super) fn env<M: SerializeMap>(map: &mut M, name: &str, env: &Env<'_>) -> Result<(), M::Error> {
    map.serialize_entry(name, &Values(env, None))?;
    if env.iter().any(|variable| !variable.is_utf8()) {
        map.serialize_entry(&Key(name, "_b64"), &InBase64(env))?;
    }
    map.serialize_entry(&Key(name, "_bytes"), &env.total)?;
    truncated(map, name, env.truncated)
}

/// Adds what differs: an object of each kind of change.
pub(super) fn changes<M: SerializeMap>(map: &mut M, name: &str, env: &Env<'_>) -> Result<(), M::Error> {
    map.serialize_entry(name, &Changes(env))?;
    truncated(map, name, env.truncated)
}

fn truncated<M: SerializeMap>(map: &mut M, name: &str, truncated: bool) -> Result<(), M::Error> {
    if truncated { map.serialize_entry(&Key(name, "_truncated"), &true) } else { Ok(()) }
}

/// The first of each name, as getenv(3) takes it: members of an object are unique.
fn firsts<'a>(env: &Env<'a>) -> impl Iterator<Item = Variable<'a>> + use<'a> {
    let mut seen = HashSet::new();
    env.iter().filter(move |variable| seen.insert(variable.name))
}

/// The values by their names; of changes, those of that kind.
struct Values<'a>(&'a Env<'a>, Option<Change>);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = firsts(self.0).filter(|variable| self.1.is_none_or(|change| variable.change == Some(change)));
        serializer.collect_map(all.map(|variable| (Readable(variable.name), Readable(variable.value))))
    }
}

/// All bytes of the values.
struct InBase64<'a>(&'a Env<'a>);

impl Serialize for InBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = firsts(self.0);
        serializer.collect_map(all.map(|variable| (Readable(variable.name), Base64(variable.value))))
    }
}

struct Changes<'a>(&'a Env<'a>);

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Change::ALL.map(|change| (change.name(), Values(self.0, Some(change)))))
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
