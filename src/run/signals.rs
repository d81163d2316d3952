//! Signals: which end the run, which are handed on to CMD; and that a run can be ended while it starts or ends.

use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::ffi::signals::{self, Inherited};
use crate::run::launch::Launched;
use crate::run::sentinel::Sentinel;

/// How long a signal waits to be handed on: whoever sends one to each process of a service sends it to coretrace first.
const TO_ALL: Duration = Duration::from_millis(30);
/// Two that come within this time are one wish: timeout(1) sends its signal to the process, and then to the group.
const ONE_WISH: Duration = Duration::from_millis(300);
/// When CMD does not end within this time of a signal, it is not the signal that ended it.
const WISH_LASTS: Duration = Duration::from_secs(5);

/// These are CMD's, or whoever shares its terminal's, when the kernel sent them: the terminal did, to the whole group.
const OF_TERMINALS: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGHUP, Signal::SIGCONT, Signal::SIGWINCH];

/// These are not read but have their effect on coretrace: faults of its own, its limits, and the terminal's ways to stop
/// who reads or writes from the background (CMD has those, too).
const NOT_READ: [Signal; 11] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGPIPE,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Signals that end a run, or are handed on to the command.
pub struct Signals {
    fd: Arc<SignalFd>,
    set: SigSet,
    inherited: Inherited,
    sentinel: Option<Sentinel>,
    /// Those that wait to be handed on.
    due: Vec<Due>,
    guard: Arc<Guard>,
    guards: std::thread::Thread,
    /// When somebody last asked for the end.
    asked: Option<Instant>,
    /// The output is a file that is opened again on SIGHUP.
    pub reopens: bool,
}

struct Due {
    number: i32,
    value: Option<usize>,
    at: Instant,
}

/// What a signal means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is to end.
    End,
    /// Its output is to be opened again.
    Reopen,
}

/// While the run starts or ends, its thread may be kept by the kernel: another one reads the signals.
#[derive(Default)]
struct Guard {
    /// Whether the run itself reads them.
    runs: Mutex<bool>,
    ending: AtomicBool,
    asked: AtomicBool,
}

