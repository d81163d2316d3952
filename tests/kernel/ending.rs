//! How a run ends: by itself, by a signal, because nobody reads; and that nothing is left behind.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::host::{Peer, Scratch, assert_unloaded, is_running, programs_of, text, until_unloaded};
use crate::support::{Ended, Trace, coretrace, targets};

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
    peer.order("forks 1");
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
    peer.order("forks 20");
    let ended = trace.end();
    // Events after the third that were read count as filtered.
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
        peer.order("forks 2");
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
        let child = peer.order(&order);
        let begin = Instant::now();
        trace.wait_for("its fork", |e| e["child_pid"].to_string() == child);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert_eq!(trace.stdout.len(), n);
    }
    assert_eq!(trace.stop().assert_clean().delivered, 3);
}

/// Starts coretrace and signals it as soon as its first program is loaded; how it ended, if that was before the
/// programs were attached.
fn signalled_before_it_is_attached(signal: Signal, args: &[&str]) -> Option<Ended> {
    let mut command = Command::new(coretrace());
    let trace = Trace::raw(command.args(["proc", "-v", "-O", "/dev/null"]).args(args));
    let pid = trace.child.id();
    let mut programs = BTreeSet::new();
    while programs.is_empty() {
        assert!(is_running(pid), "{args:?}: it ended by itself");
        programs = programs_of(pid);
    }
    trace.signal(signal);
    let begin = Instant::now();
    let ended = trace.output();
    assert!(begin.elapsed() < Duration::from_secs(8), "{args:?}: {:?}", begin.elapsed());
    until_unloaded(&programs);
    (!ended.stderr.iter().any(|line| line.contains("attached to"))).then_some(ended)
}

#[test]
fn by_a_signal_while_its_hooks_are_being_attached() {
    let scratch = Scratch::new("attaching");
    let marker = scratch.path("marker");
    let peer = Peer::obedient();
    let pid = peer.pid().to_string();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for args in [&["-p", &pid, "--follow"][..], &["--", "touch", text(&marker)]] {
            // It may be faster than this test, but not always.
            let ended = (0..20).find_map(|_| {
                let _ = std::fs::remove_file(&marker);
                signalled_before_it_is_attached(signal, args)
            });
            let ended = ended.unwrap_or_else(|| panic!("{args:?}: always attached before the signal came"));
            assert!(!ended.status.success(), "{args:?}: {:?} {:#?}", ended.status, ended.stderr);
            assert!(!marker.exists(), "the command has run");
        }
    }
}
