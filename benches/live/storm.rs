//! Runs the storms under each tracer, in turns, so that disturbances affect all of them equally.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::empty;
use crate::tracer::{self, Cgroup, Tracer, Usage};

/// The kinds of storms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    /// fork, execve, wait.
    Exec,
    /// fork, _exit, wait.
    Fork,
    /// As the first, for `coretrace exec`.
    Call,
    /// execve of a missing program.
    Fail,
    /// open, close.
    Open,
}

impl Storm {
    /// The name of one turn.
    pub fn turn(self) -> &'static str {
        match self {
            Storm::Exec => "fork + execve + wait",
            Storm::Fork => "fork + _exit + wait",
            Storm::Call => "fork + execve + wait, the execve alone watched",
            Storm::Fail => "execve that fails",
            Storm::Open => "open + close",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Storm::Exec | Storm::Call => "storm-exec",
            Storm::Fork => "storm-fork",
            Storm::Fail => "storm-fail",
            Storm::Open => "storm-open",
        }
    }

    /// The coretrace subcommand that shows it.
    pub fn subcommand(self) -> &'static str {
        match self {
            Storm::Exec | Storm::Fork => "proc",
            Storm::Call | Storm::Fail => "exec",
            Storm::Open => "open",
        }
    }

    /// The system calls that strace shows.
    fn calls(self) -> &'static str {
        match self {
            Storm::Exec | Storm::Fork => "trace=process",
            Storm::Call | Storm::Fail => "trace=execve",
            Storm::Open => "trace=open,openat",
        }
    }

    fn command(self, count: u32) -> Vec<String> {
        vec![targets(), self.target().to_owned(), count.to_string()]
    }
}

/// The program that makes storms: the one that `CORETRACE_TARGETS` names, or that cargo built beside this one.
pub fn targets() -> String {
    if let Ok(named) = std::env::var("CORETRACE_TARGETS") {
        return named;
    }
    let mut targets = PathBuf::from(env!("CARGO_BIN_EXE_coretrace"));
    targets.set_file_name("examples");
    targets.join("targets").display().to_string()
}

/// One storm under one tracer.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Time of one turn of the storm, for each batch of them.
    pub walls_ns: Vec<f64>,
    /// CPU time of the traced processes, per turn.
    pub cpu_ns: f64,
    /// CPU time of the tracer, per turn.
    pub reader_ns: f64,
    /// The tracer's memory.
    pub rss_kib: u64,
    /// Events that it delivered …
    pub delivered: Option<u64>,
    /// … and lost.
    pub lost: u64,
}

/// The runs of one tracer, one per round.
pub type Measured = Vec<(Tracer, Vec<Run>)>;

/// Runs this many rounds.
pub fn measure(storm: Storm, count: u32, rounds: usize, tracers: &[Tracer]) -> Result<Measured> {
    let mut measured: Measured = tracers.iter().map(|tracer| (*tracer, Vec::new())).collect();
    // Warms up caches.
    run(Tracer::None, storm, count)?;
    for round in 0..rounds {
        // Each tracer comes after each other one in some round.
        for n in 0..measured.len() {
            let at = (n + round) % measured.len();
            let (tracer, runs) = &mut measured[at];
            runs.push(run(*tracer, storm, count).with_context(|| tracer.name())?);
        }
    }
    Ok(measured)
}

/// A storm that is ready.
pub struct Ready {
    pub child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Ready {
    /// Starts it, or a tracer that starts it.
    pub fn new(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let mut ready = Ready { child, stdin, stdout: BufReader::new(stdout) };
        let line = ready.line()?;
        ensure!(line == "ready", "the storm is not ready: {line:?} {}", ready.complaint());
        Ok(ready)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn go(&mut self) -> Result<()> {
        self.stdin.write_all(b"\n").context("the storm is gone")
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let _ = self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut text));
        text
    }

    /// Lets it end, and returns its stderr.
    fn end(mut self) -> Result<String> {
        self.go()?;
        let complaint = self.complaint();
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {complaint}");
        Ok(complaint)
    }
}

/// Runs a storm under a tracer.
pub fn run(tracer: Tracer, storm: Storm, count: u32) -> Result<Run> {
    watched(tracer, storm, count, &mut |_| Ok(()))
}

/// The same; `look` is called with the tracer's process id when the storm is over and the tracer still runs.
pub fn watched(tracer: Tracer, storm: Storm, count: u32, look: &mut dyn FnMut(u32) -> Result<()>) -> Result<Run> {
    // Slow variants are as exact with fewer turns.
    let many = matches!(storm, Storm::Fail | Storm::Open);
    let count = if many && tracer == Tracer::Strace { count / 20 } else { count };
    let what = storm.subcommand();
    let target = storm.command(count);
    let mut alone = Command::new(&target[0]);
    alone.args(&target[1..]);
    let out = std::env::temp_dir().join(format!("coretrace-bench-{}", std::process::id()));
    let run = match tracer {
        Tracer::None | Tracer::Empty => {
            let empty = (tracer == Tracer::Empty).then(|| empty::attach(storm)).transpose()?;
            let (run, _) = time(Ready::new(&mut alone)?, None, count, look)?;
            drop(empty);
            run
        }
        Tracer::Text | Tracer::Json => under_coretrace(tracer, what, &target, &out, count, look)?,
        Tracer::Strace => {
            let mut command = Command::new("strace");
            let ready = command.args(["-f", "-qq", "-e", storm.calls(), "-o", "/dev/null"]).args(&target);
            let ready = Ready::new(ready)?;
            let pid = ready.child.id();
            time(ready, Some(pid), count, look)?.0
        }
        Tracer::Elsewhere => {
            let mut command = tracer::coretrace();
            let mut child = command.args([what, "-p", &std::process::id().to_string()]);
            child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = child.spawn()?;
            // Its header shows that it is attached.
            child.stdout.as_mut().context("stdout")?.read_exact(&mut [0; 4]).context("coretrace is not ready")?;
            let (run, _) = time(Ready::new(&mut alone)?, Some(child.id()), count, look)?;
            let (_, lost) = totals(&interrupt(child)?)?;
            Run { lost, ..run }
        }
        Tracer::Execsnoop => under_execsnoop(storm, &mut alone, &out, count, look)?,
        Tracer::Opensnoop => {
            let ready = Ready::new(&mut alone)?;
            let mut command = tracer::opensnoop(ready.child.id());
            let mut child = tracer::quiet(&mut command).stdout(File::create(&out)?).spawn()?;
            tracer::attached(&mut child, 2)?;
            let (run, _) = time(ready, Some(child.id()), count, look)?;
            snooped(run, &interrupt(child)?, &out)?
        }
    };
    let _ = fs::remove_file(&out);
    Ok(run)
}

