//! How the environment of a program differs from that of its parent's program (`--env-diff`).
//!
//! An environment is what a program was started with: what it changes of it later is its own, and not where the kernel looks.
//! That of a parent is known by its own event, or that of the process that forked it; of what was there before, /proc has it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::take;
use std::path::Path;
use std::rc::Rc;

use super::worker::Worker;
use crate::event::{Change, Env, Event, Life, List, Shape, Value, Variable};
use crate::report::note;

/// How many processes are remembered, and how many bytes of their environments: then all are forgotten, and looked up again.
const MOST: usize = 8192;
const MOST_BYTES: usize = 64 << 20;
/// How much of a file in /proc is read: an entry of a recording has room for it.
const MOST_READ: usize = 512 << 10;
/// How many questions may wait for an answer: more come while a process holds up those who read of it.
const MOST_ASKED: u32 = 64;

/// A parent, and who has started its program: one that was forked has what the other has, and may be gone.
type Pids = [u32; 2];
type Question = (Pids, u64);

/// What /proc has of them.
#[derive(Debug)]
struct Answer {
    program: u64,
    found: io::Result<(u32, Vec<u8>)>,
}

/// An environment that is remembered.
#[derive(Debug, Clone)]
struct Known {
    /// Which program it is of: processes that were forked have that, too.
    program: u64,
    bytes: Rc<[u8]>,
    truncated: bool,
}

/// The environments of processes.
#[derive(Debug, Default)]
pub struct Environs {
    /// None: they are those of a recording.
    worker: Option<Worker<Question, Answer>>,
    answers: Vec<Answer>,
    /// By process.
    known: HashMap<u32, Known>,
    /// Programs by the processes whose environment was asked for: it is not asked for again.
    asked: HashMap<u32, u64>,
    /// Bytes of those that came since the last time that all were forgotten.
    bytes: usize,
    /// Those that were looked up since they were last taken.
    fresh: Vec<u32>,
    /// Of the current event: what differs.
    changes: Vec<u8>,
    /// It is said when one may not be read: once.
    says: bool,
}

impl Environs {
    /// Those of the host whose `/` is there. `says`: a note may be printed.
    #[must_use]
    pub fn of_host(root: &Path, says: bool) -> Self {
        let proc = root.join("proc");
        let look = move |(pids, program): Question| Answer { program, found: environ_of(&proc, pids, program) };
        Environs { worker: Some(Worker::new("environments", look)), says, ..Environs::default() }
    }

    /// Looks up what is not known of the parent of a program that starts.
    pub fn look_up(&mut self, event: &Event<'_>) {
        let (Some(worker), Some(now)) = (&mut self.worker, &event.environment) else { return };
        if worker.owed() > 0 {
            worker.answers(&mut self.answers);
            self.take_answers(true);
        }
        let Some(worker) = &mut self.worker else { return };
        if worker.is_stuck() {
            // What it was asked is asked again.
            self.asked.clear();
        }
        let (pids, program) = ([event.head.ppid, now.parents_pid], now.parents_program);
        let is_known = |pid: &u32| self.known.get(pid).is_some_and(|known| known.program == program);
        let is_asked =
            self.asked.get(&event.head.ppid) == Some(&program) || (worker.owed() >= MOST_ASKED && !worker.is_stuck());
        if !pids.iter().any(is_known) && !is_asked {
            if self.asked.len() >= MOST {
                self.asked.clear();
            }
            self.asked.insert(event.head.ppid, program);
            worker.ask((pids, program), &mut self.answers);
            self.take_answers(false);
        }
    }

