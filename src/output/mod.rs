//! Outputs: each turns events into bytes, knowing values and what they mean, never a tracer.
//!
//! What writes lines builds each in a buffer that it keeps, and hands it over in one write: nothing is allocated per
//! event.

mod beside;
pub mod clock;
pub mod fields;
mod format;
mod json;
mod line;
mod lives;
mod look;
#[expect(clippy::module_inception, reason = "the trait, beside what implements it")]
mod output;
mod perfetto;
mod processes;
pub mod schema;
mod spelling;
mod summary;
pub mod tables;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod tree;
mod units;
mod view;

pub use format::{Format, Lines};
pub use look::{Look, Time};
pub use output::{Output, Summary};
pub use summary::By;
pub use tree::TreeMode;
pub use view::View;
