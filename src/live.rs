//! The loop of a live run: reads events, heeds signals, the command, the clock, and ends cleanly.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libbpf_rs::MapCore;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::followed::Followed;
use crate::launch::Launched;
use crate::pipeline::Pipeline;
use crate::session::{Attached, Session};
use crate::transport::Reader;
use crate::watched::Watched;

/// The longest that an event waits in the buffer before it is read.
const FLUSH: Duration = Duration::from_millis(40);
/// How often to look for what no event tells of: losses, and processes that are gone.
const TICK: Duration = Duration::from_secs(1);
/// How long the counters may need to agree after the hooks are gone: programs that were running then
/// end within microseconds, but not on a stopped CPU of a virtual machine.
const SETTLE: Duration = Duration::from_secs(2);

/// When to end, and what to tell meanwhile.
#[derive(Debug, Default)]
pub struct Limits {
    /// After this time.
    pub duration: Option<Duration>,
    /// Totals every so often.
    pub stats: Option<Duration>,
    /// With a command: when it has ended, not when all that it started has.
    pub detach: bool,
    /// Events go to stdout: the run ends when its reader has gone.
    pub to_stdout: bool,
}

/// Signals that end a run, or are handed on to the command.
pub struct Signals {
    fd: SignalFd,
    /// What was blocked before: CMD is to start with that.
    pub before: SigSet,
    /// A shell started this in the background: Ctrl-C is for others.
    background: bool,
}

impl Signals {
    /// From here on these signals wait to be read. A process that is started inherits that, and has to
    /// undo it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn block(with_command: bool) -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            set.add(signal);
        }
        // One that is ignored leaves no status behind.
        if with_command {
            crate::bpf::heed_children()?;
        }
        // Under nohup it stays ignored.
        if !crate::procfs::ignores(Signal::SIGHUP as u32) {
            set.add(Signal::SIGHUP);
        }
        if with_command {
            for signal in [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGCHLD] {
                set.add(signal);
            }
        }
        let before = SigSet::thread_get_mask().context("reading which signals are blocked")?;
        set.thread_block().context("blocking signals")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&set, flags).context("making a descriptor for signals")?;
        Ok(Signals { fd, before, background: crate::procfs::ignores(Signal::SIGINT as u32) })
    }

    /// The next one, and whether the terminal sent it: then the command has it already.
    fn next(&self) -> Result<Option<(Signal, bool)>> {
        /// include/uapi/asm-generic/siginfo.h
        const SI_KERNEL: i32 = 0x80;
        let Some(info) = self.fd.read_signal().context("reading signals")? else { return Ok(None) };
        let signal = Signal::try_from(info.ssi_signo.cast_signed()).context("reading signals")?;
        Ok(Some((signal, info.ssi_code == SI_KERNEL)))
    }
}