    /// `late`: what events have said meanwhile is newer.
    fn take_answers(&mut self, late: bool) {
        for Answer { program, found } in take(&mut self.answers) {
            match found {
                Ok((pid, bytes)) if !(late && self.known.contains_key(&pid)) => {
                    self.take_recorded(pid, program, &bytes);
                    self.fresh.push(pid);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && take(&mut self.says) => note(
                    "--env-diff: the environments of some processes may not be read: what differs from them is \
                     not known (?); with CAP_SYS_PTRACE (as root) it is",
                ),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// What was looked up since then, with the process and the program that it is of.
    pub fn take_fresh(&mut self) -> impl Iterator<Item = (u32, u64, Rc<[u8]>)> {
        let fresh = take(&mut self.fresh);
        fresh
            .into_iter()
            .filter_map(|pid| self.known.get(&pid).map(|known| (pid, known.program, Rc::clone(&known.bytes))))
    }

    /// Takes what a recording has.
    pub fn take_recorded(&mut self, pid: u32, program: u64, bytes: &[u8]) {
        self.put(pid, Known { program, bytes: bytes.into(), truncated: bytes.len() >= MOST_READ });
    }

    /// Adds what differs, and remembers what an event says of processes.
    pub fn add<'e>(&'e mut self, event: &mut Event<'e>) {
        let head = event.head;
        match event.kind.life {
            Some(Life::Child(name)) => {
                let child = event.get(name);
                if let (Some(Value::Pid(child)), Some(known)) = (child, self.known.get(&head.pid)) {
                    let (child, known) = (*child, known.clone());
                    self.put(child, known);
                }
            }
            Some(Life::End) => {
                self.known.remove(&head.pid);
                self.asked.remove(&head.pid);
            }
            _ => {}
        }
        let Some(now) = event.environment else { return };
        let Some((_, differs)) = event.fields.iter_mut().find(|(_, value)| matches!(value, Value::EnvDiff(_))) else {
            return;
        };
        *differs = Value::Unreadable(Shape::EnvDiff);
        let Some(list) = now.list else {
            self.known.remove(&head.pid);
            return;
        };
        let of = |pid| self.known.get(&pid).filter(|known| known.program == now.parents_program);
        let before = of(head.ppid).or_else(|| of(now.parents_pid)).cloned();
        let known = Known { program: now.program, bytes: list.bytes.into(), truncated: list.truncated() };
        self.put(head.pid, known);
        if let Some(before) = before {
            compare(&mut self.changes, &list, &before);
            *differs = Value::EnvDiff(Env::changes(&self.changes, list.truncated() || before.truncated));
        }
    }

    fn put(&mut self, pid: u32, known: Known) {
        if self.known.len() >= MOST || self.bytes.saturating_add(known.bytes.len()) > MOST_BYTES {
            self.known.clear();
            self.asked.clear();
            self.bytes = 0;
        }
        // Those of forked processes are shared.
        if Rc::strong_count(&known.bytes) == 1 {
            self.bytes = self.bytes.saturating_add(known.bytes.len());
        }
        self.known.insert(pid, known);
    }
}

/// Whether a process runs that program, as far as is known by where its environment begins: field 50 of /proc/PID/stat.
fn is_at(proc: &Path, pid: u32, program: u64) -> bool {
    const PLACE: u64 = (1 << 48) - 1;
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).unwrap_or_default();
    let behind_name = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 1..));
    let text = String::from_utf8_lossy(behind_name.unwrap_or_default());
    // The first field behind the name is the third.
    let begin = text.split_ascii_whitespace().nth(50 - 3).and_then(|field| field.parse::<u64>().ok());
    begin.is_some_and(|begin| (begin ^ program) & PLACE == 0)
}

