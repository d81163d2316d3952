//! How a run ends when nobody reads its output, and what it prints at its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::ending::watch;
use crate::host::{Peer, assert_unloaded, programs_of, text};
use crate::support::{Trace, coretrace, parse, run, targets};

#[test]
fn when_its_output_is_closed() {
    for format in ["json", "text"] {
        let mut peer = Peer::obedient();
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", format, "-v", "-p", &peer.pid().to_string()]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(errors.by_ref().map_while(Result::ok).any(|line| line.contains("attached to")));
        let programs = programs_of(child.id());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        peer.order("forks 1");
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        // Nothing happens any more, and it still ends.
        let status = child.wait().unwrap();
        let printed: Vec<String> = errors.map_while(Result::ok).collect();
        assert!(status.success() && printed.iter().any(|line| line.contains(" seen = ")), "{status}: {printed:#?}");
        assert!(!printed.iter().any(|line| line.contains("panicked") || line.contains("Broken pipe")), "{printed:#?}");
        assert_unloaded(&programs);
    }
}

#[test]
fn behind_head() {
    let script = format!("{} proc -- {} forks 300 2>&1 | head -n 1", text(&coretrace()), text(&targets()));
    let output = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    let lines: Vec<String> = output.stdout.lines().map_while(Result::ok).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("TIME"), "{lines:#?}");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_closed_standard_error_is_no_reason_to_end() {
    let mut peer = Peer::obedient();
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-v", "--stats", "0.1", "-p", &peer.pid().to_string()]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("attached to") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "coretrace ended");
    }
    drop(errors);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // Long enough for several totals that nobody reads.
    for _ in 0..5 {
        peer.order("forks 1");
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "coretrace ended: {:?}", child.wait());
        assert_eq!(parse(&line)["kind"], "fork");
        let wait = Instant::now();
        crate::host::until("some more totals", || wait.elapsed() > Duration::from_millis(150));
    }
    peer.send("exit 0");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((parse(&rest)["kind"].as_str(), child.wait().unwrap().code()), (Some("exit"), Some(0)));
}

#[test]
fn quiet_says_nothing_and_totals_come_when_asked_for() {
    let targets = targets();
    let quiet = run(["proc", "-q", "-O", "/dev/null", "--", text(&targets), "exit", "0"]);
    assert_eq!((quiet.status.code(), quiet.stdout.len(), quiet.stderr.len()), (Some(0), 0, 0), "{quiet:?}");

    let mut peer = Peer::obedient();
    let (mut trace, _) = watch(&peer, &["--stats", "0.2", "--follow"]);
    peer.order("forks 2");
    peer.order(&format!("run {} exit 0", text(&targets)));
    trace.note("some totals", |line| line.contains(" s: ") && line.contains("7 delivered"));
    peer.send("exit 0");
    let ended = trace.end();
    let totals: Vec<&String> = ended.stderr.iter().filter(|line| line.contains(" s: ")).collect();
    let seconds = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
    assert!(totals.iter().zip(totals.iter().skip(1)).all(|(a, b)| seconds(a) < seconds(b)), "{totals:#?}");
    assert_eq!(ended.assert_clean().delivered, 8);
    let last = ended.stderr.last().unwrap();
    assert!(last.ends_with("(exec 1, exit 4, fork 3)"), "{last}");
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    let mut peer = Peer::obedient();
    let script = "trap '' HUP INT; exec \"$0\" proc -o json -v -p \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, text(&coretrace()), &peer.pid().to_string()]);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        trace.signal(signal);
        let child = peer.order(&format!("run {} exit 0", text(&targets())));
        trace.wait_for("the fork after the signal", |e| e["child_pid"].to_string() == child);
    }
    trace.signal(Signal::SIGTERM);
    assert_eq!(trace.end().assert_clean().delivered, 2);
}
