//! `probe`: kernel functions and tracepoints that a user chose, with their arguments by name.
//!
//! Each spec becomes a tracer of its own (hit.rs), with a BPF object for each way to hook in (way.rs). `uprobe` and `usdt` are
//! made of the same parts (specs.rs).

mod hit;
mod hooked;
mod in_binary;
mod in_kernel;
mod list;
mod recorded;
pub(crate) mod specs;
mod stacks;
mod totals;
mod user;
mod way;

use self::specs::{Shown, spec_tracer};
use crate::event::{Field, Kind, Shape};
use crate::ffi::skeleton::skeleton;
use crate::load::source::Embedded;
use crate::output::tables::{Column, Room, Table};
use crate::spec::parse::Grammar;
use crate::tracers::{uprobe, usdt};

skeleton!(probe: probe_event, hit_stack, total_key, total);

/// The options of `probe` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Probe {
    /// What to probe: KIND:TARGET[(ARGS)][ if CONDITION], as fn:vfs_unlink, 'kprobe:do_exit(code)',
    /// 'fn:vfs_write(file, count) if count > 4k', tracepoint:sched:sched_switch, tp_btf:NAME, raw_tracepoint:NAME
    #[arg(value_name = "SPEC", required_unless_present = "list")]
    specs: Vec<String>,
    #[command(flatten)]
    shown: Shown,
    /// List what can be probed and end: functions and tracepoints whose names match, as 'vfs_*' or tp_btf:sched
    #[arg(
        long,
        value_name = "GLOB",
        num_args = 0..=1,
        default_missing_value = "*",
        conflicts_with = "specs",
        help_heading = "Output"
    )]
    list: Option<String>,
}

spec_tracer!(
    Probe,
    "probe",
    FIRST_KIND,
    Grammar::Probe,
    "a function that was asked for was called, or a tracepoint was hit",
    "Watch any kernel function or tracepoint: arguments and results by name, from the kernel's types"
);

/// The first number of the kinds that specs have.
const FIRST_KIND: u32 = 32;
/// The most specs of a run.
const SPECS_MAX: usize = 24;

pub(crate) const FIELDS: &[Field] = &[
    Field::new("func", Shape::Str, true, "the function or tracepoint"),
    Field::new("args", Shape::Group, true, "the values that were asked for, by their names; else all arguments"),
    Field::new("ret", Shape::Any, false, "what it returned; there where its return was waited for"),
    Field::new("duration", Shape::Span, false, "how long the call took; likewise"),
    Field::new("kernel_stack", Shape::Stack, false, "the kernel's calls that led there (--stack)"),
    Field::new("user_stack", Shape::Stack, false, "the program's calls that led there (--stack)"),
];

/// What is so of all kinds of specs of that name.
fn generic(name: &str) -> Option<&'static Kind> {
    KINDS.iter().chain(uprobe::KINDS.iter()).chain(usdt::KINDS.iter()).find(|kind| kind.name == name)
}

/// The object of all tracers that are made of specs.
pub(crate) const EMBEDDED: Embedded = Embedded { name: "probe", object: OBJECT, proof };

pub(crate) fn table(room: Room) -> Table {
    use Column::{Call, Comm, Gid, Pid, Ppid, Tid, Uid, User};
    match room {
        Room::Narrow | Room::Roomy => Table::plain(const { &[Pid, Tid, Comm, Call] }),
        Room::Wide => Table::detailed(const { &[Pid, Tid, Ppid, Uid, User, Gid, Comm, Call] }),
    }
}
