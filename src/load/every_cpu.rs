//! Kernels 7.1 run programs on the entry of system calls on one CPU alone.
//!
//! A program on a tracepoint runs on all CPUs, though its perf event is one CPU's (libbpf opens it on CPU 0). In 7.1.13,
//! perf_syscall_enter() (kernel/trace/trace_syscalls.c) returns where a CPU has no perf event, before it looks at the
//! programs, for calls of which it copies a string of the caller; 7.0 and 7.2 look at both. What happens on the other CPUs
//! is not seen there, and not counted. With a perf event on every CPU, all is well.

use std::cell::RefCell;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};

use crate::ffi::perf_event;
use crate::host::mounts::TRACEFS;
use crate::host::online_cpus;

/// Perf events that are held, so that programs run on every CPU.
#[derive(Debug, Default)]
pub(crate) struct EveryCpu {
    /// The tracepoints' ids.
    ids: Vec<u64>,
    held: RefCell<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    cpu: u32,
    _events: Vec<OwnedFd>,
}

impl EveryCpu {
    /// Holds those of a hook (`tp/syscalls/sys_enter_openat`), where it is the entry of a system call.
    ///
    /// # Errors
    /// When they cannot be opened: the hook would not see all.
    pub fn hold(&mut self, hook: &str) -> Result<()> {
        let Some(event) = hook.strip_prefix("tp/syscalls/").filter(|event| event.starts_with("sys_enter_")) else {
            return Ok(());
        };
        let file = |root: &str| Path::new(root).join("events/syscalls").join(event).join("id");
        let id = fs::read_to_string(file(TRACEFS)).or_else(|_| fs::read_to_string(file("/sys/kernel/debug/tracing")));
        let id = id.ok().and_then(|id| id.trim().parse().ok()).with_context(|| format!("reading the id of {hook}"))?;
        self.ids.push(id);
        self.held.get_mut().clear();
        self.open(&online_cpus()).with_context(|| format!("watching {hook} on every CPU"))
    }

    /// Opens those of CPUs that have come on since the last look: an event is gone with its CPU.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn look(&self) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let online = online_cpus();
        self.held.borrow_mut().retain(|held| online.contains(&held.cpu));
        self.open(&online)
    }

    fn open(&self, online: &[u32]) -> Result<()> {
        let mut held = self.held.borrow_mut();
        for cpu in online.iter().copied() {
            if held.iter().any(|held| held.cpu == cpu) {
                continue;
            }
            let events = self.ids.iter().map(|id| perf_event::open(*id, cpu)).collect::<Result<_, _>>();
            match events {
                Ok(events) => held.push(Held { cpu, _events: events }),
                // It is off again.
                Err(_) if !online_cpus().contains(&cpu) => {}
                Err(error) => return Err(error).with_context(|| format!("opening a perf event on CPU {cpu}")),
            }
        }
        Ok(())
    }
}
