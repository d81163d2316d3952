//! coretrace: see what happens on a Linux host: one static binary, on every kernel from 5.10.
//!
//! The modules, from what the user types down to the kernel; none uses one above it:
//! [`cli`] → [`commands`] → [`tracers`] (what to hook, its C in `src/bpf`) → [`options`] → [`run`] (the loop) →
//! [`load`] (programs onto their hooks) → [`flow`] (record, enrich, filter, count) → [`output`] → `spec` (what a user
//! wants to probe) → [`event`] → `binary` (programs and libraries) → [`types`] (kernels' types) → [`host`] (facts about
//! this host) → `error`, [`report`], [`escape`], `names` (globs, the closest name) → `ffi` (unsafe code).

mod binary;
pub mod cli;
pub mod commands;
mod error;
pub mod escape;
pub mod event;
#[cfg(test)]
mod fake;
mod ffi;
pub mod flow;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod host;
pub mod load;
mod names;
pub mod options;
pub mod output;
pub mod report;
pub mod run;
mod spec;
pub mod tracers;
pub mod types;

pub use error::{NotRun, describe, exit_code};
