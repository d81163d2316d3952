//! sample → decode → wall clock and names → filter → format → sink: one direction, one event at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};

use crate::decode::Decode;
use crate::enrich::{Names, WallClock};
use crate::event::{CAUSES, Lost};
use crate::filter::Filter;
use crate::heartbeat::Heartbeat;
use crate::ledger::Ledger;
use crate::output::Format;
use crate::record::Recorder;

/// Where a run's samples go.
pub struct Pipeline<'a> {
    decoder: &'a dyn Decode,
    format: Box<dyn Format>,
    sink: BufWriter<Box<dyn Write>>,
    filter: Filter,
    recorder: Option<Recorder<BufWriter<File>>>,
    clock: WallClock,
    names: Option<Names>,
    limit: u64,
    /// What coretrace does to see whether it arrives.
    pub heartbeat: Option<Heartbeat<'a>>,
    /// How wide the terminal is on which events are shown, if it is one: it may be resized meanwhile.
    pub width: Option<fn() -> Option<usize>>,
    /// Losses are told on stderr, as the format is for people; else they are records in the stream.
    losses_aside: bool,
    /// What became of the events.
    pub ledger: Ledger,
    /// Whether events are missing before one that arrived, since the last [`Pipeline::lost`].
    pub gap: bool,
    /// The output was closed by its reader: a normal end.
    pub closed: bool,
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
        format: Box<dyn Format>,
        sink: Box<dyn Write>,
        losses_aside: bool,
    ) -> Self {
        Pipeline {
            decoder,
            format,
            sink: BufWriter::with_capacity(1 << 16, sink),
            filter,
            recorder: None,
            clock: WallClock::default(),
            names: None,
            limit: u64::MAX,
            heartbeat: None,
            width: None,
            losses_aside,
            ledger,
            gap: false,
            closed: false,
            undecodable: None,
            failure: None,
        }
    }

    /// Keeps the raw samples, too.
    pub fn record(&mut self, recorder: Recorder<BufWriter<File>>) {
        self.recorder = Some(recorder);
    }

    /// Gives names to the numbers in events whose kinds ask for that: of this host, so not where they come from another.
    pub fn enrich(&mut self, names: Names) {
        self.names = Some(names);
    }

    /// Delivers no more than this many events.
    pub fn limit(&mut self, events: u64) {
        self.limit = events;
    }

    /// Whether there is a reason to stop: the limit is reached, the output is closed or failed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.closed || self.failure.is_some() || self.ledger.delivered() >= self.limit
    }

    /// Sets how far the wall clock is from the kernel's.
    pub fn clock(&mut self, clock: WallClock) {
        if clock != self.clock {
            self.clock = clock;
            if let Some(recorder) = &mut self.recorder {
                let written = recorder.clock(clock).context("writing the recording");
                self.note(written);
            }
        }
    }

    /// The wall clock as it is now.
    #[must_use]
    pub fn measured_clock(&self) -> WallClock {
        self.clock.measured()
    }

    /// Prints what comes before all events.
    pub fn header(&mut self) {
        let written = self.format.header(&mut self.sink);
        self.written(written);
    }

    /// Takes one sample, as the kernel sent it.
    pub fn sample(&mut self, sample: &[u8]) {
        let decoded = self.decoder.decode(sample);
        let own = match (&decoded, &mut self.heartbeat) {
            (Ok(event), Some(heart)) => heart.takes(&event.head),
            _ => false,
        };
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !own) {
            let written = recorder.sample(sample).context("writing the recording");
            self.note(written);
        }
        let mut event = match decoded {
            Ok(event) => event,
            Err(error) => {
                match &mut self.undecodable {
                    Some((count, _)) => *count += 1,
                    none => *none = Some((1, error)),
                }
                return;
            }
        };
        event.head.unix_ns = self.clock.unix_ns(event.head.boot_ns);
        // What nobody reads any more is not delivered (of the last batch before that, nobody knows).
        let full = self.closed || self.ledger.delivered() >= self.limit;
        let Some(account) = self.ledger.account(event.kind.id) else { return };
        self.gap |= account.arrived(event.head.cpu, event.head.seq);
        if full || own {
            account.tally.filtered += 1;
            return;
        }
        if let Some(names) = &mut self.names {
            names.add(&mut event);
        }
        if !self.filter.wants(&event) {
            account.tally.filtered += 1;
            return;
        }
        account.tally.delivered += 1;
        let written = self.format.event(&mut self.sink, &event);
        // It borrows the names.
        drop(event);
        self.written(written);
    }

    /// Tells of a loss.
    pub fn lost(&mut self, lost: Lost) {
        if let Some(recorder) = &mut self.recorder {
            let kind = self.ledger.accounts.iter().find(|a| a.kind.name == lost.class).map_or(u32::MAX, |a| a.kind.id);
            let cause = CAUSES.iter().zip(0..).find(|(name, _)| **name == lost.cause).map_or(u32::MAX, |(_, n)| n);
            let written = recorder.lost(kind, cause, &lost).context("writing the recording");
            self.note(written);
        }
        if self.losses_aside {
            // A closed stderr is no reason to end.
            let _ = self.format.lost(&mut io::stderr().lock(), &lost);
        } else {
            let written = self.format.lost(&mut self.sink, &lost);
            self.written(written);
        }
    }

    /// Hands a batch over to the reader.
    pub fn flush(&mut self) {
        if let Some(width) = self.width {
            self.format.resize(width());
        }
        let written = self.sink.flush();
        self.written(written);
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.flush().context("writing the recording");
            self.note(written);
        }
    }

    /// Ends the recording, and tells the first thing that went wrong.
    ///
    /// # Errors
    /// When the output or the recording could not be written, or samples could not be decoded.
    pub fn finish(mut self) -> Result<Ledger> {
        self.flush();
        if let Some(recorder) = self.recorder.take() {
            let written = recorder.end().context("writing the recording");
            self.note(written);
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some((count, first)) = self.undecodable {
            return Err(first.context(format!("{count} events could not be decoded, the first because of")));
        }
        Ok(self.ledger)
    }

    fn written(&mut self, result: io::Result<()>) {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            other => self.note(other.context("writing the output")),
        }
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.failure.get_or_insert(error);
        }
    }
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
