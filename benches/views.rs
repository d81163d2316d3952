//! What views cost that put processes together: the memory and the time of `coretrace replay`, for so many processes that
//! are all there at once. The recording is made, of the events of a recorded one.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coretrace::event::{Life, Value};
use coretrace::flow::record::Recorder;
use nix::sys::resource::{UsageWho, getrusage};

#[path = "../tests/samples/mod.rs"]
#[allow(dead_code)]
mod samples;

const VIEWS: [(&str, &[&str]); 5] = [
    ("events", &[]),
    ("--lives", &["--lives"]),
    ("--lives -o json", &["--lives", "-o", "json"]),
    ("--tree=end", &["--tree=end"]),
    ("--tree -o json", &["--tree", "-o", "json"]),
];
/// How many processes: the last is more than views keep at once.
const COUNTS: [u32; 3] = [1, 10_000, 100_000];
/// What none of them may need, in MiB, for each number of processes.
const MOST_MIB: [f64; 3] = [32.0, 64.0, 256.0];
/// The ids of the processes that are there, and of their parent.
const FIRST: u32 = 1000;
/// How long each lives, in nanoseconds.
const LIVED: u64 = 10_000_000_000;
/// Where ids are in a sample: `struct event_head` and `struct fork_event`. That they are is looked at, below.
const BOOT: usize = 0;
const PID: usize = 32;
const TID: usize = 36;
const PPID: usize = 40;
const CHILD: usize = 88;
/// And in `struct exit_event`: how long the process lived.
const LIFETIME: usize = 80;

fn main() -> ExitCode {
    // Cargo adds --bench.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let ran = if args.is_empty() { all() } else { one(&args) };
    ran.map_or_else(
        |error| {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// All views, for each number of processes.
fn all() -> Result<()> {
    let file = std::env::temp_dir().join(format!("coretrace-bench-{}.rec", std::process::id()));
    println!("{:>10}  {:18}{:>10}{:>16}{:>10}", "PROCESSES", "replay", "peak MiB", "bytes each", "seconds");
    let mut over = Vec::new();
    for (count, most) in COUNTS.into_iter().zip(MOST_MIB) {
        let made = record(&file, count);
        let ran = made.and_then(|()| VIEWS.iter().map(|(name, options)| measured(&file, name, options)).collect());
        let _ = fs::remove_file(&file);
        let ran: Vec<(&str, u64, Duration)> = ran?;
        let plain = ran.first().map_or(0, |(_, kib, _)| *kib);
        for (name, kib, took) in ran {
            let (mib, each) = (kib as f64 / 1024.0, (kib.saturating_sub(plain) * 1024) / u64::from(count));
            let each = if count > 1 { each.to_string() } else { "-".to_owned() };
            println!("{count:>10}  {name:18}{mib:>10.1}{each:>16}{:>10.2}", took.as_secs_f64());
            if mib > most {
                over.push(format!("{name} with {count} processes: {mib:.1} MiB, of at most {most}"));
            }
        }
    }
    ensure!(over.is_empty(), "{}", over.join("; "));
    Ok(())
}

/// How much memory a replay needs at most, in KiB, and how long it takes. By a process of its own, as the kernel has the most of
/// all children of a process.
fn measured<'n>(file: &Path, name: &'n str, options: &[&str]) -> Result<(&'n str, u64, Duration)> {
    let own = std::env::current_exe().context("this program")?;
    let output = Command::new(own).arg(file).args(options).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{name} has failed");
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next().context("a number")?.context("a number");
    Ok((name, next()?, Duration::from_micros(next()?)))
}

/// Replays once, and prints KiB and microseconds.
fn one(args: &[String]) -> Result<()> {
    let begin = Instant::now();
    let status =
        Command::new(env!("CARGO_BIN_EXE_coretrace")).arg("replay").args(args).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "coretrace replay {args:?}: {status}");
    println!("{} {}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss(), begin.elapsed().as_micros());
    Ok(())
}

/// Records that one process forks so many, each of which runs a program, and then that all end.
fn record(file: &Path, count: u32) -> Result<()> {
    let recording = samples::read("proc");
    let tracer = samples::all().into_iter().map(|(tracer, _)| tracer).find(|tracer| tracer.name() == "proc");
    let tracer = tracer.context("proc")?;
    let of = |wanted: fn(Option<Life>) -> bool| {
        let is_it = |sample: &&Vec<u8>| tracer.decode(sample).is_ok_and(|event| wanted(event.kind.life));
        recording.samples.iter().find(is_it).cloned().context("a sample")
    };
    let mut fork = of(|life| matches!(life, Some(Life::Child(_))))?;
    let mut exec = of(|life| life == Some(Life::Program))?;
    let mut exit = of(|life| life == Some(Life::End))?;
    // Longer than all of this takes: its number is no other one's.
    exit.get_mut(LIFETIME..LIFETIME + 8).context("a time")?.copy_from_slice(&LIVED.to_ne_bytes());
    let mut recorder = Recorder::new(BufWriter::new(File::create(file)?), &recording.header)?;
    recorder.clock(recording.clock)?;
    let mut now = 1_000_000_000_000_u64;
    let mut put = |sample: &mut Vec<u8>, ids: &[(usize, u32)]| -> Result<()> {
        now += 1000;
        sample.get_mut(BOOT..BOOT + 8).context("a time")?.copy_from_slice(&now.to_ne_bytes());
        for (at, id) in ids {
            sample.get_mut(*at..at + 4).context("an id")?.copy_from_slice(&id.to_ne_bytes());
        }
        Ok(recorder.sample(sample)?)
    };
    for pid in FIRST + 1..=FIRST + count {
        put(&mut fork, &[(PID, FIRST), (TID, FIRST), (PPID, 1), (CHILD, pid), (CHILD + 4, pid)])?;
        put(&mut exec, &[(PID, pid), (TID, pid), (PPID, FIRST)])?;
    }
    for pid in FIRST + 1..=FIRST + count {
        put(&mut exit, &[(PID, pid), (TID, pid), (PPID, FIRST)])?;
    }
    recorder.end(None)?;
    let (forked, ended) = (tracer.decode(&fork)?, tracer.decode(&exit)?);
    let last = Some(Value::Pid(FIRST + count));
    ensure!(forked.get("child_pid").copied() == last, "where the child's id is in a fork");
    ensure!(ended.get("lifetime").copied() == Some(Value::Span(LIVED)), "where the time is in an exit");
    ensure!([ended.head.pid, ended.head.ppid] == [FIRST + count, FIRST], "where the ids are in an event's head");
    Ok(())
}
