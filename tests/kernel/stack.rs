//! `--stack`: the calls that led to a hit, where they are known.

use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Peer, Scratch, text};
use crate::probe::{probed, ways as kernel_ways};
use crate::support::{Ended, Trace, coretrace, kernel, targets};
use crate::uprobe::{WAYS, calls, traced};

/// The functions of a stack, innermost first.
fn functions<'e>(event: &'e Value, stack: &str) -> Vec<&'e str> {
    let calls = event[stack].as_array().unwrap_or_else(|| panic!("no {stack} in {event}"));
    calls.iter().map(|call| call["function"].as_str().unwrap_or("?")).collect()
}

#[test]
fn a_function_of_a_program_has_itself_and_its_caller() {
    for way in WAYS {
        let spec = "{}:func_recursive(depth:u64)";
        let ended = traced("uprobe", &["--attach", way, "--stack"], &[spec], &["umark-recursion", "3"]);
        for event in calls(&ended, "func_recursive") {
            let names = functions(event, "user_stack");
            let outermost = event["args"]["depth"] == 3;
            assert_eq!(names[0], "func_recursive", "{way}: {event}");
            assert_eq!(names[1] == "func_recursive", !outermost, "{way}: {event}");
            let first = &event["user_stack"][0];
            assert_eq!((&first["offset"], event.get("kernel_stack")), (&0.into(), None), "{way}: {event}");
            // Targets are copied and linked in some ways; the name stays.
            assert!(first["file"].as_str().is_some_and(|file| file.ends_with("targets")), "{way}: {event}");
            let caller = &event["user_stack"][1];
            assert!(caller["offset"].as_u64().is_some_and(|offset| offset > 0), "{way}: behind the call: {event}");
        }
    }
}

#[test]
fn what_was_compiled_while_a_program_ran_has_its_names() {
    let mut peer = Peer::start(["obey"]);
    for way in WAYS {
        let pid = peer.pid().to_string();
        let mut command = Command::new(coretrace());
        command.args(["uprobe", "-v", "-o", "json", "-O", "-", "--stack=2", "--attach", way, "-p", &pid]);
        let mut trace = Trace::raw(command.arg(format!("{}:func_uprobe1(x:u64)", text(&targets()))));
        trace.ready();
        assert_eq!(peer.order("umark-compiled"), "done");
        let ended = trace.stop();
        let caller = &calls(&ended, "func_uprobe1")[0]["user_stack"][1];
        assert_eq!(caller["function"], "compiled while it ran", "{way}: {caller}");
        assert_eq!(caller["file"], json!(format!("/tmp/perf-{pid}.map")), "{way}: {caller}");
    }
}

#[test]
fn static_probes_have_the_function_that_they_are_in() {
    let ended = traced("usdt", &["--stack=1"], &["{}:groupa:probe1"], &["umark", "2"]);
    for event in calls(&ended, "groupa:probe1") {
        let names = functions(event, "user_stack");
        assert!(names.len() == 1 && names[0].contains("probe1"), "{event}");
    }
}

/// The kernel's calls from a function up to the entry of the system call.
fn assert_of_system_call(event: &Value, innermost: &str, about: &str) {
    let names = functions(event, "kernel_stack");
    assert!(names[0].starts_with(innermost), "{about}: {names:?}");
    assert!(names.iter().any(|name| name.starts_with("do_syscall") || name.starts_with("el0")), "{about}: {names:?}");
    assert!(!names.iter().any(|name| name.contains("bpf")), "{about}: what takes the stack is not in it: {names:?}");
    // The function itself may not be on the stack (7.x): then its name alone is known.
    let mut outer = event["kernel_stack"].as_array().unwrap().iter().skip(1);
    assert!(outer.all(|call| call["address"].is_string()), "{about}: {event}");
}

#[test]
fn a_function_of_the_kernel_has_all_calls_from_the_system_call_on() {
    let scratch = Scratch::new("stacked");
    let script = format!("cd {}; touch a b; rm a b", text(&scratch.path("")));
    for way in kernel_ways() {
        let ended = probed(&["--attach", way, "--stack"], &["fn:vfs_unlink"], &script);
        assert_eq!(ended.events.len(), 2, "{way}: {:#?}", ended.stderr);
        for event in &ended.events {
            assert_of_system_call(event, "vfs_unlink", way);
            let user = event["user_stack"].as_array().unwrap_or_else(|| panic!("{way}: {event}"));
            assert!(!user.is_empty(), "{way}: {event}");
        }
    }
    // By one link for both, where the kernel has that.
    let ended = probed(&["--stack"], &["fn:vfs_unlin*"], &script);
    ended.events.iter().for_each(|event| assert_of_system_call(event, "vfs_unlink", "a glob"));
    assert!(!ended.events.is_empty());
}

#[test]
fn tracepoints_and_returns_have_stacks_too() {
    for spec in [
        "tp_btf:sched_process_exit",
        "raw_tracepoint:sched_process_exit",
        "tracepoint:sched:sched_process_exit",
        "kprobe:do_exit",
    ] {
        let ended = probed(&["--stack"], &[spec], "sh -c 'exit 3'; :");
        let event = ended.events.first().unwrap_or_else(|| panic!("{spec}: {:#?}", ended.stderr));
        assert_of_system_call(event, "do_exit", spec);
    }
    let scratch = Scratch::new("returned");
    let file = scratch.file("wanted", "");
    let ended = probed(&["--stack"], &["kretprobe:vfs_unlink"], &format!("rm {}", text(&file)));
    let names = functions(&ended.events[0], "kernel_stack");
    let to_the_system_call = names.iter().any(|name| name.starts_with("do_syscall") || name.starts_with("el0"));
    // Before, the kernel's walk ends where a return is waited for.
    assert_eq!(to_the_system_call, kernel() >= (5, 16), "{names:?}");
}

#[test]
fn no_more_calls_are_shown_than_were_asked_for() {
    let ended = probed(&["--stack=2"], &["kprobe:do_exit"], "sh -c 'exit 3'; :");
    for event in &ended.events {
        assert_eq!(functions(event, "kernel_stack").len(), 2, "{event}");
        assert_eq!(event["kernel_stack_truncated"], true, "{event}");
    }
    assert!(!ended.events.is_empty());
}

#[test]
fn a_recording_has_the_names_that_calls_had() {
    let scratch = Scratch::new("kept");
    let recording = scratch.path("it.rec");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    let live = probed(&["--stack", "--record", text(&recording)], &["fn:vfs_unlink"], &script);
    let replayed = crate::support::run(["replay", "-o", "json", text(&recording)]);
    let replayed = String::from_utf8_lossy(&replayed.stdout).into_owned();
    let stacks = |event: &Value| [event["kernel_stack"].clone(), event["user_stack"].clone()];
    let live: Vec<_> = live.events.iter().map(stacks).collect();
    assert!(live.iter().any(|[kernel, _]| kernel.to_string().contains("vfs_unlink")), "{live:#?}");
    assert_eq!(replayed.lines().map(|line| stacks(&crate::support::parse(line))).collect::<Vec<_>>(), live);
}

#[test]
fn processes_that_have_ended_have_the_names_of_their_functions() {
    // Its events are read after its end: a second later, and it takes less.
    let ended: Ended = traced("uprobe", &["--stack=2"], &["{}:func_uprobe1(x:u64)"], &["umark", "1"]);
    let names = functions(&ended.events[0], "user_stack");
    assert_eq!(names[0], "func_uprobe1");
    assert!(names[1].contains("umark"), "{names:?}");
}
