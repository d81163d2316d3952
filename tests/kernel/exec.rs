//! exec: who, where and when, compared with what the target knows about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::known::{Dir, cgroup_root, flavours, inode, strings, text, trace, traced, uint, unix_ns, words};
use crate::support::{Ended, Trace, targets};

/// The exec that started `who`, and what it reported.
fn who(ended: &Ended) -> (&Value, Value) {
    let who = ended.reported("who");
    (ended.last("exec", &who["pid"]), who)
}

/// Every field that the target knows as well.
fn assert_same(exec: &Value, who: &Value) {
    for field in ["pid", "tid", "ppid", "uid", "gid", "comm", "exe"] {
        assert_eq!(exec[field], who[field], "{field}: {exec} {who}");
    }
    let cmdline: String = strings(&exec["argv"]).iter().flat_map(|arg| [arg, "\0"]).collect();
    assert_eq!(cmdline, who["cmdline"]);
    assert_eq!(exec["argv_bytes"], cmdline.len());
    assert_eq!(exec.get("argv_truncated"), None);
}

#[test]
fn an_exec_shows_who_and_what_as_the_process_knows_it() {
    for flavour in flavours() {
        for transport in ["ring", "perf"] {
            let trace = Trace::proc(words!["--attach", flavour, "--transport", transport, "--", targets(), "who"]);
            let coretrace = trace.child.id();
            let ended = trace.end();
            ended.assert_clean();
            let (exec, who) = who(&ended);
            assert_same(exec, &who);
            assert_eq!(exec["ppid"], coretrace, "CMD is a child of coretrace");
            assert_eq!(exec["tid"], exec["pid"]);
            assert_eq!(exec["exe"], json!(targets().canonicalize().unwrap()));
            assert_eq!(exec["comm"], "targets");
            for absent in ["old_tid", "cwd", "exe_deleted", "exe_truncated", "comm_b64", "argv_b64"] {
                assert_eq!(exec.get(absent), None, "{exec}");
            }
        }
    }
}

#[test]
fn an_exec_shows_the_user_and_group_of_the_process() {
    let ended = traced(&[], words!["as-user", "1000", "1001", targets(), "who"]);
    let execs = ended.kind("exec");
    assert_eq!(execs.len(), 2);
    assert_eq!((&execs[0]["uid"], &execs[0]["gid"]), (&json!(0), &json!(0)));
    assert_eq!((&execs[1]["uid"], &execs[1]["gid"]), (&json!(1000), &json!(1001)));
    assert_same(execs[1], &who(&ended).1);
    let exit = ended.one("exit", &execs[1]["pid"]);
    assert_eq!((&exit["uid"], &exit["gid"]), (&json!(1000), &json!(1001)));
}

#[test]
fn a_command_run_as_another_user_is_shown_as_that_user() {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.max_by_key(|user| user[2] == "1000").expect("a user");
    let ended = traced(&["--user", user[0]], ["who"]);
    let (exec, who) = who(&ended);
    assert_same(exec, &who);
    assert_eq!((exec["uid"].to_string(), exec["gid"].to_string()), (user[2].to_owned(), user[3].to_owned()));
}

#[test]
fn an_exec_shows_the_cgroup() {
    let cgroup = Dir::cgroup();
    let ended = traced(&[], words!["in-cgroup", cgroup.path(), targets(), "who"]);
    let (exec, who) = who(&ended);
    let path = text(&who["cgroup"]).lines().find_map(|line| line.strip_prefix("0::/")).expect("cgroup v2");
    assert_eq!(cgroup_root().join(path), cgroup.path(), "the target did move");
    assert_eq!((&exec["cgroup_id"], &exec["cgroup"]), (&json!(inode(cgroup.path())), &json!(format!("/{path}"))));
    assert_eq!(ended.one("exit", &exec["pid"])["cgroup_id"], inode(cgroup.path()));
    assert_ne!(ended.kind("exec")[0]["cgroup_id"], exec["cgroup_id"], "before, it was elsewhere");
}

