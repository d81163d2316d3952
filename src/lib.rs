//! coretrace: see what happens on a Linux host: one static binary, on every kernel from 5.10.
//!
//! The modules, from what the user types down to the kernel; none uses one above it:
//! [`cli`] → [`commands`] → [`tracers`] (what to hook, its C in `src/bpf`) → [`run`] (the loop) → [`options`] →
//! [`load`] (programs onto their hooks) → [`flow`] (record, enrich, filter, count) → [`output`] → [`event`];
//! and independent of that chain: [`types`] (kernels' types), [`host`] (facts about this host), `ffi` (unsafe code).

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
