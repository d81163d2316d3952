//! The cost of tracing, live, on this machine's kernel: storms of short-lived processes and of opens without a tracer,
//! with coretrace, with others, and with empty programs on the same hooks (the floor). Needs root.
//!
//! Every tracer watches only the storm (its process tree, or its own cgroup), never the whole machine.
//! `cargo bench --bench live -- [ROUNDS] [exec] [fork] [call] [fail] [open] [kernel] [start]
//! [uprobe] [usdt] [tracepoint] [fentry] [kprobe] [conn] [many]`

mod connections;
mod empty;
mod hits;
mod kernel_time;
mod startup;
mod storm;
mod table;
mod tracer;

use std::process::ExitCode;

use anyhow::Result;

use crate::storm::Storm;
use crate::tracer::Tracer;

/// Rounds of all variants, and forks in each: together a minute or two.
const ROUNDS: usize = 15;
const STORMS: [(&str, Storm, u32); 5] = [
    ("exec", Storm::Exec, 500),
    ("fork", Storm::Fork, 2000),
    ("call", Storm::Call, 500),
    ("fail", Storm::Fail, 20_000),
    ("open", Storm::Open, 300_000),
];

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
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let (numbers, parts): (Vec<_>, Vec<_>) = args.into_iter().partition(|arg| arg.parse::<usize>().is_ok());
    let rounds = numbers.first().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    if !nix::unistd::geteuid().is_root() {
        println!("bench: not run: tracing needs root");
        return Ok(());
    }
    tracer::mount_tracefs()?;
    let usable = Tracer::usable();
    let that_show = |storm| usable.iter().copied().filter(|tracer| tracer.shows(storm)).collect::<Vec<_>>();
    let tracers = that_show(Storm::Exec);
    table::machine();
    for (name, storm, count) in STORMS {
        if wanted(name) {
            let measured = storm::measure(storm, count, rounds, &that_show(storm))?;
            table::storm(storm, count, &measured);
        }
    }
    if wanted("kernel") {
        table::kernel_time(&kernel_time::measure(&tracers, rounds)?);
    }
    if wanted("start") {
        table::startup(&startup::measure(&tracers, rounds)?);
    }
    for hit in hits::ALL {
        if wanted(hit.part()) {
            hits::measure(hit, rounds)?;
        }
    }
    if wanted("conn") {
        connections::measure(rounds)?;
    }
    if wanted("many") {
        table::startup(&startup::many(rounds.div_ceil(3))?);
    }
    Ok(())
}
