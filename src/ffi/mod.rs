//! All `unsafe` that is not generated: the skeletons' part, libbpf's matcher and dumper, mapped counters, system calls.

pub(crate) mod constants;
pub(crate) mod counters;
pub(crate) mod dump;
pub(crate) mod handle;
pub(crate) mod kernel_file;
pub(crate) mod log;
pub(crate) mod packed;
pub(crate) mod perf;
pub(crate) mod perf_event;
pub(crate) mod process;
pub(crate) mod relo;
pub(crate) mod signals;
pub(crate) mod skeleton;
pub(crate) mod typed;
