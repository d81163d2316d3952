//! The lives of processes and threads, as slices. What an event is in a life, its kind says ([`Life`]).

use std::io;

use super::packet::Flow;
use super::pen::{Pen, took};
use super::task::{Task, Tasks};
use crate::event::{Event, Head, Life, Value};
use crate::output::processes::{Begun, SLACK, called};

/// Follows lives.
#[derive(Debug, Default)]
pub struct Lives {
    tasks: Tasks,
    /// The stream has events of lives: a slice that is begun will end.
    seen: bool,
    /// When the run began, since boot; where that is not known, when the first event happened.
    began_ns: Option<u64>,
}

impl Lives {
    /// The run began then.
    pub fn began(&mut self, boot_ns: u64) {
        self.began_ns = Some(boot_ns);
    }

    /// Takes an event; returns false where there is no room for its process: nothing of it was drawn then.
    pub fn take(&mut self, pen: &mut Pen<'_>, event: &Event<'_>) -> io::Result<bool> {
        let head = &event.head;
        self.began_ns.get_or_insert(head.boot_ns);
        self.seen |= event.kind.life.is_some();
        let child = |name| match event.get(name) {
            Some(Value::Pid(child)) if *child != 0 => Some(*child),
            _ => None,
        };
        match event.kind.life {
            Some(Life::Program) => self.program(pen, event),
            Some(Life::Child(name)) => {
                let child = child(name).map(|child| Head { pid: child, tid: child, ppid: head.pid, ..*head });
                self.created(pen, event, child)
            }
            Some(Life::Thread(name)) => {
                let child = child(name).filter(|child| *child != head.pid);
                self.created(pen, event, child.map(|child| Head { tid: child, ..*head }))
            }
            Some(Life::End) => self.ended(pen, event),
            Some(Life::ThreadEnd) if head.tid != head.pid => self.thread_ended(pen, event),
            Some(Life::ThreadEnd) | None => self.did(pen, event, Flow::None),
        }
    }

    /// Makes sure that a process is known. One that was not is shown from here on.
    fn hear_of(&mut self, pen: &mut Pen<'_>, head: &Head) -> io::Result<bool> {
        if self.tasks.process(head.pid).is_some() {
            return Ok(true);
        }
        let Some(task) = self.tasks.add_process(head, head.ppid) else { return Ok(false) };
        // Also where only its threads do something: their tracks are below.
        pen.describe(head.boot_ns, task)?;
        if self.seen {
            pen.unseen(head.boot_ns, task, head, Begun::Unseen)?;
        }
        Ok(true)
    }

    /// The process or thread of an event; where there is no room for a thread, its process. None: no room for that.
    fn task(&mut self, pen: &mut Pen<'_>, head: &Head) -> io::Result<Option<&mut Task>> {
        if !self.hear_of(pen, head)? {
            return Ok(None);
        }
        if self.tasks.thread(head).is_some_and(|task| task.pid != head.pid) {
            self.unseen_end(pen, head)?;
        }
        let known = self.tasks.thread(head).is_some() || self.tasks.add_thread(head).is_some();
        Ok(if known { self.tasks.thread(head) } else { self.tasks.process(head.pid) })
    }

    /// The number of a process or a thread is another one's now.
    fn unseen_end(&mut self, pen: &mut Pen<'_>, head: &Head) -> io::Result<()> {
        let is_thread = head.tid != head.pid;
        let before = if is_thread { self.tasks.remove_thread(head.tid) } else { self.tasks.remove_process(head.pid) };
        if !is_thread {
            self.threads_over(pen, head.boot_ns, head.pid)?;
        }
        before.map_or(Ok(()), |mut before| pen.cut(head.boot_ns, &mut before))
    }

    /// The threads of a process are gone with it.
    fn threads_over(&mut self, pen: &mut Pen<'_>, at: u64, pid: u32) -> io::Result<()> {
        self.tasks.remove_threads(pid).try_for_each(|mut thread| pen.over(at, &mut thread))
    }

    fn did(&mut self, pen: &mut Pen<'_>, event: &Event<'_>, flow: Flow) -> io::Result<bool> {
        match self.task(pen, &event.head)? {
            Some(task) => pen.did(task, event, flow).map(|()| true),
            None => Ok(false),
        }
    }

