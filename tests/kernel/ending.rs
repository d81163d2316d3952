//! How a run ends: by itself, by a signal, because nobody reads; and that nothing of it stays.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::host::{Peer, assert_unloaded, programs_of, text};
use crate::support::{Trace, targets};

/// A run that watches one process, and the ids of its BPF programs.
pub fn watch(peer: &Peer, args: &[&str]) -> (Trace, BTreeSet<u32>) {
    let pid = peer.pid().to_string();
    let trace = Trace::proc(["-p", &pid].into_iter().chain(args.iter().copied()));
    let programs = programs_of(trace.child.id());
    (trace, programs)
}

#[test]
fn after_its_duration() {
    let mut peer = Peer::obedient();
    let begin = Instant::now();
    let (mut trace, programs) = watch(&peer, &["-d", "1.5"]);
    peer.tell("forks 1");
    trace.wait_for("the fork", |e| e["kind"] == "fork");
    let ended = trace.end();
    assert!(begin.elapsed() >= Duration::from_millis(1500), "{:?}", begin.elapsed());
    assert_eq!(ended.assert_clean().delivered, 1);
    assert_unloaded(&programs);
}

#[test]
fn after_so_many_events() {
    let mut peer = Peer::obedient();
    let (trace, programs) = watch(&peer, &["--count", "3", "--follow"]);
    peer.tell("forks 20");
    let ended = trace.end();
    // What came behind the third event, and was read, counts as filtered.
    assert_eq!(ended.assert_clean().delivered, 3);
    let kinds: Vec<&str> = ended.events.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fork", "exit", "fork"]);
    assert_unloaded(&programs);
}

#[test]
fn by_a_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut peer = Peer::obedient();
        let (mut trace, programs) = watch(&peer, &[]);
        peer.tell("forks 2");
        // Read or not: what happened before the signal is shown.
        trace.signal(signal);
        trace.note("the totals", |line| line.contains(" seen = "));
        let ended = trace.end();
        assert_eq!((ended.assert_clean().delivered, ended.of("fork", peer.pid()).len()), (2, 2), "{signal}");
        assert_unloaded(&programs);
    }
}

#[test]
fn killed() {
    let peer = Peer::obedient();
    let (mut trace, programs) = watch(&peer, &["--follow"]);
    assert!(programs.len() >= 3, "{programs:?}");
    trace.signal(Signal::SIGKILL);
    trace.child.wait().unwrap();
    assert_unloaded(&programs);
}

#[test]
fn an_event_is_printed_long_before_the_next() {
    let mut peer = Peer::obedient();
    let (mut trace, _) = watch(&peer, &[]);
    let order = format!("run {} exit 0", text(&targets()));
    for n in 1..=3 {
        let child = peer.tell(&order);
        let begin = Instant::now();
        trace.wait_for("its fork", |e| e["child_pid"].to_string() == child);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(trace.stdout.len(), n);
    }
    assert_eq!(trace.stop().assert_clean().delivered, 3);
}
