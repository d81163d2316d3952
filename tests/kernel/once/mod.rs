//! Tests of what depends only on user space: a run on one kernel of the matrix is enough (`once::` in
//! tests/vm/suite.rs). A test belongs here if its result cannot depend on the kernel; if unsure, put it outside.

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
mod probe;
mod probe_totals;
mod recording;
mod relocs;
mod rights;
mod stalled;
