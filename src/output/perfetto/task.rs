//! Processes and threads that have not ended: what is kept of each is of the same size.

use std::collections::HashMap;
use std::fmt;

use arrayvec::ArrayVec;

use super::names::Shown;
use crate::event::Head;

/// How many processes are kept at once, and how many threads beside their first.
pub const MAX: usize = 1 << 16;
/// How many calls of a thread are shown that overlap in the order in which they end.
const LANES: usize = 8;
/// Bits of the number of a track that say which one of a task's it is.
const TRACKS: u32 = 8;

/// A process or a thread.
#[derive(Debug)]
pub struct Task {
    /// In the order in which they came, unlike its number, which may be used again.
    pub id: u64,
    /// The track of its parent, or of its process.
    pub parent: Option<u64>,
    pub pid: u32,
    pub tid: u32,
    /// When the last mark is on its track, since boot.
    last_ns: u64,
    /// What it runs: what its parent did (or its process), so far.
    pub name: Shown,
    pub copy: bool,
    /// Its track was described.
    pub described: bool,
    /// When the slice on its track began that has not ended.
    pub open: Option<u64>,
    /// When the last slice ends on each track of its calls.
    lanes: ArrayVec<u64, LANES>,
}

/// A track of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub track: u64,
    pub is_new: bool,
}

impl Task {
    /// Its track.
    pub fn track(&self) -> u64 {
        self.id << TRACKS
    }

    /// When something is on its track that happened then: what comes late is not before what is there.
    pub fn at(&mut self, boot_ns: u64) -> u64 {
        self.last_ns = self.last_ns.max(boot_ns);
        self.last_ns
    }

    /// A track where nothing is since then, for a slice until then: a call ends after those that it made, which are on
    /// other tracks therefore.
    pub fn lane(&mut self, begin: u64, end: u64) -> Option<Lane> {
        let free = self.lanes.iter().position(|last| *last <= begin);
        let number = free.unwrap_or(self.lanes.len());
        match self.lanes.get_mut(number) {
            Some(last) => *last = end,
            None => self.lanes.try_push(end).ok()?,
        }
        Some(Lane { track: self.track() + 1 + number as u64, is_new: free.is_none() })
    }

    /// It has this name from here on.
    pub fn rename(&mut self, name: &[u8]) {
        let name = Shown::new(name);
        self.described &= self.name == name && !self.copy;
        (self.name, self.copy) = (name, false);
    }

    /// What is shown of it is in another file from here on.
    pub fn restart(&mut self) {
        self.described = false;
        self.lanes.clear();
    }
}

/// What its slice is called.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.copy {
            false => "",
            true if self.tid == self.pid => "fork of ",
            true => "thread of ",
        };
        write!(f, "{of}{}", self.name)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Tasks {
    processes: HashMap<u32, Task>,
    threads: HashMap<u32, Task>,
    /// How many came.
    count: u64,
    /// For how many there was no room.
    refused: u64,
    /// Threads that are gone with their process.
    gone: Vec<Task>,
}

impl Default for Tasks {
    fn default() -> Self {
        /// Tables that are nearly empty would grow now and then all the same, as processes come and go.
        const FEW: usize = 256;
        let tasks = || HashMap::with_capacity(FEW);
        Tasks { processes: tasks(), threads: tasks(), count: 0, refused: 0, gone: Vec::new() }
    }
}

impl Tasks {
    /// A process that has not ended.
    pub fn process(&mut self, pid: u32) -> Option<&mut Task> {
        self.processes.get_mut(&pid)
    }

    /// A process that was not known; None: there is no room for it.
    pub fn add_process(&mut self, head: &Head, parent: u32) -> Option<&mut Task> {
        make_room(&mut self.processes, &mut self.refused)?;
        let parent = self.processes.get(&parent).map(Task::track);
        let task = self.new_task(&Head { tid: head.pid, ..*head }, parent);
        Some(self.processes.entry(head.pid).insert_entry(task).into_mut())
    }

