//! Names that people type: globs of them, and which one they meant.

pub(crate) mod closest;
pub(crate) mod glob;

pub(crate) use self::closest::closest;
