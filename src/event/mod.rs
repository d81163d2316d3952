//! A decoded event: when and where it happened, and named, typed values in column order.
//!
//! Events are data, not one struct per tracer: formats match on [`Value`] and never on a tracer.
//! Everything borrows, from the sample and from what the tracer is, so that decoding allocates nothing.

mod ancestors;
mod connection;
pub mod decode;
mod env;
#[expect(clippy::module_inception, reason = "the event itself, beside what it is made of")]
mod event;
mod group;
mod head;
mod kept;
mod kind;
mod lost;
mod names;
mod path;
mod shown;
mod slots;
pub mod stack;
pub mod total;
mod value;

pub use ancestors::{Ancestor, Ancestors};
pub use connection::{Endpoint, Icmp, Nat, Traffic};
pub use env::{Change, Env, Variable};
pub use event::{Environment, Event};
pub use head::{Head, until_nul};
pub use kept::Kept;
pub use kind::{Field, Kind, Life, MAX_FIELDS};
pub use lost::{CAUSES, Failure, Lost};
pub use names::Names;
pub use path::Path;
pub use shown::{EnumNames, Shown, ShownKind, Style};
pub use slots::{BEHIND_NULL, Group, Slots};
pub use stack::{Call, Place, Stack, Taken, UserStack};
pub use value::{Flags, List, Shape, Value};