/// Runs until the end: `pipeline` gets every event that the kernel sent.
///
/// # Errors
/// When the kernel's buffers or counters cannot be read.
pub fn run(
    session: &Session,
    attached: Attached<'_>,
    pipeline: &mut Pipeline<'_>,
    limits: &Limits,
    signals: &Signals,
    command: &mut Option<Launched>,
) -> Result<()> {
    let pipeline = RefCell::new(pipeline);
    let events = attached.map("events")?;
    let followed = session.settings.filter_pids.then(|| attached.map("followed")).transpose()?;
    let mut followed = followed.as_ref().map(|map| Followed::new(map, &attached.counters));
    let cgroups = (!session.cgroups.is_empty()).then(|| attached.map("cgroups")).transpose()?;
    let mut watched = cgroups.as_ref().map(|map| Watched::new(map, &session.cgroups));
    let reader = match &attached.perf {
        Some(perf) => Reader::Perf(perf, &events, &attached.counters),
        None => Reader::ring(&events, |sample| pipeline.borrow_mut().sample(sample))?,
    };
    let drain = |last| reader.drain(last, &mut |sample| pipeline.borrow_mut().sample(sample));
    let read_ledger = |pipeline: &mut Pipeline<'_>| {
        let mut losses = Vec::new();
        pipeline.ledger.read(&attached.counters, &mut |lost| losses.push(lost));
        pipeline.gap = false;
        let clock = pipeline.measured_clock();
        let now = clock.unix_ns(crate::enrich::boot_now());
        losses.into_iter().for_each(|lost| pipeline.lost(crate::event::Lost { unix_ns: now, ..lost }));
    };

    {
        let mut pipeline = pipeline.borrow_mut();
        let clock = pipeline.measured_clock();
        pipeline.clock(clock);
        pipeline.header();
        pipeline.flush();
    }
    if let Some(command) = command {
        command.release()?;
    }

    let begin = Instant::now();
    let mut next_stats = limits.stats.map(|every| begin + every);
    let mut next_tick = begin + TICK;
    let mut drained = true;
    loop {
        let mut wait = if drained { FLUSH } else { Duration::ZERO };
        if let Some(duration) = limits.duration {
            wait = wait.min(duration.saturating_sub(begin.elapsed()));
        }
        let timeout = PollTimeout::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::ZERO);
        let mut polled = vec![PollFd::new(signals.fd.as_fd(), PollFlags::POLLIN)];
        polled.extend(reader.wakes().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let stdout = io::stdout();
        if limits.to_stdout {
            // Asks for nothing: that the reader is gone is told all the same, of a pipe and of a socket.
            polled.push(PollFd::new(stdout.as_fd(), PollFlags::empty()));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => bail!("waiting for events: {e}"),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        let closed =
            limits.to_stdout && polled.last().and_then(PollFd::revents).is_some_and(|told| told.intersects(gone));

        drained = drain(false)?;
        let mut stop = closed;
        let now = Instant::now();
        if let Some(heart) = &mut pipeline.borrow_mut().heartbeat {
            heart.tick(now);
        }
        let tick = now >= next_tick;
        if tick {
            next_tick = now + TICK;
        }
        {
            let mut pipeline = pipeline.borrow_mut();
            // Behind what was lost last there may be no event that shows the gap.
            if pipeline.gap || tick {
                read_ledger(&mut pipeline);
            }
            pipeline.flush();
            let clock = pipeline.measured_clock();
            pipeline.clock(clock);
            stop |= pipeline.done();
        }
        stop |= limits.duration.is_some_and(|duration| now - begin >= duration);
        while let Some((signal, from_terminal)) = signals.next()? {
            let for_others = from_terminal && signal == Signal::SIGINT && signals.background;
            stop |= !for_others && heed(signal, from_terminal, command)?;
        }
        let command_ended = match command {
            Some(command) => command.ended()?.is_some(),
            None => true,
        };
        if command_ended && command.is_some() && limits.detach {
            stop = true;
        } else if command_ended && let Some(followed) = &mut followed {
            // Nothing can come any more once all watched processes are gone.
            stop |= followed.all_gone(tick);
        }
        if tick && let Some(watched) = &mut watched {
            watched.look();
        }
        if tick && let Some(followed) = &mut followed {
            followed.prune();
        }
        if stop {
            break;
        }
        if let Some(at) = next_stats.filter(|at| now >= *at) {
            let missed = limits.stats.map_or(0, |every| (now - at).as_nanos() / every.as_nanos());
            next_stats = limits.stats.map(|every| at + every * u32::try_from(missed + 1).unwrap_or(u32::MAX));
            let mut pipeline = pipeline.borrow_mut();
            read_ledger(&mut pipeline);
            pipeline.ledger.missed = attached.missed();
            // Not eprintln: a closed stderr is no reason to panic.
            let _ = writeln!(io::stderr(), "coretrace: {:.1} s: {}", begin.elapsed().as_secs_f64(), pipeline.ledger);
        }
    }

    let missed = attached.missed();
    attached.detach();
    // call.bpf.h: of tracers that join the beginning of a call and its return.
    let unreturned = attached.map("calls").map_or(0, |calls| calls.keys().count());
    pipeline.borrow_mut().ledger.unreturned = unreturned as u64;
    // A program that was running when its hook went away is still to be heard.
    let deadline = Instant::now() + SETTLE;
    loop {
        while !drain(true)? {}
        let mut pipeline = pipeline.borrow_mut();
        read_ledger(&mut pipeline);
        pipeline.ledger.missed = missed;
        let undecodable = pipeline.undecodable.is_some();
        if pipeline.ledger.balances() || undecodable || Instant::now() >= deadline {
            pipeline.flush();
            break;
        }
        drop(pipeline);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Heeds a signal; tells whether it ends the run.
fn heed(signal: Signal, from_terminal: bool, command: &mut Option<Launched>) -> Result<bool> {
    match command {
        // Its end is found by asking.
        _ if signal == Signal::SIGCHLD => Ok(false),
        Some(command) => {
            let runs = command.ended()?.is_none();
            if runs && !from_terminal {
                command.signal(signal);
            }
            Ok(!runs && matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP))
        }
        None => Ok(matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP)),
    }
}

/// Adds the descendants that the watched processes already have. The hooks are in place: what is
/// forked from now on adds itself, and this goes on until it finds nothing new.
///
/// # Errors
/// When /proc cannot be read, or they are too many.
pub fn follow_existing(session: &Session, attached: &Attached<'_>) -> Result<()> {
    let mut known = session.pids.clone();
    loop {
        let found = crate::procfs::descendants(&known)?;
        if found.is_empty() {
            return Ok(());
        }
        found.iter().try_for_each(|pid| attached.follow(*pid))?;
        known.extend(found);
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}
