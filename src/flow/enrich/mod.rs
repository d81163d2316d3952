//! What user space adds to an event: names for its numbers.

mod cgroups;
mod names;

pub use names::Names;
