//! An output that nobody reads, or that accepts nothing: a run still ends, and counts what it could not write.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::host::{Peer, Scratch, children_of, is_running, text, until};
use crate::support::{DEADLINE, Ended, Trace, coretrace, targets};

/// More events than a pipe and all buffers before it hold.
const FORKS: &str = "2000";
/// A run ends within two seconds; a busy emulated machine may take longer.
const SOON: Duration = Duration::from_secs(8);

fn fifo(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    path
}

/// A reader that does not read, of a pipe that holds a few events: on a slow machine there are few within a second.
fn sleeper(fifo: &Path) -> File {
    let reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(fifo).unwrap();
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    reader
}

/// Its own events were not all written, and that is reported.
fn assert_unwritten(ended: &Ended) {
    assert!(ended.balance().dropped > 0, "{:#?}", ended.stderr);
    assert!(ended.stderr.iter().any(|line| line.contains("(unwritten)")), "{:#?}", ended.stderr);
}

#[test]
fn a_fifo_that_nobody_opens_is_no_reason_to_stay() {
    let scratch = Scratch::new("unopened");
    for option in ["-O", "--record"] {
        let path = fifo(&scratch, option);
        let command = |limit: &[&str]| {
            let mut command = Command::new(coretrace());
            command.args(["proc", option, text(&path)]).args(limit).arg("--").arg(targets()).args(["exit", "0"]);
            command
        };
        let begin = Instant::now();
        let ended = Trace::raw(&mut command(&["-d", "0.5"])).output();
        assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
        assert!(ended.stderr.join("\n").contains("no process opened the FIFO"), "{:#?}", ended.stderr);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let trace = Trace::raw(&mut command(&[]));
            until("it waits for a reader", || {
                let called = std::fs::read_to_string(format!("/proc/{}/wchan", trace.child.id())).unwrap_or_default();
                called.contains("nanosleep") || called == "0"
            });
            trace.signal(signal);
            let ended = trace.output();
            assert!(!ended.status.success(), "{signal}: {:#?}", ended.status);
        }
    }
}

#[test]
fn an_output_that_stalls_ends_with_its_time_and_reports_what_is_missing() {
    let scratch = Scratch::new("stalls");
    let path = fifo(&scratch, "fifo");
    let _reader = sleeper(&path);
    for (strict, code) in [(None, 0), (Some("--strict"), 3)] {
        let begin = Instant::now();
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", "json", "-d", "1", "-O", text(&path)]).args(strict).arg("--").arg(targets());
        let trace = Trace::raw(command.args(["forks", FORKS]));
        // The command continues, and still has its streams.
        until("coretrace has ended", || !is_running(trace.child.id()));
        assert!(begin.elapsed() < Duration::from_secs(1) + SOON, "{:?}", begin.elapsed());
        let ended = trace.output();
        assert_eq!(ended.status.code(), Some(code), "{:#?}", ended.stderr);
        assert_unwritten(&ended);
    }
}

