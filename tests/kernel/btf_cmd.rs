//! `coretrace btf`: what it shows of the running kernel's types, and that minimized ones suffice for every tracer.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Scratch, text};
use crate::support::{Ended, Trace, coretrace, kernel, parse, run, targets};

const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// Lines of JSON.
fn rows<const N: usize>(args: [&str; N]) -> Vec<Value> {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(parse).collect()
}

/// A tracer on a kernel without its own types, given these: `targets ARGS`.
fn trace(tracer: &str, args: &[&str], types: &Path) -> Ended {
    let targets = targets();
    let mut command = Command::new(&targets);
    command.args(["mounts", "-btf,+tracefs"]).arg(coretrace()).args([tracer, "-o", "json", "-O", "-", "-v"]);
    Trace::raw(command.args(["--btf", text(types), "--", text(&targets)]).args(args)).end()
}

#[test]
fn every_tracer_runs_with_the_few_types_that_it_needs() {
    let scratch = Scratch::new("btf-cmd-min");
    let small = scratch.path("min.btf");
    let output = run(["btf", "min", text(&small)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::metadata(&small).unwrap().len();
    assert!((1000..10_000).contains(&bytes), "{bytes}");
    println!("minimized types of {:?}: {bytes} bytes", kernel());
    for tracer in ["proc", "exec", "open"] {
        let output = run(["relocs", tracer, "--diff", KERNEL, text(&small)]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.starts_with(&format!("{tracer}: 0 of ")), "{printed}");
        let output = run(["check", tracer, "--btf", text(&small)]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && printed.contains("has no BTF of its own"), "{printed}");
    }
    let targets = targets();
    let whole = json!(targets.canonicalize().unwrap());
    for tracer in ["proc", "exec"] {
        let ended = trace(tracer, &["exit", "3"], &small);
        assert_eq!(ended.status.code(), Some(3), "{tracer}: {:#?}", ended.stderr);
        let exec = ended.events.iter().find(|event| event["kind"] == "exec" || event["kind"] == "execve");
        let exec = exec.unwrap_or_else(|| panic!("{tracer}: {:#?}", ended.events));
        assert_eq!((&exec["exe"], &exec["argv"]), (&whole, &json!([targets, "exit", "3"])), "{tracer}: {exec}");
        assert!(exec["pid"].as_u64() > Some(1) && exec["uid"] == 0, "{tracer}: {exec}");
        if tracer == "proc" {
            let exit = ended.events.iter().find(|event| event["kind"] == "exit").unwrap();
            assert_eq!((&exit["pid"], &exit["ppid"], &exit["code"]), (&exec["pid"], &exec["ppid"], &json!(3)));
        }
    }
    let file = scratch.file("opened", "");
    let ended = trace("open", &["opens", "open", text(&file), "0", "0"], &small);
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.stderr);
    let opened = ended.events.iter().find(|event| event["path"] == text(&file));
    let opened = opened.unwrap_or_else(|| panic!("{:#?}", ended.events));
    assert!(opened["ret"].as_i64() >= Some(0) && opened["pid"].as_u64() > Some(1), "{opened}");
}

#[test]
fn the_kernels_own_types_are_listed_and_shown() {
    let list = rows(["btf", "ls", "-o", "json"]);
    assert_eq!((&list[0]["name"], &list[0]["size"]), (&"vmlinux".into(), &fs::read(KERNEL).unwrap().len().into()));
    // The kernel reports their ids since 5.11.
    assert_eq!(list[0]["id"].is_u64(), kernel() >= (5, 11), "{list:#?}");
    assert!(list.iter().all(|row| Path::new("/sys/kernel/btf").join(row["name"].as_str().unwrap()).exists()));

    let shown =
        rows(["btf", "show", "-o", "json", "task_struct.pid", "task_struct", "task_struct.se.sum_exec_runtime"]);
    let [pid, task, nested] = &shown[..] else { panic!("{shown:#?}") };
    let relocs = rows(["relocs", "proc", "-o", "json"]);
    let of = |row: &&Value| row["spec"] == "struct task_struct.pid" && row["kind"] == "byte_off";
    let reloc = relocs.iter().find(of).expect("a relocation of it");
    assert_eq!(pid["offset"], reloc["targets"][0]["value"], "{pid} {reloc}");
    assert!(task["members"].as_array().unwrap().iter().any(|m| m["name"] == "pid" && m["offset"] == pid["offset"]));
    assert_eq!((&nested["type"], &nested["size"]), (&"u64".into(), &8.into()));
}

#[test]
fn the_header_has_the_types() {
    let output = run(["btf", "dump"]);
    let header = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && header.starts_with("#ifndef __VMLINUX_H__\n"));
    for words in ["\nstruct task_struct {\n", "\tpid_t pid;\n", "\ntypedef int __kernel_pid_t;\n"] {
        assert!(header.contains(words), "{words}");
    }
    assert_eq!(run(["btf", "dump", "-o", "raw"]).stdout, fs::read(KERNEL).unwrap());
}
