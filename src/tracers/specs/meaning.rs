//! What the bytes of an event of a spec mean.

use serde::{Deserialize, Serialize};

use crate::event::Shown;

/// What is shown of an event of one way to hook in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Meaning {
    pub args: Vec<Shown>,
    pub ret: Option<Shown>,
    /// How long the call took is known.
    pub timed: bool,
    /// The most calls that are shown of each stack; 0: there are none.
    pub stack: u8,
    /// The kernel's is there, too.
    pub kernel_stack: bool,
    /// It may lack the function itself ([`crate::event::Taken::own`]).
    #[serde(default)]
    pub itself: bool,
}
