//! Attempts to run programs, by either system call, with arguments that no library would pass.
#![allow(unsafe_code, reason = "pointers to nowhere, which the kernel is to refuse")]

use std::ffi::{CString, OsString, c_char};
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::ptr::null;
use std::{fs, io, process, thread};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, gettid};
use serde_json::{Value, json};

use super::ends::park_here;
use super::say::{number, say};

/// Where nothing is mapped.
const NOWHERE: usize = 8;

/// `attempts FILE`: those listed in the file, each by its own process.
///
/// `{"path": STRING, "argv": LIST, "at": DIR, "flags": N, "thread": BOOL}`. In `path`, `argv` and its items, null is an
/// invalid pointer; without `argv` it is a null pointer. `at` makes it execveat. Reported for each: the process's id,
/// the thread's, and the program's exit code or the attempt's error.
pub fn attempts(args: &[OsString]) {
    let list = fs::read(&args[0]).expect("a file");
    let list: Vec<Value> = serde_json::from_slice(&list).expect("a list in JSON");
    for attempt in list {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("forking") {
            ForkResult::Child if attempt["thread"] == true => {
                thread::spawn(move || begin(&attempt));
                park_here()
            }
            ForkResult::Child => begin(&attempt),
            ForkResult::Parent { child } => match waitpid(child, None).expect("a child") {
                WaitStatus::Exited(pid, code) => say("tried", &json!({"pid": pid.as_raw(), "code": code})),
                other => panic!("{attempt}: {other:?}"),
            },
        }
    }
}

fn begin(attempt: &Value) -> ! {
    say("trying", &json!({"pid": process::id(), "tid": gettid().as_raw()}));
    process::exit(run(attempt).raw_os_error().expect("a cause"))
}

/// Returns if it fails.
fn run(attempt: &Value) -> io::Error {
    let path = c_string(&attempt["path"]);
    let strings: Vec<_> = attempt["argv"].as_array().into_iter().flatten().map(c_string).collect();
    let mut pointers: Vec<_> = strings.iter().map(address).collect();
    pointers.push(null());
    let argv = match attempt.get("argv") {
        None => null(),
        Some(Value::Null) => std::ptr::without_provenance(NOWHERE),
        Some(_) => pointers.as_ptr(),
    };
    let at: Option<OwnedFd> = attempt["at"].as_str().map(|dir| {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH).open(dir).expect("what it is relative to").into()
    });
    // SAFETY: they fail, or nothing is left of this process; the kernel looks after bad pointers.
    unsafe {
        match &at {
            None => libc::syscall(libc::SYS_execve, address(&path), argv, null::<*const c_char>()),
            Some(dir) => {
                let flags = attempt["flags"].as_i64().unwrap_or_default();
                let none = null::<*const c_char>();
                libc::syscall(libc::SYS_execveat, dir.as_raw_fd(), address(&path), argv, none, flags)
            }
        };
    }
    io::Error::last_os_error()
}

/// Tries to run a missing program, without a pause and until it is killed.
pub fn fails() -> ! {
    let path = c_string(&json!("/no/such/program"));
    crate::kin::say("ready");
    loop {
        let argv = [address(&path), null()];
        // SAFETY: it fails.
        unsafe { libc::syscall(libc::SYS_execve, address(&path), argv.as_ptr(), null::<*const c_char>()) };
    }
}

fn c_string(value: &Value) -> Option<CString> {
    value.as_str().map(|text| CString::new(text).expect("no NUL"))
}

fn address(string: &Option<CString>) -> *const c_char {
    string.as_ref().map_or(std::ptr::without_provenance(NOWHERE), |string| string.as_ptr())
}

/// `again N`: execs itself this many times, each time by a thread that is not the first.
pub fn again(args: &[OsString]) {
    let left: u32 = number(&args[0]);
    if left > 0 {
        thread::spawn(move || {
            use std::os::unix::process::CommandExt;
            let rest = (left - 1).to_string();
            panic!("{}", Command::new("/proc/self/exe").args(["again", &rest]).exec());
        });
        park_here();
    }
}
