//! The reading end of the `events` buffer: ring buffer or perf buffer, the same to whom reads.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{Map, PerfBuffer, PerfBufferBuilder, RingBuffer, RingBufferBuilder};

use crate::enrich::boot_now;

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

    /// Hands on what happened before `until`; the rest waits for what other CPUs have of that time.
    fn drain(&mut self, until: u64, each: &mut dyn FnMut(&[u8])) {
        self.samples.sort_by_key(|(time, _)| *time);
        let ripe = self.samples.partition_point(|(time, _)| *time < until);
        for (_, range) in self.samples.drain(..ripe) {
            each(self.bytes.get(range).unwrap_or_default());
        }
        if self.samples.is_empty() {
            self.bytes.clear();
        }
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

    /// Reads what is there, but no more at once than a few milliseconds' worth; tells whether that was all. Samples of
    /// a perf buffer go to `each`; those of a ring buffer go to where they were sent when it was made. `last`: nothing
    /// comes any more, and nothing is to be held back.
    ///
    /// # Errors
    /// When the buffer is damaged.
    pub fn drain(&self, last: bool, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
        /// Without an end, one that fills as fast as it is read would keep the run from everything else.
        const AT_ONCE: i32 = 512;
        match self {
            Reader::Ring(ring, _) => match ring.consume_raw_n(AT_ONCE as usize) {
                error if error < 0 => Err(std::io::Error::from_raw_os_error(-error)).context("reading the ring buffer"),
                read => Ok(read < AT_ONCE),
            },
            Reader::Perf(Perf { buffer, batch }) => {
                let until = if last { u64::MAX } else { boot_now() };
                buffer.poll(Duration::ZERO).or_else(ignore_interrupts).context("reading the perf buffers")?;
                buffer.consume().context("reading the perf buffers")?;
                batch.borrow_mut().drain(until, each);
                Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_all_cpus_come_in_the_order_of_their_times() {
        let mut batch = Batch::default();
        let mut told = Vec::new();
        for time in [30_u64, 10, 50] {
            batch.add(&time.to_ne_bytes());
        }
        batch.drain(40, &mut |sample| told.push(sample.to_vec()));
        // From another CPU, read later, and older than what was held back.
        batch.add(&45_u64.to_ne_bytes());
        batch.drain(u64::MAX, &mut |sample| told.push(sample.to_vec()));
        assert_eq!(told, [10_u64, 30, 45, 50].map(|time| time.to_ne_bytes().to_vec()));
        assert!(batch.bytes.is_empty());
    }
}
