//! Each cause, with the exact texts of libbpf 1.7 and of kernels 5.10 to 7.2.

use std::io;

use anyhow::Context;
use nix::errno::Errno;

use super::rights::shell_word;
use super::*;
use crate::fake::Tree;
use crate::host::Lockdown;
use crate::host::caps::{BPF, Caps, DAC_READ_SEARCH, PERFMON};

const EPERM: i32 = 1;
const ESRCH: i32 = 3;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;

/// As it arrives: an `io::Error` inside of libbpf-rs's error inside of ours.
fn error(errno: i32) -> anyhow::Error {
    let inner = libbpf_rs::Error::from_raw_os_error(errno);
    Err::<(), _>(libbpf_rs::ErrorExt::context(inner, "failed to load BPF object")).context("cannot load").unwrap_err()
}

fn host() -> Host {
    Tree::debian().host()
}

fn kernel(release: &str) -> Host {
    let tree = Tree::debian();
    tree.file("proc/sys/kernel/osrelease", release);
    tree.host()
}

/// Cause and hints in one text.
fn explained(errno: i32, log: &[&str], host: &Host) -> String {
    let log: Vec<String> = log.iter().map(|line| format!("libbpf: {line}\n")).collect();
    explain(&error(errno), &log, host).map_or_else(|| "nothing".into(), |diagnosis| diagnosis.to_string())
}