/// The environment with which one of these processes was started that runs that program, and which it is.
fn environ_of(proc: &Path, pids: Pids, program: u64) -> io::Result<(u32, Vec<u8>)> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for pid in pids.into_iter().filter(|pid| *pid != 0) {
        match environ(proc, pid) {
            // The event is a moment old: by now it may run another program, or be another process.
            Ok(bytes) if is_at(proc, pid, program) => return Ok((pid, bytes)),
            Ok(_) => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// What /proc has of a process, or its beginning.
fn environ(proc: &Path, pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = proc.join(pid.to_string()).join("environ");
    File::open(file)?.take(MOST_READ as u64).read_to_end(&mut bytes)?;
    // What has no memory of its own (a thread of the kernel, a process that has ended) has none of these.
    if bytes.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(bytes) }
}

/// The first of each name, as getenv(3) takes it, and the order in which they come. One whose end is missing is left out.
fn variables<'a>(bytes: &'a [u8], truncated: bool) -> (Vec<Variable<'a>>, HashMap<&'a [u8], &'a [u8]>) {
    let (mut all, mut values) = (Vec::new(), HashMap::new());
    let total = bytes.len() as u64;
    for variable in Env::all(bytes, total, truncated).iter().filter(|variable| !(variable.cut && truncated)) {
        values.entry(variable.name).or_insert_with(|| {
            all.push(variable);
            variable.value
        });
    }
    (all, values)
}

