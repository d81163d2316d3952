//! The floor: programs that do nothing (`return 0`), on the tracepoints that coretrace uses.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use libbpf_sys::{BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_TRACEPOINT, BPF_STATS_RUN_TIME};

use crate::storm::Storm;

/// The hooks of `coretrace proc`.
const HOOKS: [&CStr; 3] = [c"sched_process_exec", c"task_newtask", c"sched_process_exit"];
/// `r0 = 0; exit` (include/uapi/linux/bpf.h: struct bpf_insn, the code is its first byte).
const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Attached until this is dropped.
pub struct Empty(#[expect(dead_code, reason = "holds the hooks")] Vec<OwnedFd>);

/// Attaches empty programs to the hooks of that storm.
pub fn attach(storm: Storm) -> Result<Empty> {
    let calls = match storm {
        Storm::Exec | Storm::Fork => return attach_raw(),
        Storm::Call | Storm::Fail => ["sys_enter_execve", "sys_exit_execve"],
        Storm::Open => ["sys_enter_openat", "sys_exit_openat"],
    };
    calls.into_iter().map(|call| attach_call(call).with_context(|| call.to_owned())).collect::<Result<_>>().map(Empty)
}

/// An empty program on a tracepoint of a system call, which needs a perf event (include/uapi/linux/perf_event.h).
fn attach_call(name: &str) -> Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u64 = 2;
    const PERF_ATTR_SIZE_VER0: u64 = 64;
    const PERF_EVENT_IOC_ENABLE: libc::Ioctl = 0x2400;
    const PERF_EVENT_IOC_SET_BPF: libc::Ioctl = 0x4004_2408;
    let id = std::fs::read_to_string(format!("/sys/kernel/tracing/events/syscalls/{name}/id"))?;
    // type and size, config, sample_period; the rest is zero.
    let attr: [u64; 8] = [PERF_TYPE_TRACEPOINT | PERF_ATTR_SIZE_VER0 << 32, id.trim().parse()?, 1, 0, 0, 0, 0, 0];
    let program = load(BPF_PROG_TYPE_TRACEPOINT)?;
    // SAFETY: the attributes are of the size that they say; any process, on the first CPU, as libbpf does.
    let event = owned(unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), -1, 0, -1, 0) } as i32)
        .map_err(|_| io::Error::last_os_error())?;
    // SAFETY: both are open.
    let done = unsafe {
        libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()) == 0
            && libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) == 0
    };
    anyhow::ensure!(done, "attaching: {}", io::Error::last_os_error());
    Ok(event)
}

fn load(kind: libbpf_sys::bpf_prog_type) -> Result<OwnedFd> {
    // SAFETY: the name and the instructions live longer than the call, which copies them; no options are given.
    let program = unsafe {
        let (name, license) = (c"bench_empty".as_ptr(), c"GPL".as_ptr());
        let instructions = NOTHING.as_ptr().cast();
        libbpf_sys::bpf_prog_load(kind, name, license, instructions, NOTHING.len() as _, std::ptr::null_mut())
    };
    owned(program).context("loading an empty program")
}

fn attach_raw() -> Result<Empty> {
    let mut held = Vec::new();
    for hook in HOOKS {
        let program = load(BPF_PROG_TYPE_RAW_TRACEPOINT)?;
        // SAFETY: the name lives longer than the call, and the descriptor is open.
        let link = unsafe { libbpf_sys::bpf_raw_tracepoint_open(hook.as_ptr(), program.as_raw_fd()) };
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
    // SAFETY: the call before has just opened it, for us only.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
