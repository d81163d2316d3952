//! A live run: the loop, how it is stopped, and `-- CMD`.

pub mod launch;
pub mod live;
pub mod sentinel;
pub mod signals;
