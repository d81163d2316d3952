//! `conn` before the kernel's connection tracking is loaded. In the order of their names, this comes before the tests that
//! need it: they load it.

use std::process::Command;

use crate::conn::ended_after;
use crate::network::{ACCOUNT, CLIENT, Program, SERVER, load, network, possible, shell, unload};
use crate::support::{Trace, coretrace, targets};

#[test]
fn a_tracker_that_is_loaded_again_is_watched_again() {
    if !possible("awaited::a_tracker_that_is_loaded_again_is_watched_again") {
        return;
    }
    shell("ip link set lo up");
    load("enable_hooks=1");
    // By their types, the kernel would not let it go.
    let mut command = Command::new(coretrace());
    let mut trace =
        Trace::raw(command.args(["conn", "-v", "-o", "json", "-O", "-", "--attach", "kprobe", "--wait", "0"]));
    trace.ready();
    let refuse = |port: &str| shell(&format!("{} net refused 127.0.0.1:{port}", targets().display()));
    let seen = |trace: &mut Trace, port: u32| {
        let found = trace.wait_for("the connection", |event| event["kind"] == "new" && event["dst"]["port"] == port);
        assert_eq!(found["via"], "socket", "{found}");
    };
    refuse("9");
    seen(&mut trace, 9);
    unload();
    trace.note("that it is gone", |line| line.contains("nf_conntrack was unloaded"));
    load("enable_hooks=1");
    trace.note("that it is back", |line| line.contains("nf_conntrack was loaded: conn sees it"));
    refuse("10");
    seen(&mut trace, 10);
    let ended = trace.stop();
    ended.assert_clean();
    assert_eq!(ended.kind("new").iter().filter(|event| event["dst"]["port"] == 10).count(), 1, "{:#?}", ended.events);
    // The first one ended when the tracker was unloaded.
    assert!(ended.kind("end").iter().any(|event| event["dst"]["port"] == 9), "{:#?}", ended.events);
    unload();
}

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
