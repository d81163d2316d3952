//! exit: exactly one for each process, with the status that waitpid() returns, however its threads end.

use std::collections::BTreeSet;

use libbpf_rs::MapCore;
use serde_json::{Value, json};

use crate::exit::exits;
use crate::known::{flavours, may_miss, traced, uint};
use crate::support::Ended;

/// Runs a target that ends this many times in that way, with this many threads, with every hook, and compares the
/// events with waitpid().
fn ends(how: &str, threads: u64, times: u64, check: impl Fn(&Ended, &Value)) {
    let options = |flavour| vec!["--attach", flavour, "--threads"];
    let flavours = flavours().into_iter().map(|flavour| (options(flavour), may_miss(flavour)));
    for (options, may_miss) in flavours.chain([(vec!["--threads"], false)]) {
        let ended = traced(&options, ["ends", how, &times.to_string()]);
        // Of each its fork and its exit; a clone and a thread_exit for each thread but one; the parent's exec and exit
        let expected = times * (2 + 2 * (threads - 1)) + 2;
        let totals = ended.totals();
        assert_eq!(totals.delivered + ended.missed(), expected, "{options:?}: {:#?}", ended.stderr);
        if ended.missed() > 0 {
            assert!(may_miss, "{options:?}: {:#?}", ended.stderr);
            continue;
        }
        let exits = exits(&ended);
        assert_eq!(exits.len() as u64, times, "{options:?}: {:#?}", ended.stderr);
        for exit in exits {
            let pid = &exit["pid"];
            let [created, gone] = ["clone", "thread_exit"].map(|kind| ended.all(kind, "pid", pid).len() as u64);
            assert_eq!((created, gone), (threads - 1, threads - 1), "{options:?}: all but the one that ended last");
            check(&ended, exit);
        }
    }
}

/// Codes of the threads that ended one by one.
fn codes(ended: &Ended, exit: &Value) -> Vec<u64> {
    ended.all("thread_exit", "pid", &exit["pid"]).iter().map(|event| uint(&event["code"])).collect()
}

#[test]
fn threads_that_end_at_once_are_one_exit() {
    ends("together", 9, 50, |ended, exit| {
        let codes = codes(ended, exit);
        assert_eq!(codes.len(), 8);
        let distinct: BTreeSet<_> = codes.iter().collect();
        assert_eq!(distinct.len(), 8, "each thread has its own: {codes:?}");
        assert!(codes.iter().all(|code| (10..=18).contains(code)), "{codes:?}");
    });
}

#[test]
fn threads_that_return_at_once_are_one_exit() {
    ends("returning", 9, 50, |ended, exit| assert_eq!(codes(ended, exit).len(), 8));
}

#[test]
fn threads_that_all_end_the_process_are_one_exit() {
    ends("racing", 5, 50, |_, exit| assert!((20..=24).contains(&uint(&exit["code"])), "{exit}"));
}

#[test]
fn a_first_thread_that_ends_before_the_last_is_no_exit() {
    ends("leader-first", 2, 5, |ended, exit| {
        let first = ended.one("thread_exit", &exit["pid"]);
        assert_eq!((&first["tid"], &first["code"]), (&exit["pid"], &json!(4)));
        assert_ne!(exit["tid"], exit["pid"], "the last thread is another one");
    });
}

#[test]
fn an_exit_from_a_thread_is_one_exit() {
    ends("from-thread", 5, 20, |_, exit| assert_eq!(exit["code"], 5));
}

#[test]
fn a_crash_of_a_thread_is_one_exit() {
    ends("segv-in-thread", 5, 20, |_, exit| assert_eq!(exit["signal"], "SIGSEGV"));
}

#[test]
fn threads_that_are_killed_are_one_exit() {
    ends("killed", 5, 20, |ended, exit| {
        assert_eq!(exit["signal"], "SIGKILL");
        for event in ended.all("thread_exit", "pid", &exit["pid"]) {
            assert_eq!(event["signal"], "SIGKILL");
        }
    });
}

#[test]
fn those_that_have_ended_are_remembered_however_many_cpus_there_are() {
    let peer = crate::host::Peer::obedient();
    let trace = crate::support::Trace::proc(["-p", &peer.pid().to_string()]);
    let ended = crate::attempts::map_of(trace.child.id(), "ended").expect("its map");
    // Each CPU may keep 128 free entries for itself (kernel/bpf/bpf_lru_list.c).
    let cpus = libbpf_rs::num_possible_cpus().unwrap() as u32;
    assert!(ended.max_entries() >= 4096 + 128 * cpus, "{}", ended.max_entries());
    drop(trace);
}
