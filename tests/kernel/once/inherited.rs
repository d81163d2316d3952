//! `-- CMD`: what CMD inherits through coretrace: streams, open files, signals, the user's identity.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Scratch, is_running, text, until};
use crate::support::{Trace, coretrace, in_vm, parse, run, skip, target, targets};

/// Runs CMD with its events in a file: its output, as JSON, and the events.
fn report(args: &[&str], target: &[&str]) -> (Value, Vec<Value>) {
    let scratch = Scratch::new("report");
    let events = scratch.path(&target.join("-"));
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-O", text(&events)]).args(args).arg("--").arg(targets()).args(target);
    let ended = Trace::raw(&mut command).output();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    let events: Vec<Value> = std::fs::read_to_string(events).unwrap().lines().map(parse).collect();
    assert_eq!(ended.balance().delivered, events.len() as u64);
    (parse(&ended.stdout.join("\n")), events)
}

#[test]
fn standard_input_and_output_are_the_commands() {
    let lines: String = (0..20_000).map(|n| format!("line {n} äöü \x1b[31m\n")).collect();
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-q", "--", "cat"]).stdin(Stdio::piped());
    let mut trace = Trace::with_stdin(&mut command);
    let mut input = trace.child.stdin.take().unwrap();
    // In another thread: the pipes hold less than that.
    let (sent, writer) = (lines.clone(), std::thread::spawn(move || input.write_all(lines.as_bytes())));
    let ended = trace.output();
    writer.join().unwrap().unwrap();
    assert!(ended.stdout.iter().map(String::as_str).eq(sent.lines()), "{} lines", ended.stdout.len());
    let events: Vec<Value> = ended.stderr.iter().map(|line| parse(line)).collect();
    let kinds: Vec<&Value> = events.iter().map(|e| &e["kind"]).collect();
    assert_eq!((kinds, &events[0]["argv"]), (vec![&json!("exec"), &json!("exit")], &json!(["cat"])));
}

#[test]
fn with_a_file_for_the_events_the_command_has_both_outputs() {
    let scratch = Scratch::new("both");
    let events = scratch.path("events");
    let script = "echo out; echo err >&2";
    let ended = run(["proc", "-q", "-o", "json", "-O", text(&events), "--", "/bin/sh", "-c", script]);
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let events = std::fs::read_to_string(events).unwrap();
    assert_eq!(parse(events.lines().next().unwrap())["argv"], json!(["/bin/sh", "-c", script]));
}

#[test]
fn the_command_inherits_three_open_files_and_no_more() {
    let (about, _) = report(&[], &["self"]);
    // The process that started this test may leave it some more.
    let (_, alone) = target(&["self"]);
    assert_eq!(about["fds"], parse(std::str::from_utf8(&alone.stdout).unwrap())["fds"]);
    assert!(!in_vm() || about["fds"] == json!([0, 1, 2]), "{about}");
    let here = std::env::current_dir().unwrap();
    assert_eq!(about["cwd"], json!(here));
}

#[test]
fn no_signal_is_blocked_or_ignored_in_the_command() {
    let ended = run(["proc", "-q", "-O", "/dev/null", "--", "cat", "/proc/self/status"]);
    let status = String::from_utf8(ended.stdout).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{status}"));
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0, "{status}");
    // Without the C library's own two (32 and 33), which its posix_spawn() ignores.
    let standard = (1_u64 << 31) - 1;
    assert_eq!(mask("SigIgn:") & standard, 0, "SIGPIPE, too, is as it always was: {status}");
}

#[test]
fn signals_are_handed_on_to_the_command() {
    let signals = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGQUIT];
    let scratch = Scratch::new("signals");
    let mut command = Command::new(coretrace());
    command.args(["proc", "-O", text(&scratch.path("events")), "--"]).arg(targets()).args(["signals", "6"]);
    let mut trace = Trace::raw(&mut command);
    trace.line("the command", |line| line.starts_with("ready"));
    for signal in signals {
        trace.signal(signal);
        trace.line(signal.as_str(), |line| line == signal.as_str());
    }
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(7), "{:#?}", ended.stderr);
    assert_eq!(ended.stdout[1..], signals.map(|s| s.as_str().to_owned()), "each once");
}

#[test]
fn a_signal_that_ends_the_command_ends_the_run() {
    let scratch = Scratch::new("ended");
    let events = scratch.path("events");
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-O", text(&events), "--"]).arg(targets()).arg("obey").stdin(Stdio::piped());
    let mut trace = Trace::with_stdin(&mut command);
    trace.line("the command", |line| line == "ready");
    trace.signal(Signal::SIGTERM);
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(128 + 15), "{:#?}", ended.stderr);
    let events = std::fs::read_to_string(events).unwrap();
    assert_eq!(parse(events.lines().last().unwrap())["signal"], "SIGTERM");
    assert_eq!(ended.balance().dropped, 0);
}

