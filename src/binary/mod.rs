//! Programs and libraries: what can be probed in them, and what is known of it.
//!
//! A file ([`elf`]) has functions ([`symbols`]) and static probes ([`usdt`]). What a function is called with is said by
//! its debug information ([`dwarf`]), here or in a file of its own ([`separate`]), or by a table of ours ([`prototypes`]).
//! [`find`] says which file is meant.

mod below;
mod code;
mod demangle;
mod describe;
mod dwarf;
mod elf;
mod fault;
pub(crate) mod find;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod machine;
mod open;
mod origin;
mod passing;
mod prototypes;
mod returns;
mod separate;
mod source;
mod symbolize;
mod symbols;
mod usdt;
mod versions;

pub(crate) use self::below::below;
pub(crate) use self::describe::{Argument, Signature, Source, no_types};
pub(crate) use self::dwarf::Found;
pub(crate) use self::machine::Machine;
pub(crate) use self::open::Binary;
pub(crate) use self::origin::Origin;
pub(crate) use self::passing::Passing;
pub(crate) use self::returns::Returns;
pub(crate) use self::symbolize::{Inside, Symbolizer, about};
pub(crate) use self::symbols::{Function, is_changed};
pub(crate) use self::usdt::{Operand, Place, Semaphore, StaticProbe};
