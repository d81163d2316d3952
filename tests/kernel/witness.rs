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

#[test]
fn bpftool_shows_programs_maps_and_types_by_name() {
    if Command::new("bpftool").arg("version").output().is_err() {
        return skip("witness::bpftool_shows_programs_maps_and_types_by_name", "there is no bpftool");
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
        for id in programs.iter().map(u32::to_string) {
            let shown = parse(&bpftool(&["-j", "prog", "show", "id", &id]));
            let name = shown["name"].as_str().unwrap_or_else(|| panic!("{shown}"));
            let shared = name.starts_with("kin_") || name == "prove_self";
            assert!(shared || name.starts_with(command), "{command}: {shown}");
            own += usize::from(!shared);
            maps.extend(shown["map_ids"].as_array().unwrap().iter().map(Value::to_string));
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
        maps.sort();
        maps.dedup();
        let names: Vec<_> = maps.iter().map(|id| (parse(&bpftool(&["-j", "map", "show", "id", id])), id)).collect();
        let map = |name: &str| names.iter().find(|(map, _)| map["name"] == name).map(|(_, id)| *id);
        for (map, _) in &names {
            let constants = map["name"].as_str().is_some_and(|name| name.ends_with(".rodata"));
            assert!(!constants || map["frozen"] == 1, "{map}");
        }
        let followed = parse(&bpftool(&["-j", "map", "dump", "id", map("followed").unwrap()]));
        let keys: Vec<_> = followed.as_array().unwrap().iter().map(|row| &row["formatted"]["key"]).collect();
        assert!(keys.contains(&&Value::from(peer.pid())), "{followed}");
        let ledger = parse(&bpftool(&["-j", "map", "dump", "id", map("ledger").unwrap()]));
        let row = &ledger[0]["formatted"]["value"];
        assert!(row["seen"].is_u64() && row["dropped"].is_array(), "{row}");

        peer.send("exit 0");
        trace.end();
    }
}
