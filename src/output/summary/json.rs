//! A summary as JSON: an object for each row.

use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};

use super::amounts::{Amount, Amounts, Of, Rows};
use super::key::Key;
use super::spread::Spread;
use crate::output::json::Json;

/// The `kind` of a row.
pub(in crate::output) const SUMMARY: &str = "summary";

#[derive(Default)]
pub(super) struct SummaryJson {
    json: Json,
}

impl SummaryJson {
    pub(super) fn summary(&mut self, out: &mut dyn Write, amounts: &Amounts, now: i64) -> io::Result<()> {
        let by = amounts.by.name();
        let count = |amount: &Amount| amount.count;
        self.rows(out, Of::Process, Some(by), &amounts.processes, |amount| amount.duration.sum, now)?;
        self.rows(out, Of::Path, None, &amounts.paths, count, now)?;
        self.rows(out, Of::Directory, None, &amounts.directories, count, now)?;
        self.rows(out, Of::Error, None, &amounts.errors, count, now)?;
        self.rows(out, Of::Call, None, &amounts.calls, count, now)
    }

    fn rows(
        &mut self,
        out: &mut dyn Write,
        of: Of,
        by: Option<&str>,
        rows: &Rows,
        most: impl Fn(&Amount) -> u64,
        now: i64,
    ) -> io::Result<()> {
        rows.sorted(most).into_iter().try_for_each(|(key, amount)| {
            self.json.object_of(SUMMARY, now, |map| row(map, of, by, key, amount))?;
            self.json.write(out)
        })
    }
}

fn row<M: SerializeMap>(map: &mut M, of: Of, by: Option<&str>, key: &Key, amount: &Amount) -> Result<(), M::Error> {
    map.serialize_entry("of", of.name())?;
    match by {
        Some(by) => map.serialize_entry("by", by)?,
        None => map.serialize_entry("event", &key.event)?,
    }
    key.members(map)?;
    map.serialize_entry("count", &amount.count)?;
    map.serialize_entry("failed", &amount.failed)?;
    match of {
        Of::Process => {
            map.serialize_entry("lifetime_ns", &Numbers(&amount.duration))?;
            map.serialize_entry("cpu_ns", &Numbers(&amount.cpu))?;
            map.serialize_entry("max_rss_bytes", &Numbers(&amount.rss))
        }
        Of::Call => map.serialize_entry("duration_ns", &Numbers(&amount.duration)),
        Of::Path | Of::Directory | Of::Error => Ok(()),
    }
}

struct Numbers<'a>(&'a Spread);

impl serde::ser::Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Numbers(spread) = self;
        let known = (spread.count > 0).then_some(spread);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("known", &spread.count)?;
        map.serialize_entry("sum", &known.map(|spread| spread.sum))?;
        map.serialize_entry("mean", &spread.mean())?;
        map.serialize_entry("p95", &spread.p95())?;
        map.serialize_entry("max", &known.map(|spread| spread.max))?;
        map.end()
    }
}
