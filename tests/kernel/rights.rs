//! Rights: without them, a helpful message; with just enough of them, it works.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::host::{Scratch, copy_of_coretrace, text};
use crate::support::{Ended, Trace, in_vm, kernel, skip, targets};

/// include/uapi/linux/capability.h
pub const DAC_READ_SEARCH: u32 = 2;
const SYS_ADMIN: u32 = 21;
pub const SYS_RESOURCE: u32 = 24;
pub const PERFMON: u32 = 38;
pub const BPF: u32 = 39;

/// Kernels before 5.11 count BPF memory against `ulimit -l`.
fn counts_memory() -> bool {
    kernel() < (5, 11)
}

/// Any user but root.
const USER: &str = "uid=54321";

/// These capabilities, and as much locked memory as needed. (If none is needed, this process may not be allowed to
/// raise the limit either.)
fn with_caps(caps: &[u32]) -> String {
    let caps: Vec<String> = caps.iter().map(u32::to_string).collect();
    let memory = if counts_memory() { ",memlock=1073741824" } else { "" };
    format!("{USER},caps={}{memory}", caps.join("+"))
}

/// `coretrace proc … ARGS -- targets exit 3` run by `targets WRAP…`.
fn trace(wrap: &[&str], args: &[&str]) -> Ended {
    let (scratch, targets) = (Scratch::new(&format!("rights-{:?}", std::thread::current().id())), targets());
    let mut command = Command::new(&targets);
    command.args(wrap).arg(copy_of_coretrace(&scratch)).args(["proc", "-o", "json", "-O", "-", "-v"]).args(args);
    Trace::raw(command.args(["--", text(&targets), "exit", "3"])).end()
}

fn assert_works(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(3), "{:#?}", ended.stderr);
    assert_eq!((ended.totals().delivered, ended.totals().dropped), (2, 0));
    assert_eq!(ended.events[0]["argv"], json!([targets(), "exit", "3"]));
    assert_eq!(ended.events[1]["code"], 3);
}

/// It ended with 1, the command did not run, and the message has all of these words.
pub fn assert_says(ended: &Ended, words: &[&str]) {
    let printed = ended.stderr.join("\n");
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0), "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

#[test]
fn without_any_the_message_names_what_is_missing() {
    let ended = trace(&["as", USER], &[]);
    assert_says(&ended, &["cap_bpf", "cap_perfmon", "sudo coretrace", "sudo setcap cap_bpf,cap_perfmon"]);
}

#[test]
fn two_capabilities_are_enough() {
    let ended = trace(&["as", &with_caps(&[BPF, PERFMON])], &[]);
    assert_works(&ended);
    assert_eq!(ended.events[0]["uid"], 54321);
    // One of them is not enough.
    for (have, lack) in [(BPF, "cap_perfmon"), (PERFMON, "cap_bpf")] {
        let ended = trace(&["as", &with_caps(&[have])], &[]);
        assert_says(&ended, &[lack, "setcap"]);
    }
}

#[test]
fn environments_that_may_not_be_read_are_said_once() {
    let (scratch, targets) = (Scratch::new("unreadable"), targets());
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; \"$0\" exit 0; \"$0\" exit 0; read line", text(&targets)]).stdin(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut command = Command::new(&targets);
    command.args(["as", &with_caps(&[BPF, PERFMON])]).arg(copy_of_coretrace(&scratch));
    command.args(["proc", "-o", "json", "-O", "-", "-v", "--env-diff", "--follow", "-p", &shell.id().to_string()]);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    // It is there until its programs were seen.
    let mut input = shell.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    let mut execs = 0;
    trace.wait_for("two programs", |event| {
        execs += usize::from(event["kind"] == "exec");
        execs == 2
    });
    drop(input);
    shell.wait().unwrap();
    let ended = trace.stop();
    let execs = ended.kind("exec");
    assert_eq!(
        execs.iter().map(|exec| &exec["env_diff"]).collect::<Vec<_>>(),
        [&json!(null); 2],
        "{:#?}",
        ended.stderr
    );
    let notes = ended.stderr.iter().filter(|line| line.contains("--env-diff") && line.contains("CAP_SYS_PTRACE"));
    assert_eq!(notes.count(), 1, "{:#?}", ended.stderr);
}

#[test]
fn a_limit_of_locked_memory_matters_to_old_kernels_alone() {
    let settings = format!("{USER},caps={BPF}+{PERFMON},memlock=65536");
    let ended = trace(&["as", &settings], &[]);
    if counts_memory() {
        assert_says(&ended, &["64 KiB", "ulimit -l unlimited", "cap_sys_resource"]);
    } else {
        assert_works(&ended);
    }
    if counts_memory() {
        // With that capability the limit is raised.
        assert_works(&trace(&["as", &settings.replace("caps=", &format!("caps={SYS_RESOURCE}+"))], &[]));
    }
}

#[test]
fn root_that_may_not_raise_limits() {
    let ended = trace(&["as", &format!("drop={SYS_RESOURCE},memlock=65536")], &[]);
    if counts_memory() {
        assert_says(&ended, &["64 KiB", "ulimit -l unlimited"]);
    } else {
        assert_works(&ended);
    }
}

