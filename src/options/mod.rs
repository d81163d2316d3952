//! Groups of options that subcommands share.

mod filters;
mod kernel;
mod labels;
mod output;
mod run;

pub use filters::Filters;
pub use kernel::{Attach, Hooking, Kernel, Side};
pub use labels::Labelling;
pub use output::Output;
pub use run::Limits;

use std::ffi::{OsStr, OsString};

use clap::Args;

/// A tracer and the options that all of them have.
#[derive(Debug, Args)]
pub struct Trace<T: Args> {
    /// The tracer's own.
    #[command(flatten)]
    pub tracer: T,
    /// Those of all.
    #[command(flatten)]
    pub common: Common,
}

/// What every tracer takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// How they are printed.
    #[command(flatten)]
    pub output: Output,
    /// How they are labelled.
    #[command(flatten)]
    pub labels: Labelling,
    /// How long.
    #[command(flatten)]
    pub limits: Limits,
    /// How they come from the kernel.
    #[command(flatten)]
    pub kernel: Kernel,
    /// Also trace this in the same run: a tracer with its own options, quoted as for a shell, for example 'open' or
    /// 'exec -x' (repeatable)
    #[arg(long, value_name = "TRACER", help_heading = "Filters")]
    pub with: Vec<String>,
    /// Run CMD and show only it and what descends from it; events go to stderr unless -O says where
    #[arg(last = true, value_name = "CMD", conflicts_with = "pid", help_heading = "Arguments")]
    pub command: Vec<OsString>,
}

/// An environment variable, if it is set to something.
#[must_use]
pub fn variable(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
