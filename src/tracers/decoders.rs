//! Finds the tracer that decodes a sample: the one with its kind.

use anyhow::{Result, bail};

use crate::event::Event;
use crate::event::decode::{Decode, kind};
use crate::ffi::counters::KINDS_MAX;
use crate::tracers::tracer::Tracer;

/// The decoders of a run, by kind.
pub struct Decoders<'t> {
    tracers: Vec<&'t dyn Tracer>,
    /// By kind, the tracer's index.
    by_kind: [Option<usize>; KINDS_MAX as usize],
}

impl<'t> Decoders<'t> {
    /// The decoders of these tracers.
    #[must_use]
    pub fn new(tracers: Vec<&'t dyn Tracer>) -> Self {
        let mut by_kind = [None; KINDS_MAX as usize];
        for (at, tracer) in tracers.iter().enumerate() {
            for kind in tracer.kinds() {
                if let Some(place) = by_kind.get_mut(kind.id as usize) {
                    *place = Some(at);
                }
            }
        }
        Decoders { tracers, by_kind }
    }
}

impl Decode for Decoders<'_> {
    fn decode<'a>(&'a self, sample: &'a [u8]) -> Result<Event<'a>> {
        let kind = kind(sample)?;
        match self.by_kind.get(kind as usize).copied().flatten().and_then(|at| self.tracers.get(at)) {
            Some(tracer) => tracer.decode(sample),
            None => bail!("an event of the unknown kind {kind}"),
        }
    }

    fn learn(&self, address: u64, offset: u64, name: &str) {
        self.tracers.iter().for_each(|tracer| tracer.learn(address, offset, name));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::load::kin;

    #[test]
    fn kinds_are_unique_across_tracers() {
        let (mut ids, mut names) = (HashMap::new(), HashMap::new());
        let all = crate::tracers::all();
        let kinds = all.iter().flat_map(|tracer| tracer.kinds()).chain([&kin::FOLLOW]);
        for kind in kinds {
            assert_eq!(ids.insert(kind.id, &kind.name), None, "two kinds are number {}", kind.id);
            assert_eq!(names.insert(&kind.name, kind.id), None, "two kinds are called {}", kind.name);
            assert!(kind.id < KINDS_MAX && kind.id != kin::FOLLOWED_ROW, "{} has no row in the ledger", kind.name);
        }
    }
}