/// Writes what differs: what may be among what was not read is no change.
fn compare(changes: &mut Vec<u8>, now: &List<'_>, before: &Known) {
    changes.clear();
    let (all, values) = variables(now.bytes, now.truncated());
    let (all_before, values_before) = variables(&before.bytes, before.truncated);
    let mut add = |change: Change, Variable { whole, .. }: &Variable<'_>| {
        changes.push(change.mark());
        changes.extend_from_slice(whole);
        changes.push(0);
    };
    for variable in &all {
        match values_before.get(variable.name) {
            Some(value) if *value == variable.value => {}
            Some(_) => add(Change::Changed, variable),
            None if before.truncated => {}
            None => add(Change::New, variable),
        }
    }
    let removed = all_before.iter().filter(|variable| !now.truncated() && !values.contains_key(variable.name));
    removed.for_each(|variable| add(Change::Removed, variable));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Environment, Field, Head, Kind};
    use crate::fake::Tree;

    static EXEC: Kind =
        Kind::new(1, "exec", "A sample.", const { &[Field::new("env_diff", Shape::EnvDiff, false, "")] })
            .of_life(Life::Program);
    static END: Kind = Kind::new(3, "exit", "A sample.", &[]).of_life(Life::End);
    static FORK: Kind = Kind::new(2, "fork", "A sample.", const { &[Field::new("child", Shape::Pid, true, "")] })
        .of_life(Life::Child("child"));

    /// What is shown of a program that starts.
    fn starts(environs: &mut Environs, [pid, ppid]: [u32; 2], programs: [u64; 2], env: &str) -> String {
        below_a_fork(environs, [pid, ppid, ppid], programs, env)
    }

    /// The same; its parent is a fork of another.
    fn below_a_fork(
        environs: &mut Environs,
        [pid, ppid, parents_pid]: [u32; 3],
        [program, parents_program]: [u64; 2],
        env: &str,
    ) -> String {
        let bytes = env.replace(' ', "\0");
        let total = bytes.len() as u64;
        let list = Some(List { bytes: bytes.trim_end_matches('…').as_bytes(), total });
        let mut event = Event::new(&EXEC, Head { pid, ppid, ..Head::default() });
        event.environment = Some(Environment { list, program, parents_program, parents_pid });
        event.push("env_diff", Value::EnvDiff(Env::changes(b"", false)));
        environs.look_up(&event);
        environs.add(&mut event);
        match event.get("env_diff") {
            Some(Value::EnvDiff(env)) => {
                let text = String::from_utf8(env.to_bytes()).unwrap().replace('\0', " ");
                text.trim_end().to_owned() + if env.truncated { "…" } else { "" }
            }
            _ => "?".to_owned(),
        }
    }

    fn forks(environs: &mut Environs, pid: u32, child: u32) {
        let mut event = Event::new(&FORK, Head { pid, ..Head::default() });
        event.push("child", Value::Pid(child));
        environs.add(&mut event);
    }

    #[test]
    fn a_program_differs_from_its_parents() {
        let mut environs = Environs::default();
        assert_eq!(starts(&mut environs, [7, 1], [70, 10], "A=1 B=2 C=3 "), "?", "its parent's is not known");
        forks(&mut environs, 7, 8);
        assert_eq!(starts(&mut environs, [8, 7], [80, 70], "A=1 B=3 D=4 A=9 "), "~B=3 +D=4 -C=3");
        assert_eq!(starts(&mut environs, [8, 7], [81, 70], "C=3 B=2 A=1 "), "", "still its parent's");
        // A fork has what its parent was started with, which is known by the fork.
        forks(&mut environs, 7, 9);
        assert_eq!(starts(&mut environs, [10, 9], [90, 70], "A=1 B=2 "), "-C=3");
        // Also by who was forked, where the fork was not seen and is gone.
        assert_eq!(below_a_fork(&mut environs, [13, 12, 7], [92, 70], "A=1 B=2 "), "-C=3");
        // Another program runs in the parent, or the number is another process's.
        assert_eq!(starts(&mut environs, [11, 9], [91, 71], "A=1 "), "?");
    }

    #[test]
    fn what_was_not_read_is_no_change() {
        let mut environs = Environs::default();
        starts(&mut environs, [7, 1], [70, 10], "A=1 B=2 C=3…");
        assert_eq!(starts(&mut environs, [8, 7], [80, 70], "A=2 B=2 C=4 D=4 "), "~A=2…");
        starts(&mut environs, [7, 1], [70, 10], "A=1 B=2 C=3 ");
        assert_eq!(starts(&mut environs, [8, 7], [80, 70], "A=1 B=3 D=4 C=…"), "~B=3 +D=4…");
    }

    /// As long as a busy machine may take.
    fn of_tree(tree: &Tree) -> Environs {
        let mut environs = Environs::of_host(tree.root(), false);
        environs.worker = environs.worker.map(Worker::patient);
        environs
    }

    #[test]
    fn what_is_not_there_is_not_looked_up_again() {
        let tree = Tree::new();
        let mut environs = of_tree(&tree);
        assert_eq!(starts(&mut environs, [7, 1], [70, 10], "A=1 "), "?");
        tree.file("proc/1/environ", "A=2\0");
        tree.file("proc/1/stat", format!("1 (init) S {}10 20 0", "0 ".repeat(46)));
        assert_eq!(
            starts(&mut environs, [8, 1], [80, 10], "A=1 "),
            "?",
            "the file was not there when it was asked for"
        );
        // Another program of that process is another question.
        tree.file("proc/1/stat", format!("1 (init) S {}11 20 0", "0 ".repeat(46)));
        assert_eq!(starts(&mut environs, [9, 1], [90, 11], "A=1 "), "~A=1");
        let ended = Event::new(&END, Head { pid: 1, ..Head::default() });
        environs.add(&mut ended.clone());
        assert!(environs.asked.is_empty() && !environs.known.contains_key(&1));
    }

    #[test]
    fn what_was_there_before_is_looked_up_and_recorded() {
        let tree = Tree::new();
        tree.file("proc/1/environ", "HOME=/\0TERM=linux\0");
        // Its environment begins at 10.
        tree.file("proc/1/stat", format!("1 (a) b) S {}10 20 0", "0 ".repeat(46)));
        let mut live = of_tree(&tree);
        assert_eq!(starts(&mut live, [7, 1], [70, 10], "HOME=/ "), "-TERM=linux");
        assert_eq!(starts(&mut live, [8, 1], [80, 11], "HOME=/ "), "?", "it runs another program by now");
        let mut replayed = Environs::default();
        live.take_fresh().for_each(|(pid, program, bytes)| replayed.take_recorded(pid, program, &bytes));
        assert_eq!(starts(&mut replayed, [7, 1], [70, 10], "HOME=/ "), "-TERM=linux");
    }
}
