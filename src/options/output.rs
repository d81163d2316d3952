//! How events are printed.

use std::path::PathBuf;

use clap::Args;

use crate::output::Format;

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
    /// All columns, lines of any length
    #[arg(short, long)]
    pub wide: bool,
    /// Times in UTC (text; JSON always has UTC)
    #[arg(long)]
    pub utc: bool,
    /// No notes and no totals at the end (losses are still reported)
    #[arg(short, long)]
    pub quiet: bool,
    /// Say which hooks were taken and why; -vv: all that libbpf says
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
