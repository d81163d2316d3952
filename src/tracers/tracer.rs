//! What each tracer is to the rest of the program.

use anyhow::Result;

use super::opening::Opening;
use crate::event::Kind;
use crate::event::decode::Decode;
use crate::flow::heartbeat::Beat;
use crate::host::Host;
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Room, Table};

/// What does not depend on a tracer's options.
#[derive(Debug)]
pub struct Info {
    /// Its BPF object; the name is that of the subcommand.
    pub embedded: Embedded,
    /// One line on what it is for: the help of its subcommand.
    pub about: &'static str,
    /// Hash of its event layouts.
    pub layout: u64,
}

/// A tracer, as the rest of the program sees it.
pub trait Tracer: Decode + Source {
    /// What does not depend on its options.
    fn info(&self) -> &'static Info;
    /// All kinds of events that it knows.
    fn kinds(&self) -> &[Kind];
    /// The kinds that are shown without `--events`.
    fn default_kinds(&self) -> Vec<&str> {
        self.kinds().iter().map(|kind| &*kind.name).collect()
    }
    /// The options of it that were given and do nothing but add a field to events, and which.
    fn added(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
    /// How its events look in text.
    fn table(&self, room: Room) -> Table {
        Table::general(room)
    }
    /// What it does for a heartbeat: something that passes this run's kinds and filters. None: nothing would.
    fn beat(&self, session: &Session) -> Option<Beat>;
    /// Whether a run may have it several times: it traces what its options say.
    fn takes_specs(&self) -> bool {
        false
    }
    /// Whether its events are not sent, but added up in the kernel ([`Source::totals`]).
    fn aggregates(&self) -> bool {
        false
    }
    /// What the kernel lacks as yet, so that there is nothing to trace: the run waits until that comes.
    ///
    /// # Errors
    /// When the options say that it must be there.
    fn awaits(&self, _: &Host) -> Result<Option<String>> {
        Ok(None)
    }
    /// The tracers that it becomes on this host, where its options say what it traces: one for each spec.
    ///
    /// # Errors
    /// When what they name is not there.
    fn open(&self, _: &mut Opening<'_>) -> Result<Option<Vec<Box<dyn Tracer>>>> {
        Ok(None)
    }
    /// What it could trace, one on each line, where its options ask for that alone.
    ///
    /// # Errors
    /// When it is not known.
    fn list(&self, _: &Opening<'_>) -> Result<Option<Vec<String>>> {
        Ok(None)
    }
    /// What a recording has to have, so that its events can be read: see [`Tracer::replayed`].
    fn recorded(&self) -> Option<serde_json::Value> {
        None
    }
    /// The tracer that reads the events of a recording with this in its header.
    ///
    /// # Errors
    /// When it is damaged.
    fn replayed(&self, _: &serde_json::Value) -> Result<Option<Box<dyn Tracer>>> {
        Ok(None)
    }
}

/// What fexit cannot see: when the programs on the function change, calls under way bypass them
/// (kernel/bpf/trampoline.c: bpf_tramp_image_put).
pub(crate) const NOT_SEEN_BY_FEXIT: &str = "calls under way when another tracer joins or leaves the same function";
