//! `probe`: what values mean, by each kind of hook, compared with what the target or the host knows.

use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Scratch, text};
use crate::probe::{probed, ways, with};
use crate::support::{Ended, coretrace, kernel, lacks_fentry, targets};

/// The only event of a spec.
fn only(ended: &Ended) -> &Value {
    let [event] = &ended.events[..] else { panic!("{:#?} {:#?}", ended.events, ended.stderr) };
    event
}

#[test]
fn entries_and_returns_that_are_asked_for_have_their_values() {
    let scratch = Scratch::new("halves");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    let name = "name=dentry->d_name.name:str";
    let specs = [
        (format!("fentry:vfs_unlink({name})"), true, false),
        (format!("fexit:vfs_unlink({name}, ret)"), true, true),
        (format!("kprobe:vfs_unlink({name})"), true, false),
        ("kretprobe:vfs_unlink".to_owned(), false, true),
        ("kretprobe:vfs_unlink(ret)".to_owned(), false, true),
    ];
    let can = |spec: &str| !(lacks_fentry() && spec.starts_with("fe"));
    for (spec, has_name, has_result) in specs.iter().filter(|(spec, ..)| can(spec)) {
        let ended = probed(&[], &[spec], &script);
        let event = only(&ended);
        assert_eq!(event["func"], "vfs_unlink", "{spec}: {event}");
        assert_eq!(event["args"].get("name"), has_name.then(|| json!("a")).as_ref(), "{spec}: {event}");
        assert_eq!(event.get("ret"), has_result.then(|| json!(0)).as_ref(), "{spec}: {event}");
    }
}

#[test]
fn a_system_call_has_its_arguments_and_its_result() {
    for way in ways() {
        let ended = probed(&["--attach", way], &["ksyscall:chdir(filename=arg0:str)"], "cd /; cd /nowhere; :");
        let name = |name: &str| {
            let [event] = with(&ended, "filename", &json!(name))[..] else { panic!("{way}: {:#?}", ended.events) };
            event
        };
        let (there, nowhere) = (name("/"), name("/nowhere"));
        assert!(there["func"] == "chdir" && there["duration_ns"].is_u64(), "{way}: {there}");
        assert_eq!((&there["ret"], &nowhere["ret"]), (&json!(0), &json!(-2)), "{way}: {nowhere}");
    }
}

#[test]
fn a_socket_is_summed_up_by_its_addresses() {
    let me = targets();
    for way in ways() {
        // The ports are set by then.
        let ended =
            probed(&["--attach", way], &["fn:tcp_connect(sk)"], &format!("{} net refused 127.0.0.1:9", text(&me)));
        let sock = &only(&ended)["args"]["sk"];
        let known = ["family", "protocol", "saddr", "daddr", "dport"].map(|name| &sock[name]);
        assert_eq!(known, [&json!(2), &json!(6), &json!("127.0.0.1"), &json!("127.0.0.1"), &json!(9)], "{way}: {sock}");
        assert!(sock["sport"].as_u64().is_some_and(|port| port > 1023), "{way}: {sock}");
    }
}

#[test]
fn a_task_is_summed_up_by_its_ids_and_name() {
    let ended = probed(&[], &["tp_btf:sched_process_exit(p)"], "/bin/true; :");
    assert!(ended.events.len() >= 2, "{:#?}", ended.stderr);
    for event in &ended.events {
        let task = json!({ "pid": event["pid"], "tid": event["tid"], "comm": event["comm"] });
        assert_eq!(event["args"]["p"], task, "{event}");
    }
}

