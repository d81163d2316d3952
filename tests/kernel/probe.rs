//! `probe`: functions and tracepoints that a user names, with values that the targets know.

use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Scratch, text};
use crate::known::again_if_missed;
use crate::support::{Ended, Trace, coretrace, kernel, lacks_fentry};

/// `coretrace probe SPECS… -- sh -c SCRIPT`, to its end, with tracefs mounted.
pub(crate) fn probed(options: &[&str], specs: &[&str], script: &str) -> Ended {
    // Since 7.0 the kernel may interrupt the program of a probe, and skips it for others on that CPU meanwhile.
    let mut ended = again_if_missed(kernel() >= (7, 0), || {
        let mut command = Command::new(crate::support::targets());
        command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["probe", "-v", "-o", "json", "-O", "-"]);
        command.args(options).args(specs).args(["--", "/bin/sh", "-c", script]);
        Trace::raw(&mut command).output()
    });
    ended.events = ended.stdout.iter().map(|line| crate::support::parse(line)).collect();
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

/// The ways to hook functions that kernels of the matrix have.
pub(crate) fn ways() -> &'static [&'static str] {
    if lacks_fentry() { &["kprobe"] } else { &["fentry", "kprobe"] }
}

/// The events of a function whose argument has that value.
pub(crate) fn with<'e>(ended: &'e Ended, name: &str, value: &Value) -> Vec<&'e Value> {
    ended.events.iter().filter(|event| event["args"][name] == *value).collect()
}

#[test]
fn a_call_has_its_arguments_its_result_and_its_duration() {
    let scratch = Scratch::new("probed");
    let file = scratch.file("wanted", "");
    for way in ways() {
        let _ = scratch.file("wanted", "");
        let ended = probed(&["--attach", way], &["fn:vfs_unlink"], &format!("rm {}", text(&file)));
        let dentry = ended.events.iter().find(|event| event["args"]["dentry"].to_string().contains("/wanted"));
        let event = dentry.unwrap_or_else(|| panic!("{way}: {:#?} {:#?}", ended.events, ended.stderr));
        assert_eq!((&event["func"], &event["ret"]), (&json!("vfs_unlink"), &json!(0)), "{way}: {event}");
        assert!(event["duration_ns"].as_u64().is_some_and(|ns| ns > 0), "{way}: {event}");
        assert!(event["args"]["dir"]["ino"].is_u64(), "{way}: a struct that is known is summed up: {event}");
    }
}

#[test]
fn a_recording_has_the_names_of_addresses() {
    let scratch = Scratch::new("addresses");
    let file = scratch.path("recording");
    let spec = "fn:vfs_read(operations=file->f_op:sym, read=file->f_op->read_iter:sym) if count > 0";
    let ended = probed(&["--record", text(&file)], &[spec], "read line </proc/self/status");
    let names: Vec<_> = ended.events.iter().filter_map(|event| event["args"]["operations"].as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with("proc_")), "{names:?} {:#?}", ended.stderr);
    let replayed = crate::support::run(["replay", "-o", "json", text(&file)]);
    assert_eq!(String::from_utf8(replayed.stdout).unwrap().lines().collect::<Vec<_>>(), ended.stdout);
}

#[test]
fn a_string_that_was_cut_says_so() {
    let spec =
        "tp_btf:sched_process_exec(short=bprm->filename:str[8], exact=bprm->filename:str[10], all=bprm->filename:str)";
    let ended = probed(&[], &[spec], "exec /bin/true");
    let args = &with(&ended, "all", &json!("/bin/true"))[0]["args"];
    assert_eq!((&args["short"], &args["short_truncated"]), (&json!("/bin/tr"), &json!(true)), "{args}");
    assert_eq!((&args["exact"], &args["exact_truncated"]), (&json!("/bin/true"), &Value::Null), "{args}");
}

#[test]
fn the_end_of_a_long_string_is_held_against_a_glob() {
    let long = format!("/tmp/{}{}END", "x/".repeat(150), "y".repeat(100));
    let function = if kernel() >= (7, 0) { "do_file_open" } else { "do_filp_open" };
    let spec = format!("fn:{function}(name=pathname->name:str) if pathname->name ~ \"*yEND\"");
    for way in ways() {
        let ended = probed(&["--attach", way], &[&spec], &format!("read line <{long}; read line <{long}x"));
        let names: Vec<_> = ended.events.iter().map(|event| &event["args"]["name"]).collect();
        // Before bpf_loop, 256 bytes are all that programs can go through.
        if kernel() >= (5, 17) {
            assert_eq!(names, [&json!(long)], "{way}: {:#?}", ended.stderr);
        } else {
            let said = |line: &String| line.contains("undecided: 2 of the filtered probe");
            assert!(names.is_empty() && ended.stderr.iter().any(said), "{way}: {names:?} {:#?}", ended.stderr);
        }
    }
}

