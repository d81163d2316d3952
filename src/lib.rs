//! coretrace: see what happens on a Linux host, on every kernel.

pub mod event;
pub mod kernel;
pub mod users;