#[test]
fn what_a_fork_reads_of_its_parents_memory_is_what_proc_says() {
    let scratch = Scratch::new("heap");
    let (stat, maps) = (scratch.path("stat"), scratch.path("maps"));
    let script = format!("cat /proc/$$/stat >{}; grep heap /proc/$$/maps >{}; /bin/true; :", text(&stat), text(&maps));
    let spec = "tp_btf:sched_process_fork(exe=parent->mm->exe_file->f_path.dentry->d_name.name:str, \
                heap_start=parent->mm->start_brk:x, heap_end=parent->mm->brk:x)";
    let ended = probed(&[], &[spec], &script);
    let exe = std::fs::canonicalize("/bin/sh").unwrap();
    let of_shell = with(&ended, "exe", &json!(exe.file_name().unwrap().to_str().unwrap()));
    let last = of_shell.last().unwrap_or_else(|| panic!("{:#?} {:#?}", ended.events, ended.stderr));
    // man 5 proc: the 47th field, and the name of the second one is without blanks here.
    let stat = std::fs::read_to_string(stat).unwrap();
    let start_brk: u64 = stat.split(' ').nth(46).unwrap().parse().unwrap();
    let maps = std::fs::read_to_string(maps).unwrap();
    let range = maps.split(' ').next().unwrap();
    let end = u64::from_str_radix(range.split_once('-').unwrap().1, 16).unwrap();
    let number = |name: &str| {
        let value = &last["args"][name];
        let of_text = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        value.as_u64().or_else(|| of_text(value.as_str()?)).unwrap_or_else(|| panic!("{last}"))
    };
    assert_eq!(number("heap_start"), start_brk, "{last}");
    assert_eq!(number("heap_end").next_multiple_of(4096), end, "{last}");
}

#[test]
fn each_call_of_a_recursion_in_the_kernel_has_its_own_duration() {
    const DEPTH: usize = 4;
    let cmd = format!("{} epolls {DEPTH}", text(&targets()));
    for way in ways() {
        // The first wakes who waits for the pipe, which wakes who waits for that. (Who waits for events of coretrace has no key.)
        let ended = probed(&["--attach", way], &["fn:ep_poll_callback if key"], &cmd);
        let durations: Vec<_> = ended.events.iter().filter_map(|event| event["duration_ns"].as_u64()).collect();
        // Of a probe on returns, before 6.0 the kernel watches as many calls at once as there are CPUs: the outer ones.
        let watched = if way == &"kprobe" && kernel() < (6, 0) { 2 } else { DEPTH };
        assert_eq!(durations.len(), watched, "{way}: {:#?} {:#?}", ended.events, ended.stderr);
        assert!(
            watched == DEPTH || ended.stderr.iter().any(|line| line.contains("of ep_poll_callback")),
            "{way}: unreturned"
        );
        assert!(durations.is_sorted(), "{way}: the innermost returns first, and an outer one is longer: {durations:?}");
    }
}

#[test]
fn what_cannot_be_probed_is_reported_with_the_reason() {
    // arch/x86/kernel/traps.c: NOKPROBE or noinstr; kernel/notifier.c: NOKPROBE.
    let marked = if cfg!(target_arch = "x86_64") { "exc_int3" } else { "notify_die" };
    let kprobe = format!("kprobe:{marked}");
    let by_type: &[&str] = if lacks_fentry() || kernel() < (5, 16) {
        // Old types have only what is traced.
        &["trace_clock_local"]
    } else {
        &["be hooked by fentry or fexit: it is marked so (notrace"]
    };
    for (spec, messages) in [
        ("fn:no_such_function_at_all", &["has no function no_such_function_at_all", "inlined everywhere"][..]),
        (&*kprobe, &["be probed: it is marked so (notrace, NOKPROBE_SYMBOL", "kprobes/blacklist"]),
        // kernel/trace/trace_clock.c: notrace.
        (
            "fn:trace_clock_local",
            if lacks_fentry() { by_type } else { &["trace_clock_local", ": it is marked so (notrace"] },
        ),
        ("fentry:trace_clock_local", by_type),
    ] {
        let mut command = Command::new(targets());
        command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["probe", spec, "--", "/bin/true"]);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{spec}: {stderr}");
        messages.iter().for_each(|message| assert!(stderr.contains(message), "{spec}: {stderr}"));
    }
}
