//! Looks into files about containers, beside the loop that reads events: a file may be on a slow disk, or on one that
//! never answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::host::containers::{Container, Files};
use crate::host::{caps, elevated};

/// How long an event may wait for files, so that it has its name. They are usually read in less than a millisecond; where
/// they are not, this is waited once, and no more until the answer has come.
const WAIT: Duration = Duration::from_millis(250);
/// When an answer is not expected any more: something holds the thread up, and another one takes its place …
pub(super) const STUCK: Duration = Duration::from_secs(2);
/// … but not for ever.
const THREADS: u32 = 8;

/// The cgroup, and the containers that its path leads through.
pub(super) type Answer = (u64, Vec<Container>);

/// A thread that looks into files.
#[derive(Debug)]
pub(super) struct Worker {
    files: Files,
    thread: Option<Thread>,
    /// How many more may be started.
    left: u32,
    wait: Duration,
}

#[derive(Debug)]
struct Thread {
    asked: Sender<(u64, Box<[u8]>)>,
    answers: Receiver<Answer>,
    /// Answers that it owes, and since when it has given none.
    owed: u32,
    since: Instant,
}

impl Worker {
    pub fn new(files: Files) -> Self {
        Worker { files, thread: None, left: THREADS, wait: WAIT }
    }

    /// As long as a busy machine may take.
    #[cfg(test)]
    pub fn patient(files: Files) -> Self {
        Worker { wait: Duration::from_secs(60), ..Worker::new(files) }
    }

    /// Asks for the containers of a cgroup's path, and hands over what is known by then: waits only where nothing else is
    /// being waited for. Returns whether an answer is to be expected at all.
    pub fn ask(&mut self, id: u64, path: &[u8], known: &mut Vec<Answer>) -> bool {
        self.answers(known);
        if self.thread.as_ref().is_none_or(Thread::is_stuck) {
            let Some(left) = self.left.checked_sub(1) else { return false };
            (self.left, self.thread) = (left, Thread::start(self.files.clone()));
        }
        let Some(thread) = &mut self.thread else { return false };
        if thread.asked.send((id, path.into())).is_err() {
            self.thread = None;
            return false;
        }
        if thread.owed == 0 {
            thread.since = Instant::now();
        }
        thread.owed += 1;
        if thread.owed == 1 {
            match thread.answers.recv_timeout(self.wait) {
                Ok(answer) => {
                    thread.owed = 0;
                    known.push(answer);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        true
    }

    /// Whether answers are to come.
    pub fn owes(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.owed > 0)
    }

    /// What is known by now of what was asked before.
    pub fn answers(&mut self, known: &mut Vec<Answer>) {
        let Some(thread) = &mut self.thread else { return };
        while thread.owed > 0
            && let Ok(answer) = thread.answers.try_recv()
        {
            (thread.owed, thread.since) = (thread.owed - 1, Instant::now());
            known.push(answer);
        }
    }
}

impl Thread {
    /// It ends with its `asked`, at the latest with the process.
    fn start(files: Files) -> Option<Self> {
        let (asked, questions) = channel::<(u64, Box<[u8]>)>();
        let (answer, answers) = channel();
        let look = move || {
            // Signals are for the thread that waits for them.
            let _ = SigSet::all().thread_set_mask();
            // Files are in homes of users, and in containers.
            let _ = elevated::keep(&[caps::DAC_READ_SEARCH, caps::SYS_PTRACE]);
            for (id, path) in questions {
                if answer.send((id, files.containers(&path))).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("containers".to_owned()).stack_size(512 << 10).spawn(look).ok()?;
        Some(Thread { asked, answers, owed: 0, since: Instant::now() })
    }

    fn is_stuck(&self) -> bool {
        self.owed > 0 && self.since.elapsed() > STUCK
    }
}
