//! What this host is: its kernel, and what that kernel lets this process do.

pub mod addresses;
pub mod arch;
pub mod caps;
pub mod clock;
pub mod containers;
mod cpus;
pub mod elevated;
mod facts;
pub mod kallsyms;
pub mod mounts;
pub mod preempt;
pub mod procfs;
pub(crate) mod untrusted;
pub mod users;

pub use self::cpus::{online_cpus, possible_cpus};
pub(crate) use self::facts::KERNEL_BTF;
pub use self::facts::{Host, INITIAL_PID_NAMESPACE, INITIAL_USER_NAMESPACE, Lockdown, has_module, has_module_types};
