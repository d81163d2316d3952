//! Short tests for all kinds of kernels: each command loads, with each way to hook in and both transports, shows one
//! known thing, and ends by itself. The VM runner's `--smoke` runs only these, on far more kernels than the others.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::network;
use crate::support::{Ended, Trace, coretrace, in_vm, kernel, lacks_fentry, parse, skip, targets};

/// A file that does not exist.
const NONE: &str = "/no/such/smoke";

/// Runs coretrace with tracefs mounted, to its end.
fn coretrace_with(args: &[&str], cmd: &[&str]) -> Ended {
    let mut command = Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args(args);
    if !cmd.is_empty() {
        command.arg("--").arg(targets()).args(cmd);
    }
    Trace::raw(&mut command).output()
}

/// What a command traces, filters that pass it, and what must be seen of it: fields of events, in order.
fn known(command: &str, way: &str) -> (&'static [&'static str], &'static [&'static str], Vec<Value>) {
    let me = json!(targets());
    match command {
        "probe" => (
            &["opens", "open", "/dev/null", "2", "0"],
            &["-u", "0", "-n", "opening"],
            vec![match way {
                "btf" | "raw" => json!({"kind": "probe", "func": "sched_process_exit", "comm": "opening"}),
                "tracepoint" => json!({"kind": "probe", "func": "sched:sched_process_exit", "comm": "opening"}),
                _ => json!({"kind": "probe", "func": "vfs_open", "comm": "opening", "ret": 0}),
            }],
        ),
        "proc" => (
            &["opens", "fork", "open", NONE, "0", "0"],
            &["-u", "0", "--events", "exec,fork,exit", "--cwd", "--threads"],
            vec![
                json!({"kind": "exec", "exe": me, "argv": [me, "opens", "fork", "open", NONE, "0", "0"]}),
                json!({"kind": "fork", "comm": "opening"}),
                json!({"kind": "exit", "comm": "opening", "code": 0}),
                json!({"kind": "exit", "comm": "opening", "code": 0}),
            ],
        ),
        "uprobe" => {
            (&["umark", "2"], &["-u", "0"], vec![json!({"kind": "uprobe", "func": "func_uprobe1", "args": {"x": 2}})])
        }
        "usdt" => {
            (&["umark", "2"], &["-u", "0"], vec![json!({"kind": "usdt", "func": "groupa:probe1", "args": {"n": 2}})])
        }
        "conn" => (
            &["net", "refused", "127.0.0.1:9"],
            &["-u", "0", "--port", "9", "--net", "127.0.0.0/8"],
            vec![json!({"kind": "new", "proto": "tcp", "comm": "targets", "via": "socket",
                        "dst": {"address": "127.0.0.1", "port": 9}})],
        ),
        "exec" => (
            &["no-exec", NONE],
            &["-u", "0", "--args", "smoke"],
            vec![
                json!({"kind": "execve", "ret": 0, "exe": me, "argv": [me, "no-exec", NONE]}),
                json!({"kind": "execve", "errno": "ENOENT", "path": NONE, "argv": [NONE]}),
            ],
        ),
        _ => (
            &["opens", "open", "/dev/null", "2", "0", "open", NONE, "2", "0"],
            &["-u", "0", "-n", "opening", "--flags", "O_RDWR"],
            vec![
                json!({"kind": "open", "comm": "opening", "path": "/dev/null", "file": "/dev/null", "ret": 3}),
                json!({"kind": "open", "comm": "opening", "path": NONE, "errno": "ENOENT"}),
            ],
        ),
    }
}

/// What a tracer of specs is to trace, by that way.
fn spec(command: &str, way: &str) -> String {
    let me = targets();
    let me = me.display();
    match command {
        "uprobe" => return format!("{me}:func_uprobe1(x:u64)"),
        "usdt" => return format!("{me}:groupa:probe1(n:i32)"),
        _ => {}
    }
    let spec = match way {
        "btf" => "tp_btf:sched_process_exit",
        "raw" => "raw_tracepoint:sched_process_exit",
        "tracepoint" => "tracepoint:sched:sched_process_exit",
        // Several of them.
        "kprobe_multi" => "fn:vfs_[os][pt]*",
        _ => "fn:vfs_open",
    };
    spec.to_owned()
}

