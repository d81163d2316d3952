//! Kernels 7.1 run programs on the entry of system calls on only one CPU.
//!
//! A program on a tracepoint runs on all CPUs, though its perf event is on one (libbpf opens it on CPU 0). In 7.1.13,
//! for calls whose string argument it copies, perf_syscall_enter() (kernel/trace/trace_syscalls.c) returns on a CPU
//! without a perf event before it looks at the programs; 7.0 and 7.2 check both. Events on the other CPUs are neither
//! seen nor counted. A perf event on every CPU avoids this.

use std::cell::RefCell;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};

use crate::ffi::perf_event;
use crate::host::mounts::TRACEFS;
use crate::host::online_cpus;

/// Perf events held open so that programs run on every CPU.
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
    /// Opens those of a hook (`tp/syscalls/sys_enter_openat`), if it is the entry of a system call.
    ///
    /// # Errors
    /// When they cannot be opened: the hook would miss events.
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

    /// Opens those of CPUs that have come online since the last check: an event is gone with its CPU.
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
                // It is offline again.
                Err(_) if !online_cpus().contains(&cpu) => {}
                Err(error) => return Err(error).with_context(|| format!("opening a perf event on CPU {cpu}")),
            }
        }
        Ok(())
    }
}
