//! Several tracers in one run: one ordered stream, one ledger, one recording.

use std::process::Command;

use serde_json::{Value, json};

use crate::heartbeat::watching;
use crate::host::{Peer, Scratch, text};
use crate::support::{Ended, Trace, coretrace, targets};

/// A file that does not exist.
const NONE: &str = "/no/such/several";

/// A run of `proc` with other tracers, with tracefs mounted.
fn several(changes: &str, args: &[&str], cmd: &[&str]) -> Trace {
    let mut command = Command::new(targets());
    command.args(["mounts", changes]).arg(coretrace()).args(["proc", "-v", "-o", "json", "-O", "-"]).args(args);
    Trace::raw(command.arg("--").arg(targets()).args(cmd))
}

fn assert_in_order(ended: &Ended, expected: &[Value], transport: &str) {
    let mut events: Vec<&Value> = ended.events.iter().collect();
    // With a perf buffer for each CPU, events may come out of order, by less than the time waited for.
    if transport == "perf" {
        events.sort_by_key(|event| event["boot_ns"].as_u64());
    }
    let mut left = events.iter();
    for event in expected {
        let is_it = |seen: &&&Value| event.as_object().unwrap().iter().all(|(name, value)| seen[name] == *value);
        assert!(left.any(|seen| is_it(&seen)), "not seen: {event} in {:#?}; {:#?}", ended.events, ended.stderr);
    }
}

#[test]
fn three_tracers_come_in_one_ordered_stream() {
    for transport in ["ring", "perf"] {
        let cmd = ["opens", "fork", "open", NONE, "0", "0"];
        let args = ["--with", "open", "--with", "exec", "--transport", transport];
        let ended = several("+tracefs", &args, &cmd).output();
        let ended = Ended { events: ended.stdout.iter().map(|line| crate::support::parse(line)).collect(), ..ended };
        ended.assert_clean();
        let me = json!(targets());
        assert_in_order(
            &ended,
            &[
                json!({"kind": "exec", "exe": me}),
                json!({"kind": "fork", "comm": "opening"}),
                json!({"kind": "open", "path": NONE, "errno": "ENOENT"}),
                json!({"kind": "exit", "comm": "opening"}),
                json!({"kind": "exit", "comm": "opening"}),
            ],
            transport,
        );
        assert_eq!(ended.kind("execve").len(), 1, "{:#?}", ended.events);
        // Each kind counts its own events, on each CPU, without a gap.
        let mut next = std::collections::HashMap::new();
        for event in &ended.events {
            let place = (event["kind"].as_str().unwrap(), event["cpu"].as_u64());
            let seq = event["seq"].as_u64().unwrap();
            assert_eq!(next.insert(place, seq + 1).unwrap_or(0), seq, "{event}");
        }
    }
}

#[test]
fn no_end_is_lost_to_the_map_of_followed_processes() {
    const PROCESSES: usize = 300;
    for main in ["proc", "open"] {
        let mut command = Command::new(targets());
        command.args(["mounts", "+tracefs"]).arg(coretrace()).args([main, "-v", "-o", "json", "-O", "-"]);
        command.args(["--with", if main == "proc" { "open" } else { "proc" }, "--buffer", "16M", "--"]);
        let ended = Trace::raw(command.arg(targets()).args(["forks", &PROCESSES.to_string()])).end();
        ended.assert_clean();
        let kinds = ["exec", "fork", "exit"].map(|kind| ended.kind(kind).len());
        assert_eq!(kinds, [1, PROCESSES, PROCESSES + 1], "{main}: {:#?}", ended.stderr);
    }
}

#[test]
fn an_extra_that_cannot_be_attached_is_a_warning_and_an_error_with_strict() {
    let empty = Scratch::new("no-syscalls");
    std::fs::create_dir(empty.path("empty")).unwrap();
    // As on a kernel without tracepoints of system calls.
    let hidden = format!("bind={}=/sys/kernel/tracing/events/syscalls", text(&empty.path("empty")));
    let changes = format!("-tracefs,+tracefs,{hidden}");
    let args = ["--attach", "tracepoint", "--with", "open"];
    let ended = several(&changes, &args, &["exit", "7"]).end();
    assert_eq!(ended.status.code(), Some(7), "{:#?}", ended.stderr);
    let warned = ended.stderr.iter().any(|line| line.contains("--with open") && line.contains("goes on without it"));
    assert!(warned && ended.kind("exec").len() == 1, "{:#?}", ended.stderr);
    let ended = several(&changes, &[&args[..], &["--strict"]].concat(), &["exit", "7"]).output();
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
    assert!(ended.stderr.iter().any(|line| line.contains("--with open")) && ended.stdout.is_empty());
}

#[test]
fn a_recording_of_several_tracers_is_replayed_as_it_was() {
    let scratch = Scratch::new("several-record");
    let file = scratch.path("recording");
    let cmd = ["opens", "fork", "open", NONE, "0", "0"];
    let args = ["--with", "open", "--with", "exec -x", "--record", text(&file)];
    let ended = several("+tracefs", &args, &cmd).output();
    assert!(ended.status.success() && !ended.stdout.is_empty(), "{:#?}", ended.stderr);
    let replayed = Trace::raw(Command::new(coretrace()).args(["replay", "-o", "json", text(&file)])).output();
    assert!(replayed.status.success(), "{:#?}", replayed.stderr);
    assert_eq!(replayed.stdout, ended.stdout);
    let only = Trace::raw(Command::new(coretrace()).args(["replay", "-o", "json", "--events", "open", text(&file)]));
    let is_open = |line: &&String| crate::support::parse(line.as_str())["kind"] == "open";
    assert_eq!(only.output().stdout, ended.stdout.iter().filter(is_open).cloned().collect::<Vec<_>>());
}

#[test]
fn limits_filters_and_heartbeats_are_those_of_the_stream() {
    let args = ["--with", "open", "--count", "2"];
    let ended = several("+tracefs", &args, &["opens", "fork", "open", NONE, "0", "0"]).end();
    assert_eq!(ended.events.len(), 2, "{:#?}", ended.events);
    let args = ["--with", "open", "--events", "open,exit"];
    let ended = several("+tracefs", &args, &["opens", "fork", "open", NONE, "0", "0"]).end();
    ended.assert_clean();
    assert!(ended.events.iter().all(|event| event["kind"] == "open" || event["kind"] == "exit"));
    assert!(ended.kind("exit").len() == 2 && !ended.kind("open").is_empty(), "{:#?}", ended.events);

    let mut peer = Peer::obedient();
    let mut line = watching(&["proc", "--with", "open"], &peer);
    let ended = Trace::raw(line.args(["--heartbeat", "0.1", "-d", "1"])).end();
    peer.send("exit 0");
    for tracer in ["proc", "open"] {
        let begin = format!("coretrace: heartbeats of {tracer}: ");
        let printed = ended.stderr.iter().find_map(|line| line.strip_prefix(&begin));
        let printed = printed.unwrap_or_else(|| panic!("{:#?}", ended.stderr));
        let numbers: Vec<u64> = printed.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers[0] > 1 && numbers[1] + 1 >= numbers[0], "{tracer}: {printed}");
    }
}