/// The storm as the command of coretrace, whose text goes nowhere, and whose JSON into a file.
fn under_coretrace(
    tracer: Tracer,
    what: &str,
    target: &[String],
    out: &Path,
    count: u32,
    look: &mut dyn FnMut(u32) -> Result<()>,
) -> Result<Run> {
    let mut command = tracer::coretrace();
    match tracer {
        Tracer::Text => command.args([what, "-O", "/dev/null", "--"]),
        _ => command.args([what, "-o", "json", "-O"]).arg(out).arg("--"),
    };
    let ready = Ready::new(command.args(target))?;
    let pid = ready.child.id();
    let (run, printed) = time(ready, Some(pid), count, look)?;
    let (delivered, lost) = totals(&printed)?;
    Ok(Run { delivered: Some(delivered), lost, ..run })
}

/// The storm in a cgroup that execsnoop watches.
fn under_execsnoop(
    storm: Storm,
    alone: &mut Command,
    out: &Path,
    count: u32,
    look: &mut dyn FnMut(u32) -> Result<()>,
) -> Result<Run> {
    let cgroup = Cgroup::new()?;
    let mut command = tracer::execsnoop(&cgroup.0);
    if storm == Storm::Fail {
        command.arg("-x");
    }
    let mut child = tracer::quiet(&mut command).stdout(File::create(out)?).spawn()?;
    tracer::attached(&mut child, 2)?;
    let ready = Ready::new(alone)?;
    cgroup.take(ready.child.id())?;
    let (run, _) = time(ready, Some(child.id()), count, look)?;
    snooped(run, &interrupt(child)?, out)
}

/// How many events a tool of libbpf-tools delivered (its first line is the header), and how many it reported as lost.
fn snooped(run: Run, printed: &str, out: &Path) -> Result<Run> {
    let lines = fs::read(out)?.iter().filter(|b| **b == b'\n').count() as u64;
    Ok(Run { delivered: Some(lines.saturating_sub(1)), lost: lost(printed), ..run })
}

/// How many events another tracer reported as lost: `Lost 12 events`.
pub fn lost(printed: &str) -> u64 {
    let words: Vec<_> = printed.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "Lost").filter_map(|pair| pair[1].parse::<u64>().ok()).sum()
}

/// Lets it run, and measures it and the tracer. Returns what the process on whose streams it is wrote to stderr, too.
pub fn time(
    mut ready: Ready,
    tracer: Option<u32>,
    count: u32,
    look: &mut dyn FnMut(u32) -> Result<()>,
) -> Result<(Run, String)> {
    let usage = || tracer.map_or(Ok(Usage::default()), Usage::of);
    let before = usage()?;
    ready.go()?;
    let line = ready.line()?;
    let numbers: Vec<f64> = line.split(' ').skip(1).map_while(|n| n.parse().ok()).collect();
    let [cpu, walls @ ..] = numbers.as_slice() else { bail!("the storm failed: {line:?} {}", ready.complaint()) };
    let walls_ns = walls.iter().map(|wall| wall * walls.len() as f64 / f64::from(count)).collect();
    if tracer.is_some() {
        // Longer than a reader waits before it reads what is there.
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = usage()?;
    look(tracer.unwrap_or(0))?;
    let printed = ready.end()?;
    let turns = f64::from(count);
    let reader_ns = (after.cpu_ns - before.cpu_ns) as f64 / turns;
    let run = Run { walls_ns, cpu_ns: cpu / turns, reader_ns, rss_kib: after.rss_kib, ..Run::default() };
    Ok((run, printed))
}

/// Ends a tracer as Ctrl-C does; returns its stderr.
pub fn interrupt(mut child: Child) -> Result<String> {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT)?;
    let mut printed = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        // A program that waits for its reader would never end.
        stdout.read_to_end(&mut Vec::new())?;
    }
    child.stderr.take().context("stderr")?.read_to_string(&mut printed)?;
    child.wait()?;
    Ok(printed)
}

/// Delivered and dropped, of coretrace's closing line.
pub fn totals(printed: &str) -> Result<(u64, u64)> {
    let line =
        printed.lines().find(|line| line.contains(" seen = ")).with_context(|| format!("no totals: {printed}"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |of: &str| words.windows(2).find(|pair| pair[1] == of)?[0].parse::<u64>().ok();
    number("delivered").zip(number("dropped")).with_context(|| format!("no totals: {line}"))
}
