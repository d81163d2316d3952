//! The command line: what all tracers share. One letter means one thing in every subcommand.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::kernel::btf::Wanted;
use crate::labels::Subject;
use crate::output::Choice;
use crate::output::escape::{clean, is_visible};
use crate::session::{Hook, Transport};
use crate::tracers::Tracers;

const AFTER_HELP: &str = "\
Examples:
  sudo coretrace proc                        every program that starts, every fork, every exit
  sudo coretrace proc -- make -j8            only that command and what it starts
  sudo coretrace proc -p 1234 --follow       a running process and all its descendants
  sudo coretrace proc -n 'nginx*' -o json    as JSON, one object a line
  sudo coretrace exec -x                     programs that could not be started, and why
  sudo coretrace open --path /etc            who opens what below /etc
  coretrace check                            what this host offers, and what is missing
  coretrace check open --btf kernels/        whether it will run on other kernels, by their types
  coretrace check --kernel linux-image.deb   the same of a kernel as it is shipped
  coretrace btf embed OUT btfs/              a copy of this program for kernels without types
  coretrace relocs --diff a.btf b.btf        what differs between two kernels
  coretrace btf show task_struct.pid         where the kernel has it: types in C, with offsets

Exit status: 0 the end (also by Ctrl-C, -d, --count, a closed pipe), 1 an error, 2 wrong usage,
3 events were lost under --strict; with -- CMD: CMD's own.";

/// See what happens on this host: one static binary, on every kernel from 5.10.
#[derive(Debug, Parser)]
#[command(name = "coretrace", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line's grammar; what each tracer is for, it says itself.
    #[must_use]
    pub fn grammar() -> clap::Command {
        let tracers = crate::tracers::all();
        tracers.iter().fold(Cli::command(), |grammar, tracer| {
            grammar.mut_subcommand(tracer.name(), |command| command.about(tracer.about()).long_about(None))
        })
    }

    /// The same where a variable that is empty counts as one that is not set.
    fn grammar_here() -> clap::Command {
        fn without_empty(command: clap::Command) -> clap::Command {
            let heed = |arg: clap::Arg| match arg.get_env().map(variable) {
                Some(None) => arg.env(None::<&str>),
                _ => arg,
            };
            command.mut_args(heed).mut_subcommands(without_empty)
        }
        without_empty(Self::grammar())
    }

    /// Reads the command line; ends the program where it is wrong, or help was asked for.
    #[must_use]
    pub fn read(args: Vec<OsString>) -> Self {
        let mut grammar = Self::grammar_here();
        // As where a variable that holds it is empty: that must not watch the whole host.
        let ends_with_dashes = args.last().is_some_and(|last| last == "--");
        let harmless = args.iter().all(|arg| arg.to_str().is_some_and(|arg| arg.chars().all(is_visible)));
        let matches = grammar.clone().try_get_matches_from(args).unwrap_or_else(|error| {
            if harmless || !error.use_stderr() {
                error.exit();
            }
            // What was typed is quoted in it, and may come from anywhere.
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

/// An environment variable, if it is set to something.
#[must_use]
pub fn variable(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of them in a run")]
pub enum Command {
    /// One of the tracers.
    #[command(flatten)]
    Trace(Tracers),
    /// Print a recording (--record) again, in any format
    Replay(Replay),
    /// Tell what this host offers for tracing: what works, what is missing, how to mend it
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
    /// Write the manual pages (roff) into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        dir: PathBuf,
    },
}

impl Command {
    /// Whether it asks the kernel for more than any user may.
    #[must_use]
    pub fn needs_rights(&self) -> bool {
        match self {
            Command::Trace(_) | Command::Label(_) => true,
            Command::Check(options) => options.load || options.btf.is_empty() && options.kernel.is_empty(),
            Command::Replay(_) | Command::Relocs(_) | Command::Btf(_) | Command::Schema | Command::Man { .. } => false,
        }
    }
}

/// Marks an error as wrong usage, for the exit code.
#[derive(Debug)]
pub struct Usage;

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrong usage")
    }
}

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
    /// How they are got.
    #[command(flatten)]
    pub kernel: Kernel,
    /// Run CMD and show only it and what descends from it; events go to stderr unless -O says where
    #[arg(last = true, value_name = "CMD", conflicts_with = "pid", help_heading = "Arguments")]
    pub command: Vec<OsString>,
}

