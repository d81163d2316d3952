//! What bpftool shows of a running tracer: named, typed, with its source.

use std::process::Command;

use serde_json::Value;

use crate::host::{Peer, programs_of};
use crate::support::{Trace, coretrace, parse, skip, targets};

fn bpftool(args: &[&str]) -> String {
    let output = Command::new("bpftool").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it lists, of that what has one of these numbers.
fn listed(args: &[&str], is_meant: impl Fn(u32) -> bool) -> Vec<Value> {
    let all = parse(&bpftool(&[&["-j"], args].concat()));
    let is_meant = |one: &&Value| one["id"].as_u64().is_some_and(|id| is_meant(u32::try_from(id).unwrap()));
    all.as_array().expect("a list").iter().filter(is_meant).cloned().collect()
}

#[test]
fn bpftool_shows_programs_maps_and_types_by_name() {
    if Command::new("bpftool").arg("version").output().is_err() {
        return skip("bpftool::bpftool_shows_programs_maps_and_types_by_name", "there is no bpftool");
    }
    for (command, event) in [("proc", "exec_event"), ("exec", "execve_event"), ("open", "open_event")] {
        let mut peer = Peer::obedient();
        let mut line = Command::new(targets());
        line.args(["mounts", "+tracefs"]).arg(coretrace()).args([command, "-v", "-o", "json", "-O", "-"]);
        let mut trace = Trace::raw(line.args(["-p", &peer.pid().to_string(), "--follow"]));
        trace.ready();

        let programs = programs_of(trace.child.id());
        assert!(programs.len() > 2, "{command}: {programs:?}");
        let (mut own, mut maps, mut objects) = (0, Vec::new(), Vec::new());
        // All at once: for each call, bpftool loads a program of its own.
        let shown = listed(&["prog", "show"], |id| programs.contains(&id));
        assert_eq!(shown.len(), programs.len(), "{command}: {programs:?} {shown:#?}");
        for shown in shown {
            let id = shown["id"].to_string();
            let name = shown["name"].as_str().unwrap_or_else(|| panic!("{shown}"));
            let shared = name.starts_with("kin_") || name == "prove_self";
            assert!(shared || name.starts_with(command), "{command}: {shown}");
            own += usize::from(!shared);
            maps.extend(shown["map_ids"].as_array().unwrap().iter().cloned());
            // All programs of an object have its types; the proof is in every object.
            let object = shown["btf_id"].to_string();
            if name == "prove_self" || objects.contains(&object) {
                continue;
            }
            // The source lines of the instructions, wherever they were built.
            let code = bpftool(&["prog", "dump", "xlated", "id", &id, "linum"]);
            assert!(code.contains("[file:./src/bpf/") && code.contains("line_num:"), "{command}, {name}: {code}");
            let types = bpftool(&["btf", "dump", "id", &object, "format", "c"]);
            for typed in ["event_head", "counters"].into_iter().chain((!shared).then_some(event)) {
                assert!(types.contains(&format!("struct {typed} {{")), "{command}: no {typed}");
            }
            objects.push(object);
        }
        assert!(own > 0, "{command}: {programs:?}");
        // The tracer's, and that of the followed processes.
        assert_eq!(objects.len(), 2, "{command}: {programs:?}");
        let maps = listed(&["map", "show"], |id| maps.contains(&id.into()));
        let map = |name: &str| maps.iter().find(|map| map["name"] == name).map(|map| map["id"].to_string());
        for map in &maps {
            let constants = map["name"].as_str().is_some_and(|name| name.ends_with(".rodata"));
            assert!(!constants || map["frozen"] == 1, "{map}");
        }
        let followed = parse(&bpftool(&["-j", "map", "dump", "id", &map("followed").unwrap()]));
        let keys: Vec<_> = followed.as_array().unwrap().iter().map(|row| &row["formatted"]["key"]).collect();
        assert!(keys.contains(&&Value::from(peer.pid())), "{followed}");
        let ledger = parse(&bpftool(&["-j", "map", "dump", "id", &map("ledger").unwrap()]));
        let row = &ledger[0]["formatted"]["value"];
        assert!(row["seen"].is_u64() && row["dropped"].is_array(), "{row}");

        peer.send("exit 0");
        trace.end();
    }
}
