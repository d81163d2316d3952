//! Labels: changed while tracers run, seen at the next event, shared by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_rs::MapCore;
use serde_json::{Value, json};

use crate::attempts::{map_of, start};
use crate::host::Peer;
use crate::known::Dir;
use crate::support::{Trace, in_vm, parse, run, skip, targets};

/// Where the maps are pinned.
pub const PINS: &str = "/sys/fs/bpf/coretrace";

/// Labels of a unique name, removed after the test.
pub struct Labels(pub String);

impl Labels {
    /// None where there is no BPF file system: in the VMs there is one.
    pub fn new(test: &str) -> Option<Labels> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        if !mounts.lines().any(|line| line.contains(" /sys/fs/bpf bpf ")) {
            skip(&format!("labels::{test}"), "no BPF file system is mounted");
            return None;
        }
        Some(Labels(format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    pub fn pin(&self) -> PathBuf {
        Path::new(PINS).join(&self.0)
    }

    /// `coretrace label WHAT NAME ARGS…`
    pub fn label(&self, what: &str, args: &[&str]) -> Output {
        run([&["label", what, &self.0], args].concat())
    }

    /// The same, which must succeed; its output.
    pub fn ok(&self, what: &str, args: &[&str]) -> String {
        let output = self.label(what, args);
        assert!(output.status.success(), "{what} {args:?}: {}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A tracer that watches the peer and its children, and labels their events.
    fn watch(&self, tracer: &str, peer: &Peer, args: &[&str]) -> Trace {
        let pid = peer.pid().to_string();
        let mut trace = start(tracer, [&["--labels", &self.0, "-p", &pid, "--follow"], args].concat());
        trace.ready();
        trace
    }
}

impl Drop for Labels {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.pin());
    }
}

pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes the peer run a program; the program's process.
fn run_one(peer: &mut Peer) -> u64 {
    peer.order(&format!("run {} exit 0", targets().display())).parse().unwrap()
}

/// The label of a program that the peer runs now.
fn label_now(trace: &mut Trace, peer: &mut Peer) -> Value {
    let pid = run_one(peer);
    trace.wait_for("its exec", |event| event["pid"] == pid)["label"].clone()
}

#[test]
fn a_label_takes_effect_at_once() {
    let Some(labels) = Labels::new("a_label_takes_effect_at_once") else { return };
    let mut peer = Peer::obedient();
    for flavour in crate::attempts::flavours() {
        let mut trace = labels.watch("exec", &peer, &["--attach", flavour]);
        assert_eq!(label_now(&mut trace, &mut peer), json!(null), "{flavour}");
        labels.ok("set", &["uid", "0", "deploy bot"]);
        assert_eq!(label_now(&mut trace, &mut peer), "deploy bot", "{flavour}");
        labels.ok("set", &["uid", "root", "another"]);
        assert_eq!(label_now(&mut trace, &mut peer), "another", "{flavour}");
        // A failing one has it as well.
        peer.order("fail /no/such/program");
        let failed = trace.wait_for("the failure", |event| event["errno"] == "ENOENT");
        assert_eq!(failed["label"], "another", "{flavour}");
        labels.ok("rm", &["uid", "0"]);
        assert_eq!(label_now(&mut trace, &mut peer), json!(null), "{flavour}");
        trace.stop().assert_clean();
    }
}

#[test]
fn a_cgroup_has_its_label_before_its_users_and_hands_it_down() {
    let Some(labels) = Labels::new("a_cgroup_has_its_label_before_its_users_and_hands_it_down") else { return };
    let (outer, mut peer) = (Dir::cgroup(), Peer::obedient());
    let inner = outer.join("inner");
    fs::create_dir(&inner).unwrap();
    let [outside, inside] = [outer.path(), &inner].map(|dir| dir.to_str().unwrap());
    let mut trace = labels.watch("exec", &peer, &[]);
    labels.ok("set", &["uid", "0", "admin"]);
    labels.ok("set", &["cgroup", outside, "web"]);
    assert_eq!(label_now(&mut trace, &mut peer), "admin", "it is elsewhere");
    fs::write(inner.join("cgroup.procs"), peer.pid().to_string()).unwrap();
    assert_eq!(label_now(&mut trace, &mut peer), "web", "of the one above");
    labels.ok("set", &["cgroup", inside, "database"]);
    assert_eq!(label_now(&mut trace, &mut peer), "database", "of its own");
    labels.ok("rm", &["cgroup", inside]);
    labels.ok("rm", &["cgroup", outside]);
    assert_eq!(label_now(&mut trace, &mut peer), "admin", "of its user again");
    trace.stop().assert_clean();
    peer.end();
    fs::remove_dir(&inner).unwrap();
}

#[test]
fn a_label_is_handed_down_to_cgroups_far_below() {
    let Some(labels) = Labels::new("a_label_is_handed_down_to_cgroups_far_below") else { return };
    let (outer, mut peer) = (Dir::cgroup(), Peer::obedient());
    let nested: Vec<PathBuf> = (1..=30).map(|depth| outer.path().join(vec!["n"; depth].join("/"))).collect();
    nested.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    let mut trace = labels.watch("exec", &peer, &[]);
    labels.ok("set", &["uid", "0", "admin"]);
    labels.ok("set", &["cgroup", outer.path().to_str().unwrap(), "web"]);
    fs::write(nested[29].join("cgroup.procs"), peer.pid().to_string()).unwrap();
    assert_eq!(label_now(&mut trace, &mut peer), "web");
    trace.stop().assert_clean();
    peer.end();
    nested.iter().rev().for_each(|dir| fs::remove_dir(dir).unwrap());
}

#[test]
fn labels_filter_in_the_kernel_and_the_account_is_exact() {
    let Some(labels) = Labels::new("labels_filter_in_the_kernel_and_the_account_is_exact") else { return };
    let mut peer = Peer::obedient();
    for (option, shown) in [("--only-label", 2), ("--ignore-label", 3)] {
        let trace = labels.watch("exec", &peer, &["--default-label", "nobody", option, "batch"]);
        run_one(&mut peer);
        run_one(&mut peer);
        labels.ok("set", &["uid", "0", "batch"]);
        let batch = [run_one(&mut peer), run_one(&mut peer)];
        labels.ok("rm", &["uid", "0"]);
        run_one(&mut peer);
        let ended = trace.stop();
        let totals = ended.assert_clean();
        assert_eq!(totals.delivered, shown, "{option}: {:#?}", ended.events);
        // Those that are not shown, and in a VM, where nothing else runs programs, two of `label`.
        let others = totals.filtered - (5 - shown);
        assert!(if in_vm() { others == 2 } else { others >= 2 }, "{option}: {totals:?}");
        for event in &ended.events {
            let expected = if batch.contains(&event["pid"].as_u64().unwrap()) { "batch" } else { "nobody" };
            assert_eq!(event["label"], expected, "{option}");
        }
    }
}

#[test]
fn events_of_proc_have_labels_too() {
    let Some(labels) = Labels::new("events_of_proc_have_labels_too") else { return };
    let mut peer = Peer::obedient();
    let trace = labels.watch("proc", &peer, &["--default-label", "none"]);
    run_one(&mut peer);
    labels.ok("set", &["uid", "0", "web"]);
    let pid = run_one(&mut peer);
    let ended = trace.stop();
    ended.assert_clean();
    let of = |kind: &str, field: &str| ended.one_with(kind, field, &json!(pid))["label"].clone();
    assert_eq!([of("fork", "child_pid"), of("exec", "pid"), of("exit", "pid")], ["web", "web", "web"]);
    assert_eq!(ended.events.iter().filter(|event| event["label"] == "none").count(), 3, "of the first");
}

impl crate::support::Ended {
    fn one_with(&self, kind: &str, field: &str, value: &Value) -> &Value {
        let all = self.all(kind, field, value);
        assert_eq!(all.len(), 1, "{kind}: {:#?}", self.events);
        all[0]
    }
}

#[test]
fn a_second_tracer_shares_the_labels_and_they_outlive_both() {
    let Some(labels) = Labels::new("a_second_tracer_shares_the_labels_and_they_outlive_both") else { return };
    let mut peer = Peer::obedient();
    let first = labels.watch("exec", &peer, &[]);
    let mut second = labels.watch("proc", &peer, &["--events", "exec"]);
    let id = |trace: &Trace| map_of(trace.child.id(), "labels_v1").expect("labels").info().unwrap().info.id;
    let shared = id(&first);
    assert_eq!(shared, id(&second));
    first.stop().assert_clean();
    labels.ok("set", &["uid", "0", "still here"]);
    assert_eq!(label_now(&mut second, &mut peer), "still here");
    second.stop().assert_clean();
    let mut third = labels.watch("exec", &peer, &[]);
    assert_eq!((id(&third), label_now(&mut third, &mut peer)), (shared, json!("still here")));
    third.stop().assert_clean();
}

#[test]
fn labels_are_listed_and_removed() {
    let Some(labels) = Labels::new("labels_are_listed_and_removed") else { return };
    let unknown = labels.label("set", &["uid", "0", "x"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr_of(&unknown).contains(&format!("coretrace exec --labels {}", labels.0)), "{}", stderr_of(&unknown));
    let cgroup = Dir::cgroup();
    let peer = Peer::obedient();
    let trace = labels.watch("exec", &peer, &[]);
    labels.ok("set", &["uid", "54321", "deploy bot"]);
    labels.ok("set", &["uid", "7", "x"]);
    labels.ok("set", &["cgroup", cgroup.path().to_str().unwrap(), "\u{1b}[31mweb"]);
    let inode = crate::known::inode(cgroup.path());
    let lines: Vec<Value> = labels.ok("ls", &["-o", "json"]).lines().map(parse).collect();
    let entry = |kind: &str, id: u64, label: &str| json!({"kind": kind, "id": id, "label": label});
    let expected = [entry("uid", 7, "x"), entry("uid", 54321, "deploy bot"), entry("cgroup", inode, "\u{1b}[31mweb")];
    assert_eq!(lines, expected);
    let text = labels.ok("ls", &[]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&lines[0], &lines[2]), (&vec!["KIND", "ID", "LABEL"], &vec!["uid", "54321", "deploy", "bot"]));
    assert!(!text.contains('\u{1b}'), "{text:?}");

    labels.ok("rm", &["uid", "7"]);
    assert_eq!(labels.label("rm", &["uid", "7"]).status.code(), Some(1), "it is gone");
    assert_eq!(labels.label("rm", &[]).status.code(), Some(2), "rm of what?");
    assert_eq!(labels.label("set", &["uid", "7", &"x".repeat(32)]).status.code(), Some(2), "too long");
    assert_eq!(labels.ok("ls", &[]).lines().count(), 3);
    let names = |format: &str| String::from_utf8(run(["label", "ls", "-o", format]).stdout).unwrap();
    assert!(names("text").lines().any(|line| line == labels.0));
    assert!(names("json").lines().any(|line| parse(line) == json!({"name": labels.0})));
    labels.ok("rm", &["--all"]);
    assert!(!labels.pin().exists() && !names("text").contains(&labels.0));
    assert_eq!(labels.label("ls", &[]).status.code(), Some(1));
    // Running tracers are not affected.
    trace.stop().assert_clean();
}

#[test]
fn bpftool_shows_keys_and_labels_by_name() {
    let Some(labels) = Labels::new("bpftool_shows_keys_and_labels_by_name") else { return };
    if Command::new("bpftool").arg("version").output().is_err() {
        return skip("labels::bpftool_shows_keys_and_labels_by_name", "there is no bpftool");
    }
    let peer = Peer::obedient();
    let trace = labels.watch("exec", &peer, &[]);
    labels.ok("set", &["uid", "54321", "web"]);
    trace.stop().assert_clean();
    let pin = labels.pin();
    let bpftool = |args: &[&str]| {
        let output = Command::new("bpftool").args(args).arg(&pin).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = bpftool(&["map", "show", "pinned"]);
    assert!(shown.contains("labels_v1") && shown.contains("key 16B") && shown.contains("value 32B"), "{shown}");
    let dumped = parse(&bpftool(&["-j", "map", "dump", "pinned"]));
    let entry = &dumped[0]["formatted"];
    assert_eq!((&entry["key"]["id"], &entry["key"]["kind"]), (&json!(54321), &json!(1)), "{dumped}");
    assert!(entry["value"]["text"].to_string().contains("web") || entry["value"]["text"][0] == 119, "{dumped}");
    let types = bpftool(&["btf", "dump", "map", "pinned"]);
    assert!(types.contains("'label_key'") && types.contains("'label'"), "{types}");
}
