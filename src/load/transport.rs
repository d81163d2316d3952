//! The reading end of the `events` buffer: the same for ring buffer and perf buffer.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapHandle, RingBuffer, RingBufferBuilder};

use crate::event::CAUSES;
use crate::ffi::counters::MappedCounters;
use crate::ffi::perf::CpuBuffer;
use crate::host::clock::boot_now;
use crate::host::{online_cpus, possible_cpus};

/// Samples of one drain of a perf buffer, sorted by time: each CPU has its own buffer, and unsorted, a child would be
/// seen before its fork.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Time of each sample, and its place in `bytes`.
    samples: Vec<(u64, std::ops::Range<usize>)>,
    /// Where samples that are held back are moved to.
    kept: Vec<u8>,
}

impl Batch {
    fn add(&mut self, sample: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(sample);
        // Every event starts with its time (struct event_head).
        let time = sample.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
        self.samples.push((time, start..self.bytes.len()));
    }

    /// Passes on what happened before `until`; the rest waits for samples of that time from other CPUs.
    fn drain(&mut self, until: u64, each: &mut dyn FnMut(&[u8])) {
        self.samples.sort_by_key(|(time, _)| *time);
        let due = self.samples.partition_point(|(time, _)| *time < until);
        for (_, range) in self.samples.drain(..due) {
            each(self.bytes.get(range).unwrap_or_default());
        }
        // Only what is held back stays: under load there is always some.
        self.kept.clear();
        for (_, range) in &mut self.samples {
            let start = self.kept.len();
            self.kept.extend_from_slice(self.bytes.get(range.clone()).unwrap_or_default());
            *range = start..self.kept.len();
        }
        std::mem::swap(&mut self.bytes, &mut self.kept);
    }
}

/// The perf buffers of all CPUs. They must exist before the first event: until then the kernel has nowhere to put one.
pub struct Perf {
    pages: usize,
    cpus: RefCell<Vec<Cpu>>,
    batch: Rc<RefCell<Batch>>,
    looked: RefCell<Instant>,
}

/// The buffer of a CPU.
#[derive(Default)]
struct Cpu {
    /// None while the CPU is offline.
    buffer: Option<CpuBuffer>,
    /// The CPU went offline: the kernel has detached the buffer, and does not attach it again when the CPU comes back
    /// (kernel/events/core.c: perf_event_exit_cpu_context).
    was_off: bool,
    /// How many events had been lost for lack of a buffer when it was opened.
    lost: u64,
}

/// `DROP_CPU_OFFLINE` in event.bpf.h.
const CPU_OFFLINE: usize = {
    let mut at = 0;
    while !crate::ffi::skeleton::same(CAUSES[at], "cpu_offline") {
        at += 1;
    }
    at
};

impl Perf {
    /// Opens those of the map `events`, with this many pages (a power of two) for each CPU.
    ///
    /// # Errors
    /// When they cannot be opened or mapped.
    pub fn open(events: &impl MapCore, pages: usize) -> Result<Self> {
        let cpus = std::iter::repeat_with(Cpu::default).take(possible_cpus()? as usize).collect();
        let (cpus, looked) = (RefCell::new(cpus), RefCell::new(Instant::now()));
        let perf = Perf { pages, cpus, batch: Rc::default(), looked };
        for cpu in online_cpus() {
            let buffer = perf.buffer(events, cpu);
            // A CPU that goes offline now has none, like all that are offline.
            if buffer.is_ok() || online_cpus().contains(&cpu) {
                let buffer = buffer.context("making the perf buffers (memory for them is limited: see ulimit -l)")?;
                if let Some(cpu) = perf.cpus.borrow_mut().get_mut(cpu as usize) {
                    cpu.buffer = Some(buffer);
                }
            }
        }
        Ok(perf)
    }

    fn buffer(&self, events: &impl MapCore, cpu: u32) -> std::io::Result<CpuBuffer> {
        let into = Rc::clone(&self.batch);
        CpuBuffer::open(events, cpu, self.pages, Box::new(move |sample| into.borrow_mut().add(sample)))
    }

