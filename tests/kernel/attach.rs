//! Every way to hook in and every transport show the same.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

use crate::host::text;
use crate::known::flavours;
use crate::support::{Ended, Trace, coretrace, in_vm, kernel, must_have, skip, targets};

/// The ways to hook in, and what -v calls their programs, in the order in which they are tried.
const HOOKS: [(&str, [&str; 3]); 4] = [
    ("btf", ["tp_btf/task_newtask", "tp_btf/sched_process_exit", "tp_btf/sched_process_exec"]),
    ("fentry", ["tp_btf/task_newtask", "fentry/taskstats_exit", "tp_btf/sched_process_exec"]),
    ("raw", ["raw_tp/task_newtask", "raw_tp/sched_process_exit", "raw_tp/sched_process_exec"]),
    ("tracepoint", ["tp/task/task_newtask", "tp/sched/sched_process_exit", "tp/sched/sched_process_exec"]),
];

/// The target `family`, traced in that way; in a mount namespace that has tracefs.
fn family(args: &[&str]) -> Ended {
    let targets = targets();
    let mut command = Command::new(&targets);
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["proc", "-o", "json", "-O", "-", "-v", "--threads"]);
    Trace::raw(command.args(args).args(["--", text(&targets), "family"])).end()
}

/// The -v line about hooks.
fn hooks(ended: &Ended) -> &str {
    let line = ended.stderr.iter().find(|line| line.contains("attached to"));
    line.unwrap_or_else(|| panic!("not attached: {:#?}", ended.stderr))
}

/// The events in order of time, without what differs from run to run: times are removed, and ids are numbered in order
/// of appearance.
fn essence(ended: &Ended) -> Vec<Value> {
    let mut events = ended.events.clone();
    // With a perf buffer for each CPU, events may come out of order.
    events.sort_by_key(|event| event["boot_ns"].as_u64());
    let mut ids: HashMap<u64, usize> = HashMap::new();
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        for name in ["time", "boot_ns", "cpu", "seq", "lifetime_ns", "cpu_ns", "max_rss_bytes"] {
            event.remove(name);
        }
        for name in ["ppid", "pid", "tid", "child_pid", "child_tid", "old_tid"] {
            if let Some(id) = event.get_mut(name) {
                let next = ids.len();
                *id = (*ids.entry(id.as_u64().unwrap()).or_insert(next)).into();
            }
        }
    }
    events
}

#[test]
fn all_hooks_and_transports_show_the_same() {
    let mut first: Option<Vec<Value>> = None;
    let here = flavours();
    for (hook, programs) in HOOKS {
        // A host may lack BPF trampolines or tracefs; the VMs do not.
        if !here.contains(&hook) {
            continue;
        }
        for (transport, words) in [("ring", "ring buffer of 2048 KiB"), ("perf", "perf buffer of 2048 KiB")] {
            let ended = family(&["--attach", hook, "--transport", transport]);
            assert_eq!(ended.status.code(), Some(11), "{hook}: {:#?}", ended.stderr);
            assert_eq!(ended.totals().dropped, 0);
            let printed = hooks(&ended);
            assert!(programs.iter().all(|program| printed.contains(program)), "{hook}: {printed}");
            assert!(printed.contains(words) && printed.contains("types from the kernel"), "{printed}");
            let essence = essence(&ended);
            let first = first.get_or_insert_with(|| essence.clone());
            for (n, (a, b)) in first.iter().zip(&essence).enumerate() {
                assert_eq!(a, b, "event {n} of {hook}, {transport}");
            }
            assert_eq!(first.len(), essence.len(), "{hook}, {transport}: {essence:#?}");
        }
    }
    // The number of each kind, so that empty lists do not pass.
    let count = |kind: &str| first.as_ref().unwrap().iter().filter(|e| e["kind"] == kind).count();
    assert_eq!(["exec", "fork", "clone", "exit", "thread_exit"].map(count), [3, 5, 2, 6, 2]);
}

#[test]
fn without_an_order_the_first_that_works_is_taken() {
    let ended = family(&[]);
    let printed = hooks(&ended);
    let refused = |hook: &str| ended.stderr.iter().any(|line| line.contains(&format!("not used: {hook}: ")));
    let mut order = HOOKS;
    // There, the other hooks skip processes.
    if kernel() >= (7, 0) {
        order.rotate_right(1);
    }
    let (_, programs) = order.iter().find(|(hook, _)| !refused(hook)).expect("one that works");
    assert!(programs.iter().all(|program| printed.contains(program)), "{printed}");
    assert!(!must_have(order[0].0) || printed.contains(order[0].1[1]), "{printed}");
    assert!(printed.contains("ring buffer"), "{printed}");
}

#[test]
fn programs_that_are_not_needed_are_not_attached() {
    if !in_vm() {
        return skip("attach::programs_that_are_not_needed_are_not_attached", "would watch all of the host");
    }
    for (kinds, expected) in
        [("exec", &["sched_process_exec"][..]), ("fork,exec", &["task_newtask", "sched_process_exec"])]
    {
        let ended = Trace::proc(["--events", kinds, "-u", "54321"]).stop();
        let printed = hooks(&ended);
        let all = ["sched_process_exec", "task_newtask", "taskstats_exit", "sched_process_exit"];
        assert!(all.iter().all(|hook| printed.contains(hook) == expected.contains(hook)), "{kinds}: {printed}");
    }
}
