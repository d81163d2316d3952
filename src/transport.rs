//! The reading end of the `events` buffer: ring buffer or perf buffer, the same to whom reads.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{Map, PerfBuffer, PerfBufferBuilder, RingBuffer, RingBufferBuilder};

/// Samples of one drain of a perf buffer, to be sorted by time: each CPU has a buffer of its own, and
/// without that a child would be seen before its fork.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// When, and where in `bytes`.
    samples: Vec<(u64, std::ops::Range<usize>)>,
}

impl Batch {
    fn add(&mut self, sample: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(sample);
        // Every event starts with its time (struct event_head).
        let time = sample.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
        self.samples.push((time, start..self.bytes.len()));
    }

    fn drain(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.samples.sort_by_key(|(time, _)| *time);
        for (_, range) in self.samples.drain(..) {
            each(self.bytes.get(range).unwrap_or_default());
        }
        self.bytes.clear();
    }
}

/// The perf buffers of all CPUs. They are to be there before the first event is: until then the kernel has nowhere to
/// put one.
pub struct Perf {
    buffer: PerfBuffer<'static>,
    batch: Rc<RefCell<Batch>>,
}

impl Perf {
    /// Makes those of the map `events`, with this many pages (a power of two) for each CPU.
    ///
    /// # Errors
    /// When they cannot be opened or mapped.
    pub fn open(events: &Map<'_>, pages: usize) -> Result<Self> {
        let batch = Rc::new(RefCell::new(Batch::default()));
        let into = Rc::clone(&batch);
        let buffer = PerfBufferBuilder::new(events)
            .pages(pages)
            .sample_cb(move |_, sample: &[u8]| into.borrow_mut().add(sample))
            // Counted in the kernel, as every loss is.
            .lost_cb(|_, _| {})
            .build()
            .context("making the perf buffers (memory for them is limited: see ulimit -l)")?;
        Ok(Perf { buffer, batch })
    }
}

/// The reading end.
pub enum Reader<'a> {
    /// One buffer, in order.
    Ring(RingBuffer<'a>, &'a Map<'a>),
    /// One buffer for each CPU.
    Perf(&'a Perf),
}

impl<'a> Reader<'a> {
    /// Reads the ring buffer `map`; every sample goes to `each`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn ring(map: &'a Map<'a>, mut each: impl FnMut(&[u8]) + 'a) -> Result<Self> {
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |sample| {
                each(sample);
                // Anything else would stop the reading in the middle.
                0
            })
            .context("reading the ring buffer")?;
        Ok(Reader::Ring(builder.build().context("reading the ring buffer")?, map))
    }

    /// What to poll for: readable when the buffer has filled enough to be worth a wake-up.
    #[must_use]
    pub fn wakes(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Reader::Ring(_, map) => Some(map.as_fd()),
            Reader::Perf(..) => None,
        }
    }

    /// Reads all that is there. Samples of a perf buffer go to `each`; those of a ring buffer go to
    /// where they were sent when it was made.
    ///
    /// # Errors
    /// When the buffer is damaged.
    pub fn drain(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        match self {
            Reader::Ring(ring, _) => ring.consume().context("reading the ring buffer"),
            Reader::Perf(Perf { buffer, batch }) => {
                buffer.poll(Duration::ZERO).or_else(ignore_interrupts).context("reading the perf buffers")?;
                buffer.consume().context("reading the perf buffers")?;
                batch.borrow_mut().drain(each);
                Ok(())
            }
        }
    }
}

fn ignore_interrupts(error: libbpf_rs::Error) -> libbpf_rs::Result<()> {
    if error.kind() == libbpf_rs::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

impl std::fmt::Debug for Perf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Perf")
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reader::Ring(..) => "Ring",
            Reader::Perf(..) => "Perf",
        })
    }
}
