//! From the start of a tracer to its header, which it prints once it is attached.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::storm::interrupt;
use crate::tracer::{self, Cgroup, Tracer, Usage};

/// The starts of one tracer.
#[derive(Debug)]
pub struct Starts {
    pub name: String,
    pub ready: Vec<Duration>,
    /// CPU time until then.
    pub cpu: Vec<Duration>,
    pub rss_kib: u64,
}

/// Starts each tracer this many times.
pub fn measure(tracers: &[Tracer], rounds: usize) -> Result<Vec<Starts>> {
    let me = std::process::id().to_string();
    let mut all = Vec::new();
    let one = |name: &str, make: &dyn Fn() -> Command| -> Result<Starts> {
        let mut starts = Starts { name: name.to_owned(), ready: Vec::new(), cpu: Vec::new(), rss_kib: 0 };
        for _ in 0..rounds {
            let (ready, usage) = start(make()).with_context(|| name.to_owned())?;
            starts.ready.push(ready);
            starts.cpu.push(Duration::from_nanos(usage.cpu_ns));
            starts.rss_kib = starts.rss_kib.max(usage.rss_kib);
        }
        Ok(starts)
    };
    let coretrace = |more: &[&str]| {
        let mut command = tracer::coretrace();
        command.args(["proc", "-p", &me]).args(more);
        command
    };
    all.push(one("coretrace proc", &|| coretrace(&[]))?);
    for hook in ["btf", "raw"] {
        all.push(one(&format!("  --attach {hook}"), &|| coretrace(&["--attach", hook]))?);
    }
    if tracers.contains(&Tracer::Execsnoop) {
        let cgroup = Cgroup::new()?;
        all.push(one("execsnoop", &|| tracer::execsnoop(&cgroup.0))?);
    }
    Ok(all)
}

/// On a terminal, so that none buffers its header.
fn start(mut command: Command) -> Result<(Duration, Usage)> {
    let pty = nix::pty::openpty(None, None).context("opening a terminal")?;
    let slave: OwnedFd = pty.slave;
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(slave).stderr(Stdio::piped()).spawn()?;
    drop(command);
    let mut terminal = std::fs::File::from(pty.master);
    terminal.read_exact(&mut [0; 4]).context("no header")?;
    let ready = begin.elapsed();
    let usage = Usage::of(child.id())?;
    interrupt(child)?;
    Ok((ready, usage))
}
