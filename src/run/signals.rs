//! The signals of a run with a command: which are passed on to it, which end the run. signalfd is used as it says who
//! sent a signal. (Without a command: interrupt.rs.)

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use crate::ffi::signals::{self, Inherited};
use crate::host::elevated;
use crate::run::control::{Control, ONE_REQUEST, Request};
use crate::run::launch::Launched;
use crate::run::sentinel::Sentinel;

/// How long a signal waits to be passed on: one that is sent to each process of a service comes to coretrace first.
const TO_ALL: Duration = Duration::from_millis(30);
/// When the command does not end within this time of a signal, it is not the signal that ended it.
const REQUEST_LASTS: Duration = Duration::from_secs(5);

/// When the kernel sent these, the terminal did, to the whole group: the command has them already.
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

/// The signals of a run with a command: most of them are passed on to it.
pub struct Signals {
    fd: Arc<SignalFd>,
    set: SigSet,
    inherited: Inherited,
    sentinel: Option<Sentinel>,
    /// Those that wait to be passed on.
    due: Vec<Due>,
    standby: Arc<Standby>,
    thread: std::thread::Thread,
    /// When the last signal came that asks for the end.
    asked: Option<Instant>,
}

struct Due {
    number: i32,
    value: Option<usize>,
    at: Instant,
}

/// While the run starts or ends, its thread may be kept by the kernel: another thread reads the signals.
#[derive(Default)]
struct Standby {
    /// Whether the loop runs and reads them itself.
    looping: Mutex<bool>,
    ending: AtomicBool,
    asked: AtomicBool,
}

impl Signals {
    /// Prepares to read signals. They keep their effect until [`Signals::start`]; for the first process of a PID
    /// namespace they have none (the kernel sends it only signals that it handles), so they are read from here on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new() -> Result<Self> {
        let mut set = SigSet::all();
        NOT_READ.into_iter().for_each(|signal| set.remove(signal));
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = Arc::new(SignalFd::with_flags(&set, flags).context("making a descriptor for signals")?);
        let standby = Arc::new(Standby::default());
        let (of_thread, its_fd) = (Arc::clone(&standby), Arc::clone(&fd));
        let first = std::process::id() == 1;
        if first {
            set.thread_block().context("blocking signals")?;
        }
        let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10);
        let thread = thread.spawn(move || of_thread.run(&its_fd, first)).context("starting a thread for signals")?;
        let thread = thread.thread().clone();
        let inherited = signals::inherited();
        Ok(Signals { fd, set, inherited, sentinel: None, due: Vec::new(), standby, thread, asked: None })
    }

    /// A signal that comes when no command runs.
    fn without_command(&mut self, signal: Signal, from_terminal: bool) -> Result<Option<Request>> {
        // Ctrl-C is for others where a shell started this in the background.
        let for_others = (from_terminal || signal == Signal::SIGHUP) && self.inherited.ignores(signal);
        match signal {
            Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP if !for_others => {
                self.asked = Some(Instant::now());
                return Ok(Some(Request::End));
            }
            Signal::SIGTSTP => stop()?,
            _ => {}
        }
        Ok(None)
    }

    /// A signal that comes while the command runs, and is for the command.
    fn for_command(&mut self, info: &siginfo, from_terminal: bool, command: &Launched) -> Result<()> {
        const SI_QUEUE: i32 = -1;
        let number = info.ssi_signo.cast_signed();
        let signal = Signal::try_from(number).ok();
        if matches!(signal, Some(Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)) {
            self.asked = Some(Instant::now());
        }
        // What the command sends to its parent is not meant for itself.
        if !from_terminal && info.ssi_pid != command.pid() {
            // The kernel keeps one of each that is pending, but of the real-time ones all.
            let pending = signal.is_some() && self.due.iter().any(|due| due.number == number);
            let value = (info.ssi_code == SI_QUEUE).then_some(info.ssi_ptr as usize);
            if !pending {
                self.due.push(Due { number, value, at: Instant::now() + TO_ALL });
            }
            return Ok(());
        }
        if let Some(sentinel) = &mut self.sentinel {
            sentinel.has(number);
        }
        if signal == Some(Signal::SIGTSTP) { stop() } else { Ok(()) }
    }

    /// Passes on what has waited long enough and was sent to coretrace alone, in the order in which it came.
    fn pass_on(&mut self, command: &mut Option<Launched>) -> Result<()> {
        let now = Instant::now();
        let count = self.due.iter().take_while(|due| due.at <= now).count();
        for due in self.due.drain(..count) {
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
}

impl Control for Signals {
    /// A process that is started from here on inherits the blocked signals, and has to unblock them.
    fn start(&mut self, _: bool) -> Result<()> {
        *self.standby.looping() = true;
        self.set.thread_block().context("blocking signals")?;
        self.sentinel = Sentinel::start();
        Ok(())
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.fd.as_fd()]
    }

    fn timeout(&self) -> Duration {
        let next = self.due.iter().map(|due| due.at).min();
        next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    fn request(&mut self, command: &mut Option<Launched>) -> Result<Option<Request>> {
        /// include/uapi/asm-generic/siginfo.h
        const SI_KERNEL: i32 = 0x80;
        let mut request = None;
        while let Some(info) = self.fd.read_signal().context("reading signals")? {
            let signal = Signal::try_from(info.ssi_signo.cast_signed()).ok();
            // How the command ended is found by asking.
            if signal == Some(Signal::SIGCHLD) {
                continue;
            }
            let from_terminal = info.ssi_code == SI_KERNEL && signal.is_some_and(|s| OF_TERMINALS.contains(&s));
            let runs = command.as_mut().is_some_and(Launched::runs);
            match (command.as_ref().filter(|_| runs), signal) {
                (Some(command), _) => self.for_command(&info, from_terminal, command)?,
                (None, Some(signal)) => request = self.without_command(signal, from_terminal)?.or(request),
                (None, None) => {}
            }
        }
        self.pass_on(command)?;
        Ok(request)
    }

    fn ending(&mut self) {
        let asked = self.asked.is_some_and(|at| at.elapsed() < REQUEST_LASTS);
        self.standby.asked.store(asked, Relaxed);
        self.standby.ending.store(true, Relaxed);
        *self.standby.looping() = false;
        self.thread.unpark();
    }

    fn asked_to_end(&self) -> bool {
        self.standby.asked.load(Relaxed)
    }
}

/// SIGTSTP, with the effect that it has where no handler takes it: none in a group that no shell would continue.
fn stop() -> Result<()> {
    let stop = SigSet::from(Signal::SIGTSTP);
    stop.thread_unblock().context("unblocking signals")?;
    let _ = raise(Signal::SIGTSTP);
    stop.thread_block().context("blocking signals")
}

impl Standby {
    fn looping(&self) -> MutexGuard<'_, bool> {
        self.looping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn run(&self, fd: &SignalFd, first: bool) {
        let _ = SigSet::all().thread_set_mask();
        let _ = elevated::keep(&[]);
        let mut since: Option<Instant> = None;
        loop {
            let ending = self.ending.load(Relaxed);
            if ending && since.is_none() {
                since = Some(Instant::now());
            }
            if !ending && (!first || *self.looping()) {
                std::thread::park();
                continue;
            }
            // Not for ever: the loop may begin meanwhile, and read them itself.
            let timeout = PollTimeout::from(100_u16);
            if poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) != Ok(1) {
                continue;
            }
            let looping = self.looping();
            if *looping {
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
            if !ending || again && since.is_some_and(|since| since.elapsed() > ONE_REQUEST) {
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
