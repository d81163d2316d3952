//! PID namespaces: watched from outside, and coretrace itself in one.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::{Value, json};

use crate::host::{Scratch, children_of, is_running, until};
use crate::known::{Dir, flavours, may_miss, strings, traced, uint, words};
use crate::support::{Ended, Trace, coretrace, targets};

#[test]
fn a_process_in_a_namespace_has_its_number_outside() {
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], words!["pidns", targets(), "who"]);
        let (outside, inside) = (&ended.reported("pidns")["outside"], ended.reported("who"));
        assert_eq!((&inside["pid"], &inside["ppid"]), (&json!(1), &json!(0)), "{flavour}: what it knows itself");
        let exec = ended.one("exec", outside);
        assert_eq!((&exec["tid"], &exec["argv"][1]), (outside, &json!("who")), "{flavour}");
        assert_eq!(exec["ppid"], ended.events[0]["pid"], "{flavour}");
        assert_eq!(ended.all("fork", "child_pid", outside).len(), 1, "{flavour}");
        assert_eq!(ended.one("exit", outside)["code"], 0);
    }
}

/// `coretrace proc ARGS…` in a PID namespace of its own, as the namespace's first process; the command line before it
/// may make another process the first.
fn inside(before: &[OsString], args: &[OsString]) -> Trace {
    let mut command = Command::new(targets());
    command.arg("pidns").args(before).arg(coretrace());
    command.args(["proc", "-o", "json", "-O", "-", "-v"]).args(args);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    trace
}

fn assert_clean(ended: &Ended, flavour: &str) {
    assert!(ended.status.success(), "{flavour}: {:#?}", ended.stderr);
    assert_eq!(ended.totals().dropped, 0, "{flavour}");
    assert!(ended.missed() == 0 || may_miss(flavour), "{flavour}: {:#?}", ended.stderr);
}

#[test]
fn a_command_in_a_namespace_has_its_number_there() {
    for flavour in flavours() {
        let args = words!["--attach", flavour, "--threads", "--", targets(), "in-dir", "/", targets(), "who"];
        let ended = inside(&[], &args).end();
        assert_clean(&ended, flavour);
        let who = ended.reported("who");
        assert_eq!(who["ppid"], 1, "its parent is coretrace, which is the first process there");
        let exec = ended.last("exec", &who["pid"]);
        for field in ["pid", "tid", "ppid"] {
            assert_eq!(exec[field], who[field], "{flavour}: {field}");
        }
        assert!(ended.events.iter().all(|event| event["pid"] == who["pid"]), "{flavour}: {:#?}", ended.events);
        assert_eq!(ended.one("exit", &who["pid"])["code"], 0);
    }
}

#[test]
fn the_first_process_of_a_namespace_leaves_no_zombies() {
    let mut command = Command::new(targets());
    command.arg("pidns").arg(coretrace()).args(["proc", "-o", "json", "-O", "-", "-v", "--"]);
    // The shell in the middle ends first: its child is then reparented to the first process.
    command.args(["/bin/sh", "-c", "(/bin/sh -c 'exit 3' &); read line"]).stdin(std::process::Stdio::piped());
    let mut trace = Trace::with_stdin(&mut command);
    trace.wait_for("the orphan's end", |event| event["kind"] == "exit" && event["code"] == 3);
    let first = children_of(trace.child.id())[0];
    until("no zombie is left", || children_of(first).into_iter().all(is_running));
    drop(trace.child.stdin.take());
    assert_eq!(trace.end().totals().dropped, 0);
}

#[test]
fn the_first_process_of_a_namespace_opens_its_output_again_and_ends_by_signals() {
    let scratch = Scratch::new("first");
    let (file, old) = (scratch.path("events"), scratch.path("events.1"));
    let mut command = Command::new(targets());
    command.arg("pidns").arg(coretrace()).args(["proc", "-v", "-n", "nobody-has-this", "-O"]).arg(&file);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    let first = Pid::from_raw(children_of(trace.child.id())[0].cast_signed());
    until("the file has its header", || file.metadata().is_ok_and(|of| of.len() > 0));
    std::fs::rename(&file, &old).unwrap();
    kill(first, Signal::SIGHUP).unwrap();
    until("the new file has its header", || file.metadata().is_ok_and(|of| of.len() > 0));
    kill(first, Signal::SIGTERM).unwrap();
    let ended = trace.output();
    assert_eq!((ended.status.code(), ended.balance().delivered), (Some(0), 0), "{:#?}", ended.stderr);
}

#[test]
fn children_in_a_namespace_have_their_numbers_there() {
    for flavour in flavours() {
        for how in ["fork", "vfork", "spawn"] {
            let args = words!["--attach", flavour, "--", targets(), "children", how, "20"];
            let ended = inside(&[], &args).end();
            assert_clean(&ended, flavour);
            let parent = &ended.events[0]["pid"];
            let reported = ended.all_reported("forked");
            assert_eq!(reported.len(), 20);
            for reported in reported.iter().filter(|_| ended.missed() == 0) {
                let forks = ended.all("fork", "child_pid", &reported["pid"]);
                assert_eq!(forks.len(), 1, "{flavour} {how}: {reported} {:#?}", ended.kind("fork"));
                assert_eq!((&forks[0]["child_tid"], &forks[0]["pid"]), (&reported["pid"], parent));
                assert_eq!(ended.one("exit", &reported["pid"])["ppid"], *parent, "{flavour} {how}");
            }
        }
    }
}

