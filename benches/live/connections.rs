//! What a connection and a packet cost, under `conn` and under the tools that come closest to it: `conntrack -E` knows no
//! processes, tcpconnect and tcplife know no address translation. Needs a kernel that tracks the connections of the
//! loopback, as tests/bench/guest sets one up.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::storm::{Ready, Run, interrupt, targets, time, totals};
use crate::{table, tracer};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Connection,
    Packet,
}

impl What {
    fn title(self) -> &'static str {
        match self {
            What::Connection => "connection that is accepted and reset",
            What::Packet => "datagram of a connection that is known",
        }
    }

    fn storm(self) -> (&'static str, u32) {
        match self {
            What::Connection => ("storm-connect", 2000),
            What::Packet => ("storm-send", 50_000),
        }
    }
}

/// Under what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    Nothing,
    Text,
    Json,
    Updates,
    Conntrack,
    Tcpconnect,
    Tcplife,
}

impl Under {
    const ALL: [Under; 7] =
        [Under::Nothing, Under::Text, Under::Json, Under::Updates, Under::Conntrack, Under::Tcpconnect, Under::Tcplife];

    fn name(self) -> &'static str {
        match self {
            Under::Nothing => "no tracer",
            Under::Text => "conn, text",
            Under::Json => "conn, JSON",
            Under::Updates => "conn --updates, text",
            Under::Conntrack => "conntrack -E",
            Under::Tcpconnect => "tcpconnect",
            Under::Tcplife => "tcplife",
        }
    }

    fn is_here(self, what: What) -> bool {
        match self {
            Under::Conntrack => tracer::installed("conntrack"),
            // They know of TCP alone, and nothing of packets.
            Under::Tcpconnect | Under::Tcplife => what == What::Connection && tracer::installed(self.name()),
            _ => true,
        }
    }
}

/// Runs that many rounds, and prints the tables.
pub fn measure(rounds: usize) -> Result<()> {
    if !Path::new("/proc/net/nf_conntrack").exists() {
        println!("conn: this kernel tracks no connections: left out (tests/bench/guest)");
        return Ok(());
    }
    for what in [What::Connection, What::Packet] {
        let here = Under::ALL.into_iter().filter(|under| under.is_here(what));
        let mut runs: Vec<(Under, Vec<Run>)> = here.map(|under| (under, Vec::new())).collect();
        for _ in 0..rounds {
            for (under, runs) in &mut runs {
                runs.push(run(what, *under).with_context(|| under.name())?);
            }
        }
        let rows: Vec<_> = runs.iter().map(|(under, runs)| (under.name(), runs.as_slice())).collect();
        table::each(what.title(), what.storm().1, &rows);
    }
    Ok(())
}

fn run(what: What, under: Under) -> Result<Run> {
    let (storm, count) = what.storm();
    // Connections of the run before would end in this one. (Without conntrack, they do.)
    let _ = Command::new("conntrack").arg("-F").stderr(Stdio::null()).status();
    let ready = Ready::new(Command::new(targets()).args([storm, &count.to_string()]))?;
    let out = std::env::temp_dir().join(format!("coretrace-bench-{}", std::process::id()));
    let beside = |ready: Ready, child: Child| -> Result<(Run, String)> {
        let (run, _) = time(ready, Some(child.id()), count, &mut |_| Ok(()))?;
        Ok((run, interrupt(child)?))
    };
    match under {
        Under::Nothing => Ok(time(ready, None, count, &mut |_| Ok(()))?.0),
        Under::Text | Under::Json | Under::Updates => {
            let mut command = tracer::coretrace();
            command.args(["conn", "-v", "--buffer", "64M", "--no-existing"]);
            match under {
                Under::Json => command.args(["-o", "json", "-O"]).arg(&out),
                Under::Updates => command.args(["--updates", "-O", "/dev/null"]),
                _ => command.args(["-O", "/dev/null"]),
            };
            let (run, printed) = beside(ready, coretrace_ready(&mut command)?)?;
            let (delivered, lost) = totals(&printed)?;
            Ok(Run { delivered: Some(delivered), lost, ..run })
        }
        Under::Conntrack => {
            let mut command = Command::new("conntrack");
            let child = tracer::quiet(command.args(["-E", "-b", "67108864"])).stdout(File::create(&out)?).spawn()?;
            subscribed()?;
            let (run, _) = beside(ready, child)?;
            Ok(Run { delivered: Some(lines(&out)?), ..run })
        }
        Under::Tcpconnect | Under::Tcplife => {
            let mut child = tracer::quiet(&mut tracer::tool(under.name())).stdout(File::create(&out)?).spawn()?;
            // Of tcplife one tracepoint, of tcpconnect four probes.
            tracer::attached(&mut child, if under == Under::Tcplife { 1 } else { 4 })?;
            let (run, _) = beside(ready, child)?;
            Ok(Run { delivered: Some(lines(&out)?.saturating_sub(1)), ..run })
        }
    }
}

fn lines(file: &Path) -> Result<u64> {
    Ok(fs::read(file)?.iter().filter(|byte| **byte == b'\n').count() as u64)
}

/// Starts coretrace, and waits until it says that it is attached.
fn coretrace_ready(command: &mut Command) -> Result<Child> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("stderr")?);
    let mut line = String::new();
    while !line.contains("attached to") {
        line.clear();
        ensure!(stderr.read_line(&mut line)? > 0, "it is not ready");
    }
    child.stderr = Some(stderr.into_inner());
    Ok(child)
}

/// Waits until somebody listens to the tracker's events: /proc/net/netlink has a socket of NETLINK_NETFILTER with groups.
fn subscribed() -> Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    let is_it = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(1) == Some(&"12") && words.get(3).is_some_and(|groups| *groups != "00000000")
    };
    while !fs::read_to_string("/proc/net/netlink")?.lines().any(is_it) {
        ensure!(Instant::now() < until, "it is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
