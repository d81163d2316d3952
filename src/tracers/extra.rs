//! `--with TRACER`: a tracer in addition to the subcommand's, with its own options.

use anyhow::{Context, Result, anyhow};
use clap::{Command, FromArgMatches, Subcommand};

use crate::error::Usage;
use crate::tracers::Alone;
use crate::tracers::tracer::Tracer;

/// The tracers that `--with` adds to the first one.
///
/// # Errors
/// As [`extra`], and when one is named twice.
pub fn extras(beside: &dyn Tracer, all: &[String]) -> Result<Vec<Box<dyn Tracer>>> {
    let mut extras: Vec<Box<dyn Tracer>> = Vec::new();
    for words in all {
        let tracer = extra(words)?;
        let name = tracer.name();
        if !tracer.takes_specs() && (name == beside.name() || extras.iter().any(|there| there.name() == name)) {
            return Err(anyhow!("--with '{words}': {name} is part of this run already").context(Usage));
        }
        extras.push(tracer);
    }
    Ok(extras)
}

/// The tracer that these words name, split as a shell would.
///
/// # Errors
/// When they cannot be split, or name an unknown tracer or option.
pub fn extra(words: &str) -> Result<Box<dyn Tracer>> {
    let failed = |why: String| anyhow!("--with '{words}': {why}").context(Usage);
    let split = shlex::split(words).ok_or_else(|| failed("a quote is not closed".to_owned()))?;
    let grammar = Alone::augment_subcommands(
        Command::new("--with").no_binary_name(true).subcommand_required(true).disable_help_subcommand(true),
    );
    let matches = grammar.try_get_matches_from(split).map_err(|error| failed(first_line(&error)))?;
    Ok(Alone::from_arg_matches(&matches).context(Usage)?.boxed())
}

/// clap's message, without its advice, which is about whole command lines.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_has_its_own_options_quoted_as_in_a_shell() {
        assert_eq!(extra("exec -x").unwrap().name(), "exec");
        assert_eq!(extra("open --flags 'O_CREAT'").unwrap().name(), "open");
        assert_eq!(extra("probe 'fn:vfs_unlink if ret < 0'").unwrap().name(), "probe");
        for (bad, why) in [
            ("", "requires a subcommand"),
            ("nothing", "unrecognized subcommand"),
            ("exec --path x", "unexpected argument"),
            ("open --flags 'O_CREAT", "a quote is not closed"),
        ] {
            let error = extra(bad).err().map(|error| format!("{error:#}")).unwrap();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
