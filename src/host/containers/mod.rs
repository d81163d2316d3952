//! Containers and systemd's units: what the path of a cgroup says, and what runtimes leave in files. No socket is
//! asked.

mod container;
mod files;
mod path;
mod process;
#[cfg(test)]
mod tests;

pub use container::Container;
pub use files::Files;
pub use path::{Said, containers, units};
pub use process::{by_process, process_path};
