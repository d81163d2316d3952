//! What coretrace is built from.

// The macro `commit!()`: the commit, and whether what is in the binary differs from it, as a literal: "0123456789ab",
// "0123456789ab-changed".
include!(concat!(env!("OUT_DIR"), "/commit.rs"));
