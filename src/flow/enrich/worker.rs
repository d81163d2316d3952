//! Looks into files beside the loop that reads events: a file may be on a slow disk, or on one that never answers, and one
//! of /proc waits for the memory of its process.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::host::{caps, elevated};
use crate::report::note;

/// How long an event may wait for files, so that it has its name. They are usually read in less than a millisecond; where
/// they are not, this is waited once, and no more until the answer has come.
const WAIT: Duration = Duration::from_millis(250);
/// When an answer is not expected any more: something holds the thread up, and another one takes its place …
pub(super) const STUCK: Duration = Duration::from_secs(2);
/// … but not for ever.
const THREADS: u32 = 8;

type Look<Q, A> = Arc<dyn Fn(Q) -> A + Send + Sync>;

/// A thread that looks into files.
pub(super) struct Worker<Q, A> {
    name: &'static str,
    look: Look<Q, A>,
    thread: Option<Thread<Q, A>>,
    /// How many more may be started.
    left: u32,
    wait: Duration,
    stuck: Duration,
    /// It is said once that nothing is looked up any more.
    said: bool,
}

struct Thread<Q, A> {
    asked: Sender<Q>,
    answers: Receiver<A>,
    /// Answers that it owes, and since when it has given none.
    owed: u32,
    since: Instant,
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    /// Its thread has that name, and `look` finds the answers.
    pub fn new(name: &'static str, look: impl Fn(Q) -> A + Send + Sync + 'static) -> Self {
        Worker { name, look: Arc::new(look), thread: None, left: THREADS, wait: WAIT, stuck: STUCK, said: false }
    }

    /// As long as a busy machine may take.
    #[cfg(test)]
    pub fn patient(mut self) -> Self {
        self.wait = Duration::from_secs(60);
        self
    }

    /// Asks, and hands over what is known by then: waits only where nothing else is being waited for. Returns whether an
    /// answer is to be expected at all.
    pub fn ask(&mut self, question: Q, known: &mut Vec<A>) -> bool {
        self.answers(known);
        if self.thread.is_none() || self.is_stuck() {
            let Some(left) = self.left.checked_sub(1) else {
                self.give_up();
                return false;
            };
            (self.left, self.thread) = (left, Thread::start(self.name, Arc::clone(&self.look)));
        }
        let Some(thread) = &mut self.thread else { return false };
        if thread.asked.send(question).is_err() {
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

    /// Whether something holds its thread up: another one takes its place at the next question, and what was asked before
    /// is not answered.
    pub fn is_stuck(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.is_stuck(self.stuck))
    }

    fn give_up(&mut self) {
        if !self.said {
            note(&format!(
                "{}: not looked up any more; {THREADS} times, a file did not answer within {} s",
                self.name,
                self.stuck.as_secs()
            ));
        }
        self.said = true;
    }

    /// How many answers are to come.
    pub fn owed(&self) -> u32 {
        self.thread.as_ref().map_or(0, |thread| thread.owed)
    }

    /// What is known by now of what was asked before.
    pub fn answers(&mut self, known: &mut Vec<A>) {
        let Some(thread) = &mut self.thread else { return };
        while thread.owed > 0
            && let Ok(answer) = thread.answers.try_recv()
        {
            (thread.owed, thread.since) = (thread.owed - 1, Instant::now());
            known.push(answer);
        }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Thread<Q, A> {
    /// It ends with its `asked`, at the latest with the process.
    fn start(name: &str, look: Look<Q, A>) -> Option<Self> {
        let (asked, questions) = channel();
        let (answer, answers) = channel();
        let work = move || {
            // Signals are for the thread that waits for them.
            let _ = SigSet::all().thread_set_mask();
            // Files are in homes of users, and in containers, and of processes of other users.
            let _ = elevated::keep(&[caps::DAC_READ_SEARCH, caps::SYS_PTRACE]);
            for question in questions {
                if answer.send(look(question)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name(name.to_owned()).stack_size(512 << 10).spawn(work).ok()?;
        Some(Thread { asked, answers, owed: 0, since: Instant::now() })
    }

    fn is_stuck(&self, stuck: Duration) -> bool {
        self.owed > 0 && self.since.elapsed() > stuck
    }
}

impl<Q, A> fmt::Debug for Worker<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_never_answer_are_given_up_and_reported_once() {
        let (_never, question) = channel::<()>();
        let question = std::sync::Mutex::new(question);
        let mut worker = Worker::new("files", move |()| question.lock().map(|waits| waits.recv().is_ok()).is_ok());
        (worker.wait, worker.stuck) = (Duration::ZERO, Duration::ZERO);
        let mut known = Vec::new();
        let asked: Vec<bool> = (0..THREADS + 2).map(|_| worker.ask((), &mut known)).collect();
        assert_eq!(asked.iter().filter(|asked| **asked).count(), THREADS as usize, "{asked:?}");
        assert!(worker.said && !asked.last().unwrap() && known.is_empty());
    }
}