    /// Opens the buffers of CPUs that have come online, or back online.
    fn revive(&self, events: &impl MapCore, counters: &MappedCounters) -> Result<()> {
        /// A CPU may go offline and come back between two checks: the count of events without a buffer shows it.
        const LOOK: Duration = Duration::from_secs(1);
        let mut cpus = self.cpus.borrow_mut();
        let look = self.looked.borrow().elapsed() >= LOOK;
        let lost = |at: usize| counters.lost_on(at, CPU_OFFLINE);
        if !look && cpus.iter().enumerate().all(|(at, cpu)| lost(at) == cpu.lost) {
            return Ok(());
        }
        *self.looked.borrow_mut() = Instant::now();
        let online = online_cpus();
        for (at, cpu) in (0_u32..).zip(cpus.iter_mut()) {
            let on = online.contains(&at);
            let anew = on && (cpu.buffer.is_none() || cpu.was_off || lost(at as usize) != cpu.lost);
            cpu.was_off |= !on;
            if !anew {
                continue;
            }
            // Reads what the old buffer still has. While there is no buffer, events are counted as lost.
            cpu.buffer.as_ref().map_or(Ok(()), CpuBuffer::consume).context("reading the perf buffers")?;
            cpu.buffer = None;
            match self.buffer(events, at) {
                Ok(buffer) => *cpu = Cpu { buffer: Some(buffer), was_off: false, lost: lost(at as usize) },
                // Offline again, or out of memory: the next check retries, and losses are reported.
                Err(_) => cpu.lost = lost(at as usize),
            }
        }
        Ok(())
    }

    fn consume(&self) -> Result<()> {
        let cpus = self.cpus.borrow();
        let mut buffers = cpus.iter().filter_map(|cpu| cpu.buffer.as_ref());
        buffers.try_for_each(CpuBuffer::consume).context("reading the perf buffers")
    }
}

/// The reading end.
pub enum Reader<'a> {
    /// One buffer, in order.
    Ring(RingBuffer<'a>, &'a MapHandle),
    /// One buffer for each CPU.
    Perf(&'a Perf, &'a MapHandle, &'a MappedCounters),
}

impl<'a> Reader<'a> {
    /// Reads the ring buffer `map`; every sample goes to `each`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn ring(map: &'a MapHandle, mut each: impl FnMut(&[u8]) + 'a) -> Result<Self> {
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |sample| {
                each(sample);
                // Any other return value would stop the reading in the middle.
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

    /// Reads what is there, for at most a few milliseconds; returns whether that was all. Samples of a perf buffer go
    /// to `each`; those of a ring buffer go to the callback given when it was made. `last`: no more samples will come,
    /// so nothing is held back.
    ///
    /// # Errors
    /// When the buffer is damaged.
    pub fn drain(&self, last: bool, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
        /// Without a limit, a buffer that fills as fast as it is read would keep the run from everything else.
        const AT_ONCE: i32 = 512;
        match self {
            Reader::Ring(ring, _) => match ring.consume_raw_n(AT_ONCE as usize) {
                error if error < 0 => Err(std::io::Error::from_raw_os_error(-error)).context("reading the ring buffer"),
                read => Ok(read < AT_ONCE),
            },
            Reader::Perf(perf, events, counters) => {
                let until = if last { u64::MAX } else { boot_now() };
                if !last {
                    perf.revive(*events, counters)?;
                }
                perf.consume()?;
                perf.batch.borrow_mut().drain(until, each);
                Ok(true)
            }
        }
    }
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
        let mut read = Vec::new();
        for time in [30_u64, 10, 50] {
            batch.add(&time.to_ne_bytes());
        }
        batch.drain(40, &mut |sample| read.push(sample.to_vec()));
        // From another CPU, read later, and older than what was held back.
        batch.add(&45_u64.to_ne_bytes());
        batch.drain(u64::MAX, &mut |sample| read.push(sample.to_vec()));
        assert_eq!(read, [10_u64, 30, 45, 50].map(|time| time.to_ne_bytes().to_vec()));
        assert!(batch.bytes.is_empty());
    }

    #[test]
    fn what_is_held_back_is_all_that_is_kept() {
        let (mut batch, mut read) = (Batch::default(), 0_u64);
        let sample = |time: u64| [time.to_ne_bytes().as_slice(), &[7; 92]].concat();
        for time in 0..10_000 {
            // Under load there is always one newer than the reading.
            batch.add(&sample(2 * time));
            batch.add(&sample(2 * time + 1));
            batch.drain(2 * time + 1, &mut |delivered| {
                assert_eq!(delivered, sample(read));
                read += 1;
            });
            assert_eq!(batch.samples.len(), 1);
            assert_eq!(batch.bytes, sample(2 * time + 1));
        }
        assert!(batch.bytes.capacity().max(batch.kept.capacity()) < 1000, "memory that grows without end");
    }
}
