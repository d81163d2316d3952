//! The machine of a test: BPF programs, cgroups, scratch files, processes besides coretrace.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, coretrace, targets};

/// Polls for what has no notification; `what` is for the failure message.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Ids of the BPF programs that a process holds (Documentation/bpf/bpf_design_QA.rst calls them global).
pub fn programs_of(pid: u32) -> BTreeSet<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process that runs");
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let ids = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    texts.filter_map(ids).collect()
}

/// Waits until none of these programs is loaded any more: links are freed some time after they are closed.
pub fn assert_unloaded(programs: &BTreeSet<u32>) {
    assert!(programs.len() >= 2, "coretrace had these programs: {programs:?}");
    until_unloaded(programs);
}

/// The same, however few they are.
pub fn until_unloaded(programs: &BTreeSet<u32>) {
    until("the programs are unloaded", || {
        let loaded: BTreeSet<u32> = libbpf_rs::query::ProgInfoIter::default().map(|info| info.id).collect();
        loaded.is_disjoint(programs)
    });
}

/// The processes whose parent is this one. (Not by the parent of each process: where that is asked again and again, it
/// takes the emulated machine's time away from what is waited for.)
pub fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    children.flat_map(|all| all.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// Whether a process exists and has not ended.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A directory that is removed after the test.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Accessible to everybody.
    pub fn new(test: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("coretrace-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary, executable by everybody. Copied by another process: one that a test forks meanwhile would have the file
/// open for writing, and then it cannot be run.
pub fn copy_of_coretrace(scratch: &Scratch) -> PathBuf {
    let path = scratch.path("coretrace");
    assert!(Command::new("cp").arg(coretrace()).arg(&path).status().expect("cp").success());
    path
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

/// A target that runs besides coretrace, and prints a line when it is ready.
pub struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Its first line, without `ready `.
    pub ready: String,
}

impl Peer {
    /// `targets ARGS…`, ready when this returns.
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Peer {
        let mut command = Command::new(targets());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("targets are built: cargo build --release --example targets");
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        let stdin = child.stdin.take();
        let mut peer = Peer { child, stdin, lines, ready: String::new() };
        let ready = peer.hear();
        peer.ready = ready.strip_prefix("ready").expect("ready").trim().to_owned();
        peer
    }

    /// One that takes orders.
    pub fn obedient() -> Peer {
        Peer::start(["obey"])
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives it an order, and waits for its answer.
    pub fn order(&mut self, order: &str) -> String {
        self.send(order);
        self.hear()
    }

    /// Gives it an order that has no answer.
    pub fn send(&mut self, order: &str) {
        writeln!(self.stdin.as_mut().expect("its input is open"), "{order}").expect("it reads");
    }

    fn hear(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap_or_else(|e| panic!("the target said nothing: {e}"))
    }

    /// Ends its input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Ends its input, and waits for its end.
    pub fn end(mut self) -> ExitStatus {
        self.close();
        self.child.wait().unwrap()
    }
}

/// A failed test leaves nothing behind.
impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
