//! How events are printed.

use std::path::PathBuf;

use clap::Args;

use crate::output::{By, Format, Time, TreeMode, View};

/// How events are printed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
    /// Write events to FILE (- is stdout), which is for its owner alone; without CMD, SIGHUP opens it again
    #[arg(short = 'O', long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// A line for each life of a process, when it ends, instead of events: when it began, how long it was, CPU time, the most
    /// memory, how it ended, and the arguments of the last program that it ran (behind the names of those before: sh → env → python3)
    #[arg(long)]
    pub lives: bool,
    /// Processes as a tree: each event is indented by how deep its process is, and at the end comes the whole tree, with
    /// how long each lived, CPU time, the most memory and how it ended; =end: that alone. Alike ones are folded (not with -w)
    #[arg(
        long,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "live",
        value_enum,
        conflicts_with = "lives"
    )]
    pub tree: Option<TreeMode>,
    /// Tables at the end (and with --stats), instead of events: of programs, how often they ran and failed, how long they took,
    /// CPU time, the most memory (a process counts for the last program that it ran); of files, which were opened most and which failed; failures by reason; calls. WHAT
    /// is what the processes of a row have in common
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "program",
        value_enum,
        conflicts_with_all = ["lives", "tree"]
    )]
    pub summary: Option<By>,
    /// Only these fields of events, in this order, by their names in JSON, for example pid,comm,argv
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', conflicts_with_all = ["lives", "tree", "summary"])]
    pub fields: Vec<String>,
    /// All columns, lines of any length
    #[arg(short, long)]
    pub wide: bool,
    /// How times are spelled (text; JSON always has UTC)
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub time: Time,
    /// Times in UTC: --time utc
    #[arg(long, conflicts_with = "time")]
    pub utc: bool,
    /// No notes and no totals at the end (losses are still reported)
    #[arg(short, long)]
    pub quiet: bool,
    /// Say which hooks were taken and why; -vv: all that libbpf says
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Output {
    /// How times are spelled.
    #[must_use]
    pub fn time(&self) -> Time {
        if self.utc { Time::Utc } else { self.time }
    }

    /// What is shown.
    #[must_use]
    pub fn view(&self) -> View {
        match self.tree {
            Some(mode) => View::Tree(mode),
            None if self.lives => View::Lives,
            None => self.summary.map_or(View::Events, View::Summary),
        }
    }
}
