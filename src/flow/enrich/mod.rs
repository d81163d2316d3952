//! What user space adds to an event: names for its numbers.

mod cache;
mod cgroups;
mod resolver;

pub use resolver::Resolver;
