//! A live run: the loop, how it is stopped, and `-- CMD`.

pub mod control;
pub mod interrupt;
pub mod launch;
pub mod live;
pub mod output_wait;
pub mod rights;
pub mod sentinel;
pub mod signals;
