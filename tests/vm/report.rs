//! Results of all kernels: printed as they come, then a table and the count.
use crate::{artifacts::Kernel, protocol::Outcome, skips::Skips, table};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The row for faults of a whole kernel that belong to no test.
pub const KERNEL_ROW: &str = "(kernel)";

/// How each test ended, by test, then by kernel.
pub type Outcomes = BTreeMap<String, BTreeMap<String, Outcome>>;

/// How long each test took, by test, then by kernel.
pub type Durations = BTreeMap<String, BTreeMap<String, Duration>>;

/// The results so far; the kernels' threads share it.
pub struct Report {
    kernels: Vec<String>,
    skips: Skips,
    /// With CI set, a skip that is not listed fails the run, if skips are listed.
    strict: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcomes: Outcomes,
    durations: Durations,
    times: BTreeMap<String, String>,
    /// Kernels on which every requested test has a result.
    complete: BTreeSet<String>,
}

impl Report {
    pub fn new(kernels: Vec<String>, skips: Skips, listed: bool) -> Self {
        let ci = std::env::var("CI").unwrap_or_default();
        let strict = listed && !ci.is_empty() && ci != "false" && ci != "0";
        Self { kernels, skips, strict, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints and records how a test ended.
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

    /// Records how long a test took.
    pub fn took(&self, kernel: &str, test: &str, duration: Duration) {
        self.state().durations.entry(test.to_owned()).or_default().insert(kernel.to_owned(), duration);
    }

    /// Prints several lines that belong together, if there are any.
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

    /// Prints something about a kernel that is no result.
    pub fn note(&self, kernel: &str, text: &str) {
        let _one_at_a_time = self.state();
        println!("{kernel} {text}");
    }

    /// Records how long a kernel took.
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

    /// The table of a smoke run.
    pub fn smoke(&self, kernels: &[Kernel]) -> String {
        let state = self.state();
        table::by_kernel(kernels, &state.outcomes, &state.times)
    }

    /// Prints the count; returns whether all is well.
    pub fn conclude(&self) -> bool {
        let state = self.state();
        let count =
            |is: fn(&Outcome) -> bool| state.outcomes.values().flat_map(BTreeMap::values).filter(|o| is(o)).count();
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let (passed, skipped) = (count(|o| *o == Outcome::Passed), count(|o| matches!(o, Outcome::Skipped(_))));
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        failed == 0
    }

    /// Prints the table and remarks about skips, then concludes.
    /// `whole`: every test was requested, so a listed skip of a test that did not run is out of date too.
    pub fn finish(&self, whole: bool) -> bool {
        let state = self.state();
        let width = state.outcomes.keys().map(String::len).max().unwrap_or(0);
        let row = |name: &str, cells: Vec<&str>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:<6}")).collect();
            println!("{}", format!("{name:<width$}{cells}").trim_end());
        };
        println!();
        row("", self.kernels.iter().map(String::as_str).collect());
        for (test, outcomes) in &state.outcomes {
            let mut cells = Vec::new();
            for kernel in &self.kernels {
                cells.push(match outcomes.get(kernel) {
                    Some(Outcome::Passed) => "ok",
                    Some(Outcome::Failed(_)) => "FAILED",
                    Some(Outcome::Skipped(_)) => "skip",
                    None => "-",
                });
            }
            row(test, cells);
        }
        println!();
        println!("{}", table::slowest(&self.kernels, &state.durations));
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
        drop(state);
        self.conclude()
    }
}
