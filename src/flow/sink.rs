//! Where events go: a thread of its own writes, so that a reader that does not read, a terminal that is stopped or a
//! file system that hangs does not keep the run from anything else. What it has not written by the end is given up, and counted.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};

use crate::host::elevated;

/// What may wait to be written before no more events are read: what comes then waits in the kernel's buffer.
const ROOM: u64 = 256 << 10;

/// Somewhere to write to, from a thread.
pub type Target = Box<dyn Write + Send>;

/// The end that takes what is to be written. It never waits.
#[derive(Debug)]
pub struct Sink(Arc<Shared>);

/// How far the writing is.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// Something was written.
    progress: EventFd,
    /// Bytes that were taken, and those of them that were written.
    accepted: AtomicU64,
    written: AtomicU64,
}

#[derive(Default)]
struct State {
    /// What the thread takes next.
    pending: Vec<u8>,
    /// Where it writes to from that byte of `pending` on.
    next: Option<(usize, Target)>,
    /// It could not write, and does no more; the reason is there once.
    failed: bool,
    failure: Option<io::Error>,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread that writes to `target`.
///
/// # Errors
/// When there can be none.
pub fn start(target: Target) -> Result<(Sink, Gauge)> {
    let progress = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        work: Condvar::new(),
        progress: progress.context("making a descriptor for the output")?,
        accepted: AtomicU64::new(0),
        written: AtomicU64::new(0),
    });
    let of_thread = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("output".to_owned()).stack_size(64 << 10);
    thread.spawn(move || write(&of_thread, target)).context("starting the thread that writes")?;
    Ok((Sink(Arc::clone(&shared)), Gauge(shared)))
}

/// What the thread does. It is never joined: where it hangs, the process ends without it.
fn write(shared: &Shared, mut target: Target) {
    // Signals are the run's; but a terminal may stop who writes to it from the background (stty tostop).
    let mut signals = SigSet::all();
    signals.remove(Signal::SIGTTOU);
    let _ = signals.thread_set_mask();
    // What it writes to is open.
    let _ = elevated::keep(&[]);
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        let next = {
            let mut state = shared.state();
            while state.pending.is_empty() && state.next.is_none() {
                if state.ended {
                    return;
                }
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut chunk, &mut state.pending);
            state.next.take()
        };
        let (before, behind) = match &next {
            Some((at, _)) => chunk.split_at_checked(*at).unwrap_or((&chunk, &[])),
            None => (chunk.as_slice(), [].as_slice()),
        };
        let mut written = write_all(shared, &mut target, before);
        if let Some((_, next)) = next {
            target = next;
            written = written.and_then(|()| write_all(shared, &mut target, behind));
        }
        if let Err(error) = written {
            let mut state = shared.state();
            state.failed = true;
            state.failure = Some(error);
            state.pending = Vec::new();
            let _ = shared.progress.write(1);
            return;
        }
    }
}

fn write_all(shared: &Shared, target: &mut Target, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match target.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                shared.written.fetch_add(count as u64, Relaxed);
                let _ = shared.progress.write(1);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        self.0.accepted.fetch_add(bytes.len() as u64, Relaxed);
        if state.failed {
            return Err(state.failure.take().unwrap_or_else(|| io::ErrorKind::Other.into()));
        }
        state.pending.extend_from_slice(bytes);
        self.0.work.notify_one();
        Ok(bytes.len())
    }

    /// Reports whether what was written before could be; does not wait for the rest.
    fn flush(&mut self) -> io::Result<()> {
        match self.0.state().failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.work.notify_one();
    }
}

impl Gauge {
    /// Whether more may be put in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.backlog() < ROOM
    }

    /// How many bytes wait; none where writing failed.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        if self.0.state().failed { 0 } else { self.accepted().saturating_sub(self.written()) }
    }

    /// How many bytes were put in.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// How many of them were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Relaxed)
    }

    /// Why it could not write, once.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        self.0.state().failure.take()
    }

    /// Readable when something was written since [`Gauge::seen`].
    #[must_use]
    pub fn progress(&self) -> BorrowedFd<'_> {
        self.0.progress.as_fd()
    }

    /// Makes [`Gauge::progress`] unreadable.
    pub fn seen(&self) {
        let _ = self.0.progress.read();
    }

    /// What is put in from here on goes elsewhere.
    pub fn redirect(&self, target: Target) {
        let mut state = self.0.state();
        let at = state.next.as_ref().map_or(state.pending.len(), |(at, _)| *at);
        state.next = Some((at, target));
        self.0.work.notify_one();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
