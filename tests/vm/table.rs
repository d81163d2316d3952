//! Tables at the end. For a smoke run: a line for each kernel, a column for each way in which a command hooks in. For
//! the live tests: which of them took longest.
use crate::{
    artifacts::Kernel,
    protocol::Outcome,
    report::{Durations, KERNEL_ROW, Outcomes},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

/// How many of each kernel's tests are named as its slowest.
const SLOWEST: usize = 15;

/// Order of the columns: what a command does by default comes first.
fn columns(outcomes: &Outcomes) -> Vec<(&str, &str, &str)> {
    let parts = |test: &'_ String| -> Option<(usize, usize)> {
        let (command, _) = test.strip_prefix("smoke::")?.split_once("_by_")?;
        let start = "smoke::".len();
        Some((start + command.len(), start + command.len() + "_by_".len()))
    };
    let mut columns: Vec<_> = (outcomes.keys())
        .filter_map(|test| parts(test).map(|(end, way)| (&test["smoke::".len()..end], &test[way..], test.as_str())))
        .collect();
    columns.sort_by_key(|&(command, way, _)| (command, way != "auto", way));
    columns
}

/// The table, then why anything was refused or failed, each reason once.
pub fn by_kernel(kernels: &[Kernel], outcomes: &Outcomes, times: &BTreeMap<String, String>) -> String {
    let columns = columns(outcomes);
    let width = |of: fn(&Kernel) -> &String| kernels.iter().map(|kernel| of(kernel).chars().count()).max().unwrap_or(0);
    let (name, version) = (width(|kernel| &kernel.name), width(|kernel| &kernel.release));
    let mut text = format!("{:name$}  {:version$}", "kernel", "version");
    let mut last = "";
    for (command, way, _) in &columns {
        let title = if *command == last { way.to_string() } else { format!("| {command}: {way}") };
        let _ = write!(text, "  {title}");
        last = command;
    }
    let _ = writeln!(text, "  | time");
    let mut reasons: Vec<String> = Vec::new();
    for kernel in kernels {
        let _ = write!(text, "{:name$}  {:version$}", kernel.name, kernel.release);
        let mut last = "";
        for (command, way, test) in &columns {
            let (start, width) = if *command == last { ("", way.len()) } else { ("| ", command.len() + way.len() + 2) };
            last = command;
            let cell = match outcomes.get(*test).and_then(|row| row.get(&kernel.name)) {
                Some(Outcome::Passed) => "✓".to_owned(),
                Some(Outcome::Skipped(why)) => {
                    let known = reasons.iter().position(|reason| reason == why);
                    let number = known.unwrap_or_else(|| {
                        reasons.push(why.clone());
                        reasons.len() - 1
                    });
                    format!("[{}]", number + 1)
                }
                Some(Outcome::Failed(_)) => "FAILED".to_owned(),
                None => "-".to_owned(),
            };
            let _ = write!(text, "  {start}{cell:width$}");
        }
        let time = times.get(&kernel.name).map_or("", String::as_str);
        let _ = writeln!(text, "  | {time}");
    }
    for (number, reason) in (1..).zip(&reasons) {
        let _ = writeln!(text, "[{number}] {reason}");
    }
    for kernel in kernels {
        for (test, row) in outcomes {
            let column = columns.iter().any(|(_, _, name)| name == test);
            match row.get(&kernel.name) {
                Some(Outcome::Failed(why)) => _ = writeln!(text, "{} FAILED {test}: {why}", kernel.name),
                Some(Outcome::Skipped(why)) if !column && test != KERNEL_ROW => {
                    _ = writeln!(text, "{} skip {test}: {why}", kernel.name);
                }
                _ => {}
            }
        }
    }
    text
}

/// The tests that are among the slowest on any of these kernels, in seconds on each, and the sum of all tests.
pub fn slowest(kernels: &[String], durations: &Durations) -> String {
    let on = |test: &str, kernel: &str| durations.get(test).and_then(|row| row.get(kernel)).copied();
    let mut named = BTreeSet::new();
    for kernel in kernels {
        let mut all: Vec<(Duration, &str)> =
            durations.keys().filter_map(|test| Some((on(test, kernel)?, test.as_str()))).collect();
        all.sort_by_key(|&(duration, _)| Reverse(duration));
        named.extend(all.iter().take(SLOWEST).map(|&(_, test)| test));
    }
    let mut named: Vec<&str> = named.into_iter().collect();
    named.sort_by_key(|test| Reverse(durations.get(*test).and_then(|row| row.values().max())));

    let width = named.iter().map(|test| test.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>6}")).collect();
        let _ = writeln!(text, "{name:<width$}{cells}");
    };
    let seconds = |duration: Duration| format!("{:.1}", duration.as_secs_f32());
    row("seconds", kernels.to_vec());
    for test in named {
        row(test, kernels.iter().map(|kernel| on(test, kernel).map_or("-".to_owned(), seconds)).collect());
    }
    let all = |kernel: &String| durations.values().filter_map(|row| row.get(kernel)).sum();
    row("all tests", kernels.iter().map(|kernel| seconds(all(kernel))).collect());
    text
}