/// Which events are shown.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only this process (repeatable)
    #[arg(short, long, value_name = "PID", value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// With -p: all descendants of the process, too, those it already has and those to come
    #[arg(long, requires = "pid")]
    pub follow: bool,
    /// Only this user, by name or number (repeatable)
    #[arg(short, long, value_name = "USER", value_delimiter = ',')]
    pub uid: Vec<String>,
    /// Only threads of this name, exact or as a glob (*, ?, [a-z], [!a-z]; \* is the character) (repeatable)
    #[arg(short = 'n', long = "name", value_name = "COMM")]
    pub comm: Vec<String>,
    /// Only this cgroup (a v2 directory) and all below it (repeatable)
    #[arg(short, long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Only these kinds of events, for example exec,exit
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Only events whose arguments, joined by spaces, match this regular expression
    #[arg(long, value_name = "REGEX")]
    pub args: Option<String>,
    /// Only events whose path is this one or below it, or matches this glob (repeatable): the path as it was called
    /// (made absolute and normalized) or that of the file it led to
    #[arg(long, value_name = "PATH|GLOB")]
    pub path: Vec<String>,
}

/// How events are printed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Choice,
    /// Write events to FILE (- is stdout), which is for its owner alone; without CMD, SIGHUP opens it again
    #[arg(short = 'O', long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// All columns, lines of any length
    #[arg(short, long)]
    pub wide: bool,
    /// Times in UTC (text; JSON always has UTC)
    #[arg(long)]
    pub utc: bool,
    /// No notes and no totals at the end (losses are still told)
    #[arg(short, long)]
    pub quiet: bool,
    /// Tell which hooks were taken and why; -vv: all that libbpf says
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How events are labelled.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Labels")]
pub struct Labelling {
    /// Label events by the pinned map NAME, which is made if it is not there; `coretrace label` changes it
    #[arg(long, value_name = "NAME")]
    pub labels: Option<String>,
    /// The label of what has none in the map
    #[arg(long, value_name = "LABEL", requires = "labels")]
    pub default_label: Option<String>,
    /// Only events with this label
    #[arg(long, value_name = "LABEL", requires = "labels")]
    pub only_label: Option<String>,
    /// No events with this label
    #[arg(long, value_name = "LABEL", requires = "labels", conflicts_with = "only_label")]
    pub ignore_label: Option<String>,
}

/// How long a run goes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub struct Limits {
    /// End after this many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Print totals every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub stats: Option<Duration>,
    /// Every so many seconds, do what is watched for, and say when that does not arrive or comes late. What coretrace
    /// itself does is not shown then
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub heartbeat: Option<Duration>,
    /// Exit with 3 when events were lost
    #[arg(long)]
    pub strict: bool,
    /// With -- CMD: end when CMD has ended, not when all that it started has
    #[arg(long, requires = "command")]
    pub detach: bool,
    /// With -- CMD: run it as this user
    #[arg(long, value_name = "NAME", requires = "command")]
    pub user: Option<String>,
    /// Keep the raw samples in FILE, for `coretrace replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// How events are got from the kernel.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Kernel {
    /// The kernel's types from FILE: BTF, or a vmlinux, a vmlinuz or a kernel package (deb, rpm) that holds it
    #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
    pub btf: Option<PathBuf>,
    /// Where else they may be.
    #[command(flatten)]
    pub side: Side,
    /// How programs are loaded and hooked in.
    #[command(flatten)]
    pub hooking: Hooking,
}

impl Kernel {
    /// Where the user wants types to come from.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { file: self.btf.as_deref(), dir: self.side.btf_dir.as_deref() }
    }
}

