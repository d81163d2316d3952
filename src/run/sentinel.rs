//! Whether a signal was sent to coretrace alone, or to CMD as well.
//!
//! A signal that somebody sent to coretrace is meant for CMD, and is handed on; one that was sent to the whole process
//! group, or to every process of a service, CMD has already. The kernel does not tell them apart. So a process that does
//! nothing stands beside CMD, in the same group and the same cgroup, with all signals blocked: one that is pending there
//! was sent to all.

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

/// The longest that an answer is waited for, in milliseconds.
const PATIENCE: u16 = 1000;

/// The process beside CMD. It ends when this is dropped, or coretrace is killed.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Sentinel {
    /// Starts it; none where that fails: then each signal is taken as sent to coretrace alone.
    #[must_use]
    pub fn start() -> Option<Sentinel> {
        // It is to have them blocked from its first moment.
        let before = SigSet::thread_get_mask().ok()?;
        SigSet::all().thread_set_mask().ok()?;
        let mut command = Command::new("/proc/self/exe");
        // Whoever ends coretrace by its name is not to find this: that would look like a signal to all.
        command.arg0("signal-sentinel").arg(SENTINEL);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let _ = before.thread_set_mask();
        let mut child = child.ok()?;
        let (to, from) = (child.stdin.take()?, child.stdout.take()?);
        Some(Sentinel { child, to: Some(to), from })
    }

    /// Whether it was sent that signal, too; it has forgotten it then: the next one of its kind is another.
    pub fn has(&mut self, number: i32) -> bool {
        self.ask(number).is_ok_and(|answer| answer == [1])
    }

    fn ask(&mut self, number: i32) -> io::Result<[u8; 1]> {
        let Some(to) = &mut self.to else { return Err(io::ErrorKind::BrokenPipe.into()) };
        to.write_all(&[u8::try_from(number).unwrap_or(0)])?;
        let mut answer = [0];
        if self.answers(PATIENCE) {
            return self.from.read_exact(&mut answer).map(|()| answer);
        }
        // It was stopped, perhaps. A late answer would be taken for the next one.
        self.to = None;
        Ok(answer)
    }

    fn answers(&self, patience: u16) -> bool {
        poll(&mut [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)], PollTimeout::from(patience)) == Ok(1)
    }
}

impl Drop for Sentinel {
    /// Its end closes its pipe. One that was stopped is left behind.
    fn drop(&mut self) {
        if self.to.take().is_some() && self.answers(PATIENCE) {
            let _ = self.child.wait();
        }
    }
}

/// What the sentinel does: tells whether a signal is pending that it is asked for, and takes it, until its input ends.
/// Returns the exit code.
#[must_use]
pub fn stand() -> u8 {
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
