//! `-o perfetto`: a trace for Perfetto's user interface (ui.perfetto.dev) and its `trace_processor`.
//!
//! A track for each process, under its parent's, and on it a slice for each program that it ran. Threads and calls
//! (what took some time) have tracks below. What is on a track is in order of time, also where events came late, and its
//! slices are one after the other. What is kept is bounded: packets are written as events come, each as a whole.

mod annotation;
mod lives;
mod losses;
mod message;
mod names;
mod packet;
mod pen;
mod task;

use std::io::{self, Write};

use serde::ser::SerializeMap;

use self::lives::Lives;
use self::losses::{Losses, Range};
use self::packet::{Flow, Mark, Packets, Track, Type};
use self::pen::{Pen, took};
use super::output::{Output, Summary};
use crate::event::total::Totals;
use crate::event::{Event, Head, Life, Lost};

/// Tracks of no process; those of processes have higher numbers.
const CPU_TIME: u64 = 1;
const OTHERS: u64 = 2;
/// The first of the tracks of losses.
const LOST: u64 = 16;

/// Writes a trace.
#[derive(Debug, Default)]
pub struct Perfetto {
    packets: Packets,
    lives: Lives,
    losses: Losses,
    /// From time since boot to time since 1970, as it was written last.
    offset: Option<i64>,
    /// When the first event happened, and the newest one, since boot.
    first_ns: Option<u64>,
    newest_ns: u64,
    /// CPU time of processes that ended.
    cpu_ns: u64,
    /// Whether the tracks of no process were described.
    counts: bool,
    others: bool,
    /// Events of processes for which there was no room.
    left_out: u64,
    path: Vec<u8>,
}

impl Perfetto {
    /// Takes the time of an event.
    fn follow(&mut self, out: &mut dyn Write, head: &Head) -> io::Result<()> {
        self.first_ns.get_or_insert(head.boot_ns);
        self.newest_ns = self.newest_ns.max(head.boot_ns);
        let offset = head.unix_ns.saturating_sub(i64::try_from(head.boot_ns).unwrap_or(i64::MAX));
        self.clock(out, offset)
    }

    /// Writes how far the clocks are from each other, where that is not known yet.
    fn clock(&mut self, out: &mut dyn Write, offset: i64) -> io::Result<()> {
        if self.offset.replace(offset) == Some(offset) {
            return Ok(());
        }
        self.packets.clocks(out, self.newest_ns, offset.saturating_add_unsigned(self.newest_ns))?;
        self.losses.take_early().iter().try_for_each(|lost| self.loss(out, lost, offset))
    }

    /// Describes a track of no process.
    fn root(&mut self, out: &mut dyn Write, at: u64, uuid: u64, name: &str) -> io::Result<()> {
        let (merged, counter) = (uuid >= LOST, uuid == CPU_TIME);
        self.packets.describe(out, at, &Track { uuid, parent: None, name: format_args!("{name}"), merged, counter })
    }

    /// What has no track of its own: it was done by no process, or by one that is not kept.
    fn other(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        self.left_out += u64::from(event.head.pid != 0);
        let at = self.newest_ns;
        if !std::mem::replace(&mut self.others, true) {
            self.root(out, at, OTHERS, "by no process that is kept")?;
        }
        Pen { packets: &mut self.packets, out, path: &mut self.path }.other(at, OTHERS, event)
    }

    /// Adds up the CPU time of processes that ended: how steep it is says how many CPUs they had.
    fn count(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        let Some(cpu_ns) = took(event, "cpu") else { return Ok(()) };
        let at = self.newest_ns;
        if !std::mem::replace(&mut self.counts, true) {
            self.root(out, at, CPU_TIME, "CPU time of processes that ended")?;
            self.packets.count(out, self.first_ns.unwrap_or(at), CPU_TIME, self.cpu_ns)?;
        }
        self.cpu_ns = self.cpu_ns.saturating_add(cpu_ns);
        self.packets.count(out, at, CPU_TIME, self.cpu_ns)
    }

    fn loss(&mut self, out: &mut dyn Write, lost: &Lost, offset: i64) -> io::Result<()> {
        let noticed = u64::try_from(lost.unix_ns.saturating_sub(offset)).unwrap_or(0);
        let Range { lane, is_new, begin, end } =
            self.losses.range(noticed, self.first_ns.unwrap_or(noticed), self.newest_ns);
        let track = LOST + lane as u64;
        if is_new {
            self.root(out, begin, track, "lost events")?;
        }
        let name = format_args!("lost: {}", lost.class);
        let mark = Mark { of: Type::Begin, track, name: Some(("lost", &name)), flow: Flow::None };
        self.packets.mark(out, begin, &mark, |map| {
            map.serialize_entry("class", &lost.class)?;
            map.serialize_entry("cause", lost.cause)?;
            map.serialize_entry("count", &lost.count)?;
            map.serialize_entry("cpu", &lost.cpu)
        })?;
        self.packets.mark(out, end, &Mark { of: Type::End, name: None, ..mark }, |_| Ok(()))
    }
}

impl Output for Perfetto {
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.packets.restart();
        self.losses.restart();
        (self.counts, self.others) = (false, false);
        let Some(offset) = self.offset.take() else { return Ok(()) };
        self.clock(out, offset)?;
        let mut pen = Pen { packets: &mut self.packets, out, path: &mut self.path };
        self.lives.restart(&mut pen, self.newest_ns)
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        self.follow(out, &event.head)?;
        let mut pen = Pen { packets: &mut self.packets, out, path: &mut self.path };
        if event.head.pid == 0 || !self.lives.take(&mut pen, event)? {
            return self.other(out, event);
        }
        if event.kind.life == Some(Life::End) { self.count(out, event) } else { Ok(()) }
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        match self.offset {
            Some(offset) => self.loss(out, lost, offset),
            None => {
                self.losses.keep(lost);
                Ok(())
            }
        }
    }

    /// There are none: what is added up in the kernel has no place in time, and is refused before.
    fn totals(&mut self, _: &mut dyn Write, _: &Totals, _: i64) -> io::Result<()> {
        Ok(())
    }

    fn began(&mut self, boot_ns: u64) {
        self.lives.began(boot_ns);
    }

    fn end(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        // Losses alone: their times are of the wall clock.
        if self.offset.is_none() {
            self.clock(out, 0)?;
        }
        // What runs on does so until the end of the run.
        let at = self.newest_ns.max(summary.over_ns.unwrap_or(0));
        let mut pen = Pen { packets: &mut self.packets, out, path: &mut self.path };
        self.lives.end(&mut pen, at)?;
        if self.left_out == 0 {
            return Ok(());
        }
        let name = "not on tracks of their own, as there are too many processes at once";
        let mark = Mark { of: Type::Instant, track: OTHERS, name: Some(("missing", &name)), flow: Flow::None };
        self.packets.mark(out, at, &mark, |map| map.serialize_entry("count", &self.left_out))
    }
}
