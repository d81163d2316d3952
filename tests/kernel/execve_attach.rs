//! `coretrace exec`: every way to hook in shows the same, for threads too, and -v is right about 32-bit programs.

use std::io::Write;

use serde_json::{Value, json};

use crate::attempts::{Zoo, exec, file, flavours, start, tried};
use crate::host::{Peer, until};
use crate::known::words;
use crate::small::{Calls, program as program_of_32_bits};
use crate::support::{in_vm, must_have, skip, targets};

/// One of the hooks of each, as named by -v.
const HOOKS: [(&str, &str); 4] = [
    ("fentry", "fexit/__"),
    ("kprobe", "kretprobe/__"),
    ("ksyscall", "kretsyscall/execve"),
    ("tracepoint", "tp/syscalls/sys_exit_execve"),
];

#[test]
fn all_hooks_and_transports_show_the_same_attempts() {
    let zoo = Zoo::new();
    let program = zoo.path("program");
    let argv = json!(["name", "exit", "0"]);
    let attempts = [
        json!({"path": program, "argv": argv}),
        json!({"path": zoo.path("missing"), "argv": argv}),
        json!({"path": "missing", "at": zoo.path("sub"), "argv": argv, "thread": true}),
        json!({"path": "program", "at": zoo.dir(), "argv": argv, "thread": true}),
        json!({"path": zoo.path("garbage"), "argv": ["", "two words"]}),
        json!({"path": zoo.path("text"), "argv": []}),
        json!({"path": program, "argv": null}),
    ];
    let mut first: Option<Vec<Value>> = None;
    for flavour in flavours() {
        for transport in ["ring", "perf"] {
            let tried = tried(&["--attach", flavour, "--transport", transport], &attempts);
            let (_, hook) = HOOKS.iter().find(|(name, _)| *name == flavour).unwrap();
            let printed = tried.ended.stderr.iter().find(|line| line.contains("attached to")).unwrap();
            assert!(printed.contains(hook) && printed.contains(&format!("{transport} buffer")), "{flavour}: {printed}");
            let fields =
                ["kind", "ret", "errno", "argv", "argv_bytes", "path", "exe", "interp", "cwd", "parent_comm", "comm"];
            let essence = |event: &Value| fields.iter().map(|field| json!(event.get(field))).collect();
            let essence: Vec<Value> = tried.events.iter().map(essence).collect();
            assert_eq!(&essence, first.get_or_insert_with(|| essence.clone()), "{flavour} {transport}");
        }
    }
}

#[test]
fn without_an_order_the_first_that_works_is_taken() {
    let ended = exec(&[], ["exit", "0"]);
    let printed = ended.stderr.iter().find(|line| line.contains("attached to")).unwrap();
    let refused = |hook: &str| ended.stderr.iter().any(|line| line.contains(&format!("not used: {hook}: ")));
    let mut order = HOOKS;
    // There, it skips processes (see Host::preempts).
    if crate::support::kernel() >= (5, 11) && crate::known::preemptible() {
        order.rotate_left(1);
    }
    let (name, hook) = order.iter().find(|(name, _)| !refused(name)).expect("one that works");
    assert!(printed.contains(hook), "{name}: {printed}");
    assert!(!must_have(order[0].0) || *name == order[0].0, "{:#?}", ended.stderr);
}

