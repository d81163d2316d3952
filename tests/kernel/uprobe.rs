//! `uprobe` and `usdt`: functions and static probes of a program whose arguments are known (targets/umark.rs).

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Peer, Scratch, text};
use crate::support::{Ended, Trace, coretrace, kernel, targets};

/// `coretrace TRACER OPTIONS… SPECS… -- targets CMD…`, to its end. `{}` in a spec stands for the targets.
pub(crate) fn traced(tracer: &str, options: &[&str], specs: &[&str], cmd: &[&str]) -> Ended {
    let ended = run(tracer, options, specs, cmd);
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

fn run(tracer: &str, options: &[&str], specs: &[&str], cmd: &[&str]) -> Ended {
    let me = targets();
    let me = text(&me);
    let mut command = Command::new(me);
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args([tracer, "-v", "-o", "json", "-O", "-"]).args(options);
    command.args(specs.iter().map(|spec| spec.replace("{}", me))).arg("--").arg(me).args(cmd);
    let mut ended = Trace::raw(&mut command).output();
    ended.events =
        ended.stdout.iter().filter(|line| line.starts_with('{')).map(|line| crate::support::parse(line)).collect();
    ended
}

/// The ways to hook in: the best, and one link for each place.
pub(crate) const WAYS: [&str; 2] = ["auto", "uprobe"];

/// The calls of a function, in order.
pub(crate) fn calls<'e>(ended: &'e Ended, func: &str) -> Vec<&'e Value> {
    let mut all: Vec<&Value> = ended.events.iter().filter(|event| event["func"] == func).collect();
    all.sort_by_key(|event| event["boot_ns"].as_u64());
    assert!(!all.is_empty(), "no {func} in {:#?}; {:#?}", ended.events, ended.stderr);
    all
}

#[test]
fn functions_have_their_arguments_and_results() {
    for way in WAYS {
        let specs = ["{}:func_uprobe1(x:u64)", "{}:func_uprobe2(x:u64, y:u64)"];
        let ended = traced("uprobe", &["--attach", way], &specs, &["umark", "3"]);
        for (n, event) in (1..=3).zip(calls(&ended, "func_uprobe1")) {
            assert_eq!((&event["args"], &event["kind"]), (&json!({"x": n}), &json!("uprobe")), "{way}: {event}");
            assert!(event["duration_ns"].as_u64().is_some_and(|ns| ns > 0), "{way}: {event}");
        }
        for (n, event) in (1..=3).zip(calls(&ended, "func_uprobe2")) {
            assert_eq!(event["args"], json!({"x": n, "y": 2 * n}), "{way}: {event}");
        }
        assert_eq!(ended.events.len(), 6, "{way}");
    }
}

#[test]
fn a_program_whose_entry_point_is_watched_goes_on() {
    for way in WAYS {
        let ended = traced("uprobe", &["--attach", way], &["{}:_start", "{}:func_uprobe1(x:u64)"], &["umark", "1"]);
        assert_eq!(calls(&ended, "func_uprobe1")[0]["args"], json!({"x": 1}), "{way}: {:#?}", ended.stderr);
        assert!(calls(&ended, "_start")[0].get("duration_ns").is_none(), "{way}");
    }
}

#[test]
fn a_glob_names_each_function() {
    for way in WAYS {
        let ended = traced("uprobe", &["--attach", way], &["{}:func_uprobe*"], &["umark", "2"]);
        assert_eq!((calls(&ended, "func_uprobe1").len(), calls(&ended, "func_uprobe2").len()), (2, 2), "{way}");
    }
}

#[test]
fn a_string_that_is_null_is_distinguished_from_one_that_cannot_be_read() {
    for way in WAYS {
        let ended = traced("uprobe", &["--attach", way], &["{}:func_recursive(depth:str)"], &["umark-recursion", "1"]);
        let args = |n: usize| &calls(&ended, "func_recursive")[n]["args"];
        assert_eq!(args(0), &json!({ "depth": null, "depth_null": true }), "{way}: 0 is NULL, and returns first");
        assert_eq!(args(1), &json!({ "depth": null }), "{way}: nothing is at address 1");
    }
}

#[test]
fn a_condition_that_could_not_be_judged_is_counted() {
    for way in WAYS {
        // Nothing is at address 1; what is NULL, matches nothing.
        for (condition, delivered) in [("depth ~ \"x*\"", 0), ("!(depth ~ \"x*\")", 1), ("depth != \"x\"", 1)] {
            let spec = format!("{{}}:func_recursive(depth:str) if {condition}");
            let ended = run("uprobe", &["--attach", way], &[&spec], &["umark-recursion", "1"]);
            assert_eq!(ended.events.len(), delivered, "{way} {condition}: {:#?}", ended.events);
            let said = "  undecided: 1 of the filtered uprobe of func_recursive (what the condition asks for could not be read)";
            assert!(ended.stderr.iter().any(|line| line == said), "{way} {condition}: {:#?}", ended.stderr);
        }
    }
}

