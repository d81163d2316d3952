//! What user space adds to an event: names for its numbers.

mod cache;
mod cgroups;
mod frames;
mod resolver;
mod stacks;

pub use resolver::Resolver;
pub use stacks::Stacks;
