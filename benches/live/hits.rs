//! What a hit of a probe costs: under `uprobe`, `usdt` and `probe`, and under bpftrace and funccount doing the same.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::storm::{Ready, Run, interrupt, lost, targets, time, totals};
use crate::{table, tracer};

/// Turns of a storm.
const COUNT: u32 = 100_000;

/// What is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// A function of a program.
    Uprobe,
    /// A static probe.
    Usdt,
    /// A classic tracepoint.
    Tracepoint,
    /// A function of the kernel, by its types …
    Fentry,
    /// … and by a probe.
    Kprobe,
}

/// All of them.
pub const ALL: [Hit; 5] = [Hit::Uprobe, Hit::Usdt, Hit::Tracepoint, Hit::Fentry, Hit::Kprobe];

/// What getppid(2) calls in the kernel, once.
const FUNCTION: &str = "__task_pid_nr_ns";

impl Hit {
    /// Its name as an argument.
    pub fn part(self) -> &'static str {
        match self {
            Hit::Uprobe => "uprobe",
            Hit::Usdt => "usdt",
            Hit::Tracepoint => "tracepoint",
            Hit::Fentry => "fentry",
            Hit::Kprobe => "kprobe",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Hit::Uprobe => "call of a function of a program (uprobe)",
            Hit::Usdt => "static probe (usdt)",
            Hit::Tracepoint => "classic tracepoint (getppid)",
            Hit::Fentry => "entry of a kernel function by fentry (getppid)",
            Hit::Kprobe => "entry of a kernel function by kprobe (getppid)",
        }
    }

    fn storm(self) -> [String; 3] {
        let target = match self {
            Hit::Uprobe => "storm-call",
            Hit::Usdt => "storm-mark",
            Hit::Tracepoint | Hit::Fentry | Hit::Kprobe => "storm-ask",
        };
        [targets(), target.to_owned(), COUNT.to_string()]
    }

    fn coretrace(self) -> (&'static str, String) {
        match self {
            Hit::Uprobe => ("uprobe", format!("{}:func_uprobe1(x:u64)", targets())),
            Hit::Usdt => ("usdt", format!("{}:groupa:probe1", targets())),
            Hit::Tracepoint => ("probe", "tracepoint:syscalls:sys_enter_getppid".to_owned()),
            Hit::Fentry => ("probe", format!("fentry:{FUNCTION}")),
            Hit::Kprobe => ("probe", format!("kprobe:{FUNCTION}")),
        }
    }

    /// Where bpftrace puts its probe.
    fn place(self, pid: u32) -> (String, String) {
        match self {
            Hit::Uprobe => (format!("uprobe:{}:func_uprobe1", targets()), String::new()),
            Hit::Usdt => (format!("usdt:{}:groupa:probe1", targets()), String::new()),
            // It would see those of all processes.
            Hit::Tracepoint => ("tracepoint:syscalls:sys_enter_getppid".to_owned(), format!("/pid == {pid}/")),
            Hit::Fentry => (format!("kfunc:{FUNCTION}"), format!("/pid == {pid}/")),
            Hit::Kprobe => (format!("kprobe:{FUNCTION}"), format!("/pid == {pid}/")),
        }
    }

    /// A line for each hit with what coretrace shows of it.
    fn shown(self, pid: u32) -> String {
        let (place, filter) = self.place(pid);
        let head = r#"printf("%lld %d %d %s "#;
        match self {
            Hit::Uprobe => format!(
                "{place} {{ @at[tid] = nsecs; @x[tid] = arg0; }} uretprobe:{}:func_uprobe1 /@at[tid]/ {{ {head}%lld %lld %lld\\n\", \
                 nsecs, pid, tid, comm, @x[tid], retval, nsecs - @at[tid]); delete(@at[tid]); delete(@x[tid]); }}",
                targets()
            ),
            Hit::Usdt => format!("{place} {{ {head}%d\\n\", nsecs, pid, tid, comm, arg0); }}"),
            Hit::Tracepoint | Hit::Fentry | Hit::Kprobe => {
                format!("{place} {filter} {{ {head}\\n\", nsecs, pid, tid, comm); }}")
            }
        }
    }

    fn counted(self, pid: u32) -> String {
        let (place, filter) = self.place(pid);
        format!("{place} {filter} {{ @[probe] = count(); }}")
    }

    fn funccount(self) -> Option<String> {
        match self {
            Hit::Uprobe => Some(format!("{}:func_uprobe1", targets())),
            Hit::Usdt => Some(format!("u:{}:probe1", targets())),
            Hit::Kprobe => Some(FUNCTION.to_owned()),
            Hit::Tracepoint | Hit::Fentry => None,
        }
    }
}

/// Under what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    Nothing,
    Events,
    Counts,
    BpftraceEvents,
    BpftraceCounts,
    Funccount,
}

