//! Outputs: each turns events into bytes, knowing values and what they mean, never a tracer.
//!
//! What writes lines builds each in a buffer that it keeps, and hands it over in one write: nothing is allocated per
//! event.

pub mod clock;
mod format;
mod json;
mod line;
mod look;
#[expect(clippy::module_inception, reason = "the trait, beside what implements it")]
mod output;
pub mod schema;
mod spelling;
pub mod tables;
#[cfg(test)]
mod tests;
mod text;
mod units;

pub use format::Format;
pub use look::Look;
pub use output::{Output, Summary};
