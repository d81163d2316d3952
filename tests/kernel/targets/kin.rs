//! Processes that start others.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::{kill_self, set_name, spawn, spawn_in_place, wait};

/// `n` children that end at once, one after the other.
pub fn forks(n: u32) {
    for _ in 0..n {
        wait(spawn(|| 0));
    }
}

/// `n` children that end at once, all together.
pub fn burst(n: u32) {
    let children: Vec<_> = (0..n).map(|_| spawn(|| 0)).collect();
    for child in children {
        wait(child);
    }
}

/// A process that waits for the end of standard input, then forks and ends, as does its child, `n` times. Prints the id
/// of the first when it is ready.
pub fn relay(n: u32) {
    nix::sys::prctl::set_child_subreaper(true).expect("prctl");
    spawn(|| {
        say(&format!("ready {}", std::process::id()));
        end_of_input();
        let mut left = n;
        while left > 0 {
            let mut child = false;
            spawn_in_place(&mut child);
            if !child {
                break;
            }
            left -= 1;
        }
        0
    });
    while nix::sys::wait::wait().is_ok() {}
}

/// Forks, as fast as it can, until standard input ends. Prints `ready` first.
pub fn storm() {
    say("ready");
    let stdin = std::io::stdin();
    loop {
        forks(10);
        let mut ends = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ends, PollTimeout::ZERO).expect("poll") > 0 {
            return;
        }
    }
}

/// A child, whose child waits for the end of standard input, then runs a program that ends with 4. Prints the ids of
/// the three when all are ready.
pub fn nest() {
    let child = spawn(|| {
        let grandchild = spawn(|| {
            say(&format!("ready {}", std::process::id()));
            end_of_input();
            myself(&["exit", "4"]);
            2
        });
        wait(grandchild);
        1
    });
    wait(child);
}

/// Starts a daemon: its parent is gone, and it has its own session. It waits for the end of standard input, runs a
/// program, and ends with 9. The caller ends at once, with 5.
pub fn daemon() {
    let middle = spawn(|| {
        nix::unistd::setsid().expect("setsid");
        spawn(|| {
            say(&format!("ready {}", std::process::id()));
            leave_output();
            end_of_input();
            myself(&["exit", "8"]);
            9
        });
        0
    });
    wait(middle);
    std::process::exit(5);
}

/// One of everything, one after the other: the same events each time.
pub fn family() {
    wait(spawn(|| 3));
    myself(&["exit", "5"]);
    std::thread::spawn(|| set_name("a-thread")).join().expect("a thread");
    // It is joined before the kernel is done with it.
    while std::fs::read_dir("/proc/self/task").expect("/proc").count() > 1 {
        std::thread::yield_now();
    }
    wait(spawn(|| kill_self(15)));
    // A program run by a thread that is not its process's first.
    wait(spawn(|| {
        std::thread::spawn(|| {
            use std::os::unix::process::CommandExt;
            panic!("{}", Command::new(std::env::current_exe().expect("my path")).args(["exit", "6"]).exec());
        })
        .join()
        .expect("the program took the thread's place");
        1
    }));
    set_name("renamed");
    wait(spawn(|| 7));
    std::process::exit(11);
}

fn myself(args: &[&str]) {
    Command::new(std::env::current_exe().expect("my path")).args(args).status().expect("this program runs");
}

/// As daemons do, so that a reader of the output sees its end.
fn leave_output() {
    let nowhere = std::fs::File::create("/dev/null").expect("/dev/null");
    nix::unistd::dup2_stdout(&nowhere).and_then(|()| nix::unistd::dup2_stderr(&nowhere)).expect("dup2");
}

fn end_of_input() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("reading standard input");
}

pub fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("writing to standard output");
}
