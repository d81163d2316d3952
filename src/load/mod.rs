//! From a tracer's plans to programs on their hooks.

mod attach;
pub mod attached;
mod callbacks;
pub mod diagnose;
mod every_cpu;
pub(crate) mod followed;
pub(crate) mod judged;
pub mod kin;
pub mod labels;
pub(crate) mod modules;
mod object;
pub mod plan;
pub mod proof;
pub mod session;
pub mod settings;
pub mod shared;
pub mod source;
pub mod start;
pub mod transport;
mod types;
pub(crate) mod watched;
