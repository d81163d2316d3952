//! exec by a thread that is not the first: it takes the place of the first one, and the others end.

use std::collections::BTreeSet;

use serde_json::json;

use crate::known::{flavours, may_miss, traced, uint, words};
use crate::support::targets;

#[test]
fn an_exec_in_a_thread_shows_which_thread_it_was() {
    const WAITING: usize = 3;
    for flavour in flavours() {
        let options = ["--attach", flavour, "--threads"];
        let ended = traced(&options, words!["exec-in-thread", WAITING.to_string(), targets(), "who"]);
        if may_miss(flavour) && ended.missed() > 0 {
            continue; // Several threads end at once, and the kernel says that it skipped some.
        }
        let who = ended.reported("who");
        let pid = &who["pid"];
        let execs = ended.all("exec", "pid", pid);
        assert_eq!(execs.len(), 2, "{flavour}: {:#?}", ended.events);
        assert_eq!(execs[0].get("old_tid"), None, "its own, by the first thread");
        let exec = execs[1];
        assert_eq!(exec["old_tid"], ended.reported("exec-thread")["tid"], "{flavour}");
        assert_eq!((&exec["tid"], &exec["argv"]), (pid, &json!([targets(), "who"])));
        assert_eq!(exec["tid"], who["tid"]);

        // All others are gone before: those that waited, and the first.
        let at = ended.events.iter().position(|event| std::ptr::eq(event, exec)).unwrap();
        let gone: Vec<u64> = ended.kind("thread_exit").iter().map(|event| uint(&event["tid"])).collect();
        let mut others: BTreeSet<u64> =
            ended.all_reported("thread").iter().map(|reported| uint(&reported["tid"])).collect();
        others.insert(uint(pid));
        assert_eq!((gone.len(), BTreeSet::from_iter(gone)), (WAITING + 1, others), "{flavour}");
        assert!(ended.events[at..].iter().all(|event| event["kind"] != "thread_exit"), "{flavour}");
        for event in ended.kind("thread_exit") {
            assert_eq!((&event["pid"], &event["code"]), (pid, &json!(0)), "ended by the kernel");
        }

        assert_eq!(ended.kind("clone").len(), WAITING + 1);
        let exit = ended.one("exit", pid);
        assert_eq!((&exit["tid"], &exit["code"]), (pid, &json!(0)));
        assert!(uint(&exit["lifetime_ns"]) > uint(&exit["boot_ns"]) - uint(&execs[0]["boot_ns"]), "since its fork");
    }
}
