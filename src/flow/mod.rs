//! The path of an event from the buffer to the output.

pub mod enrich;
pub(crate) mod files;
pub mod filter;
pub mod heartbeat;
pub mod ledger;
pub mod pipeline;
pub mod record;
pub mod sink;
