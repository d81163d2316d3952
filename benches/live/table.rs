//! The tables. Medians and quartiles: robust against short disturbances.

use std::fs;
use std::time::Duration;

use crate::kernel_time::Took;
use crate::startup::Starts;
use crate::storm::{Measured, Run, Storm};
use crate::tracer::Tracer;

/// The machine.
pub fn machine() {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Linux {}, {cpus} CPUs, load {}", read("/proc/sys/kernel/osrelease").trim(), read("/proc/loadavg").trim());
}

/// The value below which that part of them is.
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = at * (values.len().max(1) - 1) as f64;
    values.get(place.round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// One storm: what each tracer adds to a turn of it.
pub fn storm(storm: Storm, count: u32, measured: &Measured) {
    let us = |runs: &[Run]| -> Vec<f64> { runs.iter().flat_map(|r| &r.walls_ns).map(|ns| ns / 1000.0).collect() };
    let of = |wanted| measured.iter().find(|(tracer, _)| *tracer == wanted).map_or(&[][..], |(_, runs)| runs);
    let (alone, empty) = (us(of(Tracer::None)), us(of(Tracer::Empty)));
    let cpu = |runs: &[Run]| median(&runs.iter().map(|run| run.cpu_ns / 1000.0).collect::<Vec<_>>());
    let cpu_alone = cpu(of(Tracer::None));
    let rounds = of(Tracer::None).len();
    println!("\n{}: {rounds} rounds of {count} turns; in µs for each turn", storm.turn());
    println!("  wall: median of all batches of turns; quiet: their lowest quartile; added: against no tracer");
    println!(
        "{:20}{:>8}{:>8}{:>8}{:>8}{:>11}{:>10}{:>11}{:>8}{:>11}{:>6}{:>8}",
        "",
        "wall",
        "added",
        "quiet",
        "added",
        "per event",
        "to floor",
        "added CPU",
        "reader",
        "delivered",
        "lost",
        "RSS MB"
    );
    for (tracer, runs) in measured {
        let all = us(runs);
        let (wall, quiet) = (median(&all), quantile(&all, 0.25));
        let (added, added_quiet) = (wall - median(&alone), quiet - quantile(&alone, 0.25));
        if *tracer == Tracer::None {
            println!("{:20}{wall:8.1}{:8}{quiet:8.1}", tracer.name(), "");
            continue;
        }
        let delivered: Option<u64> = runs.iter().map(|run| run.delivered).sum();
        let delivered = delivered.map(|sum| sum as f64 / runs.len() as f64);
        // Only the events of a turn: the storm's own exec and exit are extra.
        let events = delivered.map(|n| (n / f64::from(count)).round()).filter(|n| *n > 0.0);
        let each = events.map_or("-".to_owned(), |n| format!("{:.2}", added_quiet / n));
        let delivered = delivered.map_or("-".to_owned(), |n| format!("{n:.0}"));
        let to_floor = quiet - quantile(&empty, 0.25);
        let cpu = cpu(runs) - cpu_alone;
        let reader = median(&runs.iter().map(|run| run.reader_ns / 1000.0).collect::<Vec<_>>());
        let lost: u64 = runs.iter().map(|run| run.lost).sum();
        let rss = runs.iter().map(|run| run.rss_kib).max().unwrap_or(0) as f64 / 1024.0;
        println!(
            "{:20}{wall:8.1}{added:8.1}{quiet:8.1}{added_quiet:8.1}{each:>11}{to_floor:10.1}{cpu:11.1}{reader:8.1}\
             {delivered:>11}{lost:6}{rss:8.1}",
            tracer.name()
        );
    }
    for (tracer, runs) in measured.iter().filter(|(tracer, _)| matches!(tracer, Tracer::Text | Tracer::Json)) {
        let seconds = runs.iter().filter_map(|run| {
            let events = run.delivered? as f64;
            (events > 0.0).then(|| run.reader_ns * f64::from(count) / events * 200_000.0 / 1e9)
        });
        let seconds = median(&seconds.collect::<Vec<_>>());
        println!("  {}: {seconds:.2} s of its CPU time for 200,000 events", tracer.name());
    }
}

/// The run times of programs.
pub fn kernel_time(took: &[Took]) {
    println!("\nin the kernel: one run of each BPF program, in ns, as the kernel measures it (fork + execve + wait)");
    println!("{:20}{:22}{:>8}{:>8}", "", "", "median", "least");
    for took in took {
        let (median, least) = (median(&took.ns), quantile(&took.ns, 0.0));
        println!("{:20}{:22}{median:8.0}{least:8.0}", took.tracer.name(), took.program);
    }
}

/// The start-up times of tracers.
pub fn startup(starts: &[Starts]) {
    println!("\nfrom the start to the header, in ms");
    println!("{:20}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "median", "least", "most", "CPU", "RSS MB");
    for one in starts {
        let ms = |all: &[Duration]| all.iter().map(|d| d.as_secs_f64() * 1000.0).collect::<Vec<_>>();
        let ready = ms(&one.ready);
        let (least, most) = (quantile(&ready, 0.0), quantile(&ready, 1.0));
        let (ready, cpu, rss) = (median(&ready), median(&ms(&one.cpu)), one.rss_kib as f64 / 1024.0);
        println!("{:20}{ready:9.1}{least:9.1}{most:9.1}{cpu:9.1}{rss:9.1}", one.name);
    }
}

/// What each of something costs, in nanoseconds: the first row is that without a tracer.
pub fn each(title: &str, count: u32, rows: &[(&str, &[Run])]) {
    println!("\n{title}: {} rounds of {count}; in ns for each", rows.first().map_or(0, |(_, runs)| runs.len()));
    println!("{:22}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}", "", "median", "quartile", "added", "reader", "delivered", "lost");
    let walls = |runs: &[Run]| runs.iter().flat_map(|run| run.walls_ns.clone()).collect::<Vec<_>>();
    let alone = rows.first().map_or(f64::NAN, |(_, runs)| quantile(&walls(runs), 0.25));
    for (name, runs) in rows {
        let walls = walls(runs);
        let (wall, quiet) = (median(&walls), quantile(&walls, 0.25));
        let reader = median(&runs.iter().map(|run| run.reader_ns).collect::<Vec<_>>());
        let lost: u64 = runs.iter().map(|run| run.lost).sum();
        let delivered = runs.last().and_then(|run| run.delivered).map_or_else(String::new, |n| n.to_string());
        println!("{name:22}{wall:9.0}{quiet:9.0}{:9.0}{reader:9.0}{delivered:>10}{lost:8}", quiet - alone);
    }
}
