//! Threads that come and go, or exec another program.

use std::ffi::OsString;
use std::sync::Barrier;
use std::thread;

use nix::unistd::gettid;
use serde_json::json;

use super::ends::park_here;
use super::say::{number, say};
use super::wrap::become_program;

/// `threads N`: this many, one after the other.
pub fn threads(args: &[OsString]) {
    for _ in 0..number(&args[0]) {
        let thread = thread::spawn(|| gettid().as_raw());
        say("thread", &json!({"tid": thread.join().expect("a thread")}));
    }
}

/// `exec-in-thread N PROGRAM…`: N threads wait, as does the first one, while one more becomes the program.
pub fn exec_in_thread(args: &[OsString]) {
    let waiting: usize = number(&args[0]);
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(waiting + 1)));
    for _ in 0..waiting {
        thread::spawn(|| {
            say("thread", &json!({"tid": gettid().as_raw()}));
            barrier.wait();
            park_here()
        });
    }
    barrier.wait();
    let program = args[1..].to_vec();
    thread::spawn(move || {
        say("exec-thread", &json!({"tid": gettid().as_raw()}));
        become_program(&program)
    });
    park_here()
}
