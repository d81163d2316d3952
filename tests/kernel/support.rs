//! What the live tests share: starting coretrace, waiting for it without sleeping, its events as JSON.
//!
//! Two environment variables name what is tested: `CORETRACE` (the binary) and `TARGETS` (the programs to trace); by
//! default those that cargo built with this test.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// No event, no ready signal, no end takes longer than this, in the slowest of the emulated machines.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The binary under test.
pub fn coretrace() -> PathBuf {
    std::env::var_os("CORETRACE").unwrap_or_else(|| env!("CARGO_BIN_EXE_coretrace").into()).into()
}

/// The programs to trace, in one file: `targets NAME ARGS…`.
pub fn targets() -> PathBuf {
    std::env::var_os("TARGETS").map(PathBuf::from).unwrap_or_else(|| {
        let mut path = PathBuf::from(env!("CARGO_BIN_EXE_coretrace"));
        path.set_file_name("examples");
        path.join("targets")
    })
}

/// A test that cannot run prints why and counts as skipped: `return skip("test_name", "why")`.
pub fn skip(test: &str, why: &str) {
    // Straight to fd 2: libtest would capture the output of `eprintln!`.
    let _ = writeln!(std::io::stderr(), "SKIP {test}: {why}");
}

/// Whether this is a VM of tests/vm, where a test may watch everything and change the system.
pub fn in_vm() -> bool {
    std::env::var_os("CORETRACE_VM").is_some()
}

/// Whether the kernel has no fentry and fexit: arm64's came late (2aa6ac03516d: arm64: ftrace: Add direct call support).
pub fn lacks_fentry() -> bool {
    cfg!(target_arch = "aarch64") && kernel() < (6, 4)
}

/// Whether a way to hook in has to work, and not only may: in a VM, as Debian's kernels have all that there are.
pub fn must_have(way: &str) -> bool {
    in_vm() && !(way == "fentry" && lacks_fentry())
}

/// The running kernel's version, as (major, minor).
pub fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A line, and the stream it came from.
enum Line {
    Out(String),
    Err(String),
}

/// A running coretrace: `proc -o json -O -` and the test's arguments, unless it was made with [`Trace::raw`].
pub struct Trace {
    pub child: Child,
    lines: Receiver<Line>,
    /// Its output so far, by lines.
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// What an ended coretrace left.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub events: Vec<Value>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Trace {
    /// `coretrace proc -o json -O - -v ARGS…`, attached when this returns.
    pub fn proc<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Trace {
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", "json", "-O", "-", "-v"]).args(args);
        let mut trace = Trace::raw(&mut command);
        trace.ready();
        trace
    }

    /// Any command line; does not wait.
    pub fn raw(command: &mut Command) -> Trace {
        command.stdin(Stdio::null());
        Trace::with_stdin(command)
    }

