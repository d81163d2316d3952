//! The loop of a live run: reads events, acts on signals, on the command's end and on the clock, and ends cleanly.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use libbpf_rs::MapHandle;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::escape::shown;
use crate::event::Lost;
use crate::flow::files;
use crate::flow::pipeline::Pipeline;
use crate::flow::sink::Gauge;
use crate::host::caps::Cap;
use crate::host::clock::boot_now;
use crate::load::attached::Attached;
use crate::load::followed::Followed;
use crate::load::judged;
use crate::load::session::Session;
use crate::load::source::Source;
use crate::load::transport::Reader;
use crate::load::watched::Watched;
use crate::report::note;
use crate::run::control::{Control, Request};
use crate::run::launch::{self, Launched};
use crate::run::output_wait::{GRACE, OutputWait};
use crate::run::rights;

/// The longest that an event waits in the buffer before it is read.
const FLUSH: Duration = Duration::from_millis(40);
/// How often to look for what no event shows: losses, and processes that are gone.
const TICK: Duration = Duration::from_secs(1);
/// How long the counters may need to agree after the hooks are gone: programs that were running then
/// end within microseconds, but not on a stopped CPU of a virtual machine.
const SETTLE: Duration = Duration::from_secs(2);

/// When to end, and what to print meanwhile.
#[derive(Default)]
pub struct Limits<'a> {
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
    /// What may add up events in the kernel, in the order in which it was started.
    pub sources: Vec<&'a dyn Source>,
    /// The capabilities that are kept; none: all.
    pub keeps: Option<Vec<Cap>>,
    /// Say which.
    pub verbose: bool,
}

/// Runs until the end: `pipeline` gets every event that the kernel sent.
///
/// # Errors
/// When the kernel's buffers or counters cannot be read.
pub fn run(
    session: &Session,
    attached: &Attached,
    pipeline: &mut Pipeline<'_>,
    limits: &Limits<'_>,
    control: &mut dyn Control,
    command: &mut Option<Launched>,
) -> Result<()> {
    let pipeline = &RefCell::new(pipeline);
    let shared = &attached.shared;
    let events = shared.map("events")?;
    let followed = session.settings.filter_pids.then(|| shared.map("followed")).transpose()?;
    let cgroups = (!session.cgroups.is_empty()).then(|| shared.map("cgroups")).transpose()?;
    let known = session.settings.names.then(|| shared.map(judged::MAP)).transpose()?;
    let reader = match &shared.perf {
        Some(perf) => Reader::Perf(perf, events, &shared.counters),
        None => Reader::ring(events, |sample| pipeline.borrow_mut().sample(sample))?,
    };
    pipeline.borrow_mut().begin();
    if let Some(command) = command {
        command.release()?;
    }
    let begin = Instant::now();
    let mut run = Run {
        attached,
        pipeline,
        limits,
        control,
        command,
        reader,
        followed: followed.map(|map| Followed::new(map, &shared.counters)),
        known,
        watched: cgroups.map(|map| Watched::new(map, &session.cgroups)),
        begin,
        next_tick: begin + TICK,
        next_stats: limits.stats.map(|every| begin + every),
        drained: true,
        warned: false,
    };
    attached.begin(&limits.sources, &mut || run.fill(false).map(drop))?;
    rights::give_up(limits.keeps.as_deref(), limits.verbose);
    run.control.running();
    while !run.turn()? {}
    run.end()
}

/// A run whose programs are attached.
struct Run<'a, 'p> {
    attached: &'a Attached,
    pipeline: &'a RefCell<&'a mut Pipeline<'p>>,
    limits: &'a Limits<'a>,
    control: &'a mut dyn Control,
    command: &'a mut Option<Launched>,
    reader: Reader<'a>,
    followed: Option<Followed<'a>>,
    /// Where the kernel side looks for what is known of cgroups.
    known: Option<&'a MapHandle>,
    watched: Option<Watched<'a>>,
    begin: Instant,
    next_tick: Instant,
    next_stats: Option<Instant>,
    /// The last turn read all that was in the buffer.
    drained: bool,
    /// That a hook does not see everything was reported.
    warned: bool,
}

