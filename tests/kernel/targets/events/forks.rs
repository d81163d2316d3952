//! Ways to create a process.
#![allow(unsafe_code, reason = "what this is about has no safe form")]

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, clone};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getppid};
use serde_json::json;

use super::ends::status;
use super::say::{number, say};

/// `children HOW TIMES [FLAGS|CGROUP]`
pub fn children(args: &[OsString]) {
    let how = args[0].to_str().expect("a name");
    for _ in 0..number(&args[1]) {
        match how {
            // The child does nothing but end.
            "fork" => reported(forked(|| 0)),
            "vfork" => reported(cloned(CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK)),
            "spawn" => spawn(),
            "clone" => reported(cloned(CloneFlags::from_bits_retain(number(&args[2])))),
            "clone3" => clone3(number(&args[2]), &args[3]),
            "sibling" => sibling(),
            _ => panic!("no such way: {how}"),
        }
    }
}

fn reported(pid: Pid) {
    say("forked", &status(pid));
}

fn forked(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: this process has one thread, and the child runs no destructor.
    match unsafe { fork() }.expect("forking") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => unsafe { libc::_exit(child()) },
    }
}

fn cloned(flags: CloneFlags) -> Pid {
    let mut stack = vec![0; 64 << 10];
    // SAFETY: the child only returns, on a stack of its own (where it shares memory, the parent waits: CLONE_VFORK).
    unsafe { clone(Box::new(|| 0), &mut stack, flags, Some(Signal::SIGCHLD as i32)) }.expect("cloning")
}

/// posix_spawn() is how the standard library starts a program.
fn spawn() {
    let mut child = Command::new("/proc/self/exe").args(["exit", "0"]).spawn().expect("starting itself");
    child.wait().expect("a child");
    say("forked", &json!({"pid": child.id(), "code": 0}));
}

/// By clone3(), the only one that takes flags above 32 bits; into a cgroup, if the flags say so.
fn clone3(flags: u64, cgroup: &OsString) {
    let cgroup = File::open(cgroup).expect("a directory");
    // SAFETY: all zeros is the default of every member.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.exit_signal = Signal::SIGCHLD as u64;
    args.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM this is fork(), and the child only ends.
    match unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) } {
        0 => unsafe { libc::_exit(0) },
        -1 => say("refused", &json!({"errno": nix::errno::Errno::last_raw()})),
        pid => reported(Pid::from_raw(pid as i32)),
    }
}

/// A child creates another child of its parent.
fn sibling() {
    let child = forked(|| {
        let pid = cloned(CloneFlags::CLONE_PARENT);
        say("sibling", &json!({"pid": pid.as_raw(), "from": std::process::id(), "parent": getppid().as_raw()}));
        0
    });
    waitpid(child, None).expect("a child");
    // Either of them: there is one more.
    waitpid(None, None).expect("its sibling");
}
