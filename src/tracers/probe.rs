//! `probe`: kernel functions and tracepoints that a user chose, with their arguments by name.
//!
//! Each spec becomes a tracer of its own (hit.rs), with a BPF object for each way to hook in (way.rs).

mod hit;
mod hooked;
mod in_binary;
mod list;
mod recorded;
mod totals;
pub(crate) mod user;
mod way;

use anyhow::{Context, Result, anyhow, ensure};
use libbpf_rs::OpenObject;

use self::hit::Hit;
use self::hooked::Hooked;
use self::way::Part;
use crate::error::Usage;
use crate::event::decode::Decode;
use crate::event::{Event, Field, Kind, Shape};
use crate::ffi::skeleton::{constants, skeleton};
use crate::flow::heartbeat::Beat;
use crate::load::plan::Plan;
use crate::load::session::Session;
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Column, Room, Table};
use crate::spec::ast::{How, Target};
use crate::spec::parse::{Grammar, parse};
use crate::tracers::{Info, Opening, Tracer, uprobe, usdt};

skeleton!(probe: probe_event, total_key, total);

/// The options of `probe` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Probe {
    /// What to probe: KIND:TARGET[(ARGS)][ if CONDITION], as fn:vfs_unlink, 'kprobe:do_exit(code)',
    /// 'fn:vfs_write(file, count) if count > 4k', tracepoint:sched:sched_switch, tp_btf:NAME, raw_tracepoint:NAME
    #[arg(value_name = "SPEC", required_unless_present = "list")]
    specs: Vec<String>,
    /// An event when a function is called and one when it returns, not one for both
    #[arg(long, conflicts_with_all = ["count_by", "sum", "hist"], help_heading = "Output")]
    entry: bool,
    /// What is added up in the kernel.
    #[command(flatten)]
    totals: totals::Options,
    /// Addresses, where structs that are known would be summed up
    #[arg(long, help_heading = "Output")]
    raw: bool,
    /// List what can be probed and end: functions and tracepoints whose names match, as 'vfs_*' or tp_btf:sched
    #[arg(long, value_name = "GLOB", num_args = 0..=1, default_missing_value = "*", conflicts_with = "specs", help_heading = "Output")]
    list: Option<String>,
}

/// The first number of the kinds that specs have.
const FIRST_KIND: u32 = 32;
/// The most specs of a run.
const SPECS_MAX: usize = 24;

pub(crate) const FIELDS: &[Field] = &[
    Field::new("func", Shape::Str, true, "the function or tracepoint"),
    Field::new("args", Shape::Group, true, "the values that were asked for, by their names; else all arguments"),
    Field::new("ret", Shape::Any, false, "what it returned; there where its return was waited for"),
    Field::new("duration", Shape::Span, false, "how long the call took; likewise"),
];

static KINDS: [Kind; 1] =
    [Kind::new(FIRST_KIND, "probe", "a function that was asked for was called, or a tracepoint was hit", FIELDS)];

/// What is so of all kinds of specs of that name.
fn generic(name: &str) -> Option<&'static Kind> {
    KINDS.iter().chain(uprobe::KINDS.iter()).chain(usdt::KINDS.iter()).find(|kind| kind.name == name)
}

/// The constants of programs that are loaded to see whether they can be.
pub(crate) fn configure_sample(session: &Session, object: &mut OpenObject) -> Result<()> {
    constants!(probe, session, object, |rodata| {
        rodata.probe_kind = FIRST_KIND;
    })
}

/// The tracer of a spec in a recording.
pub(crate) fn replayed(info: &'static Info, recorded: &serde_json::Value) -> Result<Box<dyn Tracer>> {
    Ok(Box::new(Hit::replayed(info, recorded)?))
}

impl Decode for Probe {
    fn decode<'a>(&'a self, _: &'a [u8]) -> Result<Event<'a>> {
        Err(anyhow!("an event of a spec that is not known"))
    }
}

