//! One module a tracer: its options, its events, its decoder, its hooks.

pub mod decoders;
pub mod extra;
mod opening;

pub use self::opening::Opening;

use anyhow::Result;

use crate::event::Kind;
use crate::event::decode::Decode;
use crate::flow::heartbeat::Beat;
use crate::host::Host;
use crate::load::kin::Kin;
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
    /// How its events look in text.
    fn table(&self, room: Room) -> Table {
        Table::general(room)
    }
    /// What it does for a heartbeat: something that passes this run's kinds and filters. None: nothing would.
    fn beat(&self, session: &Session) -> Option<Beat>;
    /// Whether a run may have it several times: it traces what it is told to.
    fn takes_specs(&self) -> bool {
        false
    }
    /// Whether its events are not sent, but added up in the kernel ([`Source::totals`]).
    fn adds_up(&self) -> bool {
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

/// All BPF objects in this program: the tracers', and the one that keeps the map of followed processes.
#[must_use]
pub fn sources() -> Vec<Box<dyn Source>> {
    let tracers = all().into_iter().map(|tracer| -> Box<dyn Source> { tracer });
    tracers.chain([Box::new(Kin) as Box<dyn Source>]).collect()
}

macro_rules! tracers {
    ($($module:ident::$tracer:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// A subcommand for each tracer.
        #[derive(Debug, clap::Subcommand)]
        pub enum Tracers {
            $(
                #[allow(missing_docs)]
                $tracer(crate::options::Trace<$module::$tracer>)
            ),+
        }

        impl Tracers {
            /// The tracer, and the options that all tracers share.
            #[must_use]
            pub fn parts(&self) -> (&dyn Tracer, &crate::options::Common) {
                match self { $(Tracers::$tracer(t) => (&t.tracer, &t.common)),+ }
            }
        }

        /// A tracer without the shared options: what `--with` takes.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Alone {
            $($tracer($module::$tracer)),+
        }

        impl Alone {
            /// The tracer.
            fn boxed(self) -> Box<dyn Tracer> {
                match self { $(Alone::$tracer(tracer) => Box::new(tracer)),+ }
            }
        }

        /// All tracers, with their default options: for replays, the schema and `check`.
        #[must_use]
        pub fn all() -> Vec<Box<dyn Tracer>> {
            vec![$(Box::new($module::$tracer::default())),+]
        }
    };
}

// The list: a new tracer is bpf/NAME.bpf.c, tracers/NAME.rs and one word here.
tracers! {
    proc::Proc,
    exec::Exec,
    opens::Open,
    conn::Conn,
    probe::Probe,
    uprobe::Uprobe,
    usdt::Usdt,
}
