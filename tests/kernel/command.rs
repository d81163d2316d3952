//! `-- CMD`: what is shown of a command, when the run ends, and with which exit code.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::host::{Peer, Scratch, copy_of_coretrace, text};
use crate::support::{Ended, Trace, coretrace, parse, targets};

/// `coretrace proc -o json -O - ARGS… -- targets TARGET…`
pub fn trace(args: &[&str], target: &[&str]) -> Trace {
    let targets = targets();
    Trace::proc(args.iter().copied().chain(["--", text(&targets)]).chain(target.iter().copied()))
}

/// Every process that has an event is CMD's, or was forked by one that is.
fn assert_only_descendants(ended: &Ended) {
    let mut known: BTreeSet<u64> = ended.events.iter().take(1).filter_map(|e| e["pid"].as_u64()).collect();
    for event in &ended.events {
        let pid = event["pid"].as_u64().unwrap();
        assert!(known.contains(&pid), "not a descendant: {event}");
        known.extend(event["child_pid"].as_u64());
    }
}

#[test]
fn grandchildren_are_followed() {
    // Its input is empty, so nothing waits.
    let targets = targets();
    let mut command = Command::new(coretrace());
    let ended =
        Trace::raw(command.args(["proc", "-o", "json", "-O"]).arg("-").arg("--").args([text(&targets), "nest"]));
    let ended = ended.output();
    let (printed, events): (Vec<String>, Vec<String>) =
        ended.stdout.iter().cloned().partition(|line| line.starts_with("ready"));
    let events: Vec<Value> = events.iter().map(|line| parse(line)).collect();
    let ended = Ended { events, ..ended };
    ended.assert_clean();
    assert_only_descendants(&ended);
    assert_eq!((printed.len(), &ended.events[0]["kind"]), (1, &json!("exec")), "{:#?}", ended.events[0]);
    let last = ended.kind("exec").into_iter().find(|e| e["argv"][1] == "exit").expect("the program at the end");
    let grandchild: u32 = printed[0]["ready ".len()..].parse().unwrap();
    assert_eq!(last["ppid"], grandchild);
    let exits: Vec<&Value> = ended.kind("exit").iter().map(|e| &e["code"]).collect();
    assert_eq!(exits, [4, 2, 1, 0], "from the last to the first");
}

#[test]
fn a_daemon_is_followed_until_it_ends() {
    let scratch = Scratch::new("daemon");
    let (mut trace, events, mut input) = with_daemon(&scratch, &[]);
    let command_ended = |e: &Value| e["kind"] == "exit" && e["code"] == 5;
    // Only then does the daemon continue: had coretrace ended with CMD, what follows would be missing.
    let events = until_event(&events, command_ended);
    input.take();
    trace.note("its totals", |line| line.contains(" seen = "));
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(5), "CMD's own: {:#?}", ended.stderr);
    let daemon: u32 = ended.stdout[0]["ready ".len()..].parse().unwrap();
    let all: Vec<Value> = std::fs::read_to_string(events).unwrap().lines().map(parse).collect();
    let last = all.last().unwrap();
    assert_eq!((&last["kind"], &last["pid"], &last["code"]), (&json!("exit"), &json!(daemon), &json!(9)));
    assert_eq!(last["ppid"], 1, "it was reparented");
    assert!(all.iter().any(|e| e["kind"] == "exec" && e["ppid"] == daemon && e["argv"][1] == "exit"), "{all:#?}");
    assert_eq!(ended.balance().delivered, all.len() as u64);
}

/// The target `daemon`, its events' file, and its input.
pub fn with_daemon(scratch: &Scratch, args: &[&str]) -> (Trace, std::path::PathBuf, Option<std::process::ChildStdin>) {
    let events = scratch.path("events");
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-O"]).arg(&events).args(args).arg("--").arg(targets()).arg("daemon");
    let mut trace = Trace::with_stdin(command.stdin(Stdio::piped()));
    let input = trace.child.stdin.take();
    trace.line("the daemon", |line| line.starts_with("ready"));
    (trace, events, input)
}

fn until_event(path: &std::path::Path, found: impl Fn(&Value) -> bool) -> std::path::PathBuf {
    crate::host::until("the event is in the file", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // A line that is only half written has no newline.
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).any(|line| found(&parse(line)))
    });
    path.to_owned()
}

#[test]
fn a_file_that_the_kernel_refuses_is_126() {
    let scratch = Scratch::new("busy");
    let busy = copy_of_coretrace(&scratch);
    // A program that is open for writing cannot be run: ETXTBSY.
    let open = std::fs::OpenOptions::new().append(true).open(&busy).unwrap();
    let ended = Trace::proc(["--", text(&busy), "schema"]).end();
    drop(open);
    assert_eq!(ended.status.code(), Some(126), "{:#?}", ended.stderr);
    assert!(ended.stderr.iter().any(|line| line.contains("coretrace: Text file busy")), "{:#?}", ended.stderr);
    assert_eq!((ended.totals().delivered, &ended.events[0]["kind"]), (1, &json!("exit")));
}

#[test]
fn not_one_event_of_others_is_shown() {
    let mut others = Peer::start(["storm"]);
    let ended = trace(&[], &["forks", "200"]).end();
    others.close();
    let totals = ended.assert_clean();
    assert_only_descendants(&ended);
    assert_eq!(totals.delivered, 402, "exec, 200 forks, 201 exits");
    // Others did fork meanwhile, and were seen.
    assert!(totals.filtered > 0 && !ended.events.iter().any(|e| e["pid"] == others.pid()));
}

#[test]
fn the_memory_of_the_command_is_its_own() {
    let memory = |events: &[Value], code| {
        let exit = events.iter().find(|e| e["kind"] == "exit" && e["code"] == code);
        exit.unwrap_or_else(|| panic!("{events:#?}"))["max_rss_bytes"].as_u64().unwrap()
    };
    let program = format!("{} exit 3; :", text(&targets()));
    let by_a_shell = Trace::proc(["--", "/bin/sh", "-c", &program]).end();
    let alone = Trace::proc(["--", text(&targets()), "exit", "3"]).end();
    let (by_a_shell, alone) = (memory(&by_a_shell.events, 3), memory(&alone.events, 3));
    assert!(alone <= by_a_shell + (1 << 20), "{alone}, and {by_a_shell} where coretrace did not start it");
}