impl Run<'_, '_> {
    /// Waits for something to do, and does it; returns whether the run is to end.
    fn turn(&mut self) -> Result<bool> {
        let closed = self.wait()?;
        let (attached, limits) = (self.attached, self.limits);
        attached.turn(&limits.sources, false)?;
        let notes = attached.look_at_modules(&limits.sources, &mut || self.fill(false).map(drop));
        notes.iter().for_each(|text| note(text));
        self.drained = self.fill(false)?;
        let now = Instant::now();
        let tick = now >= self.next_tick;
        if tick {
            self.next_tick = now + TICK;
        }
        let full = self.advance(now, tick, closed);
        let over = self.limits.duration.is_some_and(|duration| now - self.begin >= duration);
        let stop = self.requested()? | full | over | self.nothing_comes(tick)?;
        if tick {
            self.look();
        }
        if !stop {
            self.stats(now)?;
        }
        Ok(stop)
    }

    /// Waits for events, signals, room in the output or the next thing whose time comes; returns whether the reader of
    /// stdout has gone.
    fn wait(&self) -> Result<bool> {
        let room = self.pipeline.borrow().has_room();
        let mut wait = if self.drained || !room { FLUSH } else { Duration::ZERO };
        if let Some(duration) = self.limits.duration {
            wait = wait.min(duration.saturating_sub(self.begin.elapsed()));
        }
        wait = wait.min(self.control.timeout());
        let timeout = PollTimeout::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::ZERO);
        let gauges: Vec<Gauge> = self.pipeline.borrow().gauges().filter(|_| !room).cloned().collect();
        // What cannot be written yet is not read.
        let events = self.reader.wakes().filter(|_| room);
        let fds = self.control.fds().into_iter().chain(events).chain(gauges.iter().map(Gauge::progress));
        let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let stdout = io::stdout();
        if self.limits.to_stdout {
            // No events are asked for: POLLERR and POLLHUP are reported anyway, of a pipe and of a socket.
            polled.push(PollFd::new(stdout.as_fd(), PollFlags::empty()));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => bail!("waiting for events: {e}"),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        let of_stdout = polled.last().filter(|_| self.limits.to_stdout).and_then(PollFd::revents);
        let closed = of_stdout.is_some_and(|events| events.intersects(gone));
        gauges.iter().for_each(Gauge::seen);
        Ok(closed)
    }

    /// Reads what is there, as long as there is room for it; returns whether that was all.
    fn fill(&self, last: bool) -> Result<bool> {
        /// Signals and the clock are looked at in between.
        const AT_ONCE: u32 = 8;
        for _ in 0..AT_ONCE {
            if !self.pipeline.borrow().has_room() {
                return Ok(false);
            }
            let all = self.reader.drain(last, &mut |sample| self.pipeline.borrow_mut().sample(sample))?;
            self.judge();
            if all {
                return Ok(true);
            }
            self.pipeline.borrow_mut().flush();
        }
        Ok(false)
    }

    /// Has the kernel side know of cgroups that were looked up.
    fn judge(&self) {
        let Some(map) = self.known else { return };
        // What it does not know comes again.
        self.pipeline.borrow_mut().judged(&mut |id, refused| drop(judged::put(map, id, refused)));
    }

    /// What the pipeline does once a turn; returns whether it has as many events as it is to have.
    fn advance(&self, now: Instant, tick: bool, closed: bool) -> bool {
        let mut pipeline = self.pipeline.borrow_mut();
        pipeline.heartbeats.iter_mut().for_each(|heart| heart.tick(now));
        // After the last loss there may be no event that shows the gap.
        if (pipeline.gap || tick) && pipeline.has_room() {
            self.read_ledger(&mut pipeline);
        }
        let clock = pipeline.measured_clock();
        if tick {
            pipeline.tick(clock.unix_ns(boot_now()));
        }
        pipeline.flush();
        pipeline.clock(clock);
        pipeline.closed |= closed;
        if let Some(failure) = pipeline.failure() {
            note(&format!("{failure:#}"));
        }
        pipeline.full()
    }

    fn read_ledger(&self, pipeline: &mut Pipeline<'_>) {
        let mut losses = Vec::new();
        pipeline.ledger.read(&self.attached.shared.counters, &mut |lost| losses.push(lost));
        pipeline.gap = false;
        let now = pipeline.measured_clock().unix_ns(boot_now());
        losses.into_iter().for_each(|lost| pipeline.lost(Lost { unix_ns: now, ..lost }));
    }

    /// Does what signals ask for; returns whether that is to end.
    fn requested(&mut self) -> Result<bool> {
        let request = self.control.request(self.command)?;
        if request == Some(Request::Reopen) {
            reopen(self.limits.reopen.as_deref(), &mut self.pipeline.borrow_mut());
        }
        Ok(request == Some(Request::End))
    }

