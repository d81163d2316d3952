//! One module a tracer: its options, its events, its decoder, its hooks.

pub mod decoders;
pub mod extra;
mod opening;
mod specs;
mod tracer;

pub use self::opening::Opening;
pub use self::tracer::{Info, Tracer};

use crate::load::kin::Kin;
use crate::load::source::Source;

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
