//! The loop of a live run: reads events, heeds signals, the command, the clock, and ends cleanly.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::escape::shown;
use crate::flow::files;
use crate::flow::pipeline::Pipeline;
use crate::flow::sink::Gauge;
use crate::load::attached::Attached;
use crate::load::followed::Followed;
use crate::load::session::Session;
use crate::load::transport::Reader;
use crate::load::watched::Watched;
use crate::report::note;
use crate::run::launch::{self, Launched};
use crate::run::signals::{Signals, Wish};

/// The longest that an event waits in the buffer before it is read.
const FLUSH: Duration = Duration::from_millis(40);
/// How often to look for what no event shows: losses, and processes that are gone.
const TICK: Duration = Duration::from_secs(1);
/// How long the counters may need to agree after the hooks are gone: programs that were running then
/// end within microseconds, but not on a stopped CPU of a virtual machine.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the output may take when the run is to end.
const GRACE: Duration = Duration::from_millis(800);

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
    /// The file that is opened again on SIGHUP.
    pub reopen: Option<PathBuf>,
}

/// Runs until the end: `pipeline` gets every event that the kernel sent.
///
/// # Errors
/// When the kernel's buffers or counters cannot be read.
pub fn run(
    session: &Session,
    attached: &Attached,
    pipeline: &mut Pipeline<'_>,
    limits: &Limits,
    signals: &mut Signals,
    command: &mut Option<Launched>,
) -> Result<()> {
    let pipeline = RefCell::new(pipeline);
    let shared = &attached.shared;
    let events = shared.map("events")?;
    let followed = session.settings.filter_pids.then(|| shared.map("followed")).transpose()?;
    let mut followed = followed.map(|map| Followed::new(map, &shared.counters));
    let cgroups = (!session.cgroups.is_empty()).then(|| shared.map("cgroups")).transpose()?;
    let mut watched = cgroups.map(|map| Watched::new(map, &session.cgroups));
    let reader = match &shared.perf {
        Some(perf) => Reader::Perf(perf, events, &shared.counters),
        None => Reader::ring(events, |sample| pipeline.borrow_mut().sample(sample))?,
    };
    let drain = |last| reader.drain(last, &mut |sample| pipeline.borrow_mut().sample(sample));
    let read_ledger = |pipeline: &mut Pipeline<'_>| {
        let mut losses = Vec::new();
        pipeline.ledger.read(&shared.counters, &mut |lost| losses.push(lost));
        pipeline.gap = false;
        let clock = pipeline.measured_clock();
        let now = clock.unix_ns(crate::host::clock::boot_now());
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
    let (mut drained, mut warned) = (true, false);
    signals.reopens = limits.reopen.is_some();
    loop {
        let room = pipeline.borrow().has_room();
        let mut wait = if drained || !room { FLUSH } else { Duration::ZERO };
        if let Some(duration) = limits.duration {
            wait = wait.min(duration.saturating_sub(begin.elapsed()));
        }
        wait = wait.min(signals.patience());
        let timeout = PollTimeout::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::ZERO);
        let gauges: Vec<Gauge> = pipeline.borrow().gauges().filter(|_| !room).cloned().collect();
        let mut polled = vec![signals.wakes()];
        // What cannot be written yet is not read.
        polled.extend(reader.wakes().filter(|_| room).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        polled.extend(gauges.iter().map(|gauge| PollFd::new(gauge.progress(), PollFlags::POLLIN)));
        let stdout = io::stdout();
        if limits.to_stdout {
            // Asks for nothing: that the reader is gone is reported all the same, of a pipe and of a socket.
            polled.push(PollFd::new(stdout.as_fd(), PollFlags::empty()));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => bail!("waiting for events: {e}"),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        let closed =
            limits.to_stdout && polled.last().and_then(PollFd::revents).is_some_and(|told| told.intersects(gone));

        drop(polled);
        gauges.iter().for_each(Gauge::seen);

        drained = fill(&pipeline, &|| drain(false))?;
        let mut stop = false;
        let now = Instant::now();
        pipeline.borrow_mut().heartbeats.iter_mut().for_each(|heart| heart.tick(now));
        let tick = now >= next_tick;
        if tick {
            next_tick = now + TICK;
        }
        {
            let mut pipeline = pipeline.borrow_mut();
            // Behind what was lost last there may be no event that shows the gap.
            if (pipeline.gap || tick) && pipeline.has_room() {
                read_ledger(&mut pipeline);
            }
            let clock = pipeline.measured_clock();
            if tick {
                pipeline.tick(clock.unix_ns(crate::host::clock::boot_now()));
            }
            pipeline.flush();
            pipeline.clock(clock);
            pipeline.closed |= closed;
            if let Some(failure) = pipeline.failure() {
                note(&format!("{failure:#}"));
            }
            stop |= pipeline.full();
        }
        stop |= limits.duration.is_some_and(|duration| now - begin >= duration);
        match signals.heed(command)? {
            Some(Wish::End) => stop = true,
            Some(Wish::Reopen) => reopen(limits.reopen.as_deref(), &mut pipeline.borrow_mut()),
            None => {}
        }
        launch::reap(command);
        let command_ended = match command {
            Some(command) => command.ended()?.is_some(),
            None => true,
        };
        // CMD is waited for though nobody gets its events any more, as strace does.
        stop |= match command {
            Some(_) => pipeline.borrow().is_over() && (command_ended || limits.detach),
            None => pipeline.borrow().done(),
        };
        if command_ended && command.is_some() && limits.detach {
            stop = true;
        } else if command_ended && let Some(followed) = &mut followed {
            // Nothing can come any more once all watched processes are gone.
            stop |= followed.all_gone(tick);
        }
        if tick
            && !warned
            && let Err(error) = attached.look()
        {
            note(&format!("{error:#}: what happens there is not seen"));
            warned = true;
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
            note(&format!("{:.1} s: {}", begin.elapsed().as_secs_f64(), pipeline.ledger));
        }
    }

    let missed = attached.missed();
    signals.end();
    attached.detach(|| fill(&pipeline, &|| drain(false)).map(drop))?;
    pipeline.borrow_mut().ledger.unreturned = attached.unreturned();
    let mut patience = Patience { signals, ends: limits.duration.map(|duration| begin + duration + GRACE) };
    // A program that was running when its hook went away is still to be heard.
    let mut deadline = Instant::now() + SETTLE;
    loop {
        while !fill(&pipeline, &|| drain(true))? || !pipeline.borrow().has_room() {
            patience.wait(&mut pipeline.borrow_mut(), |pipeline| pipeline.has_room());
            deadline = Instant::now() + SETTLE;
        }
        let mut pipeline = pipeline.borrow_mut();
        read_ledger(&mut pipeline);
        pipeline.ledger.missed = missed;
        let undecodable = pipeline.undecodable.is_some();
        if pipeline.ledger.balances() || undecodable || Instant::now() >= deadline {
            break;
        }
        drop(pipeline);
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut pipeline = pipeline.borrow_mut();
    pipeline.end();
    patience.wait(&mut pipeline, |pipeline| pipeline.is_written());
    pipeline.settle();
    if let Some(failure) = pipeline.failure() {
        note(&format!("{failure:#}"));
    }
    Ok(())
}

/// Reads what is there, as long as there is room for it; returns whether that was all.
fn fill(pipeline: &RefCell<&mut Pipeline<'_>>, drain: &dyn Fn() -> Result<bool>) -> Result<bool> {
    /// Signals and the clock are looked at in between.
    const AT_ONCE: u32 = 8;
    for _ in 0..AT_ONCE {
        if !pipeline.borrow().has_room() {
            return Ok(false);
        }
        if drain()? {
            return Ok(true);
        }
        pipeline.borrow_mut().flush();
    }
    Ok(false)
}

/// How long the end of a run waits for its output: for ever, until somebody asks for the end, or its time is over.
struct Patience<'a> {
    signals: &'a Signals,
    ends: Option<Instant>,
}

impl Patience<'_> {
    /// Waits until that is so, or gives up what is not written.
    fn wait(&mut self, pipeline: &mut Pipeline<'_>, is_so: fn(&Pipeline<'_>) -> bool) {
        pipeline.flush();
        while !is_so(pipeline) {
            let now = Instant::now();
            if self.signals.hurry() {
                self.ends = Some(self.ends.unwrap_or(now + GRACE).min(now + GRACE));
            }
            if self.ends.is_some_and(|ends| now >= ends) {
                return pipeline.settle();
            }
            let gauges: Vec<Gauge> = pipeline.gauges().cloned().collect();
            let mut polled: Vec<_> =
                gauges.iter().map(|gauge| PollFd::new(gauge.progress(), PollFlags::POLLIN)).collect();
            let _ = poll(&mut polled, PollTimeout::from(FLUSH.as_millis() as u16));
            gauges.iter().for_each(Gauge::seen);
        }
    }
}

/// Goes on in a file of that name: the one before was moved away.
fn reopen(path: Option<&Path>, pipeline: &mut Pipeline<'_>) {
    let Some(path) = path else { return };
    let opened = files::open(path, Some(Duration::ZERO)).and_then(|file| {
        let is_new = file.metadata()?.len() == 0;
        Ok((file, is_new))
    });
    match opened {
        Ok((file, is_new)) => pipeline.redirect(Box::new(file), is_new),
        Err(error) => note(&format!("not opened again, the output goes on as before: {}: {error:#}", shown(path))),
    }
}

/// Adds the descendants that the watched processes already have. The hooks are in place: what is
/// forked from now on adds itself, and this goes on until it finds nothing new.
///
/// # Errors
/// When /proc cannot be read, or they are too many.
pub fn follow_existing(session: &Session, attached: &Attached) -> Result<()> {
    let mut known = session.pids.clone();
    loop {
        let found = crate::host::procfs::descendants(&known)?;
        if found.is_empty() {
            return Ok(());
        }
        found.iter().try_for_each(|pid| attached.follow(*pid))?;
        known.extend(found);
    }
}
