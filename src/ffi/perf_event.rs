//! An event of a tracepoint on one CPU (perf_event_open(2)).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use libbpf_sys::{PERF_TYPE_TRACEPOINT, perf_event_attr};
use nix::libc::{SYS_perf_event_open, c_int, c_long, syscall};

/// include/uapi/linux/perf_event.h
const PERF_FLAG_FD_CLOEXEC: c_long = 1 << 3;

/// Opens the event of a tracepoint, by its id, for all processes on an online CPU.
///
/// # Errors
/// When the kernel refuses.
#[allow(unsafe_code)]
pub(crate) fn open(id: u64, cpu: u32) -> io::Result<OwnedFd> {
    let attr = perf_event_attr {
        type_: PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<perf_event_attr>()).map_err(io::Error::other)?,
        config: id,
        ..perf_event_attr::default()
    };
    let cpu = c_int::try_from(cpu).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `attr`, which is as long as it says, and returns a descriptor or an error.
    let fd = unsafe { syscall(SYS_perf_event_open, &raw const attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