#[test]
fn an_exec_shows_when_it_was() {
    let ended = traced(&[], words!["in-dir", "/", targets(), "who"]);
    let (exec, after) = who(&ended);
    let before = ended.reported("exec");
    let between = |name: &str, time: u64, slack: u64| {
        let (from, to) = (uint(&before[name]) - slack, uint(&after[name]) + slack);
        assert!((from..=to).contains(&time), "{name}: {from} {time} {to}");
    };
    between("boot_ns", uint(&exec["boot_ns"]), 0);
    // The offset of the two clocks is measured, not exact.
    between("wall_ns", unix_ns(exec), 1_000_000);
    assert!(text(&exec["time"]).ends_with('Z'), "UTC: {exec}");
}

#[test]
fn every_event_shows_its_cpu_and_counts_without_a_gap() {
    const EACH: usize = 20;
    for transport in ["ring", "perf"] {
        let ended = traced(&["--transport", transport], ["each-cpu", "20"]);
        let cpus = ended.all_reported("cpu");
        assert!(!cpus.is_empty());
        for reported in &cpus {
            let pids: BTreeSet<u64> = reported["pids"].as_array().unwrap().iter().map(uint).collect();
            assert_eq!(pids.len(), EACH);
            for event in ended.events.iter().filter(|e| pids.contains(&uint(&e["pid"]))) {
                assert_eq!(event["cpu"], reported["cpu"], "{event}");
            }
        }
        let mut next: BTreeMap<(u64, &str), u64> = BTreeMap::new();
        for event in &ended.events {
            let next = next.entry((uint(&event["cpu"]), text(&event["kind"]))).or_default();
            assert_eq!(uint(&event["seq"]), *next, "{event}");
            *next += 1;
        }
        let counted = |cpu: &Value, kind| *next.get(&(uint(cpu), kind)).unwrap_or(&0) >= EACH as u64;
        assert!(
            cpus.iter().all(|reported| ["fork", "exec", "exit"].iter().all(|kind| counted(&reported["cpu"], kind))),
            "{next:?}"
        );
    }
}

#[test]
fn the_working_directory_is_shown_on_request() {
    let dir = Dir::new();
    for flavour in flavours() {
        let options = ["--cwd", "--attach", flavour];
        let ended = traced(&options, words!["in-dir", dir.path(), targets(), "who"]);
        let (exec, who) = who(&ended);
        assert_eq!(exec["cwd"], json!(dir.path()), "{flavour}");
        assert_eq!(exec["cwd"], who["cwd"]);
        assert_eq!(exec.get("cwd_deleted"), None);
        assert_eq!(ended.kind("exec")[0]["cwd"], json!(std::env::current_dir().unwrap()));
    }
    let ended = traced(&["--cwd"], words!["in-dir", "/", targets(), "who"]);
    assert_eq!(ended.kind("exec")[1]["cwd"], "/");
}

#[test]
fn a_deleted_working_directory_is_shown_as_such() {
    let dir = Dir::new();
    let gone = dir.join("gone");
    let ended = traced(&["--cwd"], words!["in-deleted-dir", &gone, targets(), "who"]);
    let (exec, who) = who(&ended);
    assert_eq!(who["cwd"], format!("{} (deleted)", gone.display()), "it is gone");
    assert_eq!((&exec["cwd"], &exec["cwd_deleted"]), (&json!(gone), &json!(true)));
    assert_eq!(exec.get("exe_deleted"), None);
}

#[test]
fn an_exec_that_fails_is_not_shown() {
    let dir = Dir::new();
    let [text, garbage] = ["text", "garbage"].map(|name| dir.join(name));
    fs::write(&text, "not executable").unwrap();
    fs::write(&garbage, "\x7fELF, but not really").unwrap();
    fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ended = traced(&[], words!["no-exec", "/no/such/program", &text, &garbage]);
    let errors: Vec<_> = ended.all_reported("failed").iter().map(|reported| reported["errno"].clone()).collect();
    assert_eq!(errors, [libc::ENOENT, libc::EACCES, libc::ENOEXEC]);
    assert_eq!(ended.kind("exec").len(), 1, "its own: {:#?}", ended.events);
    assert_eq!(ended.kind("exit").len(), 1);
}

#[test]
fn a_failing_command_is_shown_with_its_code() {
    let ended = trace(&[], ["exit", "255"]);
    assert_eq!(ended.status.code(), Some(255));
    assert_eq!(ended.kind("exit")[0]["code"], 255);
}