    /// A process runs another program, and has one thread from here on.
    fn program(&mut self, pen: &mut Pen<'_>, event: &Event<'_>) -> io::Result<bool> {
        let head = &event.head;
        if self.tasks.process(head.pid).is_none() && self.tasks.add_process(head, head.ppid).is_none() {
            return Ok(false);
        }
        self.threads_over(pen, head.boot_ns, head.pid)?;
        let Some(task) = self.tasks.process(head.pid) else { return Ok(false) };
        pen.over(head.boot_ns, task)?;
        let argv = event.get("argv").copied();
        task.rename(called(argv).unwrap_or(head.comm()));
        pen.program(task, event).map(|()| true)
    }

    /// A process has created another one, or a thread; None: which could not be read.
    fn created(&mut self, pen: &mut Pen<'_>, event: &Event<'_>, child: Option<Head>) -> io::Result<bool> {
        let Some(by) = self.task(pen, &event.head)?.map(|task| task.name) else { return Ok(false) };
        let Some(child) = child else { return self.did(pen, event, Flow::None) };
        if self.tasks.thread(&child).is_some() {
            self.unseen_end(pen, &child)?;
        }
        let added = match child.tid == child.pid {
            true => self.tasks.add_process(&child, child.ppid),
            false => self.tasks.add_thread(&child),
        };
        let id = added.map(|task| {
            (task.name, task.copy) = (by, true);
            task.id
        });
        self.did(pen, event, id.map_or(Flow::None, Flow::From))?;
        match id.and(self.tasks.thread(&child)) {
            Some(task) => pen.child(task, &child, event).map(|()| true),
            None => Ok(true),
        }
    }

    /// When a life began that ends now, since boot; as far as the run goes back. And whether it is older than that.
    fn start(&self, event: &Event<'_>) -> Option<(u64, Begun)> {
        let start = event.head.boot_ns.saturating_sub(took(event, "lifetime")?);
        let began = self.began_ns.unwrap_or(start);
        Some((start.max(began), if start <= began { Begun::Before } else { Begun::Unseen }))
    }

    fn ended(&mut self, pen: &mut Pen<'_>, event: &Event<'_>) -> io::Result<bool> {
        let head = &event.head;
        let (start, begun) = self.start(event).unwrap_or((head.boot_ns, Begun::Unseen));
        // The number is used again, and neither that end nor this beginning was seen.
        let open = self.tasks.process(head.pid).and_then(|task| task.open);
        if open.is_some_and(|open| start > open.saturating_add(SLACK)) && took(event, "lifetime").is_some() {
            self.unseen_end(pen, &Head { boot_ns: start, tid: head.pid, ..*head })?;
        }
        if self.tasks.process(head.pid).is_none() && self.tasks.add_process(head, head.ppid).is_none() {
            return Ok(false);
        }
        self.threads_over(pen, head.boot_ns, head.pid)?;
        let Some(mut task) = self.tasks.remove_process(head.pid) else { return Ok(false) };
        if task.open.is_none() {
            pen.unseen(start, &mut task, head, begun)?;
        }
        pen.ended(&mut task, event).map(|()| true)
    }

    fn thread_ended(&mut self, pen: &mut Pen<'_>, event: &Event<'_>) -> io::Result<bool> {
        let head = &event.head;
        let (start, begun) = self.start(event).unwrap_or((head.boot_ns, Begun::Unseen));
        if self.task(pen, head)?.is_none() {
            return Ok(false);
        }
        // Where there is no room for it, its process says that it has ended.
        let Some(mut task) = self.tasks.remove_thread(head.tid) else { return self.did(pen, event, Flow::None) };
        task.rename(head.comm());
        if task.open.is_none() {
            pen.unseen(start, &mut task, head, begun)?;
        }
        pen.ended(&mut task, event).map(|()| true)
    }

    /// Ends all slices: nothing more comes.
    pub fn end(&mut self, pen: &mut Pen<'_>, at: u64) -> io::Result<()> {
        self.tasks.all().into_iter().try_for_each(|task| pen.cut(at, task))
    }

    /// What is drawn is in another file from here on: slices begin again.
    pub fn restart(&mut self, pen: &mut Pen<'_>, at: u64) -> io::Result<()> {
        let mut all = self.tasks.all();
        // In the order of their numbers.
        let tracks: Vec<u64> = all.iter().map(|task| task.track()).collect();
        all.iter_mut().try_for_each(|task| {
            task.restart();
            task.parent = task.parent.filter(|parent| tracks.binary_search(parent).is_ok());
            pen.describe(at, task)?;
            if task.open.is_some() { pen.again(at, task) } else { Ok(()) }
        })
    }
}