#[test]
fn arguments_of_system_calls_have_their_types() {
    let spec = "tracepoint:syscalls:sys_enter_openat(dfd, filename) if dfd == -100 && dfd < 0";
    let ended = probed(&[], &[spec], "read line </proc/self/status");
    assert!(ended.events.iter().any(|event| event["args"]["dfd"] == json!(-100)), "{:#?}", ended.stderr);
}

#[test]
fn conditions_are_tested_in_the_kernel() {
    let scratch = Scratch::new("conditions");
    let script = format!("cd {0}; touch one two three; rm one two three", text(&scratch.path("")));
    let conditions = [
        ("dentry->d_name.name == \"two\"", &["two"][..]),
        ("dentry->d_name.name ^= \"t\"", &["two", "three"]),
        ("!(dentry->d_name.name ^= \"t\")", &["one"]),
        ("dentry->d_name.len > 3", &["three"]),
        ("dentry->d_name.len == 3 && ret == 0", &["one", "two"]),
        ("ret < 0", &[]),
    ];
    let spec = |(n, (condition, _)): (usize, &(&str, &[&str]))| {
        format!("fn:vfs_unlink(name{n}=dentry->d_name.name:str) if {condition}")
    };
    let specs: Vec<_> = conditions.iter().enumerate().map(spec).collect();
    for way in ways() {
        let ended = probed(&["--attach", way], &specs.iter().map(String::as_str).collect::<Vec<_>>(), &script);
        for (n, (condition, expected)) in conditions.iter().enumerate() {
            let name = format!("name{n}");
            let names: Vec<_> = ended.events.iter().filter_map(|event| event["args"][&name].as_str()).collect();
            assert_eq!(names, *expected, "{way} {condition}: {:#?}", ended.stderr);
        }
    }
}

#[test]
fn the_same_values_by_every_kind_of_hook() {
    for spec in [
        "tp_btf:sched_process_exit(pid=p->tgid, name=p->comm:str)",
        "raw_tracepoint:sched_process_exit(pid=p->tgid, name=p->comm:str)",
        "tracepoint:sched:sched_process_exit(pid, name=comm)",
        "kprobe:do_exit(code)",
    ] {
        let ended = probed(&[], &[spec], "sh -c 'exit 3'; :");
        let own = ended.events.iter().filter(|event| event["comm"] == "sh").collect::<Vec<_>>();
        assert!(!own.is_empty(), "{spec}: {:#?}", ended.stderr);
        for event in own {
            match spec.starts_with("kprobe") {
                true => assert!([json!(0), json!(0x300)].contains(&event["args"]["code"]), "{spec}: {event}"),
                false => {
                    assert_eq!(event["args"]["name"], "sh", "{spec}: {event}");
                    assert_eq!(event["args"]["pid"], event["pid"], "{spec}: {event}");
                }
            }
        }
        if spec.starts_with("kprobe") {
            assert_eq!(with(&ended, "code", &json!(0x300)).len(), 1, "{:#?}", ended.events);
        }
    }
}

#[test]
fn a_chain_that_meets_null_says_so() {
    // A task has an I/O context once it does I/O that is accounted for (include/linux/iocontext.h).
    let ended = probed(&[], &["tp_btf:sched_process_exec(context=p->io_context, prio=p->io_context->ioprio)"], ":");
    let [event, ..] = &ended.events[..] else { panic!("{:#?}", ended.stderr) };
    assert_eq!(event["args"], json!({ "context": "NULL", "prio": null, "prio_null": true }), "{event}");
}

#[test]
fn one_spec_fits_functions_that_differ_between_kernels() {
    let scratch = Scratch::new("differs");
    let script = format!("cd {}; touch a; mkdir b; mv a b/c; rm b/c; rmdir b", text(&scratch.path("")));
    let specs = [
        "fn:vfs_unlink(name=dentry->d_name.name:str)",
        "fn:vfs_mkdir(name=dentry->d_name.name:str, mode:o)",
        "fn:vfs_rename",
    ];
    for way in ways() {
        let ended = probed(&["--attach", way], &specs, &script);
        assert_eq!(with(&ended, "name", &json!("c")).len(), 1, "{way}: {:#?}", ended.events);
        assert_eq!(with(&ended, "name", &json!("b")).len(), 1, "{way}: {:#?}", ended.events);
        // Six arguments before 5.12, then a struct with them.
        let [renamed] = ended.events.iter().filter(|event| event["func"] == "vfs_rename").collect::<Vec<_>>()[..]
        else {
            panic!("{way}: {:#?}", ended.events)
        };
        let args = renamed["args"].to_string();
        assert!(args.contains("/a\"") && args.contains("/b/c\"") && renamed["ret"] == 0, "{way}: {renamed}");
    }
    // (mnt_userns came with 5.12, mnt_idmap with 6.3: include/linux/fs.h.)
    assert!(kernel() >= (5, 10));
}

