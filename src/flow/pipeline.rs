//! sample → decode → wall clock and names → filter → output → sink: one direction, one event at a time.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufWriter, Write};

use anyhow::Result;

use crate::event::decode::Decode;
use crate::event::total::{self, Totals};
use crate::event::{CAUSES, Event, Lost};
use crate::flow::enrich::{Environs, Resolver, Stacks};
use crate::flow::filter::Filter;
use crate::flow::heartbeat::Heartbeat;
use crate::flow::ledger::Ledger;
use crate::flow::record::Recorder;
use crate::flow::sink::{Gauge, Sink, Target};
use crate::host::clock::{WallClock, boot_now};
use crate::output::{Output, Summary};
use crate::report::Notes;

/// The most addresses that are remembered: beyond, names are recorded again.
const SYMBOLS: usize = 1 << 16;

/// Where a run's samples go.
pub struct Pipeline<'a> {
    decoder: &'a dyn Decode,
    output: Box<dyn Output>,
    /// What the output was given; none once it has ended.
    summary: Option<Summary>,
    /// Of a recording, whose time is that of its events: when the output ticks next.
    replayed: Option<i64>,
    sink: BufWriter<Box<dyn Write>>,
    filter: Filter,
    recorder: Option<Recorder<BufWriter<Sink>>>,
    /// How far the writing of the output is, and that of the recording, where that is done beside.
    gauge: Option<Gauge>,
    recording: Option<Gauge>,
    /// Events that may not be written yet: the byte at which each of them ends, and its kind.
    unwritten: VecDeque<(u64, u32)>,
    clock: WallClock,
    /// When the run was over, since boot.
    over_ns: Option<u64>,
    resolver: Option<Resolver>,
    /// Functions of the calls in stacks; in a replay, those that the recording has.
    pub stacks: Stacks,
    /// Environments of the programs of parents; in a replay, those that the recording has.
    pub environs: Environs,
    /// Addresses of the kernel of which the recording has the names.
    recorded_symbols: HashSet<u64>,
    limit: u64,
    /// What coretrace does to see whether it arrives.
    pub heartbeats: Vec<Heartbeat>,
    /// How wide the terminal is on which events are shown, if it is one: it may be resized meanwhile.
    pub width: Option<fn() -> Option<usize>>,
    /// Losses are reported on stderr, as the output is for people; else they are records in the stream.
    losses_aside: bool,
    /// What became of the events.
    pub ledger: Ledger,
    /// Whether events are missing before one that arrived, since the last [`Pipeline::lost`].
    pub gap: bool,
    /// The output was closed by its reader: a normal end.
    pub closed: bool,
    /// A closed output is a failure: standard error is not closed to say "enough".
    pub closing_fails: bool,
    /// Events go to standard error, as losses do.
    pub to_stderr: bool,
    /// The output is a file that may be opened again by its name.
    pub reopenable: bool,
    /// No event is printed, and so no header of them: all is added up.
    pub no_events: bool,
    /// The output takes no more.
    broken: bool,
    /// The output or the recording could not be written.
    pub failed: bool,
    /// Samples that could not be decoded, and why the first of them could not.
    pub undecodable: Option<(u64, anyhow::Error)>,
    failure: Option<anyhow::Error>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline into `sink`.
    pub fn new(
        decoder: &'a dyn Decode,
        ledger: Ledger,
        filter: Filter,
        output: Box<dyn Output>,
        sink: Box<dyn Write>,
        losses_aside: bool,
    ) -> Self {
        Pipeline {
            decoder,
            output,
            summary: Some(Summary::default()),
            replayed: None,
            sink: BufWriter::with_capacity(1 << 16, sink),
            filter,
            recorder: None,
            gauge: None,
            recording: None,
            unwritten: VecDeque::new(),
            clock: WallClock::default(),
            over_ns: None,
            resolver: None,
            stacks: Stacks::default(),
            environs: Environs::default(),
            recorded_symbols: HashSet::new(),
            limit: u64::MAX,
            heartbeats: Vec::new(),
            width: None,
            losses_aside,
            ledger,
            gap: false,
            closed: false,
            closing_fails: false,
            to_stderr: false,
            reopenable: false,
            no_events: false,
            broken: false,
            failed: false,
            undecodable: None,
            failure: None,
        }
    }

    /// Keeps the raw samples, too.
    pub fn record(&mut self, recorder: Recorder<BufWriter<Sink>>, gauge: Gauge) {
        self.recorder = Some(recorder);
        self.recording = Some(gauge);
    }

    /// The sink writes in a thread: what it has not written by the end is lost.
    pub fn watch(&mut self, gauge: Gauge) {
        self.gauge = Some(gauge);
    }

    /// Names are added to events.
    pub fn enrich(&mut self, resolver: Resolver) {
        self.resolver = Some(resolver);
    }

    /// Takes names that a recording has.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn recorded_names(&mut self, names: &[u8]) -> Result<()> {
        self.resolver.as_mut().map_or(Ok(()), |resolver| resolver.take_recorded(names))
    }

    /// Delivers no more than this many events.
    pub fn limit(&mut self, events: u64) {
        self.limit = events;
    }

    /// Whether there is a reason to stop: the limit is reached, the output is closed or failed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.closed || self.failed || self.full()
    }

    /// Whether the limit is reached.
    #[must_use]
    pub fn full(&self) -> bool {
        self.ledger.delivered() >= self.limit
    }

    /// Whether events go nowhere any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        (self.closed || self.broken) && self.recorder.is_none()
    }

    /// Whether more events may be read: else they wait in the kernel's buffer.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.gauges().all(Gauge::has_room)
    }

    /// Whether all is written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.gauges().all(|gauge| gauge.backlog() == 0)
    }

    /// Of what other threads write.
    pub fn gauges(&self) -> impl Iterator<Item = &Gauge> {
        self.gauge.iter().chain(&self.recording)
    }

    /// What could not be written, once.
    pub fn failure(&mut self) -> Option<anyhow::Error> {
        self.failure.take()
    }

    /// Sets how far the wall clock is from the kernel's.
    pub fn clock(&mut self, clock: WallClock) {
        if clock != self.clock {
            self.clock = clock;
            if let Some(recorder) = &mut self.recorder {
                let written = recorder.clock(clock);
                self.recorded(written);
            }
        }
    }

    /// The wall clock as it is now.
    #[must_use]
    pub fn measured_clock(&self) -> WallClock {
        self.clock.measured()
    }

    /// The samples are those of a recording: time goes by them.
    pub fn replay(&mut self) {
        self.replayed = Some(i64::MIN);
    }

    /// About a second has passed.
    pub fn tick(&mut self, unix_ns: i64) {
        if !self.broken && !self.closed {
            let written = self.output.tick(&mut self.sink, unix_ns);
            self.written(written);
        }
    }

    /// It is time for what the output has put together so far (--stats).
    pub fn stats(&mut self, unix_ns: i64) {
        if !self.broken && !self.closed {
            let written = self.output.stats(&mut self.sink, unix_ns);
            self.written(written);
        }
    }

    /// A second has passed in a recording, or more: nothing is known of what was in between.
    fn tick_by(&mut self, unix_ns: i64) {
        const SECOND: i64 = 1_000_000_000;
        let Some(next) = self.replayed.filter(|next| unix_ns >= *next) else { return };
        self.replayed = Some(unix_ns.saturating_add(SECOND));
        if next > i64::MIN {
            self.tick(unix_ns);
        }
    }

    /// CMD is this process, which waits to begin.
    pub fn command(&mut self, pid: u32) {
        self.output.command(pid);
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.command(pid);
            self.recorded(written);
        }
    }

    /// A run begins now: sets the clock, and prints what comes before all events.
    pub fn begin(&mut self) {
        self.clock = self.measured_clock();
        let now = boot_now();
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.begin(self.clock, now);
            self.recorded(written);
        }
        self.began(now);
        self.header();
        self.flush();
    }

    /// The run began at that time since boot: what comes is of it.
    pub fn began(&mut self, boot_ns: u64) {
        self.output.began(boot_ns);
    }

    /// Whether it is known when the run was over.
    #[must_use]
    pub fn is_over_known(&self) -> bool {
        self.over_ns.is_some()
    }

    /// The run was over at that time since boot, once what it sent has come.
    pub fn over(&mut self, boot_ns: u64) {
        self.over_ns = Some(boot_ns);
    }

    /// Prints what comes before all events.
    pub fn header(&mut self) {
        if self.no_events {
            return;
        }
        let written = self.output.header(&mut self.sink);
        self.written(written);
    }

    /// Takes one sample, as the kernel sent it.
    pub fn sample(&mut self, sample: &[u8]) {
        let decoder = self.decoder;
        let decoded = decoder.decode(sample);
        let mut own = false;
        if let Ok(event) = &decoded {
            // Each of them is asked: an event may be one that several wait for.
            for heart in &mut self.heartbeats {
                own |= heart.takes(event.kind.id, &event.head);
            }
            self.look_up(event);
        }
        self.record_sample(sample, own);
        match decoded {
            Ok(event) => self.event(event, own),
            Err(error) => match &mut self.undecodable {
                Some((count, _)) => *count += 1,
                none => *none = Some((1, error)),
            },
        }
    }

    /// Adds names of the kernel's addresses in an event to the recording, each once.
    fn record_symbols(&mut self, event: &Event<'_>) {
        let Some(recorder) = self.recorder.as_mut() else { return };
        let mut written = Ok(());
        event.each_symbol(&mut |address, offset, name| {
            if self.recorded_symbols.len() >= SYMBOLS {
                self.recorded_symbols.clear();
            }
            if written.is_ok() && self.recorded_symbols.insert(address) {
                written = recorder.symbol(address, offset, name);
            }
        });
        self.recorded(written);
    }

    /// Takes the name of an address of the kernel that a recording has.
    pub fn learn(&mut self, address: u64, offset: u64, name: &str) {
        self.decoder.learn(address, offset, name);
    }

    /// Adds a sample to the recording, unless it is `own`.
    fn record_sample(&mut self, sample: &[u8], own: bool) {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !own) {
            let written = recorder.sample(sample);
            self.recorded(written);
        }
    }

    /// Counts an event, and delivers it if it is wanted. `own`: it is coretrace's own.
    fn event(&mut self, event: Event<'_>, own: bool) {
        // Moved, as it is going to borrow names from here.
        let mut event = event;
        event.head.unix_ns = self.clock.unix_ns(event.head.boot_ns);
        self.tick_by(event.head.unix_ns);
        // Without a reader nothing is delivered (whether the last batch before that was read is not known).
        let full = self.closed || self.full();
        let Some(account) = self.ledger.account(event.kind.id) else { return };
        self.gap |= account.arrived(event.head.cpu, event.head.seq);
        if full || own {
            account.tally.filtered += 1;
            return;
        }
        let mut wanted = true;
        if let Some(resolver) = &mut self.resolver {
            wanted = resolver.wants(&event.head);
            resolver.add(&mut event);
        }
        self.stacks.add(&mut event);
        self.environs.add(&mut event);
        if !wanted || !self.filter.wants(&event) {
            account.tally.filtered += 1;
            return;
        }
        if self.broken {
            account.tally.unwritten += 1;
            return;
        }
        account.tally.delivered += 1;
        if let Some(summary) = &mut self.summary {
            summary.add(event.head.unix_ns);
        }
        let kind = event.kind.id;
        let written = self.output.event(&mut self.sink, &event);
        // It borrows the names.
        drop(event);
        if let Some(gauge) = &self.gauge {
            self.unwritten.push_back((gauge.accepted() + self.sink.buffer().len() as u64, kind));
        }
        self.written(written);
    }

    /// Looks up what is not known yet of an event's stacks and numbers, and records it.
    fn look_up(&mut self, event: &Event<'_>) {
        self.stacks.look_up(event);
        self.environs.look_up(event);
        let mut calls = self.stacks.take_fresh();
        let mut names = self.resolver.as_mut().map(|resolver| {
            resolver.look_up(event);
            resolver.take_fresh()
        });
        if let Some(recorder) = self.recorder.as_mut() {
            // Also those of an event that is not kept: they are not looked up again.
            let written = calls.try_for_each(|calls| recorder.calls(&calls));
            let written =
                written.and_then(|()| names.iter_mut().flatten().try_for_each(|names| recorder.names(&names)));
            drop(names);
            let mut environs = self.environs.take_fresh();
            let written =
                written.and_then(|()| environs.try_for_each(|(pid, of, bytes)| recorder.environ(pid, of, &bytes)));
            drop(environs);
            self.recorded(written);
            self.record_symbols(event);
        } else {
            self.environs.take_fresh().for_each(drop);
        }
    }

    /// Hands over which cgroups were looked up since then, and whether all events of them are refused.
    pub fn judged(&mut self, put: &mut dyn FnMut(u64, bool)) {
        if let Some(resolver) = &mut self.resolver {
            resolver.judged(put);
        }
    }

    /// Enters what was added up in the kernel into the ledger; what only the ledger has, where it was just read, into the
    /// totals.
    pub fn aggregate(&mut self, all: &mut [Totals]) {
        for totals in all {
            if let Some(account) = self.ledger.account(totals.kind) {
                if totals.in_ledger {
                    totals.rows.iter_mut().for_each(|row| row.amount.count = account.kernel.emitted);
                    totals.rows.retain(|row| row.amount.count > 0);
                }
                account.tally.aggregated =
                    totals.rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.amount.count));
            }
        }
    }

    /// Prints what was added up so far.
    pub fn totals(&mut self, all: Vec<Totals>, unix_ns: i64) {
        for totals in total::merged(all) {
            if !self.broken && !self.closed {
                let written = self.output.totals(&mut self.sink, &totals, unix_ns);
                self.written(written);
            }
        }
    }

    /// Reports a loss.
    pub fn lost(&mut self, lost: Lost) {
        if let Some(summary) = &mut self.summary {
            summary.lost = summary.lost.saturating_add(lost.count);
        }
        if let Some(recorder) = &mut self.recorder {
            let kind = self.ledger.accounts.iter().find(|a| a.kind.name == lost.class).map_or(u32::MAX, |a| a.kind.id);
            let cause = CAUSES.iter().zip(0..).find(|(name, _)| **name == lost.cause).map_or(u32::MAX, |(_, n)| n);
            let written = recorder.lost(kind, cause, &lost);
            self.recorded(written);
        }
        if self.losses_aside && (!self.to_stderr || self.broken) {
            let mut line = Vec::new();
            // A closed stderr is no reason to end.
            let _ = self.output.lost(&mut line, &lost).and_then(|()| Notes.write_all(&line));
        } else if !self.broken && !self.closed {
            let written = self.output.lost(&mut self.sink, &lost);
            self.written(written);
        }
    }

    /// Hands a batch over to the reader.
    pub fn flush(&mut self) {
        if let Some(width) = self.width {
            self.output.resize(width());
        }
        if !self.broken && !self.closed {
            let written = self.sink.flush();
            self.written(written);
        }
        if let Some(gauge) = &self.gauge {
            let written = gauge.written();
            while self.unwritten.front().is_some_and(|(end, _)| *end <= written) {
                self.unwritten.pop_front();
            }
        }
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.flush();
            self.recorded(written);
        }
    }

    /// What comes from here on goes to another file, which begins as every one does.
    pub fn redirect(&mut self, target: Target, is_new: bool) {
        self.flush();
        if let Some(gauge) = &self.gauge {
            gauge.redirect(target);
        }
        if is_new {
            self.header();
        }
        self.flush();
    }

    /// The output has had all events: hands over the rest, and ends the recording.
    pub fn end(&mut self) {
        let summary = self.summary.take().map(|summary| Summary { over_ns: self.over_ns, ..summary });
        if let Some(summary) = summary.filter(|_| !self.broken && !self.closed) {
            let written = self.output.end(&mut self.sink, &summary);
            self.written(written);
        }
        self.flush();
        if let Some(recorder) = self.recorder.take() {
            let written = recorder.end(self.over_ns);
            self.recorded(written);
        }
    }

    /// Says what could not be written, and waits no longer for what is not.
    pub fn settle(&mut self) {
        if let Some(gauge) = self.gauge.clone() {
            if let Some(failure) = gauge.failure() {
                self.written(Err(failure));
            }
            if gauge.backlog() > 0 {
                self.gauge = None;
                self.broken = true;
                self.lose(gauge.written());
            }
        }
        if let Some(gauge) = self.recording.clone() {
            let late = (gauge.backlog() > 0).then(|| io::ErrorKind::TimedOut.into());
            if let Some(failure) = gauge.failure().or(late) {
                self.recording = None;
                self.recorded(Err(failure));
            }
        }
    }

    /// Ends the recording, and returns the first thing that went wrong.
    ///
    /// # Errors
    /// When the output or the recording could not be written, or samples could not be decoded.
    pub fn finish(mut self) -> (Ledger, Result<()>) {
        self.end();
        let ended = match (self.failure, self.undecodable) {
            (Some(failure), _) => Err(failure),
            (None, Some((count, first))) => {
                Err(first.context(format!("{count} events could not be decoded, the first because of")))
            }
            (None, None) => Ok(()),
        };
        (self.ledger, ended)
    }

    fn written(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && !self.closing_fails => {
                self.closed = true;
                self.unwritten.clear();
            }
            Err(e) => {
                self.note(anyhow::Error::new(e).context("writing the output"));
                self.broken = true;
                let written = self.gauge.as_ref().map_or(u64::MAX, Gauge::written);
                self.lose(written);
            }
        }
    }

    /// Events that end behind that byte of the output are lost.
    fn lose(&mut self, written: u64) {
        for (_, kind) in self.unwritten.drain(..).filter(|(end, _)| *end > written) {
            if let Some(account) = self.ledger.account(kind) {
                account.tally.delivered -= 1;
                account.tally.unwritten += 1;
            }
        }
    }

    fn recorded(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.note(anyhow::Error::new(error).context("writing the recording"));
            self.recorder = None;
        }
    }

    fn note(&mut self, error: anyhow::Error) {
        if !self.failed {
            self.failure = Some(error);
        }
        self.failed = true;
    }
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
