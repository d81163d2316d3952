//! `--heartbeat`: coretrace periodically does what it watches for, and reports when the event is missing or late.

use std::collections::VecDeque;
use std::fmt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::event::Head;
use crate::report::note;

/// An event is on the screen within 50 ms; one that takes this long is late.
const LATE: Duration = Duration::from_secs(1);

/// How many ended processes are remembered.
const ENDED: usize = 64;
/// How many heartbeats may be outstanding.
const WAITING: usize = 64;

/// Does what a tracer watches for; returns the process that it started, if any.
pub type Beat = Box<dyn FnMut() -> Result<Option<Child>>>;

/// The heartbeats of a tracer.
pub struct Heartbeat {
    /// The tracer's name, if a run has several tracers; else empty.
    of: String,
    /// A mask of kinds of events: those in which a heartbeat arrives.
    kinds: u64,
    every: Duration,
    beat: Beat,
    next: Instant,
    /// Outstanding heartbeats, the oldest first.
    outstanding: VecDeque<Outstanding>,
    children: Vec<Child>,
    /// Heartbeat processes that have ended, and when: their events may still be in the buffer.
    ended: VecDeque<(u32, u64)>,
    sent: u64,
    arrived: u64,
    slowest: Duration,
    /// Sending one failed: no more are tried.
    stopped: bool,
    /// CMD, and since when it is watched: before that, its process was coretrace's own.
    pub command: Option<(u32, u64)>,
}

/// A heartbeat that has not arrived.
struct Outstanding {
    number: u64,
    since: Instant,
    /// By the clock of events.
    boot_ns: u64,
    reported: bool,
}

impl Heartbeat {
    /// One immediately, and then one per period.
    pub fn new(every: Duration, kinds: u64, beat: Beat) -> Self {
        Heartbeat {
            of: String::new(),
            kinds,
            every,
            beat,
            next: Instant::now(),
            outstanding: VecDeque::new(),
            children: Vec::new(),
            ended: VecDeque::new(),
            sent: 0,
            arrived: 0,
            slowest: Duration::ZERO,
            stopped: false,
            command: None,
        }
    }

    /// Names the tracer, in a run of several.
    #[must_use]
    pub fn of(self, tracer: &str) -> Self {
        Heartbeat { of: format!(" of {tracer}"), ..self }
    }

    /// Sends a heartbeat when it is time, and reports late ones.
    pub fn tick(&mut self, now: Instant) {
        let ended = &mut self.ended;
        self.children.retain_mut(|child| {
            let runs = matches!(child.try_wait(), Ok(None));
            if !runs {
                ended.truncate(ENDED - 1);
                ended.push_front((child.id(), crate::host::clock::boot_now()));
            }
            runs
        });
        if let Some(one) =
            self.outstanding.back_mut().filter(|one| !one.reported && now.duration_since(one.since) > LATE)
        {
            one.reported = true;
            let (n, seconds) = (one.number, now.duration_since(one.since).as_secs_f64());
            let of = &self.of;
            note(&format!(
                "heartbeat {n}{of} has not arrived for {seconds:.1} s: events are late, or do not come at all"
            ));
        }
        // Not before it is known whether the last one is late.
        let is_waiting = self.outstanding.back().is_some_and(|one| !one.reported);
        if now < self.next || is_waiting || self.stopped {
            return;
        }
        self.next = now + self.every;
        if self.outstanding.len() == WAITING {
            self.outstanding.pop_front();
        }
        self.sent += 1;
        // Taken before the beat, so that its event is not older.
        self.outstanding.push_back(Outstanding {
            number: self.sent,
            since: now,
            boot_ns: crate::host::clock::boot_now(),
            reported: false,
        });
        match (self.beat)() {
            Ok(child) => self.children.extend(child),
            Err(error) => {
                note(&format!("no heartbeats{} from here on: {error:#}", self.of));
                self.stopped = true;
            }
        }
    }

    /// Whether an event of this kind is coretrace's own, and so not shown.
    pub fn takes(&mut self, kind: u32, head: &Head) -> bool {
        if self.command.is_some_and(|(pid, since)| head.pid == pid && head.boot_ns < since) {
            return true;
        }
        let own = head.heartbeat
            || head.pid == std::process::id()
            || self.children.iter().any(|child| child.id() == head.pid)
            || self.ended.iter().any(|(pid, until)| head.pid == *pid && head.boot_ns <= *until);
        if !own || self.kinds & 1_u64.checked_shl(kind).unwrap_or(0) == 0 {
            return own;
        }
        // It belongs to the last one sent before it; older ones will not arrive any more.
        let older = self.outstanding.partition_point(|one| one.boot_ns <= head.boot_ns);
        if let Some(one) = self.outstanding.drain(..older).next_back() {
            let after = one.since.elapsed();
            self.slowest = self.slowest.max(after);
            self.arrived += 1;
            if one.reported {
                note(&format!("heartbeat {}{} came after {:.1} s", one.number, self.of, after.as_secs_f64()));
            }
        }
        true
    }

