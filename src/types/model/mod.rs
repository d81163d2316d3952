//! The types of a kernel (BTF), read by libbpf and indexed by name.

mod members;
mod parse;
mod raw;
mod sound;
mod types;

pub(crate) use self::members::Member;
pub(crate) use self::raw::{Layout, NAME_MAX, Raw, Type, essential, kind};
pub(crate) use self::types::Types;