#[track_caller]
fn assert_mentions(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

fn rejected(reason: &str) -> String {
    format!(
        "prog 'handle_exit': -- BEGIN PROG LOAD LOG --\n0: R1=ctx() R10=fp0\n9: (85) call unknown#1\n{reason}\n\
         processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0\n-- END PROG LOAD LOG --"
    )
}

const TRIVIAL: &str = "Error in bpf_object__probe_loading(): -EPERM. Couldn't load trivial BPF program. Make sure your kernel \
    supports BPF (CONFIG_BPF_SYSCALL=y) and/or that RLIMIT_MEMLOCK is set to big enough value.";
const NO_BTF: [&str; 3] = [
    "kernel BTF is missing at '/sys/kernel/btf/vmlinux', was CONFIG_DEBUG_INFO_BTF enabled?",
    "failed to find valid kernel BTF",
    "Error loading vmlinux BTF: -ESRCH",
];

#[test]
fn the_error_number_is_found_in_the_chain() {
    assert_eq!(errno(&error(EPERM)), Some(1));
    assert_eq!(errno(&error(524)), Some(524));
    assert_eq!(errno(&anyhow::Error::from(io::Error::from_raw_os_error(13))), Some(13));
    assert_eq!(errno(&anyhow::anyhow!("wrong (os error x)")), None);
}

#[test]
fn a_plain_user_gets_both_hints() {
    let tree = Tree::debian();
    tree.status("1000", "0000000000000000", "0");
    let text = explained(EPERM, &[TRIVIAL], &tree.host());
    assert_mentions(&text, &["lacks cap_bpf and cap_perfmon\n", "sudo coretrace …"]);
    assert_mentions(&text, &["sudo setcap cap_bpf,cap_perfmon=ep /usr/local/bin/coretrace\n"]);
    tree.file("proc/sys/kernel/osrelease", "5.10.0-32-amd64");
    assert_mentions(&explained(EPERM, &[], &tree.host()), &["setcap cap_bpf,cap_perfmon,cap_sys_resource=ep"]);
    tree.file("proc/sys/kernel/osrelease", "5.4.0-1-amd64");
    assert_mentions(
        &explained(EPERM, &[], &tree.host()),
        &["lacks cap_sys_admin (", "setcap cap_sys_admin,cap_sys_resource=ep"],
    );
}

#[test]
fn only_what_is_missing_is_named() {
    let mut host = host();
    (host.euid, host.caps) = (1000, Caps::of(&[BPF]));
    assert_mentions(&explained(EACCES, &[], &host), &["lacks cap_perfmon\n"]);
}

#[test]
fn root_without_capabilities_is_not_sent_to_sudo() {
    let tree = Tree::debian();
    tree.status("0", "00000000a80425fb", "2");
    tree.file(".dockerenv", "");
    let text = explained(EPERM, &[TRIVIAL], &tree.host());
    assert_mentions(
        &text,
        &["is root, but it lacks cap_bpf and cap_perfmon", "`--cap-add BPF --cap-add PERFMON --security-opt"],
    );
    assert!(!text.contains("sudo"), "{text}");
}

#[test]
fn capabilities_of_a_user_namespace_do_not_count() {
    let tree = Tree::debian();
    tree.link("proc/self/ns/user", "user:[4026532200]");
    assert_mentions(&explained(EPERM, &[TRIVIAL], &tree.host()), &["only inside its user namespace", "unshare -r"]);
}

#[test]
fn lockdown_is_named() {
    let mut host = host();
    for reason in [
        "unknown func bpf_probe_read_kernel#113",
        "program of this type cannot use helper bpf_probe_read_kernel#113",
        "program of this type cannot use helper bpf_probe_read#4",
    ] {
        host.lockdown = Lockdown::Confidentiality;
        assert_mentions(
            &explained(EINVAL, &[&rejected(reason)], &host),
            &["locked down (confidentiality)", "lockdown=confidentiality"],
        );
        host.lockdown = Lockdown::Unknown;
        assert_mentions(
            &explained(EINVAL, &[&rejected(reason)], &host),
            &["securityfs is not mounted", "mount -t securityfs"],
        );
        host.lockdown = Lockdown::Integrity;
        assert!(!explained(EINVAL, &[&rejected(reason)], &host).contains("lock"));
    }
    host.lockdown = Lockdown::Confidentiality;
    assert_mentions(&explained(EPERM, &[], &host), &["no kprobes"]);
}

#[test]
fn a_kernel_without_kprobes_is_not_said_to_lack_the_function() {
    let mut host = host();
    let log = ["libbpf: prog 'open_return': failed to create kretprobe 'do_sys_openat2+0x0' perf event: -ENOENT"];
    assert_mentions(&explained(2, &log, &host), &["no function or tracepoint `do_sys_openat2`"]);
    host.kprobes = false;
    let text = explained(2, &log, &host);
    assert_mentions(&text, &["has no kprobes", "where --attach was given: without it"]);
    assert!(!text.contains("kallsyms"), "{text}");
}

#[test]
fn missing_btf_is_named() {
    let text = explained(ESRCH, &NO_BTF, &host());
    assert_mentions(&text, &["no type information (BTF) of kernel 6.1.0-50-cloud-amd64", "--btf FILE", "tp_btf"]);
    let log = ["failed to parse target BTF: -ENOENT", "failed to perform CO-RE relocations: -ENOENT"];
    assert_mentions(&explained(2, &log, &host()), &["(--btf) cannot be used: -ENOENT"]);
}

#[test]
fn a_missing_field_is_named() {
    let reason = "failed to resolve CO-RE relocation <byte_off> [421] struct cred.egid.val (0:6:0 @ offset 28)";
    assert_mentions(
        &explained(EINVAL, &[&rejected(reason)], &host()),
        &["has no `struct cred.egid.val`", "--btf", "report"],
    );
    let reason = "BPF map 'rb' is referenced but wasn't created";
    assert_mentions(&explained(EINVAL, &[&rejected(reason)], &host()), &["BPF map 'rb' is referenced"]);
}

#[test]
fn a_missing_helper_is_named_with_its_kernel() {
    let old = kernel("5.10.0-32-cloud-amd64");
    let text = explained(EINVAL, &[&rejected("invalid func unknown#174")], &old);
    assert_mentions(
        &text,
        &["5.10.0-32-cloud-amd64 is too old", "bpf_get_attach_cookie (#174)", "kernel 5.15 or newer"],
    );
    assert_mentions(&explained(EINVAL, &[&rejected("invalid func unknown#299")], &old), &["has no helper #299"]);
    let text = explained(EINVAL, &[&rejected("unknown func bpf_d_path#147")], &old);
    assert_mentions(&text, &["this kind of program may not call bpf_d_path (#147)"]);
    let text = explained(EINVAL, &[&rejected("helper call is not allowed in probe")], &old);
    assert_mentions(&text, &["refuses this hook's program: helper call is not allowed in probe"]);
}

#[test]
fn the_verifiers_reason_is_quoted() {
    let text = explained(
        EACCES,
        &["prog 'handle_exit': BPF program load failed: -EACCES", &rejected("R2 unbounded size")],
        &host(),
    );
    assert_mentions(
        &text,
        &["of kernel 6.1.0-50-cloud-amd64 refuses program handle_exit: R2 unbounded size\n", "report"],
    );
    let text = explained(7, &[&rejected("BPF program is too large. Processed 1000001 insn")], &host());
    assert_mentions(&text, &["too complex", "Processed 1000001 insn"]);
    let text = explained(7, &[&rejected("The sequence of 8193 jumps is too complex.")], &host());
    assert_mentions(&text, &["too complex", "8193 jumps"]);
}

#[test]
fn tracefs_is_named() {
    let line = "failed to determine tracepoint 'sched/sched_process_exec' perf event ID: -ENOENT";
    let tree = Tree::debian();
    assert_mentions(&explained(2, &[line], &tree.host()), &["has no tracepoint sched/sched_process_exec"]);
    tree.remove("sys/kernel/tracing");
    assert_mentions(
        &explained(2, &[line], &tree.host()),
        &["/sys/kernel/tracing may not be read", "cap_dac_read_search"],
    );
    tree.remove("proc/self/mountinfo");
    assert_mentions(
        &explained(2, &[line], &tree.host()),
        &["tracefs is not mounted", "mount -t tracefs tracefs /sys/kernel/tracing"],
    );
    let line = "failed to determine tracepoint 'syscalls/sys_enter_execve' perf event ID: -EACCES";
    let mut host = host();
    (host.euid, host.caps) = (1000, Caps::of(&[BPF, PERFMON]));
    assert_mentions(&explained(EACCES, &[line], &host), &["may not be read by this process"]);
}

#[test]
fn a_missing_function_is_named() {
    for line in [
        "prog 'handle_new': failed to find kernel BTF type ID of '__nf_conntrack_confirm': -ESRCH",
        "prog 'handle_new': failed to create kprobe '__nf_conntrack_confirm+0x0' perf event: -ENOENT",
        "prog 'handle_new': failed to create kretprobe '__nf_conntrack_confirm+0x0' perf event: -ENOENT",
        "__nf_conntrack_confirm is not found in vmlinux BTF",
    ] {
        assert_mentions(&explained(ESRCH, &[line], &host()), &["no function or tracepoint `__nf_conntrack_confirm`"]);
    }
    let line = "prog 'p': failed to find kernel BTF type ID of 'x': -ESRCH";
    assert_mentions(&explained(ESRCH, &[line], &kernel("5.10.0")), &["modules can be traced this way since 5.11"]);
}

#[test]
fn missing_trampolines_are_named() {
    assert_mentions(&explained(524, &[], &host()), &["no BPF trampolines", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"]);
    assert_mentions(
        &explained(EINVAL, &["prog 'p': failed to auto-attach: -ENOTSUPP"], &host()),
        &["no BPF trampolines"],
    );
    assert_mentions(&explained(95, &["prog 'p': failed to auto-attach: -EOPNOTSUPP"], &host()), &["CONFIG_FPROBE"]);
}

#[test]
fn memlock_is_named_only_where_it_counts() {
    let log = ["Failed to bump RLIMIT_MEMLOCK (err = -EPERM), you might need to do it explicitly!", TRIVIAL];
    let mut host = kernel("5.10.0-32-cloud-amd64");
    (host.euid, host.caps, host.memlock) = (1000, Caps::of(&[BPF, PERFMON, DAC_READ_SEARCH]), 65536);
    for errno in [EPERM, ENOMEM] {
        assert_mentions(
            &explained(errno, &log, &host),
            &["locked memory is 64 KiB", "ulimit -l unlimited", "cap_sys_resource"],
        );
    }
    host.version = (6, 1);
    assert!(
        !explained(EPERM, &["permission error while running as root; try raising 'ulimit -l'?"], &host)
            .contains("ulimit")
    );
    assert_mentions(&explained(ENOMEM, &[], &host), &["no memory for it", "--buffer", "ulimit -v"]);
}

#[test]
fn perf_event_paranoid_is_named() {
    let log = ["tracepoint 'sched/sched_process_exec' perf_event_open() failed: -EACCES"];
    let mut host = host();
    assert!(!explained(EACCES, &log, &host).contains("paranoid"), "cap_sys_admin is held");
    (host.euid, host.caps) = (1000, Caps::of(&[BPF, PERFMON]));
    for line in [log[0], "failed to open perf buffer event on cpu #0: -EACCES"] {
        assert_mentions(
            &explained(EACCES, &[line], &host),
            &["perf_event_paranoid is 3", "sysctl kernel.perf_event_paranoid=2"],
        );
    }
}

#[test]
fn refused_for_no_visible_reason_names_the_suspects() {
    let tree = Tree::debian();
    assert_mentions(
        &explained(EPERM, &[TRIVIAL], &tree.host()),
        &["although the capabilities are held", "probably apparmor", "dmesg"],
    );
    tree.status("0", "000001ffffffffff", "2");
    assert_mentions(&explained(EPERM, &[TRIVIAL], &tree.host()), &["seccomp filter is active", "--privileged"]);
    tree.file("sys/kernel/security/lsm", "capability,selinux");
    assert_mentions(&explained(EPERM, &[TRIVIAL], &tree.host()), &["ausearch"]);
    let line = "prog 'probe_fentry': BPF program load failed: -EPERM";
    assert_mentions(&explained(EPERM, &[line], &tree.host()), &["fentry and fexit alone"]);
    let mut host = tree.host();
    for (kprobes, words) in [(true, "as --attach kprobe"), (false, "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)")]
    {
        host.kprobes = kprobes;
        assert_mentions(&explained(EPERM, &[line], &host), &[words]);
    }
}

#[test]
fn a_function_that_takes_no_probe_is_told_from_one_that_is_not_there() {
    let busy = Errno::EBUSY as i32;
    let text = explained(busy, &["prog 'probe_fexit': failed to attach: -EBUSY"], &host());
    assert_mentions(&text, &["does not let that function be hooked by fentry", "notrace"]);
    assert_eq!(explained(busy, &[], &host()), "nothing");
    let line = "prog 'probe_kprobe': failed to create kprobe 'trace_clock_local+0x0' perf event: -EINVAL";
    assert_mentions(&explained(EINVAL, &[line], &host()), &["`trace_clock_local` be probed", "notrace"]);
}

#[test]
fn an_old_kernel_is_the_last_guess() {
    let log = ["map 'events': failed to create: -EINVAL"];
    assert_mentions(
        &explained(EINVAL, &log, &kernel("5.4.0-1-amd64")),
        &["older than 5.10", "cannot create the map events"],
    );
    assert_eq!(explained(EINVAL, &log, &host()), "nothing");
    assert_mentions(&explained(38, &[], &host()), &["CONFIG_BPF_SYSCALL"]);
}

#[test]
fn a_hostile_log_is_escaped() {
    let text = explained(EACCES, &[&rejected("bad \x1b[2J thing")], &host());
    assert_mentions(&text, &["bad \\x1b[2J thing"]);
}

#[test]
fn odd_paths_are_quoted_for_the_shell() {
    assert_eq!(shell_word("/usr/bin/coretrace"), "/usr/bin/coretrace");
    assert_eq!(shell_word("/a b/it's"), r"'/a b/it'\''s'");
}

#[test]
fn types_of_another_kernel_are_reported_with_a_hint() {
    let error = anyhow::Error::new(crate::load::proof::Misfit::sample()).context("loading");
    let explained = |host: &Host| explain(&error, &[], host).unwrap().to_string();
    assert_mentions(
        &explained(&host()),
        &["not that of the running kernel 6.1.0", "leave --btf", "/sys/kernel/btf/vmlinux"],
    );
    let tree = Tree::debian();
    tree.remove("sys/kernel/btf/vmlinux");
    assert_mentions(
        &explained(&tree.host()),
        &["not that of the running kernel 6.1.0", "exactly 6.1.0-50", "--btf FILE"],
    );
}

/// Where the kernel's types could not be read, libbpf looks elsewhere, and in the end reports that there are none.
#[test]
fn what_is_used_up_is_not_taken_for_missing_types() {
    let log = |errno: &str| {
        let read = format!("failed to read kernel BTF from '/sys/kernel/btf/vmlinux': -{errno}");
        explained(ESRCH, &[&read, NO_BTF[1], NO_BTF[2]], &host())
    };
    assert_mentions(&log("ENOMEM"), &["no memory for it", "ulimit -v"]);
    assert_mentions(&log("EMFILE"), &["too many files are open for the limit of this process", "ulimit -n"]);
    assert_mentions(&log("ENFILE"), &["too many files are open on this host", "fs.file-max"]);
    assert_mentions(&log("EIO"), &["there is no type information (BTF)"]);
    assert_mentions(&explained(Errno::EMFILE as i32, &[], &host()), &["too many files are open", "ulimit -n"]);
    let ours = anyhow::Error::new(Errno::EMFILE).context("keeping the types in memory");
    assert_mentions(&explain(&ours, &[], &host()).unwrap().to_string(), &["too many files are open"]);
}