#[test]
fn siblings_and_threads_in_a_namespace_have_their_numbers_there() {
    for flavour in flavours() {
        let args = words!["--attach", flavour, "--", targets(), "children", "sibling", "5"];
        let ended = inside(&[], &args).end();
        assert_clean(&ended, flavour);
        for reported in ended.all_reported("sibling").iter().filter(|_| ended.missed() == 0) {
            assert_eq!(ended.all("fork", "child_pid", &reported["pid"])[0]["pid"], reported["from"], "{flavour}");
            assert_eq!(ended.one("exit", &reported["pid"])["ppid"], reported["parent"], "{flavour}");
        }
        let args = words!["--attach", flavour, "--threads", "--", targets(), "threads", "10"];
        let ended = inside(&[], &args).end();
        assert_clean(&ended, flavour);
        for reported in ended.all_reported("thread").iter().filter(|_| ended.missed() == 0) {
            let clones = ended.all("clone", "child_tid", &reported["tid"]);
            assert_eq!(clones.len(), 1, "{flavour}: {reported} {:#?}", ended.kind("clone"));
            assert_eq!(clones[0]["child_pid"], clones[0]["pid"]);
        }
    }
}

#[test]
fn a_namespace_in_the_namespace_is_looked_into() {
    for flavour in flavours() {
        let args = words!["--attach", flavour, "--", targets(), "pidns", targets(), "who"];
        let ended = inside(&[], &args).end();
        assert_clean(&ended, flavour);
        let reported = ended.all_reported("pidns");
        // Reported first by the process around coretrace, then by coretrace's command, whose child it is.
        let (child, own) = (&reported[1]["outside"], ended.reported("who")["pid"].clone());
        assert_eq!(own, 1);
        if ended.missed() == 0 {
            assert_eq!(ended.one("exec", child)["argv"][1], "who", "{flavour}: {:#?}", ended.events);
            assert_eq!(ended.one("exec", child)["ppid"], ended.events[0]["pid"], "{flavour}");
        }
    }
}

#[test]
fn the_old_number_of_a_thread_is_not_known_in_a_namespace() {
    for flavour in flavours() {
        let args = words!["--attach", flavour, "--", targets(), "exec-in-thread", "2", targets(), "who"];
        let ended = inside(&[], &args).end();
        assert_clean(&ended, flavour);
        let who = ended.reported("who");
        let exec = ended.last("exec", &who["pid"]);
        // The thread that had it is gone, and the kernel reports only its number outside.
        assert_eq!((&exec["tid"], &exec["old_tid"]), (&who["tid"], &Value::Null), "{flavour}");
        assert!(exec.as_object().unwrap().contains_key("old_tid"));
    }
}

/// Where [`Trace`] inside waits for the test's signal to continue.
fn fifo(dir: &Dir) -> std::path::PathBuf {
    let path = dir.join("go-on");
    mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
    path
}

fn go_on(fifo: &Path) {
    let mut fifo = std::fs::OpenOptions::new().write(true).open(fifo).expect("the other end");
    fifo.write_all(b"!").expect("the other end");
}

#[test]
fn a_process_is_chosen_by_its_number_in_the_namespace() {
    for flavour in flavours() {
        let dir = Dir::new();
        let fifo = fifo(&dir);
        let program = words![targets(), "on-end-of-input", targets(), "children", "spawn", "3"];
        let mut before = words![targets(), "watch", &fifo, program.len().to_string()].to_vec();
        before.extend(program);
        let trace = inside(&before, &words!["--attach", flavour, "-p", "PID", "--follow"]);
        go_on(&fifo);
        let ended = trace.end();
        assert_clean(&ended, flavour);
        let parent = &ended.events[0]["pid"];
        assert_eq!(strings(&ended.one("exec", parent)["argv"])[1..], ["children", "spawn", "3"]);
        assert_eq!(ended.events[0]["ppid"], 1, "{flavour}");
        for reported in ended.all_reported("forked").iter().filter(|_| ended.missed() == 0) {
            assert_eq!(ended.one("exec", &reported["pid"])["ppid"], *parent, "{flavour}");
            assert_eq!(ended.one("exit", &reported["pid"])["code"], 0, "{flavour}");
        }
        assert_eq!(ended.one("exit", parent)["code"], 0);
    }
}

#[test]
fn what_is_outside_of_the_namespace_is_not_shown() {
    // By name, as a process outside has no number here.
    const NAME: &str = "ct-pidns-test";
    for flavour in flavours() {
        let dir = Dir::new();
        let fifo = fifo(&dir);
        let link = dir.join(NAME);
        symlink(targets(), &link).unwrap();
        let program = words![targets(), "on-end-of-input", &link, "exit", "0"];
        let mut before = words![targets(), "watch", &fifo, program.len().to_string()].to_vec();
        before.extend(program);
        let trace = inside(&before, &words!["--attach", flavour, "-n", NAME]);
        let seen_from = |pid: u32| json!(pid);
        let mut outside = Command::new(&link).args(["exit", "7"]).spawn().unwrap();
        assert_eq!(outside.wait().unwrap().code(), Some(7));
        go_on(&fifo);
        let ended = trace.end();
        assert_clean(&ended, flavour);
        let reported: Vec<&Value> = ended.events.iter().collect();
        assert!(
            reported.iter().all(|event| event["pid"] != seen_from(outside.id()) && event["code"] != 7),
            "{reported:#?}"
        );
        let kinds: Vec<_> = reported.iter().map(|event| &event["kind"]).collect();
        assert_eq!(kinds, ["exec", "exit"], "{flavour}: the one inside, by the same name");
        assert!(uint(&reported[0]["pid"]) < 10, "{flavour}: {reported:#?}");
        assert!(ended.totals().filtered >= 2, "{flavour}: the one outside was refused");
    }
}