    /// Any command line, with a standard input that the caller has set.
    pub fn with_stdin(command: &mut Command) -> Trace {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("starting {command:?}: {e}"));
        let (to, lines) = channel();
        fn pump(from: impl std::io::Read + Send + 'static, send: impl Fn(String) -> bool + Send + 'static) {
            std::thread::spawn(move || {
                let mut from = BufReader::new(from);
                let mut line = Vec::new();
                while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let text = String::from_utf8(std::mem::take(&mut line)).expect("coretrace prints UTF-8");
                    if !send(text.trim_end_matches('\n').to_owned()) {
                        break;
                    }
                }
            });
        }
        let out = to.clone();
        pump(child.stdout.take().unwrap(), move |line| out.send(Line::Out(line)).is_ok());
        pump(child.stderr.take().unwrap(), move |line| to.send(Line::Err(line)).is_ok());
        Trace { child, lines, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Takes one more line; false at the end of both streams. Panics after [`DEADLINE`].
    fn step(&mut self, until: Instant) -> bool {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Line::Out(line)) => self.stdout.push(line),
            Ok(Line::Err(line)) => self.stderr.push(line),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                let last = &self.stdout[self.stdout.len().saturating_sub(20)..];
                panic!("nothing within {DEADLINE:?}; stdout ends in {last:#?}\nstderr {:#?}", self.stderr);
            }
        }
        true
    }

    /// Waits until its programs are attached: -v prints that.
    pub fn ready(&mut self) {
        let until = Instant::now() + DEADLINE;
        while !self.stderr.iter().any(|line| line.contains("coretrace: attached to")) {
            assert!(self.step(until), "coretrace ended: {:#?}", self.stderr);
        }
    }

    /// Waits for any one more line.
    pub fn one_more(&mut self, what: &str) {
        assert!(self.step(Instant::now() + DEADLINE), "coretrace ended without {what}: {:#?}", self.stderr);
    }

    /// Waits for a line on standard output, if that is CMD's.
    pub fn line(&mut self, what: &str, found: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(line) = self.stdout.iter().find(|line| found(line)) {
                return line.clone();
            }
            assert!(self.step(until), "coretrace ended without {what}: {:#?}", self.stderr);
        }
    }

    /// Waits for a line on standard error.
    pub fn note(&mut self, what: &str, found: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(line) = self.stderr.iter().find(|line| found(line)) {
                return line.clone();
            }
            assert!(self.step(until), "coretrace ended without {what}: {:#?}", self.stderr);
        }
    }

    /// Waits for an event for which `found` is true, and returns it.
    pub fn wait_for(&mut self, what: &str, mut found: impl FnMut(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        let mut next = 0;
        loop {
            while let Some(line) = self.stdout.get(next) {
                let event = parse(line);
                if found(&event) {
                    return event;
                }
                next += 1;
            }
            assert!(self.step(until), "coretrace ended without {what}: {:#?}", self.stderr);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("coretrace runs");
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGINT);
        self.end()
    }

    /// Waits for its end.
    pub fn end(self) -> Ended {
        let mut ended = self.output();
        ended.events = ended.stdout.iter().map(|line| parse(line)).collect();
        ended
    }

    /// Waits for its end, if standard output is not JSON.
    pub fn output(mut self) -> Ended {
        let until = Instant::now() + DEADLINE;
        while self.step(until) {}
        let status = self.child.wait().unwrap();
        let (stdout, stderr) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        Ended { status, events: Vec::new(), stdout, stderr }
    }
}

/// A failed test leaves nothing behind.
impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line that must be JSON.
pub fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {e}: {line}"))
}

/// The totals of the closing line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub seen: u64,
    pub filtered: u64,
    pub delivered: u64,
    pub aggregated: u64,
    pub dropped: u64,
}

impl Ended {
    /// Events of a kind, of one process.
    pub fn of(&self, kind: &str, pid: u32) -> Vec<&Value> {
        self.events.iter().filter(|e| e["kind"] == kind && e["pid"] == pid).collect()
    }

    /// Events of a kind.
    pub fn kind(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["kind"] == kind).collect()
    }

    /// The closing line's totals, which must be there, balance exactly, and agree with what was printed.
    pub fn totals(&self) -> Totals {
        let totals = self.balance();
        let printed = self.events.iter().filter(|e| e["kind"] != "lost" && e["kind"] != "total").count() as u64;
        assert_eq!(printed, totals.delivered, "{:#?}", self.stderr);
        totals
    }

    /// The closing line's totals, which must be there and balance exactly.
    pub fn balance(&self) -> Totals {
        let line = self.stderr.iter().rev().find(|line| line.contains(" seen = "));
        let line = line.unwrap_or_else(|| panic!("no totals: {:#?}", self.stderr));
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |of: &str| Some(words[words.iter().position(|word| *word == of)? - 1].parse().expect("a number"));
        let totals = Totals {
            seen: number("seen").expect(line),
            filtered: number("filtered").expect(line),
            delivered: number("delivered").expect(line),
            aggregated: number("aggregated").unwrap_or(0),
            dropped: number("dropped").expect(line),
        };
        assert!(!line.contains("pending"), "{line}");
        assert!(!self.stderr.iter().any(|l| l.contains("do not balance")), "{:#?}", self.stderr);
        assert_eq!(totals.seen, totals.filtered + totals.delivered + totals.aggregated + totals.dropped, "{line}");
        totals
    }

    /// It ended well, delivered all, and its account balances.
    pub fn assert_clean(&self) -> Totals {
        assert!(self.status.success(), "{:?} {:#?}", self.status, self.stderr);
        let totals = self.totals();
        assert_eq!(totals.dropped, 0, "{:#?}", self.stderr);
        totals
    }
}

/// Runs coretrace to its end.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(coretrace()).args(args).stdin(Stdio::null()).output().expect("coretrace starts")
}

/// Runs a target to its end, and returns its process id and what it printed.
pub fn target(args: &[&str]) -> (u32, Output) {
    let child = Command::new(targets()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    (child.id(), child.wait_with_output().unwrap())
}
