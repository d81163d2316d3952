//! What user space adds to an event: names for its numbers.

mod cache;
mod cgroups;
mod chosen;
mod containers;
mod environs;
mod frames;
mod jit;
mod processes;
mod resolver;
mod stacks;
mod worker;

pub use chosen::Chosen;
pub use environs::Environs;
pub use resolver::Resolver;
pub use stacks::Stacks;
