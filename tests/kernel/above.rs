//! What is above the processes of events, of every tracer and in every way to hook in: `parent_comm`, `--ancestors`.

use std::process::Command;

use serde_json::{Value, json};

use crate::attempts::{self, start};
use crate::host::{Scratch, text};
use crate::known::uint;
use crate::opened::{WAYS, works};
use crate::support::{Ended, Trace, coretrace, parse, targets};
use crate::{probe, uprobe};

/// Runs a tracer on `sh -c SCRIPT`, in which `$0` is the targets.
fn run(tracer: &str, options: &[&str], script: &str) -> Ended {
    let me = targets();
    let args = options.iter().copied().chain(["--", "sh", "-c", script, text(&me)]);
    let ended = start(tracer, args).end();
    ended.assert_clean();
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

/// That all events have the parent that they had then: `sh`, which coretrace has started.
fn check(ended: &Ended, what: &str) {
    let below = |event: &&Value| event["ancestors"][1]["comm"] == "coretrace";
    let all: Vec<&Value> = ended.events.iter().filter(below).collect();
    assert!(!all.is_empty(), "{what}: {:#?} {:#?}", ended.events, ended.stderr);
    for event in all {
        assert_eq!(event["parent_comm"], "sh", "{what}: {event}");
    }
    for event in &ended.events {
        let nearest = &event["ancestors"][0];
        assert_eq!((&nearest["pid"], &nearest["comm"]), (&event["ppid"], &event["parent_comm"]), "{what}: {event}");
        let truncated = event.get("ancestors_truncated").is_some();
        assert_eq!(truncated, uint(&event["ancestors"][2]["pid"]) != 1, "{what}: {event}");
        assert_eq!(event["ancestors"].as_array().map(Vec::len), Some(3), "{what}: {event}");
    }
}

const THREE: [&str; 2] = ["--ancestors", "3"];

#[test]
fn attempts_to_run_programs_have_what_is_above_them() {
    for way in attempts::flavours() {
        for transport in ["ring", "perf"] {
            let options = [&["--attach", way, "--transport", transport][..], &THREE].concat();
            let ended = run("exec", &options, "/missing; \"$0\" exit 0; :");
            check(&ended, way);
            let failed = ended.events.iter().filter(|event| event["ret"] != 0).count();
            assert_eq!((failed, ended.events.len()), (1, 3), "{way}: {:#?}", ended.events);
        }
    }
}

#[test]
fn opens_have_what_is_above_them() {
    for way in WAYS.iter().filter(|way| works(way)) {
        check(&run("open", &[&["--attach", way][..], &THREE].concat(), "\"$0\" exit 0; :"), way);
    }
}

#[test]
fn hits_of_probes_have_what_is_above_them() {
    let scratch = Scratch::new("above");
    let file = scratch.file("file", "");
    let script = format!("rm {}; :", text(&file));
    for way in probe::ways() {
        let _ = scratch.file("file", "");
        check(&probe::probed(&[&["--attach", way][..], &THREE].concat(), &["fn:vfs_unlink"], &script), way);
    }
    for spec in ["kprobe:vfs_unlink", "tp_btf:sched_process_exit", "tracepoint:sched:sched_process_exit"] {
        let _ = scratch.file("file", "");
        check(&probe::probed(&THREE, &[spec], &script), spec);
    }
    // With strings behind them, and stacks.
    let _ = scratch.file("file", "");
    let options = [&["--stack=9"][..], &THREE].concat();
    let ended = probe::probed(&options, &["fn:vfs_unlink(name=dentry->d_name.name:str) if ret == 0"], &script);
    check(&ended, "with a stack");
    assert!(!probe::with(&ended, "name", &json!("file")).is_empty(), "{:#?}", ended.events);
}

#[test]
fn hits_in_programs_have_what_is_above_them() {
    for way in uprobe::WAYS {
        let options = [&["--attach", way][..], &THREE].concat();
        let ended = uprobe::traced("uprobe", &options, &["{}:func_uprobe1(x:u64)"], &["umark", "3"]);
        let above = |event: &Value| (event["parent_comm"].clone(), event["ancestors"][0]["comm"].clone());
        assert_eq!(
            ended.events.iter().map(above).collect::<Vec<_>>(),
            vec![("coretrace".into(), "coretrace".into()); 3]
        );
    }
    let ended = uprobe::traced("usdt", &THREE, &["{}:groupc:*"], &["umark-forms", "2"]);
    assert!(!ended.events.is_empty() && ended.events.iter().all(|event| event["parent_comm"] == "coretrace"));
}

#[test]
fn what_was_not_asked_for_is_not_there() {
    let shown = |tracer: &str, options: &[&str]| {
        let mut command = Command::new(coretrace());
        command.args([tracer, "-O", "-"]).args(options).args(["--", "sh", "-c", "true"]);
        Trace::raw(&mut command).output().stdout
    };
    for tracer in ["proc", "exec", "open"] {
        for options in [&["-w"][..], &["-o", "json"], &["--fields", "parent_comm"]] {
            let lines = shown(tracer, options);
            assert!(lines.iter().any(|line| line.contains("coretrace")), "{tracer} {options:?}: {lines:#?}");
        }
        let json = shown(tracer, &["-o", "json"]);
        assert!(json.iter().all(|line| parse(line).get("ancestors").is_none()), "{tracer}: {json:#?}");
        let plain = shown(tracer, &[]);
        assert!(plain.iter().all(|line| !line.contains("coretrace")), "{tracer}: {plain:#?}");
    }
}
