//! From a tracer's plans to programs on their hooks.

pub mod diagnose;
pub(crate) mod followed;
pub mod labels;
pub mod plan;
pub(crate) mod proof;
pub mod session;
pub mod settings;
pub mod transport;
pub(crate) mod watched;