/// What must be seen is there, in order, and the run ended well.
fn assert_seen(ended: &Ended, expected: &[Value]) {
    assert!(ended.status.success(), "{:?} {:#?}", ended.status, ended.stderr);
    assert_eq!(ended.balance().dropped, 0, "{:#?}", ended.stderr);
    let mut events: Vec<Value> = ended.stdout.iter().map(|line| parse(line)).collect();
    // With a perf buffer for each CPU, events may come out of order.
    events.sort_by_key(|event| event["boot_ns"].as_u64());
    let mut left = events.iter();
    for event in expected {
        let is_it = |seen: &Value| event.as_object().unwrap().iter().all(|(name, value)| seen[name] == *value);
        assert!(left.any(is_it), "not seen: {event} in {events:#?}; {:#?}", ended.stderr);
    }
}

/// Whether the kernel has a function.
pub fn has_function(name: &str) -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    symbols.lines().any(|line| line.split(' ').nth(2) == Some(name))
}

/// Why this kernel cannot be hooked in that way for that command, if it reports that, and what coretrace then names.
fn lacks(command: &str, way: &str) -> Option<(&'static str, &'static str)> {
    let kprobes = Path::new("/sys/bus/event_source/devices/kprobe").exists();
    match way {
        // Since 5.11.
        "fentry" if command == "conn" && !Path::new("/sys/kernel/btf/nf_conntrack").exists() => {
            Some(("it has no types of modules", "has no types of the module nf_conntrack"))
        }
        "kprobe" | "ksyscall" if !kprobes => Some(("it has no kprobes", "has no kprobes")),
        // The types of arm64's 5.10 do not have all functions.
        "fentry" if lacks_fentry() && command == "open" && kernel() < (5, 11) => {
            Some(("it has no fentry", "no do_sys_openat2"))
        }
        "fentry" if lacks_fentry() => Some(("it has no fentry", "cannot attach fentry")),
        "kprobe_multi" if !has_function("register_fprobe_ips") => {
            Some(("it has no kprobe.multi", "has no kprobe.multi"))
        }
        "uprobe_multi" if !has_function("bpf_uprobe_multi_link_attach") => {
            Some(("it has no uprobe.multi", "has no uprobe.multi"))
        }
        _ => None,
    }
}

/// Why a failed run was right to refuse that way. Outside of a VM, a policy may be the reason.
fn refused(command: &str, way: &str, ended: &Ended) -> Option<String> {
    let why = match lacks(command, way) {
        Some((why, name)) if ended.stderr.iter().any(|line| line.contains(name)) => why,
        None if !in_vm() && way != "auto" => ended.stderr.first()?,
        _ => return None,
    };
    (ended.status.code() == Some(1) && ended.stdout.is_empty()).then(|| format!("refused: {why}"))
}

/// Has the kernel track connections on the loopback, if that can be done here.
fn tracked() -> bool {
    let possible = network::is_possible();
    if possible {
        network::load("acct=1 enable_hooks=1");
        network::shell("ip link set lo up");
    }
    possible
}

/// One command, with one way to hook in; by both transports, with filters and without.
fn smoke(test: &str, command: &str, way: &str) {
    if command == "conn" && !tracked() {
        return skip(test, "the module nf_conntrack is not here");
    }
    let (cmd, filters, expected) = known(command, way);
    // Not where libbpf opens perf events: a kernel may run programs only there (src/load/every_cpu.rs).
    let me = targets();
    let elsewhere = ["on-last-cpu", me.to_str().expect("a path in UTF-8")];
    let cmd = if command == "proc" { cmd.to_vec() } else { [&elsewhere, cmd].concat() };
    let transports: &[&[&str]] =
        if way == "auto" { &[&[]] } else { &[&["--transport", "ring"], &["--transport", "perf"]] };
    for transport in transports {
        let options = [command, "-o", "json", "-O", "-", "-v", "--attach", way];
        let filters = if transport.contains(&"perf") { filters } else { &[] };
        let spec = spec(command, way);
        let specs: &[&str] = if matches!(command, "probe" | "uprobe" | "usdt") { &[&spec] } else { &[] };
        let ended = coretrace_with(&[&options, *transport, filters, specs].concat(), &cmd);
        if !ended.status.success()
            && let Some(why) = refused(command, way, &ended)
        {
            return skip(test, &why);
        }
        assert_seen(&ended, &expected);
        let printed = ended.stderr.iter().find(|line| line.contains("attached to")).expect("how it hooks in");
        assert!(transport.last().is_none_or(|name| printed.contains(&format!("{name} buffer"))), "{printed}");
    }
}

