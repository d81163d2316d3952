//! Sources of the kernel's types: a kernel that has none of its own, and files used instead.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::host::{Scratch, text};
use crate::known::preemptible;
use crate::support::{Ended, Trace, coretrace, kernel, skip, targets};

pub const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// Traces `targets exit 3` as on a kernel without BTF, with tracefs.
pub fn trace(args: &[&str], file: Option<&Path>) -> Ended {
    let targets = targets();
    let mut command = Command::new(&targets);
    command.args(["mounts", "-btf,+tracefs"]).arg(coretrace()).args(["proc", "-o", "json", "-O", "-", "-v"]);
    if let Some(file) = file {
        command.env("CORETRACE_BTF", file);
    }
    Trace::raw(command.args(args).args(["--", text(&targets), "exit", "3"])).end()
}

/// The hook that is tried first: since 7.0 the classic tracepoint.
pub fn first(usual: &str) -> String {
    let event = usual.rsplit('/').next().unwrap();
    let group = if event == "task_newtask" { "task" } else { "sched" };
    if kernel() >= (7, 0) { format!("tp/{group}/{event}") } else { usual.to_owned() }
}

/// It worked, with these hooks, and read the right values.
pub fn assert_right(ended: &Ended, hook: &str, file: &Path) {
    assert_eq!(ended.status.code(), Some(3), "{:#?}", ended.stderr);
    assert_eq!((ended.totals().delivered, ended.totals().dropped), (2, 0));
    let attached = ended.stderr.iter().find(|line| line.contains("attached to")).unwrap();
    assert!(attached.contains(hook) && attached.contains(&format!("types from {}", file.display())), "{attached}");
    let (exec, exit) = (&ended.events[0], &ended.events[1]);
    let targets = targets();
    assert_eq!(exec["argv"], json!([targets, "exit", "3"]));
    assert_eq!(exec["exe"], json!(targets.canonicalize().unwrap()));
    assert_eq!((&exit["kind"], &exit["code"], &exit["pid"]), (&json!("exit"), &json!(3), &exec["pid"]));
    assert_eq!((&exec["comm"], &exec["uid"], &exit["ppid"]), (&json!("targets"), &json!(0), &exec["ppid"]));
    let (lifetime, memory) = (exit["lifetime_ns"].as_u64().unwrap(), exit["max_rss_bytes"].as_u64().unwrap());
    assert!((1..60_000_000_000).contains(&lifetime) && (1 << 16..1 << 28).contains(&memory), "{exit}");
}

#[test]
fn a_file_stands_in_for_the_kernels_own() {
    let scratch = Scratch::new("btf");
    let file = scratch.file("full.btf", fs::read(KERNEL).unwrap());
    // By option, by variable, and the option takes precedence.
    assert_right(&trace(&["--btf", text(&file)], None), &first("raw_tp/sched_process_exec"), &file);
    assert_right(&trace(&[], Some(&file)), &first("raw_tp/sched_process_exit"), &file);
    let missing = scratch.path("missing");
    let ended = trace(&["--btf", text(&file)], Some(&missing));
    assert_right(&ended, &first("raw_tp/task_newtask"), &file);
    let refused: Vec<_> =
        ended.stderr.iter().filter(|line| line.contains("the kernel has no BTF of its own")).collect();
    // What the kernel may interrupt is tried last: functions since 5.11, since 7.0 all but what works first.
    let first_works = kernel() >= (7, 0) && preemptible();
    let functions = kernel() < (5, 11) || !preemptible();
    assert_eq!(refused.len(), if first_works { 0 } else { 1 + usize::from(functions) }, "{refused:#?}");
    assert!(first_works || refused[0].contains("btf: ") && (!functions || refused[1].contains("fentry: ")));
    // The classic tracepoints work with a file, too.
    assert_right(&trace(&["--btf", text(&file), "--attach", "tracepoint"], None), "tp/sched/sched_process_exec", &file);
    let ended = trace(&["--btf", text(&file), "--attach", "btf"], None);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.join("\n").contains("the kernel has no BTF of its own"), "{:#?}", ended.stderr);
}

/// It would do that for each object, and that would take longer than all the rest of a start.
#[test]
fn libbpf_reads_none_of_the_kernels_types_itself() {
    let targets = targets();
    for tracer in ["proc", "open"] {
        let mut line = Command::new(&targets);
        line.args(["mounts", "+tracefs"]).arg(coretrace()).args([tracer, "-vv", "-O", "/dev/null"]);
        let ended = Trace::raw(line.args(["--", text(&targets), "exit", "3"])).output();
        assert_eq!(ended.status.code(), Some(3), "{tracer}: {:#?}", ended.stderr.last());
        let of_libbpf = |word: &str| ended.stderr.iter().filter(|line| line.contains(word)).count();
        assert!(of_libbpf("found target candidate") > 10, "{tracer}: {:#?}", ended.stderr);
        assert_eq!(of_libbpf("loaded kernel BTF"), 0, "{tracer}");
    }
}

#[test]
fn a_minimal_file_does() {
    let scratch = Scratch::new("btf-min");
    let object = scratch.file("proc.bpf.o", include_bytes!(concat!(env!("OUT_DIR"), "/proc.bpf.o")));
    let small = scratch.path("min.btf");
    let made = Command::new("bpftool").args(["gen", "min_core_btf", KERNEL]).args([&small, &object]).output();
    match made {
        Err(_) => return skip("btf::a_minimal_file_does", "there is no bpftool"),
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
    }
    assert!(fs::metadata(&small).unwrap().len() < 20_000);
    assert_right(&trace(&["--btf", text(&small)], None), &first("raw_tp/sched_process_exec"), &small);
}
