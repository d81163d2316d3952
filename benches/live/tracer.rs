//! The compared tracers: how each is started so that it sees a storm and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::storm::Storm;

/// The tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracer {
    /// None.
    None,
    /// Empty programs, on coretrace's hooks.
    Empty,
    /// coretrace, watching another process: its cost for processes that it does not show.
    Elsewhere,
    /// coretrace, text to /dev/null.
    Text,
    /// coretrace, JSON to a file.
    Json,
    /// execsnoop of libbpf-tools, to a file.
    Execsnoop,
    /// opensnoop of libbpf-tools, to a file.
    Opensnoop,
    /// strace -f, to /dev/null.
    Strace,
}

impl Tracer {
    /// The tracers available here.
    pub fn usable() -> Vec<Tracer> {
        use Tracer::{Elsewhere, Empty, Execsnoop, Json, None, Opensnoop, Strace, Text};
        let there = |tracer: &Tracer| match tracer {
            Execsnoop => installed("execsnoop") && cgroup_root().is_some(),
            Opensnoop => installed("opensnoop"),
            Strace => installed("strace"),
            _ => true,
        };
        let all = [None, Empty, Elsewhere, Text, Json, Execsnoop, Opensnoop, Strace];
        for absent in all.iter().filter(|t| !there(t)) {
            println!("{} is not here: left out", absent.name());
        }
        all.into_iter().filter(there).collect()
    }

    /// Whether it shows anything of that storm.
    pub fn shows(self, storm: Storm) -> bool {
        match self {
            Tracer::Execsnoop => storm != Storm::Open,
            Tracer::Opensnoop => storm == Storm::Open,
            _ => true,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Tracer::None => "no tracer",
            Tracer::Empty => "empty programs",
            Tracer::Elsewhere => "coretrace -p OTHER",
            Tracer::Text => "coretrace, text",
            Tracer::Json => "coretrace, JSON",
            Tracer::Execsnoop => "execsnoop",
            Tracer::Opensnoop => "opensnoop -p",
            Tracer::Strace => "strace -f",
        }
    }
}

/// Whether a program is found.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).any(|dir| dir.join(program).is_file())
}

/// The coretrace that `CORETRACE` names (to compare two of them), or that cargo built with this program.
pub fn coretrace() -> Command {
    Command::new(std::env::var_os("CORETRACE").unwrap_or_else(|| env!("CARGO_BIN_EXE_coretrace").into()))
}

/// A tool of libbpf-tools, wherever it is installed.
pub fn tool(name: &str) -> Command {
    let sbin = Path::new("/usr/sbin").join(name);
    Command::new(if sbin.is_file() { sbin } else { PathBuf::from(name) })
}

/// execsnoop, for that cgroup.
pub fn execsnoop(cgroup: &Path) -> Command {
    let mut command = tool("execsnoop");
    command.arg("-c").arg(cgroup);
    command
}

/// opensnoop, for that process.
pub fn opensnoop(pid: u32) -> Command {
    let mut command = tool("opensnoop");
    command.args(["-p", &pid.to_string()]);
    command
}

/// Mounts tracefs where it is missing, for this process and what it starts: classic tracepoints need it.
pub fn mount_tracefs() -> Result<()> {
    const AT: &str = "/sys/kernel/tracing";
    const NONE: Option<&str> = None;
    if Path::new(AT).join("events").exists() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("mounts of its own")?;
    mount(Some("tracefs"), AT, Some("tracefs"), MsFlags::empty(), NONE).context("mounting tracefs")
}

/// Where cgroup v2 is mounted.
pub fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
        [_, at, "cgroup2", ..] => Some(PathBuf::from(at)),
        _ => None,
    })
}

/// A cgroup of our own, removed with this.
pub struct Cgroup(pub PathBuf);

impl Cgroup {
    /// A new one.
    pub fn new() -> Result<Self> {
        let path = cgroup_root().context("no cgroup v2")?.join(format!("coretrace-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Cgroup(path))
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).context("moving a process into the cgroup")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Waits until a tool of libbpf-tools is attached. Its output is buffered, so its descriptors are counted: this many
/// hooks, and then a perf buffer for each CPU.
pub fn attached(child: &mut Child, hooks: usize) -> Result<()> {
    let wanted = hooks + libbpf_rs::num_possible_cpus()?;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).context("looking at a tool")?;
        let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        if links.filter(|link| link.as_os_str() == "anon_inode:[perf_event]").count() >= wanted {
            // The descriptors exist a moment before the next step.
            std::thread::sleep(Duration::from_millis(50));
            return Ok(());
        }
        ensure!(child.try_wait()?.is_none(), "it ended");
        ensure!(Instant::now() < until, "it is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Statistics of a running process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU time of its (one) thread.
    pub cpu_ns: u64,
    /// Most memory that was resident.
    pub rss_kib: u64,
}

impl Usage {
    /// As of now.
    pub fn of(pid: u32) -> Result<Self> {
        let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).context("reading a tracer's CPU time")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a tracer's memory")?;
        let number = |text: &str| text.split_whitespace().next().and_then(|n| n.parse().ok());
        let rss = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(Usage { cpu_ns: number(&schedstat).unwrap_or(0), rss_kib: rss.and_then(number).unwrap_or(0) })
    }
}

/// Nothing to read, and its output is kept.
pub fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped())
}