/// What `check` shows for the commands that have this way to hook in is right, with loading and without.
fn check(test: &str, way: &str) {
    if !in_vm() {
        return skip(test, "a host may have policies that types do not show");
    }
    let tracked = tracked();
    let all = HERE.iter().filter(|(_, its)| *its == way).map(|(command, _)| *command);
    let commands: Vec<_> = all.filter(|command| tracked || *command != "conn").collect();
    let args = [&["check", "-o", "json", "--attach", way][..], &commands].concat();
    let lacking: Vec<_> = commands.iter().filter_map(|command| lacks(command, way)).collect();
    for load in [&["--load"][..], &[]] {
        let ended = coretrace_with(&[&args, load].concat(), &[]);
        assert_eq!(ended.status.success(), lacking.is_empty(), "{ended:#?}");
        for row in ended.stdout.iter().map(|line| parse(line)).filter(|row| row["command"] == true) {
            let lacks = lacks(row["name"].as_str().unwrap(), way);
            assert_eq!(row["verdict"] != "fails", lacks.is_none(), "{row}");
        }
    }
    if let [(why, _), ..] = lacking[..]
        && lacking.len() == commands.len()
    {
        skip(test, &format!("refused: {why}"));
    }
}

/// A test for each: the name has the command and the way to hook in.
macro_rules! smokes {
    (check: $($name:ident: $way:literal)+) => {
        $(#[test]
        fn $name() {
            check(concat!("smoke::", stringify!($name)), $way);
        })+
    };
    ($($name:ident: $command:literal $way:literal)+) => {
        $(#[test]
        fn $name() {
            smoke(concat!("smoke::", stringify!($name)), $command, $way);
        })+

        /// The tested commands and ways to hook in.
        const HERE: &[(&str, &str)] = &[$(($command, $way)),+];
    };
}

smokes! {
    proc_by_auto: "proc" "auto"
    proc_by_btf: "proc" "btf"
    proc_by_fentry: "proc" "fentry"
    proc_by_raw: "proc" "raw"
    proc_by_tracepoint: "proc" "tracepoint"
    exec_by_auto: "exec" "auto"
    exec_by_fentry: "exec" "fentry"
    exec_by_kprobe: "exec" "kprobe"
    exec_by_ksyscall: "exec" "ksyscall"
    exec_by_tracepoint: "exec" "tracepoint"
    open_by_auto: "open" "auto"
    open_by_fentry: "open" "fentry"
    open_by_kprobe: "open" "kprobe"
    open_by_tracepoint: "open" "tracepoint"
    probe_by_auto: "probe" "auto"
    probe_by_btf: "probe" "btf"
    probe_by_fentry: "probe" "fentry"
    probe_by_kprobe: "probe" "kprobe"
    probe_by_kprobe_multi: "probe" "kprobe_multi"
    probe_by_raw: "probe" "raw"
    probe_by_tracepoint: "probe" "tracepoint"
    conn_by_auto: "conn" "auto"
    conn_by_fentry: "conn" "fentry"
    conn_by_kprobe: "conn" "kprobe"
    uprobe_by_auto: "uprobe" "auto"
    uprobe_by_uprobe: "uprobe" "uprobe"
    uprobe_by_uprobe_multi: "uprobe" "uprobe_multi"
    usdt_by_auto: "usdt" "auto"
    usdt_by_uprobe: "usdt" "uprobe"
    usdt_by_uprobe_multi: "usdt" "uprobe_multi"
}

smokes! {
    check:
    check_by_auto: "auto"
    check_by_btf: "btf"
    check_by_fentry: "fentry"
    check_by_raw: "raw"
    check_by_kprobe: "kprobe"
    check_by_kprobe_multi: "kprobe_multi"
    check_by_ksyscall: "ksyscall"
    check_by_uprobe: "uprobe"
    check_by_uprobe_multi: "uprobe_multi"
    check_by_tracepoint: "tracepoint"
}

#[test]
fn every_way_of_every_command_is_here() {
    for tracer in coretrace::tracers::all() {
        let plans = tracer.plans();
        let ways = plans.iter().map(|plan| plan.hook.name());
        for way in ways.chain(["auto"]) {
            assert!(HERE.contains(&(tracer.name(), way)), "no test of {} by {way}", tracer.name());
        }
    }
}
