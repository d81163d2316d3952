//! One file or folder for each subcommand, from its options to its exit code.

pub(crate) mod btf;
pub mod check;
pub mod completions;
mod kernel_types;
pub mod label;
mod man;
mod names;
mod outlet;
mod print;
pub(crate) mod relocs;
pub mod replay;
pub(crate) mod report_format;
mod schema;
pub(crate) mod setup;
pub(crate) mod table;
pub mod trace;
pub(crate) mod verdict;

pub use man::man;
pub use schema::schema;
