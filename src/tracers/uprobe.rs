//! `uprobe`: functions of programs and libraries that a user chose, with their arguments by name.

use crate::spec::parse::Grammar;
use crate::tracers::probe::user::{Specs, user_tracer};

/// The options of `uprobe` alone.
#[derive(Debug, Default, clap::Args)]
pub struct Uprobe {
    /// What to probe: BINARY:FUNCTION[(ARGS)][ if CONDITION], as libc:malloc, 'libssl:SSL_write(num, buf:str)', ./program:0x1140,
    /// './program:file.c:42', './program:parse_*'
    #[arg(value_name = "SPEC", required_unless_present = "list")]
    specs: Vec<String>,
    #[command(flatten)]
    shared: Specs,
}

user_tracer!(
    Uprobe,
    "uprobe",
    33,
    Grammar::Uprobe,
    "a function of a program or a library was called",
    "Watch any function of a program or a library: arguments and results by name, from its debug information"
);