#[test]
fn an_output_that_stalls_waits_for_its_reader_until_a_signal_comes() {
    let scratch = Scratch::new("waits");
    let path = fifo(&scratch, "fifo");
    let _reader = sleeper(&path);
    for (args, signal) in [
        (["-O", text(&path)], Signal::SIGTERM),
        (["-O", text(&path)], Signal::SIGINT),
        (["--record", text(&path)], Signal::SIGTERM),
    ] {
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", "json"]).args(args).arg("--").arg(targets()).args(["forks", FORKS]);
        // Where the events do not go to the FIFO, they go to stderr.
        let trace = Trace::raw(&mut command);
        let pid = trace.child.id();
        let mut was_there = false;
        let begin = Instant::now();
        // The command has ended, nothing is left to trace, and the run waits.
        while !was_there || children_of(pid).into_iter().any(|child| !name_of(child).contains("sentinel")) {
            was_there |= children_of(pid).into_iter().any(|child| name_of(child).trim() == "targets");
            assert!(begin.elapsed() < DEADLINE && is_running(pid), "it waits for its reader");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let begin = Instant::now();
        trace.signal(signal);
        let ended = trace.output();
        assert!(begin.elapsed() < SOON, "{signal}: {:?}", begin.elapsed());
        if args[0] == "-O" {
            assert_eq!(ended.status.code(), Some(0), "{signal}: CMD's own: {:#?}", ended.stderr);
            assert_unwritten(&ended);
        } else {
            assert_eq!(ended.status.code(), Some(1), "{signal}");
            assert!(ended.stderr.iter().any(|line| line.contains("writing the recording")));
        }
    }
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn a_command_gets_its_signals_while_the_output_stalls() {
    let scratch = Scratch::new("signalled");
    let path = fifo(&scratch, "fifo");
    let _reader = sleeper(&path);
    let mut command = Command::new(coretrace());
    let script = format!("{0} forks {FORKS}; exec {0} signals 2", text(&targets()));
    command.args(["proc", "-o", "json", "-O", text(&path), "--", "/bin/sh", "-c", &script]);
    let mut trace = Trace::raw(&mut command);
    trace.line("the command", |line| line.starts_with("ready"));
    let begin = Instant::now();
    for name in ["SIGUSR1", "SIGTERM"] {
        trace.signal(name.parse().unwrap());
        trace.line(name, |line| line == name);
    }
    let ended = trace.output();
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(ended.status.code(), Some(7), "{:#?}", ended.stderr);
    assert_unwritten(&ended);
}

#[test]
fn a_terminal_or_a_standard_error_that_stalls_is_no_reason_to_stay() {
    let terminal = openpty(None, None).unwrap();
    let (_reader, pipe) = std::io::pipe().unwrap();
    for stderr in [Stdio::from(terminal.slave), Stdio::from(pipe)] {
        let begin = Instant::now();
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", "json", "-v", "-d", "1", "--"]).arg(targets()).args(["forks", FORKS]);
        let mut child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        until("it has ended", || !is_running(child.id()));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(1) + SOON, "{:?}", begin.elapsed());
    }
}

#[test]
fn a_reader_that_comes_late_gets_everything() {
    let scratch = Scratch::new("late");
    let path = fifo(&scratch, "fifo");
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-O", text(&path), "--"]).arg(targets()).args(["forks", FORKS]);
    let trace = Trace::raw(&mut command);
    let all = std::fs::read_to_string(&path).unwrap();
    let ended = trace.output();
    assert_eq!((ended.status.code(), ended.balance().dropped), (Some(0), 0), "{:#?}", ended.stderr);
    assert_eq!(all.lines().count() as u64, ended.balance().delivered);
}

#[test]
fn two_interrupts_end_a_run_whose_output_stalls() {
    let scratch = Scratch::new("twice");
    let path = fifo(&scratch, "fifo");
    let _reader = sleeper(&path);
    for option in ["-O", "--record"] {
        let mut peer = Peer::obedient();
        let mut command = Command::new(coretrace());
        command.args(["proc", "-v", "-o", "json", option, text(&path), "-p", &peer.pid().to_string()]);
        // Where the events do not go to the FIFO, they go to stdout.
        let mut trace = Trace::raw(&mut command);
        trace.ready();
        peer.order(&format!("forks {FORKS}"));
        let begin = Instant::now();
        trace.signal(Signal::SIGINT);
        // Two within 300 ms count as one, as when a process and then its group is signalled.
        until("it is pressed again", || begin.elapsed() > Duration::from_millis(500));
        trace.signal(Signal::SIGINT);
        let ended = trace.output();
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        // By the second one, or it had discarded what was not written before that came.
        assert!(matches!(ended.status.code(), Some(130 | 0 | 1)), "{:?} {:#?}", ended.status, ended.stderr);
    }
}
