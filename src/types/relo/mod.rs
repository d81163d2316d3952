//! CO-RE relocations of the embedded objects, walked against the types of any kernel: without that kernel, without root.

mod few;
mod kept;
mod minimize;
mod needs;
mod object;
mod reach;
mod target;
mod walk;

pub(crate) use self::few::{Few, few, joined};
pub(crate) use self::minimize::minimize;
pub(crate) use self::needs::{Hook, Needs, function, hook_of};
pub(crate) use self::object::{Object, SIZE_MAX, Site};
pub(crate) use self::target::Target;
pub(crate) use self::walk::{Answer, Outcome, Walk, walk};

#[cfg(test)]
mod tests;