#[test]
fn entries_alone_are_hooked_where_nothing_else_is_asked_for() {
    for way in WAYS {
        let ended = traced("uprobe", &["--attach", way, "--entry-only"], &["{}:func_uprobe1(x:u64)"], &["umark", "1"]);
        let event = calls(&ended, "func_uprobe1")[0];
        assert_eq!(
            (&event["args"], &event["ret"], &event["duration_ns"]),
            (&json!({ "x": 1 }), &Value::Null, &Value::Null)
        );
        assert!(ended.stderr.iter().all(|line| !line.contains("an exception")), "{way}: {:#?}", ended.stderr);
    }
    let watched = traced("uprobe", &[], &["{}:func_uprobe1(x:u64)"], &["umark", "1"]);
    assert!(watched.stderr.iter().any(|line| line.contains("--entry-only watches none")), "{:#?}", watched.stderr);
}

#[test]
fn a_place_within_an_instruction_takes_no_probe() {
    let me = targets();
    let listed = crate::support::run(["uprobe", "--list", &format!("{}:func_uprobe1", text(&me))]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let offset = listed.split("0x").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an offset");
    let offset = u64::from_str_radix(offset, 16).unwrap();
    let refused = |at: u64| {
        let mut command = Command::new(coretrace());
        command.args(["uprobe", &format!("{}:{at:#x}", text(&me)), "--", "/bin/true"]);
        String::from_utf8(command.output().unwrap().stderr).unwrap().contains("is within an instruction")
    };
    assert!((1..16).any(|more| refused(offset + more)) && !refused(offset));
}

#[test]
fn each_call_of_a_recursion_has_its_own_result() {
    for way in WAYS {
        let ended = traced("uprobe", &["--attach", way], &["{}:func_recursive(depth:u64)"], &["umark-recursion", "9"]);
        let mut depths: Vec<_> =
            calls(&ended, "func_recursive").iter().map(|e| e["args"]["depth"].as_u64().unwrap()).collect();
        assert_eq!(depths, (0..=9).collect::<Vec<_>>(), "{way}: the innermost returns first");
        depths.dedup();
        let lengths: Vec<_> =
            calls(&ended, "func_recursive").iter().map(|e| e["duration_ns"].as_u64().unwrap()).collect();
        assert!(lengths.is_sorted(), "{way}: an outer call is longer: {lengths:?}");
    }
}

#[test]
fn every_call_of_many_threads_is_seen() {
    // Also where the kernel interrupts programs: there is room for as many at once, and each has a stack of its own.
    // Those that read strings may sleep.
    for spec in ["{}:func_uprobe1(x:u64)", "{}:func_uprobe1(x:str)"] {
        let ended = traced("uprobe", &["--buffer", "16M"], &[spec], &["umark-threads", "6", "300"]);
        let mut of_thread = BTreeMap::<i64, usize>::new();
        for event in calls(&ended, "func_uprobe1") {
            *of_thread.entry(event["tid"].as_i64().unwrap()).or_default() += 1;
        }
        assert_eq!(of_thread.values().collect::<Vec<_>>(), [&300; 6], "{spec}: {of_thread:?} {:#?}", ended.stderr);
    }
}

#[test]
fn a_program_of_another_mount_namespace_is_found_by_its_process() {
    let scratch = Scratch::new("elsewhere");
    let (here, there) = (scratch.path("here"), scratch.path("there"));
    std::fs::create_dir(&here).unwrap();
    assert!(Command::new("cp").arg(targets()).arg(here.join("marked")).status().expect("cp").success());
    let program = there.join("marked");
    let mut peer = Peer::start(["mounts", &format!("bind={}={}", text(&here), text(&there)), text(&program), "obey"]);
    assert!(!program.exists(), "it is only there");
    for way in WAYS {
        let mut command = Command::new(targets());
        command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["uprobe", "-v", "-o", "json", "-O", "-"]);
        command.args(["--attach", way, "-p", &peer.pid().to_string()]);
        command.arg(format!("{}:func_uprobe1(x:u64)", text(&program)));
        let mut trace = Trace::raw(&mut command);
        trace.ready();
        assert_eq!(peer.order("umark 2"), "done");
        let ended = trace.stop();
        assert_eq!(ended.assert_clean().delivered, 2, "{way}");
        let args: Vec<_> = calls(&ended, "func_uprobe1").iter().map(|event| event["args"].clone()).collect();
        assert_eq!(args, [json!({ "x": 1 }), json!({ "x": 2 })], "{way}");
    }
}