#[test]
fn the_command_runs_as_the_user_that_is_named() {
    if !in_vm() {
        return skip("once::inherited::the_command_runs_as_the_user_that_is_named", "needs the accounts of the VMs");
    }
    for user in ["tester", "1000"] {
        let (about, events) = report(&["--user", user], &["self"]);
        assert_eq!(about["uid"], json!([1000, 1000, 1000, 1000]), "real, effective, saved, file system");
        assert_eq!(about["gid"], json!([1000, 1000, 1000, 1000]));
        let mut groups: Vec<u64> = about["groups"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        groups.sort_unstable();
        assert_eq!(groups, [1000, 2000]);
        let names = ["home", "user", "logname"].map(|name| &about[name]);
        assert_eq!(names, [&json!("/tmp"), &json!("tester"), &json!("tester")]);
        assert_eq!(about["fds"], json!([0, 1, 2]));
        assert!(events.iter().all(|e| e["uid"] == 1000 && e["gid"] == 1000), "{events:#?}");
        assert_eq!(events[0]["kind"], "exec");
    }
}

#[test]
fn an_unknown_user_is_refused_before_the_command_runs() {
    let scratch = Scratch::new("nobody");
    let marker = scratch.path("marker");
    let ended = run(["proc", "--user", "no-such-user", "--", "touch", text(&marker)]);
    let printed = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{printed}");
    assert!(printed.contains("no-such-user") && printed.contains("/etc/passwd") && !marker.exists(), "{printed}");
}

#[test]
fn a_command_whose_coretrace_was_killed_before_it_was_released_never_runs() {
    let scratch = Scratch::new("killed");
    let marker = scratch.path("marker");
    // As coretrace starts it: the ends of two pipes, no other user, nothing blocked, ignored or closed.
    let (released, release) = std::io::pipe().unwrap();
    let (mut printed, say) = std::io::pipe().unwrap();
    for end in [released.as_fd(), say.as_fd()] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    }
    let fds = format!("{},{}", released.as_raw_fd(), say.as_raw_fd());
    let mut command = Command::new(coretrace());
    let [memlock, files] = [Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_NOFILE].map(|of| getrlimit(of).unwrap());
    let inherited = format!("0:0:0:{}:{}:{}:{}", memlock.0, memlock.1, files.0, files.1);
    command.args(["__child", &fds, "-", &inherited, "touch", text(&marker)]);
    let mut child = command.spawn().unwrap();
    drop((released, say));
    let mut pid = [0; 4];
    printed.read_exact(&mut pid).expect("it waits");
    child.wait().unwrap();
    let pid = u32::from_ne_bytes(pid);
    assert!(is_running(pid));
    drop(release);
    until("the command's process is gone", || !is_running(pid));
    assert!(!marker.exists());
}

#[test]
fn the_command_finds_signals_and_streams_as_without_coretrace() {
    let report = "grep -E '^Sig(Blk|Ign):' /proc/self/status; for fd in 0 1 2; do \
                  [ -e /proc/self/fd/$fd ] && echo $fd is open; done";
    let traced = format!("{} proc -q -O /dev/null -- ", text(&coretrace()));
    for (before, after) in [
        ("", ""),
        ("trap '' PIPE CHLD;", ""),
        ("trap '' HUP INT QUIT ALRM USR1 TSTP XFSZ;", "<&- 2>&-"),
        ("trap '' PIPE;", "<&-"),
    ] {
        let run = |prefix: &str| {
            let script = format!("{before} {prefix}/bin/sh -c \"{}\" {after}", report.replace('$', "\\$"));
            let output = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let (alone, with) = (run(""), run(&traced));
        assert!(alone.contains("SigIgn") && alone.contains("1 is open"), "{alone}");
        assert_eq!(with, alone, "{before} {after}");
    }
}

#[test]
fn signals_that_would_end_coretrace_go_to_the_command() {
    // The last two are real-time signals, which have no names.
    let signals = [libc::SIGALRM, libc::SIGIO, libc::SIGPWR, libc::SIGVTALRM, libc::SIGPROF, libc::SIGABRT, 40, 64];
    let mut command = Command::new(coretrace());
    command.args(["proc", "-q", "-O", "/dev/null", "--"]).arg(targets()).args(["signals", "8"]);
    let mut trace = Trace::raw(&mut command);
    trace.line("the command", |line| line.starts_with("ready"));
    for number in signals {
        let name = Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.as_str().to_owned());
        send(trace.child.id() as i32, number);
        trace.line(&name, |line| line == name);
    }
    let ended = trace.output();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(7), 1 + signals.len()), "{:#?}", ended.stdout);
}

#[test]
fn a_signal_to_the_whole_group_reaches_the_command_once() {
    let mut command = Command::new(coretrace());
    command.args(["proc", "-q", "-O", "/dev/null", "--"]).arg(targets()).args(["signals", "4"]).process_group(0);
    let mut trace = Trace::raw(&mut command);
    trace.line("the command", |line| line.starts_with("ready"));
    let coretrace = trace.child.id() as i32;
    // If the first were passed on, too, it would come before the later ones; and it is forgotten: the third is passed
    // on.
    for (to, number, printed) in [
        (-coretrace, libc::SIGTERM, "SIGTERM"),
        (coretrace, libc::SIGUSR1, "SIGUSR1"),
        (-coretrace, 40, "40"),
        (coretrace, libc::SIGTERM, "SIGTERM"),
    ] {
        let before = trace.stdout.len();
        send(to, number);
        while trace.stdout.len() == before {
            trace.one_more(printed);
        }
        assert_eq!(trace.stdout.last().unwrap(), printed, "{:#?}", trace.stdout);
    }
    let ended = trace.output();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(7), 5), "{:#?}", ended.stdout);
}

/// Sends a signal by its number, to a process or a group.
#[allow(unsafe_code)]
fn send(to: i32, number: i32) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::kill(to, number) }, 0, "kill {to} {number}");
}