    /// How many did not arrive. The last, if sent just now, may still be on its way and does not count.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let on_its_way = !self.stopped && self.outstanding.back().is_some_and(|one| one.since.elapsed() < LATE);
        self.sent - self.arrived - u64::from(on_its_way)
    }
}

/// `heartbeats: 12 sent, 12 arrived, the slowest after 0.04 s`
impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heartbeat { of, sent, arrived, slowest, .. } = self;
        write!(f, "heartbeats{of}: {sent} sent, {arrived} arrived, the slowest after {:.2} s", slowest.as_secs_f64())
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat({self})")
    }
}

/// A process that begins, runs a program and ends: coretrace itself, printing its version to /dev/null.
///
/// # Errors
/// When no process can be started.
pub(crate) fn process() -> Result<Option<Child>> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("starting a process (is /proc mounted?)").map(Some)
}

/// A thread that begins and ends.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn thread() -> Result<Option<Child>> {
    let thread = std::thread::Builder::new().spawn(|| ()).context("starting a thread")?;
    let _ = thread.join();
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pid: u32, boot_ns: u64) -> Head {
        Head { pid, boot_ns, ..Head::default() }
    }

    #[test]
    fn what_does_not_arrive_is_missing() {
        let own = std::process::id();
        let mut heart = Heartbeat::new(Duration::from_secs(10), 1, Box::new(|| Ok(None)));
        let begin = heart.next;
        heart.tick(begin);
        assert_eq!((heart.sent, heart.missing()), (1, 0));
        assert!(!heart.takes(0, &event(own + 1, u64::MAX)), "another process");
        assert!(heart.takes(0, &event(own, 0)) && heart.outstanding.len() == 1, "from before");
        assert!(heart.takes(0, &event(own, u64::MAX)) && heart.outstanding.is_empty());
        assert!(heart.takes(0, &Head { heartbeat: true, ..event(own + 1, 0) }), "marked in the kernel");
        heart.tick(begin + Duration::from_secs(9));
        assert_eq!((heart.sent, heart.arrived, heart.missing()), (1, 1, 0));
        // The second never arrives; the third, sent just now, does not count yet.
        heart.tick(begin + Duration::from_secs(10));
        heart.tick(begin + Duration::from_secs(12));
        assert!(heart.outstanding.back().is_some_and(|one| one.reported));
        heart.next = Instant::now();
        heart.tick(heart.next);
        assert_eq!((heart.sent, heart.arrived, heart.missing()), (3, 1, 1));
        assert!(heart.to_string().starts_with("heartbeats: 3 sent, 1 arrived"));
        // The late one arrives after all.
        let second = heart.outstanding[0].boot_ns;
        assert!(heart.takes(0, &event(own, second)));
        assert_eq!((heart.arrived, heart.missing()), (2, 0));
    }

    #[test]
    fn the_commands_process_is_coretraces_until_it_is_watched() {
        let mut heart = Heartbeat::new(Duration::from_secs(10), 1, Box::new(|| Ok(None)));
        heart.command = Some((1, 50));
        heart.ended.push_back((3, 70));
        assert!(heart.takes(0, &event(3, 70)) && !heart.takes(0, &event(3, 71)));
        assert!(heart.takes(0, &event(1, 49)) && !heart.takes(0, &event(1, 50)) && !heart.takes(0, &event(2, 49)));
    }

    #[test]
    fn a_heart_that_cannot_beat_stops() {
        let mut heart = Heartbeat::new(Duration::from_secs(1), 1, Box::new(|| anyhow::bail!("no")));
        heart.tick(heart.next);
        heart.tick(heart.next + Duration::from_secs(5));
        assert_eq!((heart.sent, heart.missing()), (1, 1));
    }

    #[test]
    fn both_kinds_of_heartbeats_begin_and_end() {
        assert!(thread().unwrap().is_none());
        let child = process().unwrap().unwrap();
        assert!(child.wait_with_output().is_ok());
    }
}
