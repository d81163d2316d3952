//! Results of all kernels: said as they come, then a table and the count.
use crate::{protocol::Outcome, skips::Skips};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The row for what is wrong with a whole kernel and belongs to no test.
pub const KERNEL_ROW: &str = "(kernel)";

/// What is known so far; the kernels' threads share it.
pub struct Report {
    kernels: Vec<String>,
    skips: Skips,
    /// With CI set, a skip that nobody has agreed to fails the run.
    strict: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By test, then by kernel.
    outcomes: BTreeMap<String, BTreeMap<String, Outcome>>,
    times: BTreeMap<String, String>,
    /// Kernels on which every test that was asked for has a result.
    complete: BTreeSet<String>,
}

impl Report {
    pub fn new(kernels: Vec<String>, skips: Skips) -> Self {
        let ci = std::env::var("CI").unwrap_or_default();
        Self { kernels, skips, strict: !ci.is_empty() && ci != "false" && ci != "0", state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says and keeps how a test ended.
    pub fn test(&self, kernel: &str, test: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Skipped(why) if self.strict && !self.skips.allow(kernel, test) => {
                Outcome::Failed(format!("skipped, and tests/vm/skips does not allow it: {why}"))
            }
            outcome => outcome,
        };
        let line = match &outcome {
            Outcome::Passed => format!("{kernel} ok {test}"),
            Outcome::Failed(why) => format!("{kernel} FAILED {test}: {why}"),
            Outcome::Skipped(why) => format!("{kernel} skip {test}: {why}"),
        };
        let mut state = self.state();
        println!("{line}");
        let row = state.outcomes.entry(test.to_owned()).or_default();
        row.insert(kernel.to_owned(), outcome);
    }

    /// Says several lines that belong together, if there are any.
    pub fn block(&self, kernel: &str, title: &str, lines: &[&str]) {
        if lines.is_empty() {
            return;
        }
        let _one_at_a_time = self.state();
        println!("---- {kernel} {title} ----");
        for line in lines {
            println!("{line}");
        }
        println!("---- {kernel} end ----");
    }

    /// Says something about a kernel that is no result.
    pub fn note(&self, kernel: &str, text: &str) {
        let _one_at_a_time = self.state();
        println!("{kernel} {text}");
    }

    /// Keeps how long a kernel took.
    pub fn time(&self, kernel: &str, text: String) {
        self.state().times.insert(kernel.to_owned(), text);
    }

    /// Every test has a result on this kernel.
    pub fn complete(&self, kernel: &str) {
        self.state().complete.insert(kernel.to_owned());
    }

    /// How many tests failed and ran on one kernel.
    pub fn counts(&self, kernel: &str) -> (usize, usize) {
        let state = self.state();
        let of_kernel = || state.outcomes.values().filter_map(|row| row.get(kernel));
        let failed = of_kernel().filter(|o| matches!(o, Outcome::Failed(_)));
        (failed.count(), of_kernel().count())
    }

    /// Says the table, what there is to say about skips, and the count; whether all is well.
    /// `whole`: every test was asked for, so a listed skip of a test that did not run is out of date too.
    pub fn finish(&self, whole: bool) -> bool {
        let state = self.state();
        let width = state.outcomes.keys().map(String::len).max().unwrap_or(0);
        let row = |name: &str, cells: Vec<&str>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:<6}")).collect();
            println!("{}", format!("{name:<width$}{cells}").trim_end());
        };
        println!();
        row("", self.kernels.iter().map(String::as_str).collect());
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (test, outcomes) in &state.outcomes {
            let mut cells = Vec::new();
            for kernel in &self.kernels {
                let (cell, count) = match outcomes.get(kernel) {
                    Some(Outcome::Passed) => ("ok", &mut passed),
                    Some(Outcome::Failed(_)) => ("FAILED", &mut failed),
                    Some(Outcome::Skipped(_)) => ("skip", &mut skipped),
                    None => ("-", &mut 0),
                };
                cells.push(cell);
                *count += 1;
            }
            row(test, cells);
        }
        println!();
        for (kernel, time) in &state.times {
            println!("{kernel}: {time}");
        }
        for (kernel, test) in self.skips.unused(&self.kernels, |kernel, test| {
            match state.outcomes.get(test).and_then(|row| row.get(kernel)) {
                Some(Outcome::Skipped(_)) => false,
                Some(_) => true,
                None => whole && state.complete.contains(kernel),
            }
        }) {
            println!("tests/vm/skips lists {test} on {kernel}, but it did not skip: remove the line");
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        failed == 0
    }
}