#[test]
fn a_glob_names_each_function_that_was_called() {
    let scratch = Scratch::new("glob");
    let script = format!("cd {}; touch a; mkdir b; rm a; rmdir b", text(&scratch.path("")));
    // One link for all of them where the kernel has that, else one for each.
    for options in [&[][..], &["--attach", "kprobe"]] {
        let ended = probed(options, &["fn:vfs_[umr][nkm][ld]i[nr]*"], &script);
        let calls = |func: &str| ended.events.iter().filter(|event| event["func"] == func).collect::<Vec<_>>();
        // (vfs_rmdir may be vfs_rmdir.part.0.)
        for func in ["vfs_unlink", "vfs_mkdir"] {
            let [event] = calls(func)[..] else {
                panic!("{options:?} {func}: {:#?} {:#?}", ended.events, ended.stderr)
            };
            assert!(event["duration_ns"].as_u64().is_some_and(|ns| ns > 0), "{event}");
        }
        assert_eq!(calls("vfs_unlink")[0]["ret"], 0, "results that are numbers are shown");
    }
}

#[test]
fn entry_and_return_can_be_two_events() {
    let scratch = Scratch::new("entry");
    let script = format!("cd {}; touch a; rm a", text(&scratch.path("")));
    for way in ways() {
        let ended = probed(&["--attach", way, "--entry"], &["fn:vfs_unlink(name=dentry->d_name.name:str)"], &script);
        let mut events = ended.events.clone();
        events.sort_by_key(|event| event["boot_ns"].as_u64());
        assert_eq!(events.len(), 2, "{way}: {events:#?}");
        assert!(events[0].get("duration_ns").is_none() && events[1]["duration_ns"].is_u64(), "{way}: {events:#?}");
        assert!(events.iter().all(|event| event["args"]["name"] == "a"), "{way}: {events:#?}");
    }
}

#[test]
fn every_call_of_many_threads_is_counted_once() {
    let cmd = [text(&crate::support::targets()).to_owned(), "calls 8 1500".to_owned()].join(" ");
    // By types, a kernel that may interrupt programs skips some, and counts them: auto takes another way then.
    for way in ["auto", "kprobe"] {
        let ended = probed(&["--attach", way, "--buffer", "16M"], &["ksyscall:getpgid"], &cmd);
        let calls = ended.events.iter().filter(|event| event["comm"] != "sh").count();
        // What the kernel has skipped it says since 6.7; before, a probe is skipped only where another program runs.
        assert_eq!(calls, 12_000, "{way}: {:#?}", ended.stderr);
        let tids: std::collections::HashSet<_> = ended.events.iter().map(|event| event["tid"].as_u64()).collect();
        assert!(tids.len() >= 8, "{way}");
    }
}

#[test]
fn calls_under_way_at_once_have_their_own_durations() {
    let cmd = [text(&crate::support::targets()).to_owned(), "naps 6 300".to_owned()].join(" ");
    for way in ["auto", "kprobe"] {
        let ended = probed(&["--attach", way], &["fn:hrtimer_nanosleep"], &cmd);
        let naps: Vec<_> = ended.events.iter().filter_map(|event| event["duration_ns"].as_u64()).collect();
        let long = naps.iter().filter(|ns| **ns >= 300_000_000).count();
        // Of a probe on returns, before 6.0 the kernel watches as many calls at once as there are CPUs.
        let watched = if way == "kprobe" && kernel() < (6, 0) { 2 } else { 6 };
        assert!(long >= watched, "{way}: {naps:?}");
        let unreturned = ended.stderr.iter().any(|line| line.contains("unreturned: "));
        assert!(long == 6 || unreturned, "{way}: {:#?}", ended.stderr);
    }
}

#[test]
fn what_can_be_probed_is_listed_with_its_prototype() {
    let output = Command::new(coretrace()).args(["probe", "--list", "vfs_unlink"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let line = listed.lines().find(|line| line.starts_with("fn:vfs_unlink ")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("int vfs_unlink(") && line.contains("struct dentry *dentry"), "{line}");
    let output = Command::new(coretrace()).args(["probe", "--list", "tp_btf:sched_process_exit"]).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("tp_btf:sched_process_exit(struct task_struct *p"));
}

#[test]
fn a_probe_beside_proc_is_in_the_same_stream() {
    let mut command = Command::new(crate::support::targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["proc", "-v", "-o", "json", "-O", "-"]);
    command.args(["--with", "open", "--with", "probe 'kprobe:do_exit(code)'", "--", "/bin/sh", "-c", "exit 3"]);
    let mut ended = Trace::raw(&mut command).output();
    ended.events = ended.stdout.iter().map(|line| crate::support::parse(line)).collect();
    assert_eq!(ended.kind("probe")[0]["args"]["code"], 0x300, "{:#?}", ended.stderr);
    assert!(ended.kind("exit").iter().any(|event| event["code"] == 3) && !ended.kind("open").is_empty());
}
