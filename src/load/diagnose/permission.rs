//! Causes that are about rights: capabilities, lockdown, limits, security modules.

use nix::errno::Errno;

use super::failure::{Diagnosis, Failure, found};
use super::rights::rights;
use crate::escape::printable;
use crate::host::Lockdown;
use crate::host::caps::{self, SYS_ADMIN};

/// Reading the kernel's memory. Under lockdown, libbpf's probe of the new helpers fails, and it puts the old ones'
/// numbers (4, 45) in (`bpf_object__sanitize_prog()`).
const READ_KERNEL: [u32; 4] = [4, 45, 113, 115];

/// This process lacks rights.
pub(super) fn capabilities(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    if !failure.denied() {
        return None;
    }
    if host.in_user_namespace() {
        return found("the capabilities of this process count only inside its user namespace", rights(host));
    }
    let missing = host.caps.missing(host.version);
    if missing.is_empty() {
        return None;
    }
    let who = if host.euid == 0 { "this process is root, but it lacks" } else { "this process lacks" };
    let instead = if missing == [SYS_ADMIN] { " (cap_bpf and cap_perfmon exist since kernel 5.8)" } else { "" };
    found(format!("{who} {}{instead}", caps::names(&missing, " and ")), rights(host))
}

/// Lockdown: even root may not read the kernel's memory.
pub(super) fn lockdown(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    let read = failure.log.helper().filter(|helper| READ_KERNEL.contains(&helper.id));
    let hints = [
        "boot without confidentiality: no `lockdown=confidentiality` on the kernel's command line (integrity lets tracing work)",
        "where the distribution ties lockdown to Secure Boot: turn that off in the firmware; a running kernel cannot be opened",
    ];
    match (host.lockdown, read) {
        (Lockdown::Confidentiality, Some(_)) => {
            found("the kernel is locked down (confidentiality): no program may read its memory", hints)
        }
        (Lockdown::Confidentiality, None) if failure.denied() => found(
            "the kernel is locked down (confidentiality): it allows no kprobes, no tracefs and no reading of its memory",
            hints,
        ),
        // Every kernel that coretrace supports has these helpers; only lockdown takes them away.
        (Lockdown::Unknown, Some(_)) => found(
            "the kernel does not let programs read its memory, which is what lockdown (confidentiality) does; \
             whether it is locked down is not known, because securityfs is not mounted",
            ["mount -t securityfs securityfs /sys/kernel/security   (then `coretrace check` shows it)"]
                .into_iter()
                .chain(hints),
        ),
        _ => None,
    }
}

/// `ulimit -l` before 5.11.
pub(super) fn memlock(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    if !host.memlock_is_short() || !failure.is(&[Errno::EPERM, Errno::ENOMEM]) {
        return None;
    }
    found(
        format!(
            "the limit of locked memory is {} KiB, and kernel {} counts BPF memory against it (5.11 and newer do not)",
            host.memlock / 1024,
            printable(&host.release)
        ),
        [
            "ulimit -l unlimited   (as root, or LimitMEMLOCK=infinity in a systemd unit)",
            "or add cap_sys_resource to its capabilities",
        ],
    )
}

/// `kernel.perf_event_paranoid`.
pub(super) fn perf_events(failure: &Failure) -> Option<Diagnosis> {
    let level = failure.host.perf_event_paranoid.filter(|level| *level > 2)?;
    let signs = ["perf_event_open() failed: -E", "perf event: -E", "failed to open perf buffer event on cpu #"];
    let line = signs.iter().find_map(|sign| failure.log.line(&[*sign]))?;
    if failure.host.caps.has(SYS_ADMIN) || !(line.ends_with("-EACCES") || line.ends_with("-EPERM")) {
        return None;
    }
    found(
        format!(
            "kernel.perf_event_paranoid is {level}: this distribution then asks for cap_sys_admin to open perf events"
        ),
        [
            "sudo coretrace …",
            "or: sudo sysctl kernel.perf_event_paranoid=2",
            "or add cap_sys_admin to its capabilities",
        ],
    )
}

/// Refused although this process has, or seems to have, the capabilities it needs.
pub(super) fn refused(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    if !failure.denied() {
        return None;
    }
    let modules = host.lsms.as_deref().unwrap_or_default();
    let module = modules.iter().find(|name| ["selinux", "apparmor", "smack", "tomoyo"].contains(&name.as_str()));
    let mut hints = Vec::new();
    let refused = failure.log.line(&["prog '", "BPF program load failed"]).unwrap_or_default();
    if ["fentry", "fexit"].iter().any(|way| refused.contains(way)) {
        // Seen on a kernel of 6.18 that takes all other programs, those on tp_btf, too.
        let others = match host.kprobes {
            true => "try other ways to hook in, as --attach kprobe",
            false => {
                "functions have no other way here, as this kernel has no kprobes (CONFIG_KPROBE_EVENTS); tracepoints do"
            }
        };
        hints.push(format!("it may refuse programs on fentry and fexit alone: {others}"));
    }
    if host.container.is_some() || host.seccomp {
        hints.push(
            "in a container: start it with `--privileged --pid=host`, or with `--security-opt seccomp=unconfined`"
                .to_owned(),
        );
    }
    match module.map(String::as_str) {
        Some("selinux") => hints.push("look for SELinux's denial: sudo ausearch -m avc -ts recent".into()),
        Some(_) => hints.push("look for a denial: sudo dmesg | grep -i denied".into()),
        None => {}
    }
    hints.push("if this process was started by a service: its unit may filter bpf(2) (SystemCallFilter=)".into());
    let by = match (host.seccomp, module) {
        (true, _) => "a seccomp filter is active, and probably denies bpf(2)".to_owned(),
        (false, Some(module)) => format!("a security module does so, probably {}", printable(module)),
        (false, None) => "a security policy does so".to_owned(),
    };
    found(format!("the kernel refuses although the capabilities are held: {by}"), hints)
}
