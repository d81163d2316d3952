//! fork and clone: who created whom, how, and before anything that the child does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::known::{Dir, flavours, inode, may_miss, strings, traced, uint, words};
use crate::support::{Ended, kernel};

const CLONE_NEWUSER: u64 = 0x1000_0000;
const CLONE_NEWPID: u64 = 0x2000_0000;
const CLONE_NEWNS: u64 = 0x0002_0000;
const CLONE_NEWUTS: u64 = 0x0400_0000;
const CLONE_NEWIPC: u64 = 0x0800_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_NNP: u64 = 0x8_0000_0000;

/// The fork event of each child that the target reported; the child's only other events are its exit, and perhaps its
/// exec.
fn forks<'a>(ended: &'a Ended, reported: &[Value]) -> Vec<&'a Value> {
    let parent = &ended.events[0]["pid"];
    let fork = |reported: &Value| {
        let pid = &reported["pid"];
        let forks = ended.all("fork", "child_pid", pid);
        assert_eq!(forks.len(), 1, "{reported}: {forks:#?}");
        let fork = forks[0];
        assert_eq!((&fork["child_tid"], &fork["pid"], &fork["tid"]), (pid, parent, parent));
        assert_eq!((&fork["comm"], &fork["uid"]), (&json!("targets"), &json!(0)));
        let exit = ended.one("exit", pid);
        assert_eq!((&exit["ppid"], &exit["code"]), (parent, &reported["code"]));
        fork
    };
    assert!(!reported.is_empty());
    reported.iter().map(fork).collect()
}

fn flags(event: &Value) -> BTreeSet<&str> {
    strings(&event["flags"]).into_iter().collect()
}

#[test]
fn a_process_of_no_duration_is_shown() {
    for how in ["fork", "vfork"] {
        for flavour in flavours() {
            let ended = traced(&["--attach", flavour], ["children", how, "100"]);
            if may_miss(flavour) && ended.missed() > 0 {
                continue;
            }
            let reported = ended.all_reported("forked");
            assert_eq!(reported.len(), 100);
            assert_eq!(forks(&ended, &reported).len(), 100);
            assert_eq!(ended.events.len(), 202, "{flavour}: nothing else than fork and exit");
        }
    }
}

#[test]
fn the_flags_show_how_a_process_was_made() {
    let glibc: &[&str] = &["CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID"];
    for (how, expected) in
        [("fork", glibc), ("vfork", &["CLONE_VFORK", "CLONE_VM"]), ("spawn", &["CLONE_VFORK", "CLONE_VM"])]
    {
        let ended = traced(&[], ["children", how, "1"]);
        let fork = forks(&ended, &ended.all_reported("forked"))[0];
        // For a spawned process, the C library may add flags.
        let mut flags = flags(fork);
        flags.remove("CLONE_CLEAR_SIGHAND");
        assert_eq!(Vec::from_iter(flags), expected, "{how}");
    }
}

#[test]
fn new_namespaces_are_shown_in_the_flags() {
    let bits = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER;
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], ["children", "clone", "1", &bits.to_string()]);
        let fork = forks(&ended, &ended.all_reported("forked"))[0];
        let expected = ["CLONE_NEWIPC", "CLONE_NEWNET", "CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWUSER", "CLONE_NEWUTS"];
        assert_eq!(Vec::from_iter(flags(fork)), expected, "{flavour}");
        // In a user namespace without any user: the number is the one outside.
        assert_eq!(ended.one("exit", &fork["child_pid"])["uid"], 0, "{flavour}");
    }
}

#[test]
fn the_flags_above_32_bits_are_shown() {
    let cgroup = Dir::cgroup();
    let mut all = vec![("CLONE_CLEAR_SIGHAND", CLONE_CLEAR_SIGHAND), ("CLONE_INTO_CGROUP", CLONE_INTO_CGROUP)];
    if kernel() >= (7, 1) {
        all.push(("CLONE_NNP", CLONE_NNP));
    }
    for (name, bit) in all {
        for flavour in flavours() {
            let line = words!["children", "clone3", "1", bit.to_string(), cgroup.path()];
            let ended = traced(&["--attach", flavour], line);
            let fork = ended.kind("fork")[0];
            assert_eq!(fork["flags"], json!([name]), "{flavour}");
            if bit == CLONE_INTO_CGROUP {
                let exit = ended.one("exit", &fork["child_pid"]);
                assert_eq!(
                    (&exit["cgroup_id"], fork["cgroup_id"] == exit["cgroup_id"]),
                    (&json!(inode(cgroup.path())), false)
                );
            }
        }
    }
}

