//! Where cgroups of version 1 tell containers apart: which of them a process is in, as /proc says.
//!
//! An event has the id of the cgroup of version 2 alone. There, processes of all containers may be in one, the root.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cache::MOST;
use crate::host::containers::process_path;

/// How long what /proc said of a process is taken to be so: it may have been moved meanwhile.
const FRESH: Duration = Duration::from_millis(100);

/// Places of processes: numbers that stand for paths, which no cgroup of version 2 has.
#[derive(Debug)]
pub(super) struct Processes {
    /// None: they are those of a recording.
    proc: Option<PathBuf>,
    /// None: it had ended before it could be looked at, and nothing was known of its parent.
    known: HashMap<u32, (Option<u64>, Instant)>,
    places: HashMap<Box<[u8]>, u64>,
    /// The next of them.
    next: u64,
    /// The processes of which something new is known.
    pub(super) fresh: Vec<u32>,
}

impl Processes {
    /// Of the host whose `/` is at `root`.
    pub(super) fn new(root: Option<&Path>) -> Self {
        let proc = root.map(|root| root.join("proc"));
        Processes { proc, known: HashMap::new(), places: HashMap::new(), next: u64::MAX, fresh: Vec::new() }
    }

    /// Looks where a process is, if that is not known or may be out of date (`moved`: it surely is).
    pub(super) fn look_up(&mut self, pid: u32, ppid: u32, moved: bool) {
        // What no process did has none.
        let Some(proc) = self.proc.as_deref().filter(|_| pid != 0) else { return };
        let now = Instant::now();
        let known = self.known.get(&pid).copied();
        if known.is_some_and(|(_, since)| !moved && now.duration_since(since) < FRESH) {
            return;
        }
        let place = match process_path(proc, pid) {
            Some(path) => Some(self.place_of(path)),
            // It has ended: it was where it was last, or where its parent is.
            None => known.and_then(|(place, _)| place).or_else(|| self.place(ppid)),
        };
        self.put(pid, place, now);
    }

    fn place_of(&mut self, path: Box<[u8]>) -> u64 {
        if let Some(place) = self.places.get(&path) {
            return *place;
        }
        if self.places.len() >= MOST {
            self.places.clear();
        }
        self.next -= 1;
        self.places.insert(path, self.next);
        self.next
    }

    /// The path of a place.
    pub(super) fn path(&self, place: u64) -> Option<&[u8]> {
        self.places.iter().find(|(_, of)| **of == place).map(|(path, _)| &**path)
    }

    fn put(&mut self, pid: u32, place: Option<u64>, now: Instant) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let before = self.known.insert(pid, (place, now)).and_then(|(place, _)| place);
        if before != place {
            self.fresh.push(pid);
        }
    }

    /// Adopts what a recording has.
    pub(super) fn adopt(&mut self, pid: u32, place: u64) {
        self.put(pid, Some(place), Instant::now());
        // It is no news.
        self.fresh.clear();
    }

    /// The place of a process, if it is known.
    pub(super) fn place(&self, pid: u32) -> Option<u64> {
        self.known.get(&pid).and_then(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn a_process_is_where_it_was_or_where_its_parent_is() {
        let tree = Tree::new();
        tree.file("proc/7/cgroup", "1:pids:/docker/a\n");
        let mut processes = Processes::new(Some(tree.root()));
        processes.look_up(7, 1, false);
        let place = processes.place(7).expect("it is there");
        assert_eq!((processes.path(place), &processes.fresh[..]), (Some(&b"/docker/a"[..]), &[7][..]));
        // It is not asked again at once, but where it has surely been moved.
        tree.file("proc/7/cgroup", "1:pids:/docker/b\n");
        processes.look_up(7, 1, false);
        assert_eq!(processes.place(7), Some(place));
        processes.look_up(7, 1, true);
        let moved = processes.place(7).filter(|other| *other != place).expect("it is elsewhere");
        assert_eq!(processes.path(moved), Some(&b"/docker/b"[..]));
        // What has ended.
        tree.remove("proc/7");
        processes.look_up(7, 1, true);
        processes.look_up(8, 7, false);
        processes.look_up(9, 1, false);
        assert_eq!([7, 8, 9, 0].map(|pid| processes.place(pid)), [Some(moved), Some(moved), None, None]);
        assert_eq!(processes.fresh, [7, 7, 8]);
    }
}
