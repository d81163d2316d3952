//! `uprobe`: functions of programs and libraries that a user chose, with their arguments by name.

use crate::spec::parse::Grammar;
use crate::tracers::specs::kinds;
use crate::tracers::specs::subcommand::{Shown, spec_tracer};

/// The options of `uprobe` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Uprobe {
    /// What to probe: BINARY:FUNCTION[(ARGS)][ if CONDITION], as libc:malloc, 'libssl:SSL_write(num, buf:str)', ./program:0x1140,
    /// './program:file.c:42', './program:parse_*'
    #[arg(value_name = "SPEC", required_unless_present = "list")]
    specs: Vec<String>,
    #[command(flatten)]
    shown: Shown,
    /// List what can be probed in BINARY, or with -p in a process, and end; BINARY:GLOB: what matches
    #[arg(
        long,
        value_name = "BINARY",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with = "specs",
        help_heading = "Output"
    )]
    list: Option<String>,
}

spec_tracer!(
    Uprobe,
    "uprobe",
    kinds::UPROBE,
    Grammar::Uprobe,
    "Watch any function of a program or a library: arguments and results by name, from its debug information"
);
