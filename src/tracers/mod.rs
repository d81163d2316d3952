//! One module a tracer: its options, its events, its decoder, its hooks.

pub mod decoders;
pub mod extra;

use crate::event::Kind;
use crate::event::decode::Decode;
use crate::flow::heartbeat::Beat;
use crate::load::kin::Kin;
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Room, Table};

/// What is so of a tracer whatever its options are.
#[derive(Debug)]
pub struct Info {
    /// Of its BPF object, by the name of its subcommand.
    pub embedded: Embedded,
    /// What it is for, in a line: the help of its subcommand.
    pub about: &'static str,
    /// Hash of its event layouts.
    pub layout: u64,
}

/// What a tracer is to the rest of the program.
pub trait Tracer: Decode + Source {
    /// What is so of it whatever its options are.
    fn info(&self) -> &'static Info;
    /// All kinds of events that it knows.
    fn kinds(&self) -> &[Kind];
    /// The names of those that are wanted where `--events` does not say.
    fn default_kinds(&self) -> Vec<&str> {
        self.kinds().iter().map(|kind| &*kind.name).collect()
    }
    /// How its events look in text.
    fn table(&self, room: Room) -> Table {
        Table::general(room)
    }
    /// What it does for a heartbeat: something that this run's kinds and filters let through.
    fn beat(&self, session: &Session) -> Beat;
}

/// What fexit cannot see: the kernel takes calls that are under way past it when the programs on the function change
/// (kernel/bpf/trampoline.c: bpf_tramp_image_put).
pub(crate) const NOT_SEEN_BY_FEXIT: &str = "calls under way when another tracer joins or leaves the same function";

/// All BPF objects that are in this program: the tracers', and that which keeps the map of followed processes.
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
            /// The tracer, and the options that all of them share.
            #[must_use]
            pub fn parts(&self) -> (&dyn Tracer, &crate::options::Common) {
                match self { $(Tracers::$tracer(t) => (&t.tracer, &t.common)),+ }
            }
        }

        /// A tracer without the options that all of them share: what `--with` takes.
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
}
