//! PID namespaces.
#![allow(unsafe_code, reason = "fork")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio, exit};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use serde_json::json;

use super::say::{number, say};
use super::wrap::become_program;

/// `pidns PROGRAM…`: as the first process of a new PID namespace, with its own /proc.
pub fn pidns(args: &[OsString]) {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).expect("namespaces");
    // SAFETY: this process has one thread.
    let child = match unsafe { fork() }.expect("forking") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            const NONE: Option<&str> = None;
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("mounts of its own");
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), NONE).expect("a /proc of its own");
            become_program(args)
        }
    };
    say("pidns", &json!({"outside": child.as_raw()}));
    match waitpid(child, None).expect("a child") {
        WaitStatus::Exited(_, code) => exit(code),
        other => panic!("{other:?}"),
    }
}

/// `watch FIFO PROGRAM N CORETRACE ARGS…`: starts `PROGRAM on-end-of-input` (of N arguments) and coretrace, in whose
/// arguments `PID` stands for the former's number; once coretrace is attached and FIFO ends, lets the program continue,
/// waits for its end, and ends coretrace.
pub fn watch(args: &[OsString]) {
    let words: usize = number(&args[1]);
    let (program, coretrace) = args[2..].split_at(words);
    let mut watched = Command::new(&program[0]).args(&program[1..]).stdin(Stdio::piped()).spawn().expect("a program");
    let pid = watched.id().to_string();
    let coretrace_args = coretrace[1..].iter().map(|arg| if arg == "PID" { pid.clone().into() } else { arg.clone() });
    let mut coretrace =
        Command::new(&coretrace[0]).args(coretrace_args).stderr(Stdio::piped()).spawn().expect("coretrace");
    let mut notes = BufReader::new(coretrace.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("coretrace: attached to") {
        line.clear();
        assert_ne!(notes.read_line(&mut line).expect("a pipe"), 0, "coretrace ended");
        std::io::stderr().write_all(line.as_bytes()).expect("the test listens");
    }
    std::fs::read(&args[0]).expect("a FIFO");
    drop(watched.stdin.take());
    watched.wait().expect("a child");
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(coretrace.id() as i32), Signal::SIGINT);
    let mut rest = Vec::new();
    notes.read_to_end(&mut rest).expect("a pipe");
    std::io::stderr().write_all(&rest).expect("the test listens");
    exit(coretrace.wait().expect("a child").code().unwrap_or(70))
}

/// `on-end-of-input PROGRAM…`: waits for the end of its stdin.
pub fn on_end_of_input(args: &[OsString]) {
    std::io::stdin().read_to_end(&mut Vec::new()).expect("stdin");
    become_program(args)
}
