//! The command line: what all tracers share. One letter means one thing in every subcommand.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::commands::btf::Btf;
use crate::commands::check::Check;
use crate::commands::completions::Shell;
use crate::commands::label::Label;
use crate::commands::relocs::Relocs;
use crate::commands::replay::Replay;
use crate::escape::{clean, is_visible};
use crate::host::elevated;
use crate::options::variable;
use crate::tracers::Tracers;

const AFTER_HELP: &str = "\
Examples:
  sudo coretrace proc                        every program that starts, every fork, every exit
  sudo coretrace proc -- make -j8            only that command and what it starts
  sudo coretrace proc -p 1234 --follow       a running process and all its descendants
  sudo coretrace proc -n 'nginx*' -o json    as JSON, one object a line
  sudo coretrace exec -x                     programs that could not be started, and why
  sudo coretrace open --path /etc            who opens what below /etc
  sudo coretrace proc --with open -- make    programs and files, in one ordered stream
  coretrace check                            what this host offers, and what is missing
  coretrace check open --btf kernels/        whether it will run on other kernels, by their types
  coretrace check --kernel linux-image.deb   the same of a kernel as it is shipped
  coretrace btf embed OUT btfs/              a copy of this program for kernels without types
  coretrace relocs --diff a.btf b.btf        what differs between two kernels
  coretrace btf show task_struct.pid         where the kernel has it: types in C, with offsets

Exit status: 0 the end (also by Ctrl-C, -d, --count, a closed pipe), 1 an error, 2 wrong usage,
3 events were lost under --strict; with -- CMD: CMD's own.";

/// What `--version` says: also what it is built from.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    coretrace_version::commit!(),
    ", libbpf ",
    env!("CORETRACE_LIBBPF"),
    ", ",
    env!("CORETRACE_ARCH"),
    ")"
);

/// See what happens on this host: one static binary, on every kernel from 5.10.
#[derive(Debug, Parser)]
#[command(name = "coretrace", version = VERSION, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line's grammar; each tracer brings its own description.
    #[must_use]
    pub fn grammar() -> clap::Command {
        let tracers = crate::tracers::all();
        tracers.iter().fold(Cli::command(), |grammar, tracer| {
            grammar.mut_subcommand(tracer.name(), |command| command.about(tracer.info().about).long_about(None))
        })
    }

    /// The same, with empty environment variables treated as unset.
    fn grammar_here() -> clap::Command {
        fn without_empty(command: clap::Command) -> clap::Command {
            let forget_empty = |arg: clap::Arg| match arg.get_env().map(variable) {
                Some(None) => arg.env(None::<&str>),
                _ => arg,
            };
            command.mut_args(forget_empty).mut_subcommands(without_empty)
        }
        without_empty(Self::grammar())
    }

    /// Parses the command line; exits if it is wrong, or help was asked for.
    #[must_use]
    pub fn read(args: Vec<OsString>) -> Self {
        let mut grammar = Self::grammar_here();
        // An empty pattern, as from an unset variable, must not watch the whole host.
        let ends_with_dashes = args.last().is_some_and(|last| last == "--");
        let harmless = args.iter().all(|arg| arg.to_str().is_some_and(|arg| arg.chars().all(is_visible)));
        let matches = grammar.clone().try_get_matches_from(args).unwrap_or_else(|error| {
            if harmless || !error.use_stderr() {
                error.exit();
            }
            // The message quotes what was typed, which may come from anywhere.
            let _ = io::stderr().write_all(clean(&error.render().to_string()).as_bytes());
            std::process::exit(error.exit_code())
        });
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Command::Trace(tracer) = &cli.command
            && tracer.parts().1.command.is_empty()
            && ends_with_dashes
        {
            grammar.error(ErrorKind::MissingRequiredArgument, "no CMD follows --").exit();
        }
        cli
    }
}

impl Cli {
    /// Runs the command; returns the exit code.
    ///
    /// # Errors
    /// When it fails; see [`crate::describe`].
    pub fn run(&self) -> Result<u8> {
        if !self.command.needs_rights() {
            // Otherwise file capabilities would open files of others (cap_dac_read_search).
            elevated::give_up()?;
        }
        crate::ffi::signals::prepare();
        match &self.command {
            Command::Trace(tracer) => {
                let (tracer, common) = tracer.parts();
                commands::trace::trace(tracer, common)
            }
            Command::Replay(options) => commands::replay::replay(options),
            Command::Check(options) => commands::check::check(options),
            Command::Relocs(options) => commands::relocs::relocs(options),
            Command::Btf(options) => commands::btf::btf(options),
            Command::Label(options) => commands::label::label(options),
            Command::Schema => commands::schema(),
            Command::Completions { shell } => commands::completions::completions(Self::grammar(), *shell),
            Command::Man { dir } => {
                // Pages do not depend on the commit.
                commands::man(Self::grammar().version(env!("CARGO_PKG_VERSION")), dir)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of them in a run")]
pub enum Command {
    #[command(flatten)]
    Trace(Tracers),
    /// Print a recording (--record) again, in any format
    Replay(Replay),
    /// Show what this host offers for tracing: what works, what is missing, how to fix it
    Check(Check),
    /// Explain what CO-RE makes of each access to the kernel's types, for this kernel or any other
    Relocs(Relocs),
    /// Look into the kernel's types (BTF), or those of any other kernel
    #[command(subcommand)]
    Btf(Btf),
    /// Change or list labels (--labels), also while tracers run
    #[command(subcommand)]
    Label(Label),
    /// Print the JSON Schema of what -o json prints
    Schema,
    /// Print the completions of a shell, for example: source <(coretrace completions bash)
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages (roff) into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        dir: PathBuf,
    },
}

impl Command {
    /// Whether it needs more rights than an ordinary user has.
    #[must_use]
    pub fn needs_rights(&self) -> bool {
        match self {
            Command::Trace(_) | Command::Label(_) => true,
            Command::Check(options) => options.load || options.btf.is_empty() && options.kernel.is_empty(),
            Command::Replay(_) | Command::Relocs(_) | Command::Btf(_) => false,
            Command::Schema | Command::Completions { .. } | Command::Man { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grammar().debug_assert();
    }
}
