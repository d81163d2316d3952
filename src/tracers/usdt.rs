//! `usdt`: static probes of programs and libraries, with their arguments.

use crate::spec::parse::Grammar;
use crate::tracers::specs::kinds;
use crate::tracers::specs::subcommand::{Shown, spec_tracer};

/// The options of `usdt` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Usdt {
    /// What to probe: BINARY:PROVIDER:NAME[(ARGS)][ if CONDITION], as libc:libc:setjmp, 'python3:python:function__entry(file:str, name:str)'
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
    Usdt,
    "usdt",
    kinds::USDT,
    Grammar::Usdt,
    "Watch static probes (USDT) of programs and libraries, with their arguments"
);
