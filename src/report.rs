//! Notes to the user, on standard error.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::escape;

/// A note to the user. A closed stderr does not end the program.
pub fn note(text: &str) {
    let _ = Notes.write_all(format!("coretrace: {}\n", escape::clean(text)).as_bytes());
}

/// Standard error, for notes: what is not read within a moment is dropped, and a closed one does not end the program.
#[derive(Debug, Clone, Copy)]
pub struct Notes;

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// If a pipe has any room, it has this much (include/linux/limits.h: PIPE_BUF).
        const AT_ONCE: usize = 4096;
        /// The total time that a run waits for its notes to be read, in milliseconds.
        static LEFT: AtomicU64 = AtomicU64::new(500);
        let stderr = io::stderr();
        let begin = std::time::Instant::now();
        let left = u16::try_from(LEFT.load(Relaxed)).unwrap_or(u16::MAX);
        let mut polled = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut polled, PollTimeout::from(left));
        let waited = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        LEFT.store(u64::from(left).saturating_sub(waited), Relaxed);
        match ready {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Err(nix::errno::Errno::EINTR) => Err(io::ErrorKind::Interrupted.into()),
            Err(e) => Err(e.into()),
            Ok(_) => stderr.lock().write(bytes.get(..AT_ONCE).unwrap_or(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
