//! The names of the tracers, as arguments of subcommands.

use clap::builder::PossibleValuesParser;

/// The names of the tracers.
pub(crate) fn commands() -> PossibleValuesParser {
    crate::tracers::all().iter().map(|tracer| tracer.name()).collect::<Vec<_>>().into()
}