#[test]
fn attempts_of_32_bit_programs_are_seen_or_reported_as_not_seen() {
    const NAME: &str = "execve_attach::attempts_of_32_bit_programs_are_seen_or_reported_as_not_seen";
    let zoo = Zoo::new();
    let (small, small_at, program) = (zoo.path("small"), zoo.path("small-at"), zoo.path("program"));
    file(&small, &program_of_32_bits(Calls::Execve), 0o755);
    file(&small_at, &program_of_32_bits(Calls::Execveat), 0o755);
    match std::process::Command::new(&small).args([program.as_os_str(), "exit".as_ref(), "0".as_ref()]).status() {
        Ok(status) => assert!(status.success(), "{status:?}"),
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => return skip(NAME, "it runs no 32-bit programs"),
        Err(error) => panic!("{error}"),
    }
    for flavour in flavours() {
        for small in [&small, &small_at] {
            // Events of successes do not depend on 32 bits.
            if flavour == flavours()[0] {
                let ended = exec(&["--attach", flavour], words!["in-dir", zoo.dir(), small, &program, "exit", "0"]);
                let [.., event] = &ended.kind("execve")[..] else { panic!("{:#?}", ended.events) };
                assert_eq!((&event["argv"], &event["exe"]), (&json!([program, "exit", "0"]), &json!(program)));
            }
            let mut line = vec!["--attach".into(), flavour.into(), "--".into(), targets().into_os_string()];
            line.extend(words!["in-dir", zoo.dir(), small, "missing", "one", ""]);
            let ended = start("exec", line).end();
            assert_eq!(ended.status.code(), Some(libc::ENOENT), "{:#?}", ended.stderr);
            assert_eq!(ended.totals().dropped, 0);
            let failed = ended.all("execve", "errno", &json!("ENOENT"));
            let not_seen = ended
                .stderr
                .iter()
                .any(|line| line.contains(&format!("not seen by {flavour}: attempts of 32-bit programs that fail")));
            if matches!(flavour, "fentry" | "kprobe") {
                let [event] = failed[..] else { panic!("{flavour}: {:#?}", ended.events) };
                let path = json!(zoo.path("missing"));
                assert_eq!((&event["argv"], &event["path"]), (&json!(["missing", "one", ""]), &path), "{flavour}");
                assert!(!not_seen, "{flavour}");
            } else {
                assert!(failed.is_empty() && not_seen, "{flavour}: {failed:?} {:#?}", ended.stderr);
            }
        }
    }
}

/// How many keys the map `calls` of a process has.
fn calls(coretrace: u32) -> usize {
    let map = crate::attempts::map_of(coretrace, "calls").expect("it has that map");
    libbpf_rs::MapCore::keys(&map).count()
}

/// This many execs, each by a thread that is not the first of its process: none is lost, and no call stays in the map.
fn execs_by_threads(flavour: &str, rounds: u64) {
    const EACH: u64 = 499;
    let mut peer = Peer::obedient();
    let pid = peer.pid().to_string();
    let mut trace = start("exec", ["--attach", flavour, "-p", &pid, "--follow", "--strict", "--buffer", "16M"]);
    trace.ready();
    let mut last = String::new();
    for round in 0..rounds {
        last = peer.order(&format!("run {} again {EACH}", targets().display()));
        // Shows progress to whoever waits for this test.
        let _ = writeln!(std::io::stderr(), "{flavour}: {} execs", (round + 1) * (EACH + 1));
    }
    // A failing one at the end, for the entry of a call and its return.
    peer.order("fail /no/such/program");
    trace.wait_for("the failure", |event| event["errno"] == "ENOENT");
    if flavour != "fentry" {
        until("no call is left in the map", || calls(trace.child.id()) == 0);
    }
    let ended = trace.stop();
    assert_eq!(ended.assert_clean().delivered, rounds * (EACH + 1) + 1, "{flavour}: {:#?}", ended.stderr);
    let mut left: Vec<_> = ended.events.iter().filter(|event| event["pid"].to_string() == last).collect();
    left.sort_by_key(|event| event["boot_ns"].as_u64());
    let counted: Vec<u64> = left.iter().map(|event| event["argv"][2].as_str().unwrap().parse().unwrap()).collect();
    assert!(counted.into_iter().eq((0..=EACH).rev()), "{flavour}: one after the other");
}

#[test]
fn two_thousand_execs_by_threads_lose_none_and_leave_nothing_behind() {
    // Here calls go through a map. Outside of a VM, there may be no kprobes.
    let flavour = if in_vm() { "kprobe" } else { *flavours().last().unwrap() };
    execs_by_threads(flavour, if in_vm() { 4 } else { 2 });
}

#[test]
fn no_other_way_to_hook_in_loses_execs_by_threads() {
    for flavour in flavours().into_iter().filter(|flavour| matches!(*flavour, "fentry" | "tracepoint")) {
        execs_by_threads(flavour, 2);
    }
}
