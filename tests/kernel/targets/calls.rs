//! System calls in many threads, for the tests of probes.
#![allow(unsafe_code)]

use std::thread;
use std::time::Duration;

use nix::libc;

/// Each of so many threads calls getpgid(2) so often.
pub fn calls(threads: u32, count: u32) {
    in_threads(threads, |_| {
        for _ in 0..count {
            // SAFETY: it takes a number and returns one.
            unsafe { libc::syscall(libc::SYS_getpgid, 0) };
        }
    });
}

/// So many threads sleep at the same time, the n-th one for n more milliseconds than the first.
pub fn naps(threads: u32, ms: u32) {
    in_threads(threads, |n| thread::sleep(Duration::from_millis((ms + n).into())));
}

fn in_threads(threads: u32, each: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        for n in 0..threads {
            let each = &each;
            scope.spawn(move || each(n));
        }
    });
}
