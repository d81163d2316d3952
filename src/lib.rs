//! coretrace: see what happens on a Linux host: one static binary, on every kernel from 5.10.
//!
//! The modules, in the order in which an event passes them:
//! [`tracers`] (what to hook, its C beside it in `src/bpf`) → [`session`] (load and attach) →
//! [`live`] (the loop) and [`transport`] (the buffer) or [`record`] (a recording) → [`decode`] →
//! [`pipeline`] ([`enrich`], [`filter`], [`output`]); [`ledger`] counts what becomes of each event.

mod bpf;
mod btf_cmd;
mod bytes;
pub mod check;
pub mod cli;
pub mod decode;
pub mod enrich;
pub mod event;
pub mod filter;
mod followed;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod heartbeat;
pub mod image;
pub mod kernel;
pub mod label_cmd;
pub mod labels;
pub mod launch;
pub mod ledger;
pub mod live;
pub mod output;
pub mod pipeline;
pub mod procfs;
mod proof;
pub mod record;
mod relo;
mod relocs;
pub mod replay;
pub mod run;
pub mod sentinel;
pub mod session;
mod setup;
pub mod signals;
pub mod sink;
pub mod tracers;
pub mod transport;
pub mod users;
mod watched;
