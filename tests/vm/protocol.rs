//! Reads a guest's second serial port: markers of the init script, libtest's lines, and the lines `SKIP TEST: REASON`
//! of tests that could not run.
use std::collections::BTreeMap;

/// Begins the init script's lines; tests print nothing like it.
pub const MARKER: &str = "@VM ";

/// How one test ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// libtest printed `ok`.
    Passed,
    /// libtest printed `FAILED`, or the result is missing.
    Failed(String),
    /// It printed why it could not run, or is `#[ignore]`d.
    Skipped(String),
}

/// The content of one line (or its start).
#[derive(Debug, PartialEq)]
pub enum News {
    /// The init script runs: this kernel reached user space.
    Started,
    /// A test ended.
    Test(String, Outcome),
    /// Everything ran; the exit code.
    Ended(i32),
}

/// The parser's state for one guest.
#[derive(Default)]
pub struct Protocol {
    /// The running test, which is blamed when the guest hangs or dies.
    pub current: Option<String>,
    /// libtest's report of failed tests: panics and captured output.
    pub failures: Vec<String>,
    /// How many tests libtest announced.
    pub announced: usize,
    skips: BTreeMap<String, String>,
    in_failures: bool,
}

impl Protocol {
    /// Parses one line without its end. With `complete` false it is the part that has arrived: libtest prints the name
    /// of a test before running it, and a hanging test never prints more.
    pub fn line(&mut self, line: &str, complete: bool) -> Option<News> {
        let line = line.trim_end();
        // A job that ended in the middle of a line has a marker after its last words.
        if let Some((words, rest)) = line.split_once(MARKER) {
            self.line(words, false);
            return marker(rest).filter(|_| complete);
        }
        let (name, rest) = split_test(line).unzip();
        if let Some(name) = name {
            self.current = Some(name.to_owned());
        }
        if !complete {
            return None;
        }
        self.keep_failures(line);
        let announced = line.strip_prefix("running ").and_then(|s| s.split_once(" test"));
        if let Some(count) = announced.and_then(|(count, _)| count.parse().ok()) {
            self.announced = count;
        }
        let rest = rest.unwrap_or(line);
        if let Some((test, reason)) = rest.strip_prefix("SKIP ").and_then(|s| s.split_once(": ")) {
            self.skips.insert(test.to_owned(), reason.to_owned());
            return None;
        }
        // A test's own output separates its name from its result: `ok` may stand alone.
        let outcome = self.current.as_deref().and_then(|test| self.outcome(test, rest))?;
        Some(News::Test(self.current.take()?, outcome))
    }

    fn outcome(&self, test: &str, word: &str) -> Option<Outcome> {
        match word {
            "ok" => Some(match self.skips.get(test) {
                Some(reason) => Outcome::Skipped(reason.clone()),
                None => Outcome::Passed,
            }),
            "FAILED" => Some(Outcome::Failed("see its output".to_owned())),
            "ignored" => Some(Outcome::Skipped("ignored".to_owned())),
            _ => (word.strip_prefix("ignored, ")).map(|why| Outcome::Skipped(why.to_owned())),
        }
    }

    /// Keeps libtest's report: from the line `failures:` to the second such line, which lists names only.
    fn keep_failures(&mut self, line: &str) {
        match (line, self.in_failures) {
            ("failures:", inside) => self.in_failures = !inside && self.failures.is_empty(),
            (line, true) => self.failures.push(line.to_owned()),
            _ => {}
        }
    }
}

fn marker(text: &str) -> Option<News> {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("START", _) => Some(News::Started),
        // No number: the job ended before it could set one.
        ("END", code) => Some(News::Ended(code.trim().parse().unwrap_or(-1))),
        _ => None,
    }
}

/// `test NAME ... REST`, REST being empty while the test runs.
fn split_test(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ...")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    Some((name, rest.trim_start()))
}
