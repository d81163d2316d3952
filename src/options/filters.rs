//! Which events are shown.

use std::path::PathBuf;

use clap::Args;

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
    /// Only this container and all in it, by name, id (or its first digits), POD/NAME or a glob of these (repeatable): those
    /// that start later, too
    #[arg(long, value_name = "NAME|ID|GLOB")]
    pub container: Vec<String>,
    /// Only this unit of systemd and all below it, by name (nginx is nginx.service) or a glob (repeatable)
    #[arg(long, value_name = "NAME|GLOB")]
    pub unit: Vec<String>,
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
