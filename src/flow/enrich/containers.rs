//! What is known of the cgroups that events came from: containers and units.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::cache::MOST;
use super::chosen::{Chosen, Verdict};
use super::worker::{STUCK, Worker};
use crate::host::containers::{Container, Files, containers, units};

/// When a container that no file names is looked for again: runtimes make its cgroup and its files one after the other.
const AGAIN: Duration = Duration::from_millis(100);

/// What is known of a cgroup.
#[derive(Debug, Default)]
pub(super) struct About {
    /// Its path.
    pub path: Option<Box<[u8]>>,
    /// The innermost of systemd's units.
    pub unit: Option<Box<[u8]>>,
    /// The outermost first.
    pub containers: Vec<Container>,
    /// There is no more to find.
    pub sure: bool,
    /// What becomes of its events.
    pub verdict: Verdict,
    state: State,
}

/// How far it is known.
#[derive(Debug, Default)]
enum State {
    /// As far as can be.
    #[default]
    Known,
    /// Files are looked at, since then.
    Asked { since: Instant, again: bool },
    /// They are to be looked at again, then.
    Again(Instant),
}

/// A cgroup, and its path.
type Question = (u64, Box<[u8]>);
/// The cgroup, and the containers that its path leads through.
type Answer = (u64, Vec<Container>);

fn worker(files: Files) -> Worker<Question, Answer> {
    Worker::new("containers", move |(id, path): Question| (id, files.containers(&path)))
}

/// The cgroups of events.
#[derive(Debug)]
pub(super) struct Containers {
    /// None: what is known is that of a recording.
    worker: Option<Worker<Question, Answer>>,
    pub(super) known: HashMap<u64, About>,
    pub(super) chosen: Chosen,
    /// Those of which something new is known.
    pub(super) fresh: Vec<u64>,
    /// Those of which the kernel side is to know, where there is one.
    pub(super) judged: Option<HashSet<u64>>,
    answers: Vec<Answer>,
}

impl Containers {
    /// Looks into these files.
    pub(super) fn new(files: Option<Files>) -> Self {
        Containers {
            worker: files.map(worker),
            known: HashMap::new(),
            chosen: Chosen::default(),
            fresh: Vec::new(),
            judged: None,
            answers: Vec::new(),
        }
    }

    /// As long as a busy machine may take.
    #[cfg(test)]
    pub(super) fn patient(files: Files) -> Self {
        Containers { worker: Some(worker(files).patient()), ..Containers::new(None) }
    }

    /// Whether a cgroup is known.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    /// Finds out about a cgroup, whose path that is; None: it has none that could be found.
    pub(super) fn add(&mut self, id: u64, path: Option<&[u8]>) {
        let said = path.map(containers).unwrap_or_default();
        let (needs_files, said) = (said.iter().any(|said| said.name.is_none()), said.iter().map(Container::from));
        self.put(id, path, said.collect(), !needs_files);
        if needs_files {
            self.ask(id, false);
        }
    }

    /// Adopts what is known of a cgroup.
    pub(super) fn put(&mut self, id: u64, path: Option<&[u8]>, containers: Vec<Container>, sure: bool) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let unit = path.and_then(|path| units(path).next_back()).map(Box::from);
        let path = path.map(Box::from);
        let about = About { path, unit, containers, sure, verdict: Verdict::Shown, state: State::Known };
        self.known.insert(id, about);
        self.changed(id);
    }

    /// Judges again, by what is known now.
    fn changed(&mut self, id: u64) {
        let Some(about) = self.known.get_mut(&id) else { return };
        about.verdict = self.chosen.verdict(about.path.as_deref(), &about.containers, about.sure);
        if self.fresh.last() != Some(&id) {
            self.fresh.push(id);
        }
        self.tell(id);
    }

    /// Has the kernel side know of a cgroup, once more where it has forgotten it.
    pub(super) fn tell(&mut self, id: u64) {
        if let Some(judged) = &mut self.judged {
            judged.insert(id);
        }
    }

    /// Takes what has been found meanwhile, and looks again where it is time to.
    pub(super) fn refresh(&mut self, id: u64) {
        if let Some(worker) = self.worker.as_mut().filter(|worker| worker.owed() > 0) {
            worker.answers(&mut self.answers);
            self.take_answers();
        }
        let Some(about) = self.known.get_mut(&id) else { return };
        match about.state {
            State::Known => {}
            State::Again(when) if Instant::now() >= when => self.ask(id, true),
            // No answer comes any more.
            State::Asked { since, .. } if since.elapsed() > 2 * STUCK => {
                (about.state, about.sure) = (State::Known, true);
                self.changed(id);
            }
            State::Again(_) | State::Asked { .. } => {}
        }
    }

    fn ask(&mut self, id: u64, again: bool) {
        let (Some(worker), Some(about)) = (&mut self.worker, self.known.get_mut(&id)) else { return };
        let path = about.path.as_deref().unwrap_or_default();
        let asked = worker.ask((id, path.into()), &mut self.answers);
        about.state = if asked { State::Asked { since: Instant::now(), again } } else { State::Known };
        if !asked {
            about.sure = true;
            self.changed(id);
        }
        self.take_answers();
    }

    fn take_answers(&mut self) {
        while let Some((id, containers)) = self.answers.pop() {
            let Some(about) = self.known.get_mut(&id) else { continue };
            let complete = containers.iter().all(|container| container.name.is_some());
            about.state = match about.state {
                State::Asked { again: false, .. } if !complete => State::Again(Instant::now() + AGAIN),
                _ => State::Known,
            };
            about.sure = matches!(about.state, State::Known);
            about.containers = containers;
            self.changed(id);
        }
    }

    /// As if that time had passed.
    #[cfg(test)]
    pub(super) fn later(&mut self) {
        for about in self.known.values_mut() {
            if let State::Again(when) = &mut about.state {
                *when = Instant::now();
            }
        }
    }
}
