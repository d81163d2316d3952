//! Types of a kernel (BTF) out of files of any kind: raw, ELF, kernel images, kernel packages, also compressed.
//!
//! What a file is, its content says, never its name. Nothing is held in memory but the part that is looked for, and
//! no file can make that more than a kernel needs.

mod about;
mod boot;
mod budget;
mod elf;
mod fault;
mod names;
mod package;
mod raw;
mod read;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod samples;
mod search;
mod unpack;

pub(crate) use self::about::{About, Image};
pub(crate) use self::elf::build_id;
pub use self::fault::Fault;
pub(crate) use self::names::{is_module, may_be_kernel};
pub(crate) use self::raw::check as check_raw;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use self::read::from_bytes;
pub(crate) use self::read::read;
pub(crate) use self::search::find;
pub(crate) use self::unpack::{Format, all as unpack_all};

#[cfg(test)]
mod tests;