impl Signals {
    /// Prepares to read signals. They still have their effect, until [`Signals::block`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(with_command: bool) -> Result<Self> {
        let inherited = signals::inherited();
        let mut set = SigSet::empty();
        if with_command {
            set = SigSet::all();
            NOT_READ.into_iter().for_each(|signal| set.remove(signal));
        } else {
            [Signal::SIGINT, Signal::SIGTERM].into_iter().for_each(|signal| set.add(signal));
            // Under nohup it stays ignored.
            if !inherited.ignores(Signal::SIGHUP) {
                set.add(Signal::SIGHUP);
            }
        }
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = Arc::new(SignalFd::with_flags(&set, flags).context("making a descriptor for signals")?);
        let guard = Arc::new(Guard::default());
        let (of_thread, its_fd) = (Arc::clone(&guard), Arc::clone(&fd));
        // The first process of a PID namespace is not ended by a signal that has no handler: somebody has to do it.
        let first = std::process::id() == 1;
        if first {
            set.thread_block().context("blocking signals")?;
        }
        let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10);
        let thread = thread.spawn(move || of_thread.stand(&its_fd, first)).context("starting a thread for signals")?;
        let guards = thread.thread().clone();
        let signals =
            Signals { fd, set, inherited, sentinel: None, due: Vec::new(), guard, guards, asked: None, reopens: false };
        Ok(signals)
    }

    /// From here on they wait to be read. A process that is started inherits that, and has to undo it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn block(&mut self, with_command: bool) -> Result<()> {
        *self.guard.runs() = true;
        self.set.thread_block().context("blocking signals")?;
        if with_command {
            self.sentinel = Sentinel::start();
        }
        Ok(())
    }

    /// What to wait for.
    #[must_use]
    pub fn wakes(&self) -> PollFd<'_> {
        PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)
    }

    /// The longest that may be waited.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let next = self.due.iter().map(|due| due.at).min();
        next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Reads what came, and hands on what is for the command.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn heed(&mut self, command: &mut Option<Launched>) -> Result<Option<Wish>> {
        /// include/uapi/asm-generic/siginfo.h
        const SI_KERNEL: i32 = 0x80;
        const SI_QUEUE: i32 = -1;
        let mut wish = None;
        while let Some(info) = self.fd.read_signal().context("reading signals")? {
            let number = info.ssi_signo.cast_signed();
            let signal = Signal::try_from(number).ok();
            // Its end is found by asking.
            if signal == Some(Signal::SIGCHLD) {
                continue;
            }
            let from_terminal = info.ssi_code == SI_KERNEL && signal.is_some_and(|s| OF_TERMINALS.contains(&s));
            let ends = matches!(signal, Some(Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP));
            let runs = command.as_mut().is_some_and(Launched::runs);
            let Some(command) = command.as_ref().filter(|_| runs) else {
                // Ctrl-C is for others where a shell started this in the background.
                let for_others = from_terminal || signal == Some(Signal::SIGHUP);
                let for_others = for_others && signal.is_some_and(|signal| self.inherited.ignores(signal));
                if signal == Some(Signal::SIGHUP) && self.reopens {
                    wish = wish.or(Some(Wish::Reopen));
                } else if ends && !for_others {
                    self.asked = Some(Instant::now());
                    wish = Some(Wish::End);
                } else if signal == Some(Signal::SIGTSTP) {
                    stop()?;
                }
                continue;
            };
            if ends || signal == Some(Signal::SIGQUIT) {
                self.asked = Some(Instant::now());
            }
            // What CMD sends to its parent is not meant for itself.
            if !from_terminal && info.ssi_pid != command.pid() {
                // The kernel keeps one of each that is pending, but of the real-time ones all.
                let pending = signal.is_some() && self.due.iter().any(|due| due.number == number);
                let value = (info.ssi_code == SI_QUEUE).then_some(info.ssi_ptr as usize);
                if !pending {
                    self.due.push(Due { number, value, at: Instant::now() + TO_ALL });
                }
                continue;
            }
            if let Some(sentinel) = &mut self.sentinel {
                sentinel.has(number);
            }
            if signal == Some(Signal::SIGTSTP) {
                stop()?;
            }
        }
        self.hand_on(command)?;
        Ok(wish)
    }

    /// Hands on what has waited long enough and was sent to coretrace alone, in the order in which it came.
    fn hand_on(&mut self, command: &mut Option<Launched>) -> Result<()> {
        let now = Instant::now();
        let ripe = self.due.iter().take_while(|due| due.at <= now).count();
        for due in self.due.drain(..ripe) {
            let has_it = self.sentinel.as_mut().is_some_and(|sentinel| sentinel.has(due.number));
            if let Some(command) = command.as_mut().filter(|_| !has_it) {
                command.signal(due.number, due.value);
            }
            if due.number == Signal::SIGTSTP as i32 {
                stop()?;
            }
        }
        Ok(())
    }

    /// The run ends, and reads no more signals: another one that asks for it ends it at once.
    pub fn end(&mut self) {
        let asked = self.asked.is_some_and(|at| at.elapsed() < WISH_LASTS);
        self.guard.asked.store(asked, Relaxed);
        self.guard.ending.store(true, Relaxed);
        *self.guard.runs() = false;
        self.guards.unpark();
    }

    /// Whether somebody asked for the end, just before it began or since.
    #[must_use]
    pub fn hurry(&self) -> bool {
        self.guard.asked.load(Relaxed)
    }
}

/// SIGTSTP, with the effect that it has where nobody reads it: none in a group that no shell would continue.
fn stop() -> Result<()> {
    let stop = SigSet::from(Signal::SIGTSTP);
    stop.thread_unblock().context("unblocking signals")?;
    let _ = raise(Signal::SIGTSTP);
    stop.thread_block().context("blocking signals")
}

impl Guard {
    fn runs(&self) -> MutexGuard<'_, bool> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn stand(&self, fd: &SignalFd, first: bool) {
        let _ = SigSet::all().thread_set_mask();
        let mut since: Option<Instant> = None;
        loop {
            let ending = self.ending.load(Relaxed);
            if ending && since.is_none() {
                since = Some(Instant::now());
            }
            if !ending && (!first || *self.runs()) {
                std::thread::park();
                continue;
            }
            // Not for ever: while it starts, the run may come to read them itself.
            let timeout = PollTimeout::from(100_u16);
            if poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) != Ok(1) {
                continue;
            }
            let runs = self.runs();
            if *runs {
                continue;
            }
            let Ok(Some(info)) = fd.read_signal() else { continue };
            if !matches!(
                Signal::try_from(info.ssi_signo.cast_signed()),
                Ok(Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)
            ) {
                continue;
            }
            let again = self.asked.swap(true, Relaxed);
            if !ending || again && since.is_some_and(|since| since.elapsed() > ONE_WISH) {
                std::process::exit(128 + info.ssi_signo.cast_signed());
            }
            since = Some(Instant::now());
        }
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}
