//! Tests of what user space alone decides: a run on one kernel of the matrix is enough (`once::` in tests/vm/suite.rs).
//! A test belongs here when no kernel can make it fail that lets the others pass; in doubt, it stays outside.

mod btf;
mod btf_cmd;
mod btf_source;
mod check_cmd;
mod command;
mod ending;
mod failing;
mod files;
mod filters;
mod heartbeat;
mod hostile;
mod inherited;
mod labels_refused;
mod losses;
mod recording;
mod relocs;
mod rights;
mod stalled;
