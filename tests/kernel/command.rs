//! `-- CMD`: what is shown of a command, when the run ends, and with which exit code.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Peer, Scratch, copy_of_coretrace, is_running, text};
use crate::support::{Ended, Trace, coretrace, parse, run, targets};

/// `coretrace proc -o json -O - ARGS… -- targets TARGET…`
fn trace(args: &[&str], target: &[&str]) -> Trace {
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
    let (said, events): (Vec<String>, Vec<String>) =
        ended.stdout.iter().cloned().partition(|line| line.starts_with("ready"));
    let events: Vec<Value> = events.iter().map(|line| parse(line)).collect();
    let ended = Ended { events, ..ended };
    ended.assert_clean();
    assert_only_descendants(&ended);
    assert_eq!((said.len(), &ended.events[0]["kind"]), (1, &json!("exec")), "{:#?}", ended.events[0]);
    let last = ended.kind("exec").into_iter().find(|e| e["argv"][1] == "exit").expect("the program at the end");
    let grandchild: u32 = said[0]["ready ".len()..].parse().unwrap();
    assert_eq!(last["ppid"], grandchild);
    let exits: Vec<&Value> = ended.kind("exit").iter().map(|e| &e["code"]).collect();
    assert_eq!(exits, [4, 2, 1, 0], "from the last to the first");
}

#[test]
fn a_daemon_is_followed_until_it_ends() {
    let scratch = Scratch::new("daemon");
    let (mut trace, events, mut input) = with_daemon(&scratch, &[]);
    let command_ended = |e: &Value| e["kind"] == "exit" && e["code"] == 5;
    // Only then does the daemon go on: had coretrace ended with CMD, what follows would be missing.
    let events = until_event(&events, command_ended);
    input.take();
    trace.note("its totals", |line| line.contains(" seen = "));
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(5), "CMD's own: {:#?}", ended.stderr);
    let daemon: u32 = ended.stdout[0]["ready ".len()..].parse().unwrap();
    let all: Vec<Value> = std::fs::read_to_string(events).unwrap().lines().map(parse).collect();
    let last = all.last().unwrap();
    assert_eq!((&last["kind"], &last["pid"], &last["code"]), (&json!("exit"), &json!(daemon), &json!(9)));
    assert_eq!(last["ppid"], 1, "it belongs to nobody");
    assert!(all.iter().any(|e| e["kind"] == "exec" && e["ppid"] == daemon && e["argv"][1] == "exit"), "{all:#?}");
    assert_eq!(ended.balance().delivered, all.len() as u64);
}

#[test]
fn with_detach_the_run_ends_with_the_command() {
    let scratch = Scratch::new("detach");
    let (trace, events, input) = with_daemon(&scratch, &["--detach"]);
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(5), "{:#?}", ended.stderr);
    let daemon: u32 = ended.stdout[0]["ready ".len()..].parse().unwrap();
    assert!(is_running(daemon), "its input is still open");
    let events = std::fs::read_to_string(events).unwrap();
    assert!(!events.lines().map(parse).any(|e| e["kind"] == "exit" && e["pid"] == daemon), "{events}");
    assert_eq!(ended.balance().dropped, 0);
    drop(input);
}

/// The target `daemon`, its events' file, and its input.
fn with_daemon(scratch: &Scratch, args: &[&str]) -> (Trace, std::path::PathBuf, Option<std::process::ChildStdin>) {
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
        // A line that is only half there ends in no newline.
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).any(|line| found(&parse(line)))
    });
    path.to_owned()
}

#[test]
fn the_exit_code_is_the_commands() {
    for (target, code) in
        [(["exit", "0"], 0), (["exit", "1"], 1), (["exit", "255"], 255), (["kill", "15"], 143), (["kill", "9"], 137)]
    {
        let ended = trace(&[], &target).end();
        assert_eq!(ended.status.code(), Some(code), "{target:?}: {:#?}", ended.stderr);
        assert_eq!(ended.totals().delivered, 2);
    }
}

#[test]
fn what_is_no_command_is_told_before_anything_is_loaded() {
    let scratch = Scratch::new("no-command");
    let data = scratch.file("data", "no program");
    let missing = scratch.path("missing");
    let script = scratch.file("script", "#! /no/interpreter -x\necho no\n");
    let of_data = scratch.file("of-data", format!("#!{}\n", text(&data)));
    for script in [&script, &of_data] {
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let binary = copy_of_coretrace(&scratch);
    let targets = targets();
    for (command, code, words) in [
        (text(&missing), 127, "no such file or directory"),
        ("coretrace-has-no-such-command", 127, "command not found"),
        (text(&data), 126, "permission denied"),
        (text(&script), 127, "bad interpreter: /no/interpreter: no such file"),
        (text(&of_data), 126, "data: permission denied"),
        ("/", 126, "permission denied"),
    ] {
        // This user may not load anything: any attempt to would fail, with 1.
        let mut run = Command::new(&targets);
        run.args(["as", "uid=54321", text(&binary), "proc", "--", command]);
        let ended = Trace::raw(&mut run).output();
        assert_eq!(ended.status.code(), Some(code), "{command}: {:#?}", ended.stderr);
        let said = ended.stderr.join("\n");
        assert!(said.contains(command) && said.contains(words), "{command}: {said}");
    }
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
    // Others did fork meanwhile, and that was seen.
    assert!(totals.filtered > 0 && !ended.events.iter().any(|e| e["pid"] == others.pid()));
}

#[test]
fn pid_and_command_exclude_each_other() {
    let me = std::process::id().to_string();
    let output = run(["proc", "-p", &me, "--", "true"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("-p") && said.contains("CMD"), "{said}");
}

#[test]
fn a_limited_run_leaves_the_command_alone() {
    for limit in [["--count", "1"], ["-d", "0.2"]] {
        let scratch = Scratch::new("limited");
        let events = scratch.path("events");
        let mut command = Command::new(coretrace());
        command
            .args(["proc", "-o", "json", "-O", text(&events)])
            .args(limit)
            .arg("--")
            .arg(targets())
            .args(["signals", "1"]);
        let mut trace = Trace::raw(&mut command);
        let ready = trace.line("the command", |line| line.starts_with("ready"));
        let pid: i32 = ready["ready ".len()..].parse().unwrap();
        let note = trace.note("that it goes on", |line| line.contains("still runs"));
        assert!(note.contains(&format!("process {pid}")), "{note}");
        // Not our child: it is coretrace's, which has left it.
        assert!(is_running(pid as u32), "{limit:?}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let ended = trace.output();
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.stderr);
        assert_eq!(ended.stdout.last().map(String::as_str), Some("SIGTERM"));
        assert_eq!(ended.balance().delivered, 1, "{limit:?}");
    }
}

#[test]
fn sudo_is_told_that_the_command_runs_as_root() {
    let said = |args: &[&str]| {
        let mut command = Command::new(coretrace());
        command.env("SUDO_USER", "somebody").arg("proc").args(args).args(["--", "true"]);
        Trace::raw(&mut command).output().stderr.join("\n")
    };
    assert!(said(&[]).contains("--user NAME"));
    assert!(!said(&["-q"]).contains("--user NAME"));
}
