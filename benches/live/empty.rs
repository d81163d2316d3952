//! The floor: programs that do nothing (`return 0`), on the tracepoints that `coretrace proc` uses.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use libbpf_sys::{BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_STATS_RUN_TIME};

const HOOKS: [&CStr; 3] = [c"sched_process_exec", c"task_newtask", c"sched_process_exit"];
/// `r0 = 0; exit` (include/uapi/linux/bpf.h: struct bpf_insn, the code is its first byte).
const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Attached until this is dropped.
pub struct Empty(#[expect(dead_code, reason = "holds the hooks")] Vec<OwnedFd>);

/// Attaches them.
pub fn attach() -> Result<Empty> {
    let mut held = Vec::new();
    for hook in HOOKS {
        // SAFETY: the names and the instructions live longer than the call, which copies them; no options are given.
        let program = unsafe {
            let (name, license) = (c"bench_empty".as_ptr(), c"GPL".as_ptr());
            let instructions = NOTHING.as_ptr().cast();
            libbpf_sys::bpf_prog_load(
                BPF_PROG_TYPE_RAW_TRACEPOINT,
                name,
                license,
                instructions,
                NOTHING.len() as _,
                std::ptr::null_mut(),
            )
        };
        let _program = owned(program).context("loading an empty program")?;
        // SAFETY: the name lives longer than the call, and the descriptor is open.
        let link = unsafe { libbpf_sys::bpf_raw_tracepoint_open(hook.as_ptr(), program) };
        held.push(owned(link).with_context(|| format!("attaching an empty program to {}", hook.to_string_lossy()))?);
    }
    Ok(Empty(held))
}

/// The kernel measures the run time of programs until this is dropped (Linux 5.8).
pub fn count_run_time() -> Result<OwnedFd> {
    // SAFETY: it takes a number.
    owned(unsafe { libbpf_sys::bpf_enable_stats(BPF_STATS_RUN_TIME) }).context("enabling BPF statistics")
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call before has just opened it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
