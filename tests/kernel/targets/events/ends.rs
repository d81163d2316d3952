//! Ways in which a process can end, repeated; reports what waitpid() returns for each.
#![allow(unsafe_code, reason = "fork, and ends that the standard library keeps from happening")]

use std::ffi::OsString;
use std::io::{PipeWriter, Read, Write};
use std::sync::Barrier;
use std::{fs, io, process, thread};

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use serde_json::{Value, json};

use super::say::{number, say};

/// `ends HOW TIMES`, in the directory where core dumps go.
pub fn ends(args: &[OsString]) {
    let how = args[0].to_str().expect("a name");
    let core = if how == "core" { RLIM_INFINITY } else { 0 };
    // The hard limit stays: it must not need root to raise this one again.
    setrlimit(Resource::RLIMIT_CORE, core, RLIM_INFINITY).expect("setting the limit of core dumps");
    for _ in 0..number(&args[1]) {
        let (mut ready, tell) = io::pipe().expect("a pipe");
        // SAFETY: this process has one thread.
        let pid = match unsafe { fork() }.expect("forking") {
            ForkResult::Child => {
                drop(ready);
                end(how, tell)
            }
            ForkResult::Parent { child } => child,
        };
        drop(tell);
        // One byte: the child is ready. None: it ended by itself.
        if ready.read(&mut [0]).expect("a pipe") == 1 {
            kill(pid, Signal::SIGKILL).expect("killing a child");
        }
        say("ended", &status(pid));
    }
}

/// What waitpid() returns for a child, in coretrace's form.
pub fn status(pid: Pid) -> Value {
    match waitpid(pid, None).expect("a child") {
        WaitStatus::Exited(_, code) => json!({"pid": pid.as_raw(), "code": code}),
        WaitStatus::Signaled(_, signal, core) => json!({"pid": pid.as_raw(), "signal": signal.as_str(), "core": core}),
        other => panic!("{other:?}"),
    }
}

fn end(how: &str, tell: PipeWriter) -> ! {
    match how {
        // Eight threads and the first one, all at once; each has its own code.
        "together" => at_once(8, |n| end_thread(10 + n as i32)),
        // The same, but the threads return, and the C library ends them.
        "returning" => at_once(8, |n| {
            if n == 0 {
                end_thread(10)
            }
        }),
        // Each tries to end the whole process, with its own code.
        "racing" => at_once(4, |n| exit_group(20 + n as i32)),
        "leader-first" => {
            let leader = process::id();
            thread::spawn(move || {
                until_zombie(leader);
                end_thread(7);
            });
            end_thread(4)
        }
        "from-thread" => {
            park(3);
            thread::spawn(|| exit_group(5));
            park_here()
        }
        "segv-in-thread" => {
            park(3);
            // SAFETY: a wild write is what is wanted.
            thread::spawn(|| unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) });
            park_here()
        }
        "killed" => {
            park(4);
            (&tell).write_all(b"!").expect("a parent");
            park_here()
        }
        "core" | "SIGSEGV" => die(Signal::SIGSEGV),
        _ => match how.parse::<Signal>() {
            Ok(signal) => die(signal),
            Err(_) => exit_group(how.parse().expect("a signal's name or an exit code")),
        },
    }
}

/// Runs `last` in this many threads and in the first one (number 0), as close to at once as possible.
fn at_once(threads: usize, last: fn(usize)) -> ! {
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(threads + 1)));
    for n in 1..=threads {
        thread::spawn(move || {
            barrier.wait();
            last(n);
        });
    }
    barrier.wait();
    last(0);
    unreachable!("the first thread does not return")
}

/// Starts threads that wait forever, and returns when they do.
fn park(threads: usize) {
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(threads + 1)));
    for _ in 0..threads {
        thread::spawn(|| {
            barrier.wait();
            park_here()
        });
    }
    barrier.wait();
}

/// Waits forever.
pub fn park_here() -> ! {
    loop {
        thread::park();
    }
}

/// Ends only this thread.
pub fn end_thread(code: i32) -> ! {
    // SAFETY: what this thread's stack holds is not used by others.
    unsafe { libc::syscall(libc::SYS_exit, code) };
    unreachable!("the thread has ended")
}

fn exit_group(code: i32) -> ! {
    // SAFETY: no destructor or buffer matters here.
    unsafe { libc::_exit(code) }
}

fn die(signal: Signal) -> ! {
    // SAFETY: SIG_DFL is no function of ours. (Rust's own handler is for overflows of the stack.)
    let _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) };
    kill(Pid::this(), signal).expect("killing oneself");
    park_here()
}

/// Returns when the first thread of this process has ended.
pub fn until_zombie(leader: u32) {
    let state = || {
        let stat = fs::read_to_string(format!("/proc/self/task/{leader}/stat")).expect("/proc");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    };
    while !state() {
        thread::yield_now();
    }
}
