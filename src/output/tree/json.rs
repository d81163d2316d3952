//! The whole tree as JSON: one object for each process, parents before their children.

use std::io::{self, Write};

use serde::ser::SerializeMap;

use super::forest::Forest;
use super::walk::{Item, walk};
use crate::output::clock::{Clock, Style};
use crate::output::json::Json;
use crate::output::lives::about;
use crate::output::processes::Process;

/// The `kind` of a process in a tree.
pub(in crate::output) const NODE: &str = "node";

pub(super) struct TreeJson {
    json: Json,
    clock: Clock,
    path: Vec<u8>,
}

impl Default for TreeJson {
    fn default() -> Self {
        TreeJson { json: Json::default(), clock: Clock::new(Style::Rfc3339, 9), path: Vec::new() }
    }
}

impl TreeJson {
    pub(super) fn tree(&mut self, out: &mut dyn Write, forest: &Forest) -> io::Result<()> {
        let chain = forest.longest_chain();
        let waited = chain.into_iter().collect::<std::collections::HashSet<u64>>();
        walk(forest, None, |place, item| match item {
            Item::One(process) => {
                self.node(out, forest, process, place.len().saturating_sub(1), waited.contains(&process.id))
            }
            Item::Folded(_) | Item::Hole(..) | Item::More(_) => Ok(()),
        })
    }

    fn node(
        &mut self,
        out: &mut dyn Write,
        forest: &Forest,
        process: &Process,
        depth: usize,
        waited: bool,
    ) -> io::Result<()> {
        let TreeJson { json, clock, path } = self;
        let parent = process.parent.filter(|parent| forest.get(*parent).is_some());
        json.object_of(NODE, process.last.unix_ns, |map| {
            map.serialize_entry("id", &process.id)?;
            map.serialize_entry("parent", &parent)?;
            map.serialize_entry("depth", &depth)?;
            map.serialize_entry("longest_chain", &waited)?;
            map.serialize_entry("more", &forest.more(process.id))?;
            map.serialize_entry("lived_ns", &process.lived_ns())?;
            map.serialize_entry("lived_longer", &process.lived_longer())?;
            about(map, process, clock, path)
        })?;
        json.write(out)
    }
}
