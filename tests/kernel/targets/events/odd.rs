//! Odds and ends: names that processes give themselves, processes on a CPU of choice.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl;
use nix::unistd::Pid;
use serde_json::json;

use super::say::{number, say};

/// `named NAME`: gives itself that name, and ends.
pub fn named(args: &[OsString]) {
    prctl::set_name(&CString::new(args[0].as_bytes()).expect("no NUL")).expect("any name will do");
}

/// `each-cpu N`: runs N programs on each CPU that it may use.
pub fn each_cpu(args: &[OsString]) {
    let me = Pid::from_raw(0);
    let allowed = sched_getaffinity(me).expect("the CPUs");
    for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or_default()) {
        let mut only = CpuSet::new();
        only.set(cpu).expect("a CPU");
        sched_setaffinity(me, &only).expect("moving to a CPU");
        let pids: Vec<u32> = (0..number(&args[0]))
            .map(|_| {
                let mut child = Command::new("/proc/self/exe").args(["exit", "0"]).spawn().expect("starting itself");
                child.wait().expect("a child");
                child.id()
            })
            .collect();
        say("cpu", &json!({"cpu": cpu, "pids": pids}));
    }
}
