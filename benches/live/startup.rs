//! From the start of a tracer to its header, which it prints once it is attached.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

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
    let one = |name: &str, make: &dyn Fn() -> Command| repeated(name, rounds, make);
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

/// A program with 1,000 functions, for probes on 1 to all of them.
fn functions() -> Result<PathBuf> {
    let dir = std::env::temp_dir();
    let (source, program) =
        (dir.join("coretrace-bench.c"), dir.join(format!("coretrace-bench-{}", std::process::id())));
    let each = |n: usize| format!("__attribute__((noinline)) int of{n:03}(int x) {{ return x + {n}; }}\n");
    let code: String = (0..1000).map(each).collect();
    std::fs::write(&source, code + "#include <unistd.h>\nint main(void) { return pause() + of000(1); }\n")?;
    let built = Command::new("gcc").args(["-O1", "-o"]).arg(&program).arg(&source).status().context("starting gcc")?;
    std::fs::remove_file(source)?;
    ensure!(built.success(), "gcc: {built}");
    Ok(program)
}

/// Starts coretrace and bpftrace with probes on 1, 10, 100 and 1,000 functions of a program that runs.
pub fn many(rounds: usize) -> Result<Vec<Starts>> {
    let program = functions()?;
    let mut running = Command::new(&program).spawn()?;
    let starts = each_many(rounds, &program.display().to_string(), &running.id().to_string());
    running.kill()?;
    running.wait()?;
    std::fs::remove_file(program)?;
    starts
}

fn each_many(rounds: usize, path: &str, pid: &str) -> Result<Vec<Starts>> {
    let mut all = Vec::new();
    for (count, glob) in [(1, "of007"), (10, "of00*"), (100, "of0*"), (1000, "of*")] {
        let of_coretrace = || {
            let mut command = tracer::coretrace();
            command.args(["uprobe", "--entry", "-p", pid, &format!("{path}:{glob}")]);
            command
        };
        all.push(repeated(&format!("coretrace, {count}"), rounds, &of_coretrace)?);
        if tracer::installed("bpftrace") {
            let of_bpftrace = || {
                let mut command = Command::new("bpftrace");
                let script = format!(
                    "BEGIN {{ printf(\"ready\\n\"); }} uprobe:{path}:{glob} {{ printf(\"%d %s\\n\", pid, comm); }}"
                );
                command.env("BPFTRACE_MAX_PROBES", "2000").args(["-q", "-p", pid, "-e", &script]);
                command
            };
            all.push(repeated(&format!("bpftrace, {count}"), rounds, &of_bpftrace)?);
        }
    }
    Ok(all)
}

/// Starts one tracer this many times.
fn repeated(name: &str, rounds: usize, make: &dyn Fn() -> Command) -> Result<Starts> {
    let mut starts = Starts { name: name.to_owned(), ready: Vec::new(), cpu: Vec::new(), rss_kib: 0 };
    for _ in 0..rounds {
        let (ready, usage) = start(make()).with_context(|| name.to_owned())?;
        starts.ready.push(ready);
        starts.cpu.push(Duration::from_nanos(usage.cpu_ns));
        starts.rss_kib = starts.rss_kib.max(usage.rss_kib);
    }
    Ok(starts)
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