/// Where types of kernels that have none of their own are kept.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Side {
    /// Where the kernel has no types of its own, look for them below DIR, then /usr/share/coretrace/btf:
    /// [[DISTRO/VERSION/]ARCH/]RELEASE.btf, also compressed
    #[arg(long, value_name = "DIR", env = "CORETRACE_BTF_DIR")]
    pub btf_dir: Option<PathBuf>,
}

/// How programs are loaded and hooked in.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Kernel")]
pub struct Hooking {
    /// Size of the event buffer, for example 16M (by default 512K for each CPU, 2M to 64M)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub buffer: Option<u64>,
    /// Ring buffer or perf buffer
    #[arg(long, value_enum)]
    pub transport: Option<Transport>,
    /// The only way to hook in that is tried; not every command has every way
    #[arg(long, value_name = "HOW", value_enum, default_value = "auto")]
    pub attach: Attach,
}

/// `--attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attach(
    /// The only way that is tried; none: the best that works.
    pub Option<Hook>,
);

impl ValueEnum for Attach {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Attach; 7] = {
            let mut all = [Attach(None); 7];
            let mut n = 0;
            while n < Hook::ALL.len() {
                all[n + 1] = Attach(Some(Hook::ALL[n]));
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.map_or("auto", Hook::name)))
    }
}

/// `coretrace replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording
    pub file: PathBuf,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// How they are printed.
    #[command(flatten)]
    pub output: Output,
}

/// `coretrace label`.
#[derive(Debug, Subcommand)]
pub enum Label {
    /// Set the label of a user or a cgroup, or change it
    Set {
        /// Name of the labels
        name: String,
        /// What the label is for
        #[arg(value_enum)]
        subject: Subject,
        /// The user's name or number, or the cgroup's directory
        id: String,
        /// The label, of up to 31 bytes
        label: String,
    },
    /// List labels; without NAME: the names of all maps
    Ls {
        /// Name of the labels
        name: Option<String>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Remove a label, or with --all the map and all that is in it
    Rm {
        /// Name of the labels
        name: String,
        /// What the label is for
        #[arg(value_enum, requires = "id")]
        subject: Option<Subject>,
        /// The user's name or number, or the cgroup's directory
        id: Option<String>,
        /// The map itself
        #[arg(long, conflicts_with = "subject")]
        all: bool,
    },
}

/// `coretrace check`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("others").args(["btf", "kernel"]).multiple(true))]
pub struct Check {
    /// Which commands are to work (proc, if none is named)
    #[arg(value_parser = commands(), value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// Of other kernels than the running one, by their types: files (BTF, or a vmlinux, a vmlinuz, a kernel package
    /// that holds it) and directories of such. Needs no rights. With --load: the types to load with, as for any command
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub btf: Vec<PathBuf>,
    /// The same: kernels as they are shipped (vmlinuz, vmlinux, deb, rpm)
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub kernel: Vec<PathBuf>,
    /// Where else types may be.
    #[command(flatten)]
    pub side: Side,
    /// Architecture that the files must be of (by default the one of this coretrace)
    #[arg(long, value_enum, requires = "others")]
    pub arch: Option<Arch>,
    /// Load and attach the programs for a moment, which is the last proof; needs the rights to trace
    #[arg(long)]
    pub load: bool,
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Choice,
    /// How the programs would be hooked in.
    #[command(flatten)]
    pub hooking: Hooking,
}

/// `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86,
    /// 64-bit ARM
    #[value(name = "arm64")]
    Arm,
}

/// `coretrace relocs`.
#[derive(Debug, Args)]
pub struct Relocs {
    /// Only those of this command
    #[arg(value_parser = commands())]
    pub command: Option<String>,
    /// The kernel's types (BTF, or a vmlinux, a vmlinuz, a kernel package that holds it), where not those of the running
    /// kernel
    #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
    pub btf: Option<PathBuf>,
    /// Where else they may be.
    #[command(flatten)]
    pub side: Side,
    /// Only what differs between two kernels, by their types
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub diff: Vec<PathBuf>,
    /// Of this BPF object (ELF), not of coretrace's own
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub object: Option<PathBuf>,
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Choice,
}

