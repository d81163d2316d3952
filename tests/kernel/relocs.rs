//! `coretrace relocs`: it shows what libbpf does when it loads.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::host::{Scratch, text};
use crate::support::{Trace, coretrace, parse, run, targets};

/// A relocation: program and its number; the numbers are those of the section.
type Key = (String, u64);

/// The result: instruction, part of it, value before and after, or `poisoned`.
type Outcome = (u64, String);

/// `libbpf: prog 'X': relo #N: …`
fn relocation(line: &str) -> Option<(Key, &str)> {
    let (program, rest) = line.strip_prefix("libbpf: prog '")?.split_once("': relo #")?;
    let (number, what) = rest.split_once(": ")?;
    Some(((program.to_owned(), number.parse().ok()?), what.trim()))
}

/// `patched insn #161 (ALU/ALU64) imm 28 -> 28`, `substituting insn #5 w/ invalid insn`
fn outcome(what: &str) -> Option<Outcome> {
    if let Some(rest) = what.strip_prefix("substituting insn #") {
        return Some((rest.split(' ').next()?.parse().ok()?, "poisoned".to_owned()));
    }
    let (insn, rest) = what.strip_prefix("patched insn #")?.split_once(' ')?;
    let (_, values) = rest.split_once(") ")?;
    Some((insn.parse().ok()?, values.to_owned()))
}

/// libbpf's log of the load of a command's object: for each relocation its spec and its results.
fn log(command: &str, attach: &str) -> BTreeMap<Key, (String, Vec<Outcome>)> {
    let targets = targets();
    let mut line = Command::new(&targets);
    line.args(["mounts", "+tracefs"]).arg(coretrace()).args([command, "-vv", "-O", "/dev/null", "--attach", attach]);
    let ended = Trace::raw(line.args(["--", text(&targets), "exit", "0"])).output();
    assert_eq!(ended.status.code(), Some(0), "{command} by {attach}: {:#?}", ended.stderr.last());
    let mut all: BTreeMap<Key, (String, Vec<Outcome>)> = BTreeMap::new();
    // The object that keeps the map of followed processes is loaded as well.
    let begin =
        |line: &str| line.strip_prefix("libbpf: loading object '").map(|rest| rest.starts_with(&format!("{command}'")));
    let mut own = false;
    let own = ended.stderr.iter().filter(|line| {
        own = begin(line).unwrap_or(own);
        own
    });
    for (key, what) in own.filter_map(|line| relocation(line)) {
        if what.starts_with('<') {
            all.entry(key).or_default().0 = what.to_owned();
        } else if let Some(reported) = outcome(what) {
            all.entry(key).or_default().1.push(reported);
        }
    }
    all
}

/// The same from `coretrace relocs`.
fn reported(command: &str) -> BTreeMap<Key, (String, String, Vec<Outcome>)> {
    let output = run(["relocs", command, "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let of = |row: Value| {
        let key = (row["program"].as_str().unwrap().to_owned(), row["number"].as_u64().unwrap());
        let insn = row["insn"].as_u64().unwrap();
        let target = &row["targets"][0];
        let mut outcomes = Vec::new();
        let part = row["part"].as_str().unwrap();
        if target["poisoned"] == true {
            // The second half of an instruction of 64 bits comes first.
            if part == "imm64" {
                outcomes.push((insn + 1, "poisoned".to_owned()));
            }
            outcomes.push((insn, "poisoned".to_owned()));
        } else {
            outcomes.push((insn, format!("{part} {} -> {}", row["local_value"], target["value"])));
            if let Some(bytes) = target["bytes"].as_u64() {
                outcomes.push((insn, format!("mem_sz {} -> {bytes}", row["local_bytes"])));
            }
        }
        let asked = (row["kind"].as_str().unwrap().to_owned(), row["spec"].as_str().unwrap().to_owned());
        (key, (asked.0, asked.1, outcomes))
    };
    lines.lines().map(|line| of(parse(line))).collect()
}

#[test]
fn what_it_says_is_what_libbpf_does() {
    for (command, ways) in [
        ("proc", &["btf", "fentry", "raw", "tracepoint"][..]),
        ("exec", &["fentry", "kprobe", "ksyscall", "tracepoint"]),
        ("open", &["fentry", "kprobe", "tracepoint"]),
    ] {
        let reported = reported(command);
        let here = crate::known::flavours();
        for attach in ways.iter().filter(|way| here.contains(*way) || crate::support::must_have(way)) {
            let log = log(command, attach);
            assert!(log.len() > 100, "{command} by {attach}: {} relocations", log.len());
            for (key, (asked, outcomes)) in log {
                let (kind, spec, expected) = reported.get(&key).unwrap_or_else(|| panic!("{command}: no {key:?}"));
                assert_eq!(&outcomes, expected, "{command} by {attach}: {key:?} {asked}");
                assert!(asked.starts_with(&format!("<{kind}> [")) && asked.contains(spec.as_str()), "{asked}: {spec}");
            }
        }
    }
}

/// Whether libbpf and this kernel accept an object, with the types of tests/bpf/kernel.bpf.c.
fn loads(object: &Path, types: &Path) -> bool {
    let mut builder = libbpf_rs::ObjectBuilder::default();
    builder.btf_custom_path(types).unwrap();
    builder.open_file(object).unwrap().load().is_ok()
}

#[test]
fn objects_that_are_built_to_fail_fail_and_those_that_ask_do_not() {
    let scratch = Scratch::new("relocs");
    let types = scratch.file("kernel.bpf.o", test_objects::bytes("kernel"));
    for name in ["field", "type", "enum", "guard"] {
        let object = scratch.file(&format!("{name}.bpf.o"), test_objects::bytes(name));
        let output = run(["relocs", "-o", "json", "--btf", text(&types), "--object", text(&object)]);
        let lines = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Value> = lines.lines().map(parse).collect();
        let poisoned = |row: &&Value| row["targets"][0]["poisoned"] == true;
        assert!(rows.iter().any(|row| poisoned(&row)), "{name}: {lines}");
        let fails = rows.iter().filter(poisoned).any(|row| row["targets"][0]["guarded"] == false);
        assert_eq!((loads(&object, &types), name == "guard"), (!fails, !fails), "{name}: {lines}");
    }
}
