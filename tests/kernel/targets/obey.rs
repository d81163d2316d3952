//! Takes orders from standard input, a line at a time, and answers each with a line.

use std::io::BufRead;
use std::process::Command;

use crate::kin;
use crate::sys;

pub fn obey() {
    kin::say("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["burst", n] => {
                kin::burst(crate::number(n));
                done()
            }
            ["exit", code] => std::process::exit(crate::number(code) as i32),
            ["fail", program] => Command::new(program).spawn().expect_err("it cannot be run").to_string(),
            ["forks", n] => {
                kin::forks(crate::number(n));
                done()
            }
            ["hold", n] => hold(crate::number(n)),
            ["name", name] => {
                sys::set_name(name);
                done()
            }
            ["open", path] => {
                let path = crate::opens::c_string(path.as_ref());
                crate::opens::openat(libc::AT_FDCWD, &path, libc::O_RDONLY, 0).to_string()
            }
            ["open-storm", path, n] => {
                crate::opens::storm(path.as_ref(), crate::number(n));
                done()
            }
            ["run", program, args @ ..] => run(program, args),
            ["thread"] => thread(),
            ["umark", n] => {
                crate::umark::calls(crate::number(n));
                done()
            }
            ["umark-compiled"] => {
                crate::umark::compiled();
                done()
            }
            other => panic!("no such command: {other:?}"),
        };
        kin::say(&answer);
    }
}

fn done() -> String {
    "done".to_owned()
}

/// Runs a program to its end; answers with its process's id.
fn run(program: &str, args: &[&str]) -> String {
    let mut child = Command::new(program).args(args).spawn().unwrap_or_else(|e| panic!("running {program}: {e}"));
    child.wait().expect("waiting for it");
    child.id().to_string()
}

/// A thread that keeps running; answers with its id.
fn thread() -> String {
    let (tell, reported) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(sys::thread_id()).expect("the first thread listens");
        loop {
            std::thread::park();
        }
    });
    reported.recv().expect("the thread's id").to_string()
}

/// Children that run as long as this process does; answers with their ids.
fn hold(n: u32) -> String {
    use nix::sys::signal::Signal;
    let parent = nix::unistd::getpid();
    let children = (0..n).map(|_| {
        sys::spawn(|| {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
            // It may have ended before that.
            while nix::unistd::getppid() == parent {
                nix::unistd::pause();
            }
            0
        })
    });
    children.map(|child| child.to_string()).collect::<Vec<_>>().join(" ")
}