#[test]
fn static_probes_have_their_arguments() {
    for way in WAYS {
        let specs = ["{}:groupa:probe1(var1:i32)", "{}:groupb:probe2"];
        let ended = traced("usdt", &["--attach", way], &specs, &["umark", "3"]);
        for (n, event) in (1..=3).zip(calls(&ended, "groupa:probe1")) {
            assert_eq!((&event["args"], &event["kind"]), (&json!({"var1": n}), &json!("usdt")), "{way}: {event}");
        }
        for (n, event) in (1..=3).zip(calls(&ended, "groupb:probe2")) {
            let args: Vec<_> = event["args"].as_object().unwrap().values().cloned().collect();
            assert_eq!(args, [json!(n), json!(-n)], "{way}: {event}");
        }
    }
}

#[test]
fn twelve_arguments_of_every_form() {
    let ended = traced("usdt", &[], &["{}:groupc:twelve", "{}:groupc:forms"], &["umark-forms", "0"]);
    let args = |func: &str| {
        let all = &calls(&ended, func)[0]["args"];
        (0..12).map_while(|n| all.get(format!("arg{n}")).cloned()).collect::<Vec<_>>()
    };
    let twelve = args("groupc:twelve");
    assert_eq!(twelve[..10], [1, -2, 3, -4, 5, -6, 7, -8, 9, -10].map(|n: i64| json!(n)));
    assert_eq!(twelve[10..], [json!(1000), json!(1001)]);
    let forms = args("groupc:forms");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(forms[..4], [1000, 1001, 1002, 1001].map(|n: u64| json!(n)), "{forms:?}");
        assert_eq!((&forms[5], &forms[6]), (&json!(0x12), &json!(1002)), "{forms:?}");
    }
}

#[test]
fn values_that_are_not_in_memory_yet_are_brought_in() {
    for way in WAYS {
        let spec = "{}:groupd:absent(n:u64, text:str, bytes:bytes[4])";
        let ended = traced("usdt", &["--attach", way], &[spec], &["umark-absent"]);
        let args = &calls(&ended, "groupd:absent")[0]["args"];
        // Before, no program of a probe may sleep: what it cannot read, it says so.
        let expected = match kernel() >= (6, 1) {
            true => json!({ "n": 4711, "text": "from one to another", "bytes": "206f6e65" }),
            false => json!({ "n": null, "text": null, "bytes": null }),
        };
        assert_eq!(args, &expected, "{way}");
    }
}

#[test]
fn what_is_below_the_stack_pointer_is_read() {
    if cfg!(target_arch = "x86_64") {
        let ended = traced("usdt", &[], &["{}:groupc:redzone"], &["umark-forms", "0"]);
        let args: Vec<_> = calls(&ended, "groupc:redzone")[0]["args"].as_object().unwrap().values().cloned().collect();
        assert_eq!(args, [json!(4242), json!(-17)]);
    }
}

#[test]
fn a_semaphore_turns_a_probe_on() {
    for way in WAYS {
        let ended = traced("usdt", &["--attach", way], &["{}:groupc:counted"], &["umark-forms", "5"]);
        assert!(ended.stdout.iter().any(|line| line == "5"), "{way}: {:#?}", ended.stdout);
        assert_eq!(calls(&ended, "groupc:counted").len(), 5, "{way}");
    }
    let ended = traced("usdt", &[], &["{}:groupa:probe1"], &["umark-forms", "5"]);
    assert!(ended.stdout.iter().any(|line| line == "0"), "nobody watches it: {:#?}", ended.stdout);
}

#[test]
fn processes_functions_of_the_kernel_and_of_a_program_are_one_stream() {
    let me = targets();
    let uprobe = format!("uprobe '{}:func_uprobe1(x:u64)'", text(&me));
    let with = ["--with", "open", "--with", "probe kprobe:do_exit", "--with", &uprobe];
    let ended = traced("proc", &with, &[], &["umark", "2"]);
    // As they come, which is as they happened.
    assert!(ended.events.iter().map(|event| event["boot_ns"].as_u64()).is_sorted(), "{:#?}", ended.events);
    let kinds = ended.events.iter().map(|event| event["kind"].as_str().unwrap());
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "open").collect();
    assert_eq!(kinds, ["exec", "uprobe", "uprobe", "probe", "exit"], "{:#?}", ended.stderr);
}
