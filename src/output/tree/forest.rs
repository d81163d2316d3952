//! The tree of the processes that have ended, in bounded memory: where they become too many, what is below others is
//! counted there.

use std::collections::{HashMap, HashSet};

use crate::output::processes::Process;

/// What is at the top above each.
#[derive(Default)]
struct Tops {
    /// What is above it, as far up as is known.
    above: HashMap<u64, u64>,
}

impl Tops {
    /// What is at the top above that. The way there is short the next time.
    fn of(&mut self, id: u64) -> u64 {
        let mut way = Vec::new();
        let mut top = id;
        while let Some(above) = self.above.get(&top) {
            way.push(std::mem::replace(&mut top, *above));
        }
        self.above.extend(way.into_iter().map(|id| (id, top)));
        top
    }
}

pub(super) struct Forest {
    most: usize,
    processes: HashMap<u64, Process>,
    /// By their parents; without a parent, of 0.
    children: HashMap<u64, Vec<u64>>,
    /// How many more there were below a process.
    more: HashMap<u64, u64>,
    pub(super) left_out: u64,
}

impl Forest {
    pub(super) fn new(most: usize) -> Self {
        Forest { most, processes: HashMap::new(), children: HashMap::new(), more: HashMap::new(), left_out: 0 }
    }

    /// Adds a process that has ended; its children mostly have before.
    pub(super) fn add(&mut self, process: Process) {
        let (id, parent) = (process.id, process.parent.unwrap_or(0));
        if self.processes.len() >= self.most {
            let (cut, more) = self.cut_below(id);
            if cut == 0 {
                self.left_out += 1;
                let more = 1 + self.more.remove(&id).unwrap_or(0);
                *self.more.entry(parent).or_default() += more;
                return;
            }
            self.left_out += cut;
            *self.more.entry(id).or_default() += cut + more;
        }
        self.children.entry(parent).or_default().push(id);
        self.processes.insert(id, process);
    }

    /// Forgets all that is below a process; returns how many that are, and how many more there were below these.
    fn cut_below(&mut self, id: u64) -> (u64, u64) {
        let (mut cut, mut more) = (0, 0);
        let mut rest = self.children.remove(&id).unwrap_or_default();
        while let Some(id) = rest.pop() {
            cut += u64::from(self.processes.remove(&id).is_some());
            more += self.more.remove(&id).unwrap_or(0);
            rest.extend(self.children.remove(&id).unwrap_or_default());
        }
        (cut, more)
    }

    /// Puts those whose parent came after them, or had ended, below it: the last of its number to begin that was there when
    /// they were first heard of.
    pub(super) fn link(&mut self) {
        let mut by_pid: HashMap<u32, Vec<u64>> = HashMap::new();
        self.processes.values().for_each(|process| by_pid.entry(process.pid).or_default().push(process.id));
        let mut tops = Tops::default();
        for process in self.processes.values() {
            tops.above.extend(process.parent.map(|parent| (process.id, parent)));
        }
        let mut alone = self.children.remove(&0).unwrap_or_default();
        alone.sort_unstable();
        for id in alone {
            let parent = self.get(id).and_then(|process| self.parent_of(process, &by_pid));
            // What is said of them may contradict itself: none is above itself.
            let parent = parent.filter(|parent| tops.of(*parent) != id);
            tops.above.extend(parent.map(|parent| (id, parent)));
            self.children.entry(parent.unwrap_or(0)).or_default().push(id);
            if let Some(process) = self.processes.get_mut(&id) {
                process.parent = parent;
            }
        }
    }

    fn parent_of(&self, process: &Process, by_pid: &HashMap<u32, Vec<u64>>) -> Option<u64> {
        let of_number = by_pid.get(&process.ppid)?.iter().filter_map(|id| self.get(*id));
        let there = of_number.filter(|parent| parent.id != process.id && parent.was_there(process.first_ns));
        there.max_by_key(|parent| (parent.start_ns(), parent.id)).map(|parent| parent.id)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Process> {
        self.processes.get(&id)
    }

    /// Those whose parent is not in the tree, in the order in which they came.
    pub(super) fn roots(&self) -> Vec<u64> {
        let in_tree = |process: &&Process| process.parent.is_some_and(|parent| self.processes.contains_key(&parent));
        let mut roots: Vec<u64> =
            self.processes.values().filter(|process| !in_tree(process)).map(|process| process.id).collect();
        roots.sort_unstable();
        roots
    }

    /// The children of a process, in the order in which they came.
    pub(super) fn children(&self, id: u64) -> Vec<u64> {
        let mut children = self.children.get(&id).cloned().unwrap_or_default();
        children.sort_unstable();
        children
    }

    /// How many more were below it.
    pub(super) fn more(&self, id: u64) -> u64 {
        self.more.get(&id).copied().unwrap_or(0)
    }

    /// Whether there is nothing below it.
    pub(super) fn is_leaf(&self, id: u64) -> bool {
        !self.children.contains_key(&id) && self.more(id) == 0
    }

    /// The longest chain of waiting: of the processes for which no parent waited (as it ended before) the one that lived
    /// longest, of the children that it outlived the one that lived longest, and so on.
    pub(super) fn longest_chain(&self) -> Vec<u64> {
        let outlived = |process: &&Process| {
            let parent = process.parent.and_then(|parent| self.get(parent));
            parent.is_some_and(|parent| parent.outlived(process))
        };
        let mut next = longest(self.processes.values().filter(|process| !outlived(process)));
        let (mut chain, mut seen) = (Vec::new(), HashSet::new());
        while let Some(process) = next.filter(|process| seen.insert(process.id)) {
            chain.push(process.id);
            let children = self.children.get(&process.id).into_iter().flatten();
            next = longest(children.filter_map(|id| self.get(*id)).filter(outlived));
        }
        chain
    }
}

/// The one that lived longest, and came first of those.
fn longest<'a>(all: impl Iterator<Item = &'a Process>) -> Option<&'a Process> {
    all.max_by_key(|process| (process.lived_ns(), std::cmp::Reverse(process.id)))
}
