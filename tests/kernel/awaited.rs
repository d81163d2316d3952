//! `conn` before the kernel's connection tracking is loaded. In the order of their names, this comes before the tests that
//! need it: they load it.

use std::process::Command;

use crate::conn::ended_after;
use crate::network::{ACCOUNT, CLIENT, Program, SERVER, load, network, possible};
use crate::support::{Trace, coretrace};

#[test]
fn a_tracker_that_is_not_loaded_is_waited_for() {
    let name = "awaited::a_tracker_that_is_not_loaded_is_waited_for";
    if !possible(name) {
        return;
    }
    let is_loaded = std::path::Path::new("/sys/module/nf_conntrack").exists();
    assert!(!is_loaded, "another test has loaded it: run this one first");
    let required = Trace::raw(Command::new(coretrace()).args(["conn", "--require"])).output();
    assert_eq!(required.status.code(), Some(1), "{:#?}", required.stderr);
    assert!(required.stderr.iter().any(|line| line.contains("modprobe nf_conntrack")), "{:#?}", required.stderr);
    let limited = Trace::raw(Command::new(coretrace()).args(["conn", "-d", "0.3"])).output();
    assert!(limited.status.success() && limited.stderr.iter().any(|line| line.contains("not loaded: waiting")));
    assert!(limited.stderr.iter().any(|line| line.contains("nothing was traced")), "{:#?}", limited.stderr);
    let mut waiting = Trace::raw(Command::new(coretrace()).args(["conn", "-v", "-o", "json", "-O", "-"]));
    waiting.note("that it waits", |line| line.contains("not loaded: waiting"));
    load(ACCOUNT);
    waiting.ready();
    network();
    let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
    Program::start(CLIENT, &["ask-tcp", "10.1.0.1:8080", "10"]).end();
    server.end();
    let ended = ended_after(waiting, "new", 3);
    assert_eq!(ended.kind("new").len(), 3);
}