/// The object of all tracers that are made of specs.
pub(crate) const EMBEDDED: Embedded = Embedded { name: "probe", object: OBJECT, proof };

/// What is so of it whatever the options are.
static INFO: Info = Info {
    embedded: EMBEDDED,
    about: "Watch any kernel function or tracepoint: arguments and results by name, from the kernel's types",
    layout: LAYOUT,
};

impl Source for Probe {
    fn embedded(&self) -> &'static Embedded {
        &INFO.embedded
    }

    /// On what every kernel has: for `check`, which is asked about no spec.
    fn plans(&self) -> Vec<Plan> {
        way::samples()
    }

    fn configure(&self, session: &Session, _: &Plan, object: &mut OpenObject) -> Result<()> {
        configure_sample(session, object)
    }
}

impl Tracer for Probe {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn kinds(&self) -> &[Kind] {
        &KINDS
    }

    fn takes_specs(&self) -> bool {
        true
    }

    fn adds_up(&self) -> bool {
        self.totals.are_given()
    }

    fn list(&self, opening: &Opening<'_>) -> Result<Option<Vec<String>>> {
        self.list.as_ref().map(|glob| list::list(glob, opening)).transpose()
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Option<Vec<Box<dyn Tracer>>>> {
        let mut all: Vec<Box<dyn Tracer>> = Vec::new();
        let asked = self.totals.asked()?;
        for text in &self.specs {
            let spec = match &asked {
                Some(asked) => asked.spec(text, Grammar::Probe)?,
                None => parse(text, Grammar::Probe).context(Usage)?,
            };
            let is_function = matches!(spec.target, Target::Function { .. } | Target::Syscall { .. });
            // Where a call is waited for to no end, its entry is enough.
            let at_entry = asked.is_some() && hooks_calls(&spec.target) && !totals::asks_for_return(&spec);
            let parts: &[Part] = match (self.entry && is_function, at_entry) {
                (true, _) => &[Part::Entry, Part::Call],
                (false, true) => &[Part::Entry],
                (false, false) => &[Part::Call],
            };
            let most = SPECS_MAX.saturating_sub(opening.specs) / parts.len();
            ensure!(most > 0, anyhow!("at most {SPECS_MAX} specs can be given").context(Usage));
            let label = hit::named(&spec.target);
            for hooked in Hooked::all(spec, opening, most)? {
                for part in parts {
                    let kind = FIRST_KIND + u32::try_from(opening.specs)?;
                    opening.specs += 1;
                    // Structs that are known are no values to add up by; their addresses are.
                    let mut hit = Hit::of_kernel(&hooked, kind, *part, self.raw || asked.is_some(), opening)?;
                    if let Some(asked) = &asked {
                        hit.add_up(asked, &label)?;
                    }
                    all.push(Box::new(hit));
                }
                opening.notes.extend(hooked.notes);
            }
        }
        Ok(Some(all))
    }

    fn replayed(&self, recorded: &serde_json::Value) -> Result<Option<Box<dyn Tracer>>> {
        replayed(&INFO, recorded).map(Some)
    }

    fn table(&self, room: Room) -> Table {
        table(room)
    }

    fn beat(&self, _: &Session) -> Option<Beat> {
        None
    }
}

/// Whether a target means calls, from their entry to their return.
fn hooks_calls(target: &Target) -> bool {
    matches!(target, Target::Function { how: How::Any, .. } | Target::Syscall { .. })
}

pub(crate) fn table(room: Room) -> Table {
    use Column::{Call, Comm, Gid, Pid, Ppid, Tid, Uid, User};
    match room {
        Room::Narrow | Room::Roomy => Table::plain(const { &[Pid, Tid, Comm, Call] }),
        Room::Wide => Table::detailed(const { &[Pid, Tid, Ppid, Uid, User, Gid, Comm, Call] }),
    }
}
