//! Which rights a run keeps once its programs are attached, in each of its threads, and that they are enough.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::host::{Peer, Scratch, text, until};
use crate::support::{DEADLINE, Trace, coretrace, in_vm, kernel, skip, targets};

const KILL: u64 = 1 << 5;
/// cap_dac_read_search, cap_sys_ptrace
const NAMES: u64 = 1 << 2 | 1 << 19;
/// Since 5.19, maps are used by who has their descriptors.
fn bpf() -> u64 {
    if kernel() < (5, 19) { 1 << 39 } else { 0 }
}

/// The numbers behind this word in the status of each of a process's threads, read as hexadecimal.
fn of_threads(pid: u32, field: &str) -> BTreeSet<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let number = |status: String| {
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::trim));
        u64::from_str_radix(value.unwrap(), 16).unwrap()
    };
    status.map(number).collect()
}

/// What any of the threads has.
fn union(masks: &BTreeSet<u64>) -> u64 {
    masks.iter().fold(0, |all, mask| all | mask)
}

/// `coretrace ARGS…` of root, when it has said what it keeps.
fn run(args: &[&str]) -> (Trace, String) {
    let mut trace = Trace::raw(Command::new(coretrace()).args(args).arg("-v"));
    let said = trace.note("what it keeps", |line| line.contains("capabilities are given up"));
    (trace, said)
}

fn is_root() -> bool {
    let root = in_vm();
    if !root {
        skip("rights_kept", "needs all capabilities, as in the VMs");
    }
    root
}

#[test]
fn a_run_keeps_what_it_needs_in_no_thread_more() {
    if !is_root() {
        return;
    }
    let mut peer = Peer::obedient();
    let pid = peer.pid().to_string();
    for (format, kept) in [("text", bpf()), ("json", bpf() | NAMES)] {
        let (mut trace, said) = run(&["proc", "-p", &pid, "--events", "fork", "-o", format]);
        let own = trace.child.id();
        // One writes, one waits for signals, one looks into files: no more than the run itself.
        assert_eq!(union(&of_threads(own, "CapPrm")), kept, "{said}");
        assert_eq!(union(&of_threads(own, "CapEff")), kept);
        assert_eq!(of_threads(own, "CapInh"), [0].into());
        assert_eq!(of_threads(own, "NoNewPrivs"), [1].into());
        assert_eq!(said.contains("all capabilities are given up but"), kept != 0, "{said}");
        assert_eq!((said.contains("cap_bpf"), said.contains("cap_sys_ptrace")), (bpf() != 0, format == "json"));
        peer.order("forks 1");
        trace.line("the fork", |line| line.contains("fork") && line.contains(&pid));
        trace.signal(Signal::SIGINT);
        let ended = trace.output();
        assert_eq!((ended.status.code(), ended.balance().delivered), (Some(0), 1), "{:#?}", ended.stderr);
    }
}

#[test]
fn heartbeats_keep_all_and_a_command_has_its_own() {
    if !is_root() {
        return;
    }
    let all = of_threads(std::process::id(), "CapPrm");
    let (trace, _) = run(&["proc", "-n", "nobody-has-this", "--heartbeat", "10"]);
    assert!(all.is_subset(&of_threads(trace.child.id(), "CapPrm")));
    drop(trace);
    let targets = targets();
    for user in [&["--user", "tester"][..], &[]] {
        let args = [&["proc", "-O", "/dev/null"], user, &["-v", "--", text(&targets), "obey"]].concat();
        let mut command = Command::new(coretrace());
        let mut trace = Trace::with_stdin(command.args(args).stdin(std::process::Stdio::piped()));
        trace.note("what it keeps", |line| line.contains("capabilities are given up but"));
        trace.line("the command", |line| line == "ready");
        let own = trace.child.id();
        assert_eq!(union(&of_threads(own, "CapPrm")), bpf() | KILL);
        let child = crate::host::children_of(own).into_iter().find(|pid| is_of_targets(*pid)).expect("the command");
        let none = user.is_empty();
        assert_eq!(of_threads(child, "CapEff"), if none { all.clone() } else { [0].into() });
        assert_eq!(of_threads(child, "NoNewPrivs"), [0].into());
        // What it is sent is passed on to the other user's process.
        trace.signal(Signal::SIGTERM);
        let ended = trace.output();
        assert_eq!(ended.status.code(), Some(128 + 15), "{:#?}", ended.stderr);
    }
}

fn is_of_targets(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with(targets().file_name().unwrap()))
}

#[test]
fn an_output_of_somebody_else_can_be_opened_again() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("theirs");
    let dir = scratch.path("dir");
    fs::create_dir(&dir).unwrap();
    for (owner, override_) in [(0, 0), (1000, 1 << 1)] {
        std::os::unix::fs::chown(&dir, Some(owner), None).unwrap();
        let file = dir.join("events");
        let (mut trace, said) = run(&["proc", "-n", "nobody-has-this", "-O", text(&file)]);
        assert_eq!(union(&of_threads(trace.child.id(), "CapPrm")), bpf() | override_, "{said}");
        fs::remove_file(&file).unwrap();
        trace.signal(Signal::SIGHUP);
        until("it is there again", || file.exists());
        if override_ == 0 {
            // As logrotate makes it for somebody else.
            std::os::unix::fs::chown(&file, Some(1000), None).unwrap();
            trace.signal(Signal::SIGHUP);
            trace.note("why not", |line| line.contains("not opened again") && line.contains("denied"));
            trace.note("what to do", |line| line.contains("nocreate"));
        }
        drop(trace);
    }
}

/// What systemd does with a service of `Type=notify`.
#[test]
fn a_service_manager_is_told_when_the_run_begins_and_ends() {
    let scratch = Scratch::new("notify");
    let path = scratch.path("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
    };
    let mut peer = Peer::obedient();
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-p", &peer.pid().to_string(), "--events", "fork"]);
    let mut trace = Trace::raw(command.env("NOTIFY_SOCKET", &path));
    assert_eq!(told(), "READY=1");
    // It has begun: this is seen.
    peer.order("forks 1");
    trace.wait_for("the fork", |event| event["kind"] == "fork");
    trace.signal(Signal::SIGTERM);
    assert_eq!(told(), "STOPPING=1");
    let ended = trace.end();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 1), "{:#?}", ended.stderr);
}
