//! `probe`: kernel functions and tracepoints that a user chose, with their arguments by name.

use crate::spec::parse::Grammar;
use crate::tracers::specs::kinds;
use crate::tracers::specs::subcommand::{Shown, spec_tracer};

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
    kinds::PROBE,
    Grammar::Probe,
    "Watch any kernel function or tracepoint: arguments and results by name, from the kernel's types"
);
