//! Processes whose times and sizes are known: measured from inside, and by their parent.
#![allow(unsafe_code, reason = "fork")]

use std::ffi::OsString;
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Barrier;
use std::{io, process, thread};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;
use nix::time::ClockId;
use nix::unistd::{ForkResult, Pid, fork};
use serde_json::json;

use super::ends::{end_thread, until_zombie};
use super::say::{now, number, say};

fn forked(child: impl FnOnce()) -> Pid {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("forking") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            child();
            process::exit(0)
        }
    }
}

/// `times N`: processes that look at the clock first and last, as their parent does.
pub fn times(args: &[OsString]) {
    for _ in 0..number(&args[0]) {
        let (mut from, mut to) = io::pipe().expect("a pipe");
        let before = now(ClockId::CLOCK_BOOTTIME);
        let pid = forked(move || {
            let begun = now(ClockId::CLOCK_BOOTTIME);
            work(ClockId::CLOCK_THREAD_CPUTIME_ID, 5);
            let ended = now(ClockId::CLOCK_BOOTTIME);
            to.write_all(&[begun.to_ne_bytes(), ended.to_ne_bytes()].concat()).expect("a parent");
        });
        waitpid(pid, None).expect("a child");
        let after = now(ClockId::CLOCK_BOOTTIME);
        let (mut begun, mut ended) = ([0; 8], [0; 8]);
        from.read_exact(&mut begun).and_then(|()| from.read_exact(&mut ended)).expect("a child that tells");
        let (begun, ended) = (u64::from_ne_bytes(begun), u64::from_ne_bytes(ended));
        let pid = pid.as_raw();
        say("times", &json!({"pid": pid, "before": before, "begun": begun, "ended": ended, "after": after}));
    }
}

/// `burn HOW MS TIMES`: processes that use that much CPU time; reports the kernel's accounting of each.
pub fn burn(args: &[OsString]) {
    let (how, ms) = (args[0].to_str().expect("a name"), number(&args[1]));
    for _ in 0..number(&args[2]) {
        let before = children();
        let pid = forked(|| match how {
            "alone" => work(ClockId::CLOCK_PROCESS_CPUTIME_ID, ms),
            "leader-first" => leader_first(ms),
            "together" => together(ms),
            _ => panic!("no such way: {how}"),
        });
        waitpid(pid, None).expect("a child");
        say("burnt", &json!({"pid": pid.as_raw(), "cpu_ns": cpu(children()) - cpu(before)}));
    }
}

fn children() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel keeps books")
}

fn cpu(usage: Usage) -> i64 {
    (usage.user_time() + usage.system_time()).num_nanoseconds()
}

/// The first thread does a quarter of the work, then others do the rest one after the other.
fn leader_first(ms: u64) {
    let leader = process::id();
    thread::spawn(move || {
        until_zombie(leader);
        for _ in 0..2 {
            let other = thread::spawn(move || work(ClockId::CLOCK_THREAD_CPUTIME_ID, ms / 4));
            other.join().expect("a thread that works");
        }
        work(ClockId::CLOCK_THREAD_CPUTIME_ID, ms / 4);
    });
    work(ClockId::CLOCK_THREAD_CPUTIME_ID, ms / 4);
    end_thread(0);
}

/// Eight threads do the work and end at once.
fn together(ms: u64) {
    const THREADS: usize = 8;
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(THREADS)));
    let share = move || {
        work(ClockId::CLOCK_THREAD_CPUTIME_ID, ms / THREADS as u64);
        barrier.wait();
        end_thread(0);
    };
    for _ in 1..THREADS {
        thread::spawn(share);
    }
    share();
}

/// Works until the clock, which counts CPU time, has advanced by this many milliseconds.
fn work(clock: ClockId, ms: u64) {
    let until = now(clock) + ms * 1_000_000;
    while now(clock) < until {
        black_box((0..1000).fold(0_u64, |sum, n| black_box(sum ^ n)));
    }
}

/// `memory MIB`: touches so much memory.
pub fn memory(args: &[OsString]) {
    let bytes: usize = number(&args[0]);
    black_box(vec![1_u8; bytes << 20]);
    let kib = getrusage(UsageWho::RUSAGE_SELF).expect("the kernel keeps books").max_rss();
    say("memory", &json!({"max_rss_bytes": kib << 10}));
}