    /// Whether the run has nothing more to do: the command has ended, the watched processes are gone, or the events go
    /// nowhere any more.
    fn nothing_comes(&mut self, tick: bool) -> Result<bool> {
        launch::reap(self.command);
        let Some(command) = self.command else {
            return Ok(self.pipeline.borrow().done() || self.all_gone(tick));
        };
        let ended = command.ended()?.is_some();
        // The command is waited for even when its events go nowhere, as strace does.
        if self.pipeline.borrow().is_over() && (ended || self.limits.detach) {
            return Ok(true);
        }
        Ok(ended && (self.limits.detach || self.all_gone(tick)))
    }

    /// Whether processes are followed, and none of them is left.
    fn all_gone(&mut self, look: bool) -> bool {
        self.followed.as_mut().is_some_and(|followed| followed.all_gone(look))
    }

    /// Looks after what no event shows: new CPUs, cgroups that are made again, processes that are gone.
    fn look(&mut self) {
        if !self.warned
            && let Err(error) = self.attached.look()
        {
            note(&format!("{error:#}: what happens there is not seen"));
            self.warned = true;
        }
        if let Some(watched) = &mut self.watched {
            watched.look();
        }
        if let Some(followed) = &mut self.followed {
            followed.prune();
        }
    }

    /// Prints the totals where it is time (`--stats`).
    fn stats(&mut self, now: Instant) -> Result<()> {
        let (Some(every), Some(at)) = (self.limits.stats, self.next_stats.filter(|at| now >= *at)) else {
            return Ok(());
        };
        // Those that were missed are not made up for.
        let missed = (now - at).as_nanos() / every.as_nanos();
        self.next_stats = Some(at + every * u32::try_from(missed + 1).unwrap_or(u32::MAX));
        let mut pipeline = self.pipeline.borrow_mut();
        self.read_ledger(&mut pipeline);
        pipeline.ledger.missed = self.attached.missed();
        let mut totals = self.attached.totals(&self.limits.sources)?;
        pipeline.aggregate(&mut totals);
        let now = pipeline.measured_clock().unix_ns(boot_now());
        pipeline.totals(totals, now);
        pipeline.stats(now);
        note(&format!("{:.1} s: {}", self.begin.elapsed().as_secs_f64(), pipeline.ledger));
        Ok(())
    }

    /// Takes the programs off their hooks, reads what they sent, and ends the output.
    fn end(self) -> Result<()> {
        let missed = self.attached.missed();
        // From here on, ends may not be seen.
        self.pipeline.borrow_mut().over(boot_now());
        self.control.ending();
        self.attached.detach(|| self.fill(false).map(drop))?;
        while self.attached.turn(&self.limits.sources, true)? {
            self.fill(false)?;
        }
        self.pipeline.borrow_mut().ledger.unreturned = self.attached.unreturned(&self.limits.sources);
        self.pipeline.borrow_mut().ledger.failures = self.attached.failures(&self.limits.sources)?;
        let ends = self.limits.duration.map(|duration| self.begin + duration + GRACE);
        let mut wait = OutputWait::new(self.control, ends);
        // A program that was running when its hook was removed may still send its event.
        let mut deadline = Instant::now() + SETTLE;
        let totals = loop {
            while !self.fill(true)? || !self.pipeline.borrow().has_room() {
                wait.until(&mut self.pipeline.borrow_mut(), |pipeline| pipeline.has_room());
                deadline = Instant::now() + SETTLE;
            }
            let mut pipeline = self.pipeline.borrow_mut();
            self.read_ledger(&mut pipeline);
            pipeline.ledger.missed = missed;
            let mut totals = self.attached.totals(&self.limits.sources)?;
            pipeline.aggregate(&mut totals);
            let undecodable = pipeline.undecodable.is_some();
            if pipeline.ledger.balances() || undecodable || Instant::now() >= deadline {
                break totals;
            }
            drop(pipeline);
            std::thread::sleep(Duration::from_millis(1));
        };
        let mut pipeline = self.pipeline.borrow_mut();
        let now = pipeline.measured_clock().unix_ns(boot_now());
        pipeline.totals(totals, now);
        pipeline.end();
        wait.until(&mut pipeline, |pipeline| pipeline.is_written());
        pipeline.settle();
        if let Some(failure) = pipeline.failure() {
            note(&format!("{failure:#}"));
        }
        Ok(())
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
        Err(error) => {
            let denied =
                error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
            let hint = if denied {
                "\n  a run gives up root's right to write to files of others: let who moves the file away not make a new one \
                 (logrotate: nocreate), or make it writable by the user of this run"
            } else {
                ""
            };
            note(&format!("not opened again, the output goes on as before: {}: {error:#}{hint}", shown(path)));
        }
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
