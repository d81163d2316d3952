//! The types of a kernel (BTF), read by libbpf and indexed by name.

mod members;
mod parse;
mod sound;
mod types;

pub(crate) use self::members::Member;
pub(crate) use self::types::{NAME_MAX, Type, Types, essential, kind};
