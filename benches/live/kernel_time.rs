//! The time that each BPF program takes in the kernel, as measured by the kernel (`bpf_enable_stats`, which has a cost
//! itself: hence separate runs, and the empty program's time for comparison).

use std::fs;

use anyhow::{Context, Result};
use libbpf_rs::query::ProgInfoIter;

use crate::empty;
use crate::storm::{Storm, watched};
use crate::tracer::Tracer;

/// Turns of the storm.
const COUNT: u32 = 300;

/// A program, and its mean run time in each round.
#[derive(Debug)]
pub struct Took {
    pub tracer: Tracer,
    pub program: String,
    pub ns: Vec<f64>,
}

/// Runs exec storms under each tracer that has programs.
pub fn measure(tracers: &[Tracer], rounds: usize) -> Result<Vec<Took>> {
    let _on = empty::count_run_time()?;
    let mut all: Vec<Took> = Vec::new();
    for _ in 0..rounds {
        for tracer in tracers.iter().copied().filter(|t| !matches!(t, Tracer::None | Tracer::Strace | Tracer::Json)) {
            watched(tracer, Storm::Exec, COUNT, &mut |pid| {
                // The empty programs belong to this process.
                let ids = programs_of(if pid == 0 { std::process::id() } else { pid })?;
                let programs = ProgInfoIter::default().filter(|p| ids.contains(&p.id) && p.run_cnt > 0);
                let mut sums: Vec<(String, u64, u64)> = Vec::new();
                for program in programs {
                    let name = program.name.to_string_lossy().into_owned();
                    match sums.iter_mut().find(|sum| sum.0 == name) {
                        Some((_, runs, ns)) => (*runs, *ns) = (*runs + program.run_cnt, *ns + program.run_time_ns),
                        None => sums.push((name, program.run_cnt, program.run_time_ns)),
                    }
                }
                for (program, runs, ns) in sums {
                    let ns = ns as f64 / runs as f64;
                    match all.iter_mut().find(|took| took.tracer == tracer && took.program == program) {
                        Some(took) => took.ns.push(ns),
                        None => all.push(Took { tracer, program, ns: vec![ns] }),
                    }
                }
                Ok(())
            })?;
        }
    }
    let place = |took: &Took| tracers.iter().position(|tracer| *tracer == took.tracer);
    all.sort_by_key(place);
    Ok(all)
}

/// The ids of the BPF programs that a process holds, itself or by a link.
fn programs_of(pid: u32) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("looking at a tracer")? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}