#[test]
fn a_thread_is_shown_on_request() {
    const THREADS: usize = 10;
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour, "--threads"], ["threads", "10"]);
        if may_miss(flavour) && ended.missed() > 0 {
            continue;
        }
        let pid = &ended.events[0]["pid"];
        let reported = ended.all_reported("thread");
        assert_eq!(reported.len(), THREADS);
        for reported in &reported {
            let clone = ended.all("clone", "child_tid", &reported["tid"])[0];
            assert_eq!((&clone["child_pid"], &clone["pid"], &clone["tid"]), (pid, pid, pid));
            let flags = flags(clone);
            for flag in ["CLONE_THREAD", "CLONE_VM", "CLONE_SIGHAND", "CLONE_FS", "CLONE_FILES", "CLONE_SETTLS"] {
                assert!(flags.contains(flag), "{flavour}: {flags:?}");
            }
        }
        assert_eq!((ended.kind("clone").len(), ended.kind("thread_exit").len()), (THREADS, THREADS));
        assert_eq!((ended.kind("fork").len(), ended.kind("exit").len()), (0, 1));
        // The process ends with its last thread, whichever that is: a joined thread may not be gone yet.
        let ends = ended.kind("thread_exit").into_iter().chain(ended.kind("exit"));
        let mut gone: Vec<_> = ends.map(|end| (uint(&end["tid"]), end["pid"] == *pid, uint(&end["code"]))).collect();
        let mut known: Vec<_> = reported.iter().map(|reported| (uint(&reported["tid"]), true, 0)).collect();
        known.push((uint(pid), true, 0));
        gone.sort_unstable();
        known.sort_unstable();
        assert_eq!(gone, known, "{flavour}");
    }
    let ended = traced(&[], ["threads", "10"]);
    assert_eq!(ended.events.len(), 2, "exec and exit, nothing of threads: {:#?}", ended.events);
}

#[test]
fn a_sibling_is_shown_as_its_makers_but_has_its_parent() {
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], ["children", "sibling", "3"]);
        let reported = ended.all_reported("sibling");
        assert_eq!(reported.len(), 3);
        for reported in reported {
            let fork = ended.all("fork", "child_pid", &reported["pid"])[0];
            assert_eq!(fork["pid"], reported["from"], "{flavour}: made by the one");
            assert_eq!(flags(fork), BTreeSet::from(["CLONE_PARENT"]));
            assert_eq!(ended.one("exit", &reported["pid"])["ppid"], reported["parent"], "{flavour}: the other's child");
            assert_eq!(reported["parent"], ended.events[0]["pid"]);
        }
    }
}

#[test]
fn a_fork_comes_before_all_that_the_child_does() {
    for transport in ["ring", "perf"] {
        for how in ["fork", "spawn"] {
            let ended = traced(&["--transport", transport], ["children", how, "300"]);
            let reported = ended.all_reported("forked");
            assert_eq!(reported.len(), 300);
            for reported in reported {
                let at = |kind: &str, field: &str| {
                    ended.events.iter().position(|event| event["kind"] == kind && event[field] == reported["pid"])
                };
                let (fork, exec, exit) = (at("fork", "child_pid"), at("exec", "pid"), at("exit", "pid"));
                assert!(fork.is_some() && fork < exit, "{transport}: {fork:?} {exit:?}");
                assert_eq!(exec.is_some(), how == "spawn");
                assert!(exec.is_none() || (fork < exec && exec < exit), "{transport}: {fork:?} {exec:?} {exit:?}");
            }
            let times: Vec<u64> = ended.events.iter().map(|event| uint(&event["boot_ns"])).collect();
            if transport == "perf" {
                assert!(times.is_sorted(), "sorted by time");
            }
        }
    }
}