/// `coretrace btf`.
#[derive(Debug, Subcommand)]
pub enum Btf {
    /// List the types that the kernel shows: its own and those of its modules
    Ls {
        /// Those that this coretrace carries (`btf embed`)
        #[arg(long)]
        embedded: bool,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Show types as C declares them, with offsets and sizes
    Show {
        /// What to show: task_struct, task_struct.se.vruntime, 'enum pid_type', PIDTYPE_TGID, u64, filp_close
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// The kernel's types (BTF, or any kernel or package that holds it), where not those of the running kernel
        #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
        btf: Option<PathBuf>,
        /// Of a module's types (--btf): those of its kernel, where they do not lie beside it, as `vmlinux`
        #[arg(long, value_name = "FILE", requires = "btf")]
        base: Option<PathBuf>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Tell what changed between the types of two kernels; the exit code is 0, whatever changed
    Diff {
        /// Types of the one kernel (BTF, or any kernel or package that holds it)
        a: PathBuf,
        /// Types of the other
        b: PathBuf,
        /// Only these types; if none is named, those that coretrace looks into
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: Choice,
    },
    /// Write the few types that coretrace needs of a kernel, for where the kernel has none of its own (--btf)
    Min {
        /// The file to write; of several FILEs: the directory in which each gets one, as NAME.btf
        out: PathBuf,
        /// Types of kernels (BTF, or kernels and packages that hold it); if none is named, those of the running kernel
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write a copy of this coretrace that carries types of kernels that have none of their own
    Embed {
        /// The copy
        out: PathBuf,
        /// Types of kernels (BTF, called RELEASE.btf, or a vmlinux, a vmlinuz, a package) and directories of such, also
        /// as [[DISTRO/VERSION/]ARCH/]RELEASE.btf; if none is named, the running kernel's. What this coretrace carries
        /// already is kept
        #[arg(value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
    /// Write all types as a C header, or as they are
    Dump {
        /// The kernel's types (BTF, or any kernel or package that holds it), where not those of the running kernel
        #[arg(long, value_name = "FILE", env = "CORETRACE_BTF")]
        btf: Option<PathBuf>,
        /// Of a module's types (--btf): those of its kernel, where they do not lie beside it, as `vmlinux`
        #[arg(long, value_name = "FILE", requires = "btf")]
        base: Option<PathBuf>,
        /// Format
        #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
        format: BtfFormat,
        /// Write to FILE (- is stdout)
        #[arg(short = 'O', long, value_name = "FILE")]
        output_file: Option<PathBuf>,
    },
}

/// `coretrace btf dump -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BtfFormat {
    /// C, to be included by BPF programs
    #[default]
    C,
    /// The bytes of the BTF
    Raw,
}

/// The names of the tracers.
fn commands() -> PossibleValuesParser {
    crate::tracers::all().iter().map(|tracer| tracer.name()).collect::<Vec<_>>().into()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        // Ten years: far less than what an Instant can have added to it.
        Ok(duration) if duration > Duration::ZERO && duration < Duration::from_secs(315_360_000) => Ok(duration),
        _ => Err("must be more than 0, and less than ten years".to_owned()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let upper = upper.strip_suffix('I').unwrap_or(upper);
    let (digits, shift) = match upper.as_bytes().last() {
        Some(b'K') => (upper.trim_end_matches('K'), 10),
        Some(b'M') => (upper.trim_end_matches('M'), 20),
        Some(b'G') => (upper.trim_end_matches('G'), 30),
        _ => (upper, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size: write 65536, 512K or 16M".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (4096..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("must be from 4K to 1G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grammar().debug_assert();
    }

    #[test]
    fn sizes_and_seconds_are_read() {
        assert_eq!(size("16M"), Ok(16 << 20));
        assert_eq!((size("512k"), size("4KiB"), size("65536")), (Ok(512 << 10), Ok(4096), Ok(65536)));
        for bad in ["", "M", "-1", "1K", "2G", "99999999999999999999", "1.5M", "18446744073709551615K"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "nan", "inf", "1e300", "1e19", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