    /// The thread of an event: of a process, its first.
    pub fn thread(&mut self, head: &Head) -> Option<&mut Task> {
        if head.tid == head.pid { self.process(head.pid) } else { self.threads.get_mut(&head.tid) }
    }

    /// A thread of a process that is known.
    pub fn add_thread(&mut self, head: &Head) -> Option<&mut Task> {
        make_room(&mut self.threads, &mut self.refused)?;
        let parent = self.processes.get(&head.pid).map(Task::track);
        let task = self.new_task(head, parent);
        Some(self.threads.entry(head.tid).insert_entry(task).into_mut())
    }

    fn new_task(&mut self, head: &Head, parent: Option<u64>) -> Task {
        self.count += 1;
        Task {
            id: self.count,
            parent,
            pid: head.pid,
            tid: head.tid,
            last_ns: 0,
            name: Shown::new(head.comm()),
            copy: false,
            described: false,
            open: None,
            lanes: ArrayVec::new(),
        }
    }

    pub fn remove_process(&mut self, pid: u32) -> Option<Task> {
        self.processes.remove(&pid)
    }

    pub fn remove_thread(&mut self, tid: u32) -> Option<Task> {
        self.threads.remove(&tid)
    }

    /// The threads of a process, which are gone, in the order in which they came.
    pub fn remove_threads(&mut self, pid: u32) -> impl Iterator<Item = Task> {
        // All are looked at: few processes have any when they end.
        self.gone.extend(self.threads.extract_if(|_, thread| thread.pid == pid).map(|(_, thread)| thread));
        self.gone.sort_unstable_by_key(|thread| thread.id);
        self.gone.drain(..)
    }

    /// All, in the order in which they came.
    pub fn all(&mut self) -> Vec<&mut Task> {
        let mut all: Vec<&mut Task> = self.processes.values_mut().chain(self.threads.values_mut()).collect();
        all.sort_unstable_by_key(|task| task.id);
        all
    }
}

/// Where there are too many, those that were only heard of are no longer kept: they may have ended.
fn make_room(tasks: &mut HashMap<u32, Task>, refused: &mut u64) -> Option<()> {
    /// All are looked at, which is not done for each that is refused.
    const SELDOM: u64 = 1024;
    if tasks.len() >= MAX {
        if refused.is_multiple_of(SELDOM) {
            tasks.retain(|_, task| task.open.is_some());
        }
        *refused += u64::from(tasks.len() >= MAX);
    }
    (tasks.len() < MAX).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_overlap_are_on_tracks_of_their_own() {
        let mut tasks = Tasks::default();
        let task = tasks.add_process(&Head { pid: 7, tid: 7, ..Head::default() }, 1).unwrap();
        let mut lane = |begin, end| task.lane(begin, end).map(|lane| (lane.track - (1 << TRACKS), lane.is_new));
        assert_eq!(lane(2, 3), Some((1, true)));
        assert_eq!(lane(3, 4), Some((1, false)), "one after the other");
        assert_eq!(lane(1, 5), Some((2, true)), "it has called both");
        assert_eq!((lane(5, 6), lane(5, 7)), (Some((1, false)), Some((2, false))));
        assert_eq!((0..LANES).filter_map(|_| lane(0, 9)).count(), LANES - 2);
    }

    #[test]
    fn those_that_were_only_heard_of_make_room() {
        let mut tasks = Tasks::default();
        let head = |pid| Head { pid, tid: pid, ..Head::default() };
        let last = u32::try_from(MAX).unwrap();
        (1..=last).for_each(|pid| tasks.add_process(&head(pid), 0).unwrap().open = (pid == 1).then_some(1));
        assert!(tasks.add_process(&head(last + 1), 1).is_some_and(|task| task.parent == Some(1 << TRACKS)));
        assert!(tasks.process(2).is_none() && tasks.process(1).is_some());
        tasks.all().into_iter().for_each(|task| task.open = Some(1));
        (3..=last).for_each(|pid| tasks.add_process(&head(pid), 0).unwrap().open = Some(1));
        assert!(tasks.add_process(&head(2), 0).is_none(), "all run");
    }
}