impl Under {
    fn name(self) -> &'static str {
        match self {
            Under::Nothing => "no tracer",
            Under::Events => "coretrace, text",
            Under::Counts => "coretrace --count-by",
            Under::BpftraceEvents => "bpftrace printf()",
            Under::BpftraceCounts => "bpftrace count()",
            Under::Funccount => "funccount",
        }
    }

    /// Whether it may need what is not here: another tracer compilers and headers, these functions what a kernel may lack.
    fn may_fail(self, hit: Hit) -> bool {
        let other = matches!(self, Under::BpftraceEvents | Under::BpftraceCounts | Under::Funccount);
        other || matches!(hit, Hit::Fentry | Hit::Kprobe)
    }

    fn there(self, hit: Hit) -> bool {
        match self {
            Under::BpftraceEvents | Under::BpftraceCounts => tracer::installed("bpftrace"),
            Under::Funccount => hit.funccount().is_some() && tracer::installed("funccount-bpfcc"),
            _ => true,
        }
    }
}

/// Runs that many rounds, and prints the table.
pub fn measure(hit: Hit, rounds: usize) -> Result<()> {
    use Under::{BpftraceCounts, BpftraceEvents, Counts, Events, Funccount, Nothing};
    let all = [Nothing, Events, BpftraceEvents, Counts, BpftraceCounts, Funccount];
    let mut runs: Vec<(Under, Vec<Run>)> =
        all.into_iter().filter(|under| under.there(hit)).map(|under| (under, Vec::new())).collect();
    for _ in 0..rounds {
        let mut failed = Vec::new();
        for (under, runs) in &mut runs {
            match run(hit, *under) {
                Ok(run) => runs.push(run),
                Err(error) if under.may_fail(hit) => failed.push((*under, error)),
                Err(error) => return Err(error.context(under.name())),
            }
        }
        for (under, error) in failed {
            println!("{} does not run here, and is left out: {error:#}", under.name());
            runs.retain(|(one, _)| *one != under);
        }
    }
    let rows: Vec<_> = runs.iter().map(|(under, runs)| (under.name(), runs.as_slice())).collect();
    table::each(hit.title(), COUNT, &rows);
    Ok(())
}

fn run(hit: Hit, under: Under) -> Result<Run> {
    let storm = hit.storm();
    let mut alone = Command::new(&storm[0]);
    alone.args(&storm[1..]);
    match under {
        Under::Nothing => Ok(time(Ready::new(&mut alone)?, None, COUNT, &mut |_| Ok(()))?.0),
        Under::Events | Under::Counts => {
            let (tracer, spec) = hit.coretrace();
            let mut command = tracer::coretrace();
            command.args([tracer, "-O", "/dev/null", "--buffer", "64M"]);
            if under == Under::Counts {
                command.args(["--count-by", "func"]);
            }
            let ready = Ready::new(command.arg(spec).arg("--").args(&storm))?;
            let pid = ready.child.id();
            let (run, printed) = time(ready, Some(pid), COUNT, &mut |_| Ok(()))?;
            Ok(Run { lost: totals(&printed)?.1, ..run })
        }
        Under::BpftraceEvents | Under::BpftraceCounts => {
            let ready = Ready::new(&mut alone)?;
            let pid = ready.child.id();
            let probe = if under == Under::BpftraceEvents { hit.shown(pid) } else { hit.counted(pid) };
            let mut command = Command::new("bpftrace");
            command.env("BPFTRACE_PERF_RB_PAGES", "8192").args(["-p", &pid.to_string(), "-e"]);
            command.arg(format!("BEGIN {{ printf(\"ready\\n\"); }} {probe}"));
            beside(ready, &mut command, "ready")
        }
        Under::Funccount => {
            let ready = Ready::new(&mut alone)?;
            let mut command = Command::new("funccount-bpfcc");
            command.args(["-p", &ready.child.id().to_string()]).args(hit.funccount());
            beside(ready, &mut command, "Tracing")
        }
    }
}

/// A storm beside another process that traces it, which writes that word once it is attached.
fn beside(ready: Ready, command: &mut Command, word: &str) -> Result<Run> {
    let out = std::env::temp_dir().join(format!("coretrace-bench-{}", std::process::id()));
    let file = File::create(&out)?;
    let mut child =
        command.env("PYTHONUNBUFFERED", "1").stdin(Stdio::null()).stdout(file).stderr(Stdio::piped()).spawn()?;
    attached(&mut child, &out, word)?;
    let (run, _) = time(ready, Some(child.id()), COUNT, &mut |_| Ok(()))?;
    let printed = interrupt(child)?;
    std::fs::remove_file(&out)?;
    Ok(Run { lost: lost(&printed), ..run })
}

fn attached(child: &mut Child, out: &std::path::Path, word: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(out)?.contains(word) {
        if child.try_wait()?.is_some() {
            let mut printed = String::new();
            child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut printed));
            bail!("it ended: {}", printed.lines().last().unwrap_or_default());
        }
        ensure!(Instant::now() < until, "it is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    // bpftrace attaches BEGIN, which says it, before all else.
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}
