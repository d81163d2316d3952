//! Ctrl-C, SIGTERM and SIGHUP of what runs without a command: a live run, and `replay`.
//!
//! The `ctrlc` crate's thread waits for them, so that they act also while the output stalls or the kernel keeps the
//! main thread: the first one asks for the end, another one ends the process at once.

use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;

use crate::ffi::signals;
use crate::host::elevated;
use crate::report::note;
use crate::run::control::{Control, ONE_REQUEST, Request};
use crate::run::launch::Launched;

/// The exit code of a process that was interrupted, as shells have it: 128 + SIGINT. (`ctrlc` does not say which signal
/// it was.)
const INTERRUPTED: i32 = 130;
/// All that `ctrlc` handles.
const HANDLED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Listens to the signals that ask for the end.
#[derive(Debug)]
pub struct Interrupt {
    state: Arc<State>,
    /// SIGHUP, where it asks to open the output again.
    hangup: Option<SignalFd>,
    installed: bool,
}

#[derive(Debug)]
struct State {
    inner: Mutex<Inner>,
    /// Readable when the end was asked for.
    wake: EventFd,
}

#[derive(Debug, Default)]
struct Inner {
    /// A signal is a request; before that it ends the process.
    started: bool,
    /// When the end was first asked for.
    asked: Option<Instant>,
    /// How long the process may take for its end.
    limit: Option<Duration>,
}

impl Interrupt {
    /// Prepares. Signals keep their default effect until [`Interrupt::start`]; for the first process of a PID namespace
    /// they have none (the kernel sends it only signals that it handles), so they are handled from here on. `reopens`:
    /// SIGHUP may come to ask for [`Request::Reopen`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(reopens: bool) -> Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let wake = wake.context("making a descriptor for signals")?;
        let state = Arc::new(State { inner: Mutex::default(), wake });
        let mut interrupt = Interrupt { state, hangup: None, installed: false };
        if process::id() == 1 {
            interrupt.install(reopens)?;
        }
        Ok(interrupt)
    }

    /// Listens on behalf of a command that reads a file: it has this long to end when it is asked to.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn within(limit: Duration) -> Result<Self> {
        let mut interrupt = Interrupt::new(false)?;
        interrupt.state.with(|inner| inner.limit = Some(limit));
        interrupt.start(false)?;
        Ok(interrupt)
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.state.with(|inner| inner.asked.is_some())
    }

    /// Installs the handler, but not for signals that whoever started this process has ignored: nohup's SIGHUP, and
    /// the terminal's Ctrl-C where a shell started it in the background. `reopens`: nor for SIGHUP, which is read.
    fn install(&mut self, reopens: bool) -> Result<()> {
        let inherited = signals::inherited();
        let ignored: Vec<_> = HANDLED.into_iter().filter(|signal| inherited.ignores(*signal)).collect();
        // The mask of `ctrlc`'s thread. An ignored signal must not meet the handler before it is ignored again.
        let mut mask = SigSet::thread_get_mask().context("reading the blocked signals")?;
        for signal in HANDLED {
            let is_blocked = ignored.contains(&signal) || reopens && signal == Signal::SIGHUP;
            if is_blocked { mask.add(signal) } else { mask.remove(signal) }
        }
        mask.thread_set_mask().context("blocking signals")?;
        let state = Arc::clone(&self.state);
        set_handler(state)?;
        ignored.into_iter().for_each(signals::ignore);
        self.installed = true;
        // That thread alone handles them: this one may be kept by the kernel, and the kernel would not ask another.
        HANDLED.into_iter().collect::<SigSet>().thread_block().context("blocking signals")
    }
}

/// Has `ctrlc` start its thread by one without capabilities, so that it has none either.
fn set_handler(state: Arc<State>) -> Result<()> {
    let set = move || {
        let _ = elevated::keep(&[]);
        ctrlc::set_handler(move || state.signalled())
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(set).context("starting a thread")?;
    thread.join().map_err(|_| anyhow!("a thread has failed"))?.context("handling Ctrl-C")
}

impl State {
    fn with<T>(&self, access: impl FnOnce(&mut Inner) -> T) -> T {
        access(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A signal came. This is called in `ctrlc`'s thread.
    fn signalled(&self) {
        let now = Instant::now();
        let limit = self.with(|inner| {
            let again = inner.asked.is_some_and(|asked| now - asked > ONE_REQUEST);
            if !inner.started || again {
                process::exit(INTERRUPTED);
            }
            let first = inner.asked.is_none();
            inner.asked.get_or_insert(now);
            inner.limit.filter(|_| first)
        });
        let _ = self.wake.write(1);
        if let Some(limit) = limit {
            // Apart, as this thread has to see the next signal.
            let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
                std::thread::sleep(limit);
                process::exit(INTERRUPTED);
            });
        }
    }
}

/// Tells systemd, where that started this as a service of `Type=notify`.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        note(&format!("the service manager is not told how far the run is (NOTIFY_SOCKET): {error}"));
    }
}

impl Control for Interrupt {
    fn start(&mut self, reopens: bool) -> Result<()> {
        let reopens = reopens && !signals::inherited().ignores(Signal::SIGHUP);
        let hangup = SigSet::from(Signal::SIGHUP);
        if reopens {
            let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
            self.hangup = Some(SignalFd::with_flags(&hangup, flags).context("making a descriptor for signals")?);
        }
        self.state.with(|inner| inner.started = true);
        if self.installed {
            // Where it was kept for a file that cannot be opened again, it asks for the end after all.
            return if reopens { Ok(()) } else { hangup.thread_unblock().context("unblocking signals") };
        }
        self.install(reopens)
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let hangup = self.hangup.as_ref().map(AsFd::as_fd);
        std::iter::once(self.state.wake.as_fd()).chain(hangup).collect()
    }

    fn request(&mut self, _: &mut Option<Launched>) -> Result<Option<Request>> {
        if self.asked() {
            return Ok(Some(Request::End));
        }
        let Some(hangup) = &self.hangup else { return Ok(None) };
        Ok(hangup.read_signal().context("reading signals")?.map(|_| Request::Reopen))
    }

    fn running(&mut self) {
        tell(NotifyState::Ready);
    }

    fn ending(&mut self) {
        tell(NotifyState::Stopping);
    }

    fn asked_to_end(&self) -> bool {
        self.asked()
    }
}
