//! What is done with specs and their events in user space.

use std::process::Command;

use serde_json::json;

use crate::host::{Scratch, text};
use crate::probe::{probed, with};
use crate::support::{coretrace, targets};
use crate::uprobe::{calls, traced};

#[test]
fn what_is_not_there_is_refused_with_its_place() {
    for (spec, message) in [
        ("fn:vfs_unlinkx", "closest: vfs_unlink"),
        ("fn:vfs_unlink(dentri)", "dentry"),
        ("fn:vfs_unlink(dentry->d_nam)", "d_name"),
        ("vfs_unlink", "fn:vfs_unlink"),
        ("tracepoint:sched:sched_proces_exec", "closest: sched_process_exec"),
        ("tracepoint:shed:sched_process_exec", "closest: sched"),
        ("tracepoint:task:sched_process_exec", "there is: tracepoint:sched:sched_process_exec"),
        ("tracepoint:s*:sched_process_exec", "cannot be a glob"),
        ("raw_tracepoint:sched_proces_exec", "closest: sched_process_exec"),
        ("ksyscall:opennat", "closest: openat"),
        ("ksyscall:opennat*", "no system call matches"),
        ("fn:vfs_unlink if dentry->d_name.name ~ \"y[\"", "is not closed by ]"),
    ] {
        let output =
            Command::new(coretrace()).args(["probe", spec, "-d", "1", "-n", "nobody-has-this"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{spec}: {stderr}");
        assert!(stderr.lines().any(|line| line.trim_start().starts_with('^')), "where it is wrong: {spec}: {stderr}");
    }
}

#[test]
fn a_glob_leaves_out_functions_that_lack_what_is_asked_for() {
    let scratch = Scratch::new("glob-args");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    let ended = probed(&[], &["fn:vfs_un*(name=dentry->d_name.name:str)"], &script);
    assert_eq!(with(&ended, "name", &json!("a")).len(), 1, "{:#?} {:#?}", ended.events, ended.stderr);
}

#[test]
fn a_replay_is_what_the_run_printed() {
    let scratch = Scratch::new("replayed");
    let recording = scratch.path("recording");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    let specs = ["fn:vfs_un*", "fn:vfs_unlink", "tp_btf:sched_process_exit"];
    let ended = probed(&["--record", text(&recording)], &specs, &script);
    assert!(ended.events.len() >= 3, "{:#?} {:#?}", ended.events, ended.stderr);
    let replayed = Command::new(coretrace()).args(["replay", "-o", "json"]).arg(&recording).output().unwrap();
    let lines = String::from_utf8(replayed.stdout).unwrap();
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert_eq!(lines.lines().collect::<Vec<_>>(), ended.stdout, "{said}");
}

#[test]
fn raw_values_are_addresses() {
    let scratch = Scratch::new("raw");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    let ended = probed(&["--raw"], &["fn:vfs_unlink(dentry)"], &script);
    let address = ended.events[0]["args"]["dentry"].as_str().unwrap();
    assert!(address.starts_with("0xffff"), "{address}");
}

#[test]
fn conditions_are_tested_before_anything_is_copied() {
    let spec = "{}:func_uprobe2(x:u64, y:u64) if y >= 14 && x != 9";
    let ended = traced("uprobe", &[], &[spec], &["umark", "10"]);
    let found: Vec<_> =
        calls(&ended, "func_uprobe2").iter().map(|event| event["args"]["x"].as_u64().unwrap()).collect();
    assert_eq!(found, [7, 8, 10]);
}

#[test]
fn a_replay_of_probes_of_a_program_is_what_the_run_printed() {
    let scratch = Scratch::new("uprobe-replayed");
    let recording = scratch.path("recording");
    let options = ["--record", text(&recording)];
    let ended = traced("uprobe", &options, &["{}:func_uprobe*"], &["umark", "2"]);
    let replayed = Command::new(coretrace()).args(["replay", "-o", "json"]).arg(&recording).output().unwrap();
    let lines = String::from_utf8(replayed.stdout).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), ended.stdout);
}

#[test]
fn what_is_not_in_a_program_is_refused_with_what_is() {
    let scratch = Scratch::new("uprobe-refused");
    let none = scratch.file("none", "not a program");
    // EI_CLASS is ELFCLASS32.
    let small = scratch.file("small", b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0");
    let me = targets();
    for (tracer, spec, message) in [
        ("uprobe", format!("{}:func_uprobe3", text(&me)), "func_uprobe1"),
        ("uprobe", format!("{}:func_uprobe1(x:u64) if y > 1", text(&me)), "y"),
        ("usdt", format!("{}:groupa:probe9", text(&me)), "probe1"),
        ("uprobe", format!("{}:main", text(&none)), "none"),
        (
            "uprobe",
            format!("{}:main", text(&small)),
            "small is a binary of 32 bits: only those of 64 bits can be probed",
        ),
        ("usdt", format!("{}:a:b", text(&small)), "small is a binary of 32 bits"),
        ("uprobe", "/no/such/program:main".to_owned(), "/no/such/program"),
    ] {
        let output =
            Command::new(coretrace()).args([tracer, &spec, "-d", "1", "-n", "nobody-has-this"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(message), "{spec}: {stderr}");
    }
}

#[test]
fn options_that_could_have_no_effect_are_refused() {
    let me = targets();
    let uprobe = format!("{}:func_uprobe1", text(&me));
    for (args, message) in [
        (["uprobe", &uprobe, "--path", "/usr"], "--path is about paths: no event of this run has any"),
        (["uprobe", &uprobe, "--args", "x"], "--args is about arguments of programs: no event"),
        (["probe", "tp_btf:sched_process_exit", "--path", "/usr"], "--path is about paths: no event"),
        (["probe", "tp_btf:sched_process_exit", "--heartbeat", "1"], "--heartbeat: there is none that probe would see"),
    ] {
        let output = Command::new(coretrace()).args(args).args(["-n", "nobody-has-this", "-d", "1"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{args:?}: {stderr}");
    }
}
