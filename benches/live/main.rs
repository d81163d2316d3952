//! What tracing costs, live, on this machine's kernel: storms of short-lived processes without a tracer, with
//! coretrace, with others, and with empty programs on the same hooks (the floor). Needs root.
//!
//! Every tracer watches only the storm (its process tree, or a cgroup of its own), never the whole machine.
//! `cargo bench --bench live -- [ROUNDS]`

mod empty;
mod kernel_time;
mod startup;
mod storm;
mod table;
mod tracer;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::storm::Storm;
use crate::tracer::Tracer;

/// Rounds of all variants, and forks in each: together a minute or two.
const ROUNDS: usize = 15;
const STORMS: [(Storm, u32); 2] = [(Storm::Exec, 500), (Storm::Fork, 2000)];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // Cargo adds --bench.
    let rounds = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let rounds = rounds.map_or(Ok(ROUNDS), |n| n.parse()).context("ROUNDS is a number")?;
    if !nix::unistd::geteuid().is_root() {
        println!("bench: not run: tracing needs root");
        return Ok(());
    }
    let tracers = Tracer::usable();
    table::machine();
    for (storm, count) in STORMS {
        let measured = storm::measure(storm, count, rounds, &tracers)?;
        table::storm(storm, count, &measured);
    }
    table::kernel_time(&kernel_time::measure(&tracers, rounds)?);
    table::startup(&startup::measure(&tracers, rounds)?);
    Ok(())
}
