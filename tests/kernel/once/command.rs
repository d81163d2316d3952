//! `-- CMD`: its exit code, invalid commands, and runs that end before their command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::command::{trace, with_daemon};
use crate::host::{Scratch, copy_of_coretrace, is_running, text};
use crate::support::{Trace, coretrace, parse, run, targets};

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
fn what_is_no_command_is_reported_before_anything_is_loaded() {
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
        // This user may not load anything: any attempt would fail, with 1.
        let mut run = Command::new(&targets);
        run.args(["as", "uid=54321", text(&binary), "proc", "--", command]);
        let ended = Trace::raw(&mut run).output();
        assert_eq!(ended.status.code(), Some(code), "{command}: {:#?}", ended.stderr);
        let printed = ended.stderr.join("\n");
        assert!(printed.contains(command) && printed.contains(words), "{command}: {printed}");
    }
}

#[test]
fn pid_and_command_exclude_each_other() {
    let me = std::process::id().to_string();
    let output = run(["proc", "-p", &me, "--", "true"]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{printed}");
    assert!(printed.contains("-p") && printed.contains("CMD"), "{printed}");
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
fn sudo_is_warned_that_the_command_runs_as_root() {
    let printed = |args: &[&str]| {
        let mut command = Command::new(coretrace());
        command.env("SUDO_USER", "somebody").arg("proc").args(args).args(["--", "true"]);
        Trace::raw(&mut command).output().stderr.join("\n")
    };
    assert!(printed(&[]).contains("--user NAME"));
    assert!(!printed(&["-q"]).contains("--user NAME"));
}
