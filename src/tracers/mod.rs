//! One module a tracer: its options, its events, its decoder, its hooks.

use anyhow::Result;

use crate::event::Kind;
use crate::event::decode::Decode;
use crate::flow::heartbeat::Beat;
use crate::load::plan::{Needed, Plan, Program};
use crate::load::session::{Attached, Session};
use crate::output::tables::{Room, Table};

/// What a tracer is to the rest of the program.
pub trait Tracer: Decode {
    /// Its subcommand's name.
    fn name(&self) -> &'static str;
    /// What it is for, in a line: the help of its subcommand.
    fn about(&self) -> &'static str;
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
    /// Hash of its event layouts.
    fn layout(&self) -> u64;
    /// Its BPF object, an ELF file.
    fn object(&self) -> &'static [u8];
    /// Its ways to hook in, the cheapest first.
    fn plans(&self) -> &'static [Plan];
    /// What it does for a heartbeat: something that this run's kinds and filters let through.
    fn beat<'a>(&'a self, session: &'a Session) -> Beat<'a>;
    /// Opens, configures, loads and attaches its programs, then calls `body` with them.
    ///
    /// # Errors
    /// When no hook could be used, with the causes; or the error of `body`.
    fn start(&self, session: &Session, body: &mut dyn FnMut(Attached<'_>) -> Result<()>) -> Result<()>;
}

/// The programs that keep the map of followed processes for a tracer whose own events are not forks and exits
/// (follow.bpf.h): with BTF-typed tracepoints …
pub(crate) const TRACK_BTF: [Program; 2] =
    [Program::new("track_fork_btf", Needed::ForOrForks(&[])), Program::new("track_exit_btf", Needed::ForOrEnds(&[]))];

/// … and with classic ones.
pub(crate) const TRACK_TP: [Program; 2] =
    [Program::new("track_fork_tp", Needed::ForOrForks(&[])), Program::new("track_exit_tp", Needed::ForOrEnds(&[]))];

/// What fexit cannot see: the kernel takes calls that are under way past it when the programs on the function change
/// (kernel/bpf/trampoline.c: bpf_tramp_image_put).
pub(crate) const EXIT_BLIND: &str = "calls under way when another tracer joins or leaves the same function";

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
