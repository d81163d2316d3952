//! Opens by io_uring.
#![allow(unsafe_code)]

use std::ffi::OsString;

use io_uring::{IoUring, opcode, squeue, types};
use serde_json::json;

use crate::events::say::{number, say};
use crate::opens::c_string;
use crate::sys;

/// `uring FLAGS PATH how PATH how …`: each opened on its own, `inline` if the kernel can, or by its `worker`.
pub fn uring(args: &[OsString]) {
    sys::set_name("opening");
    let mut ring = IoUring::new(4).expect("an io_uring");
    let flags: i32 = number(&args[0]);
    for order in args[1..].chunks(2) {
        let path = c_string(&order[0]);
        let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).flags(flags).mode(0o640).build();
        let entry = if order[1] == "worker" { entry.flags(squeue::Flags::ASYNC) } else { entry };
        // SAFETY: the path lives until the completion is there.
        unsafe { ring.submission().push(&entry) }.expect("room in the queue");
        ring.submit_and_wait(1).expect("a completion");
        let done = ring.completion().next().expect("a completion");
        say("open", &json!({"ret": done.result(), "pid": std::process::id()}));
    }
}
