//! How long a run goes on, and what it does meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

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
    /// Show the processes above each, the nearest first, at most N of them (not with conn)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Output")]
    pub ancestors: Option<u32>,
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

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        // Ten years: far less than what can be added to an Instant.
        Ok(duration) if duration > Duration::ZERO && duration < Duration::from_secs(315_360_000) => Ok(duration),
        _ => Err("must be more than 0, and less than ten years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "nan", "inf", "1e300", "1e19", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