#[test]
fn root_without_the_capabilities_sees_that() {
    let ended = trace(&["as", &format!("drop={SYS_ADMIN},drop={BPF},drop={PERFMON}")], &[]);
    assert_says(&ended, &["root", "lacks cap_bpf and cap_perfmon"]);
}

#[test]
fn without_tracefs_all_but_the_classic_tracepoints_work() {
    assert_works(&trace(&["mounts", "-tracefs"], &[]));
    for hook in ["btf", "raw"] {
        assert_works(&trace(&["mounts", "-tracefs"], &["--attach", hook]));
    }
    let ended = trace(&["mounts", "-tracefs"], &["--attach", "tracepoint"]);
    assert_says(&ended, &["tracefs is not mounted", "mount -t tracefs tracefs /sys/kernel/tracing"]);
}

#[test]
fn classic_tracepoints_need_tracefs_to_be_readable() {
    let targets = targets();
    let traced = |caps: &[u32]| {
        let wrap = ["mounts", "+tracefs", text(&targets), "as", &with_caps(caps)];
        trace(&wrap, &["--attach", "tracepoint"])
    };
    let ended = traced(&[BPF, PERFMON]);
    assert_says(&ended, &["may not be read by this process", "task_newtask", "cap_dac_read_search"]);
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let ended = traced(&[BPF, PERFMON, DAC_READ_SEARCH]);
    if paranoid.trim().parse::<i32>().unwrap() > 2 {
        // Debian's addition.
        assert_says(
            &ended,
            &["kernel.perf_event_paranoid is 3", "cap_sys_admin", "sysctl kernel.perf_event_paranoid=2"],
        );
    } else {
        assert_works(&ended);
    }
}

#[test]
fn perf_buffers_need_what_perf_events_need() {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let ended = trace(&["as", &with_caps(&[BPF, PERFMON])], &["--transport", "perf"]);
    if paranoid.trim().parse::<i32>().unwrap() > 2 {
        assert_says(
            &ended,
            &["kernel.perf_event_paranoid is 3", "cap_sys_admin", "sysctl kernel.perf_event_paranoid=2"],
        );
    } else {
        assert_works(&ended);
    }
}

/// A copy with these file capabilities, or with other mode bits; none on file systems that ignore them.
pub fn elevated(scratch: &Scratch, caps: &[u32], mode: u32) -> Option<std::path::PathBuf> {
    use nix::sys::statvfs::{FsFlags, statvfs};
    if statvfs(&scratch.path(".")).unwrap().flags().contains(FsFlags::ST_NOSUID) {
        skip("rights", "temporary files are mounted nosuid");
        return None;
    }
    let copy = copy_of_coretrace(scratch);
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
    if !caps.is_empty() {
        let caps: Vec<String> = caps.iter().map(u32::to_string).collect();
        let set = Command::new(targets()).args(["setcap", &caps.join("+")]).arg(&copy).status().unwrap();
        assert!(set.success());
    }
    Some(copy)
}

/// An unprivileged user runs that copy.
pub fn as_user(copy: &Path, wrap: &[&str]) -> Command {
    let memory = if counts_memory() { ",memlock=1073741824" } else { "" };
    let mut command = Command::new(targets());
    command.args(wrap).args(["as", &format!("{USER}{memory}")]).arg(copy);
    command
}

/// Forged types make the programs read any kernel memory.
#[test]
fn file_capabilities_take_types_of_the_kernel_and_of_root_alone() {
    const KERNEL: &str = "/sys/kernel/btf/vmlinux";
    let scratch = Scratch::new("file-caps");
    let Some(copy) = elevated(&scratch, &[BPF, PERFMON], 0o755) else { return };
    let trace = |wrap: &[&str], args: &[&str], variable: Option<(&str, &Path)>| {
        let mut command = as_user(&copy, wrap);
        command.args(["proc", "-o", "json", "-O", "-", "-v"]).args(args).args(["--", text(&targets()), "exit", "3"]);
        command.envs(variable);
        Trace::raw(&mut command).end()
    };
    assert_works(&trace(&[], &[], None));
    assert_works(&trace(&[], &["--btf", KERNEL], None));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let theirs = scratch.path(&format!("{}.btf", release.trim()));
    fs::copy(KERNEL, &theirs).unwrap();
    let refused = ["may not be used", text(&theirs), "not root's alone", "sudo"];
    assert_says(&trace(&[], &["--btf", text(&theirs)], None), &refused);
    assert_says(&trace(&[], &[], Some(("CORETRACE_BTF", &theirs))), &refused);
    let targets = targets();
    let hidden = ["mounts", "-btf", text(&targets)];
    let dir = text(theirs.parent().unwrap());
    assert_says(&trace(&hidden, &["--btf-dir", dir], None), &["may not be used", "not root's alone"]);
    // There are some of root's in the VMs.
    if in_vm() {
        assert_works(&trace(&[], &["--btf", "/btf/full.btf"], None));
        fs::set_permissions("/btf/full.btf", fs::Permissions::from_mode(0o664)).unwrap();
        let ended = trace(&[], &["--btf", "/btf/full.btf"], None);
        fs::set_permissions("/btf/full.btf", fs::Permissions::from_mode(0o644)).unwrap();
        assert_says(&ended, &["may not be used", "/btf/full.btf"]);
    }
}
