//! Whether a signal was sent to coretrace alone, or to CMD as well.
//!
//! A signal that was sent to coretrace alone is meant for CMD, and is passed on; one that was sent to the whole process
//! group, or to every process of a service, CMD has already. The kernel does not say which it was. So an idle process is
//! kept in CMD's group and cgroup, with all signals blocked: a signal that is pending there was sent to all.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use crate::ffi::signals;

/// The first argument by which coretrace knows that it is the sentinel.
pub const SENTINEL: &str = "__sentinel";

/// How long to wait for an answer, in milliseconds.
const TIMEOUT: u16 = 1000;

/// The idle process. It ends when this is dropped, or coretrace is killed.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Sentinel {
    /// Starts it. None where that fails: then each signal counts as sent to coretrace alone.
    #[must_use]
    pub fn start() -> Option<Sentinel> {
        // They have to be blocked from its first instruction.
        let before = SigSet::thread_get_mask().ok()?;
        SigSet::all().thread_set_mask().ok()?;
        let mut command = Command::new("/proc/self/exe");
        // pkill coretrace must not find it: that would look like a signal to all.
        command.arg0("signal-sentinel").arg(SENTINEL);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let _ = before.thread_set_mask();
        let mut child = child.ok()?;
        let (to, from) = (child.stdin.take()?, child.stdout.take()?);
        Some(Sentinel { child, to: Some(to), from })
    }

    /// Whether it was sent that signal, too. The answer takes the signal away: the next one of its number is another.
    pub fn has(&mut self, number: i32) -> bool {
        self.ask(number).is_ok_and(|answer| answer == [1])
    }

    fn ask(&mut self, number: i32) -> io::Result<[u8; 1]> {
        let Some(to) = &mut self.to else { return Err(io::ErrorKind::BrokenPipe.into()) };
        to.write_all(&[u8::try_from(number).unwrap_or(0)])?;
        let mut answer = [0];
        if self.answers(TIMEOUT) {
            return self.from.read_exact(&mut answer).map(|()| answer);
        }
        // It may be stopped (SIGSTOP). A late answer would be taken for the next one.
        self.to = None;
        Ok(answer)
    }

    fn answers(&self, timeout: u16) -> bool {
        poll(&mut [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)], PollTimeout::from(timeout)) == Ok(1)
    }
}

impl Drop for Sentinel {
    /// Its end closes its pipe. One that was stopped is left behind.
    fn drop(&mut self) {
        if self.to.take().is_some() && self.answers(TIMEOUT) {
            let _ = self.child.wait();
        }
    }
}

/// What the idle process does until its input ends: for each number that it reads, takes that signal where it is
/// pending, and answers whether it was. Returns the exit code.
#[must_use]
pub fn serve() -> u8 {
    let _ = fs::write("/proc/self/comm", "signal-sentinel");
    let (mut input, mut output) = (io::stdin(), io::stdout());
    let mut number = [0];
    while input.read_exact(&mut number).is_ok() {
        let taken = signals::take_pending(i32::from(number[0]));
        if output.write_all(&[u8::from(taken)]).and_then(|()| output.flush()).is_err() {
            break;
        }
    }
    0
}
