//! Causes between program and kernel: type information, helpers, hooks, the verifier.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::failure::{Diagnosis, Failure, found};
use super::log::{Helper, POISON, quoted};
use crate::escape::{printable, shown};
use crate::host::arch::Arch;
use crate::host::{Host, KERNEL_BTF};
use crate::types::btf::advice;

/// `ENOTSUPP` of include/linux/errno.h: internal to the kernel, so no library has a name for it.
const ENOTSUPP: i32 = 524;

/// Helpers that coretrace may call, and the first kernel that has them (include/uapi/linux/bpf.h).
const HELPERS: [(u32, &str, (u32, u32)); 16] = [
    (112, "bpf_probe_read_user", (5, 5)),
    (113, "bpf_probe_read_kernel", (5, 5)),
    (114, "bpf_probe_read_user_str", (5, 5)),
    (115, "bpf_probe_read_kernel_str", (5, 5)),
    (125, "bpf_ktime_get_boot_ns", (5, 8)),
    (130, "bpf_ringbuf_output", (5, 8)),
    (131, "bpf_ringbuf_reserve", (5, 8)),
    (147, "bpf_d_path", (5, 10)),
    (156, "bpf_task_storage_get", (5, 11)),
    (158, "bpf_get_current_task_btf", (5, 11)),
    (173, "bpf_get_func_ip", (5, 15)),
    (174, "bpf_get_attach_cookie", (5, 15)),
    (181, "bpf_loop", (5, 17)),
    (183, "bpf_get_func_arg", (5, 17)),
    (185, "bpf_get_func_arg_cnt", (5, 17)),
    (198, "bpf_ringbuf_reserve_dynptr", (5, 19)),
];

fn report(host: &Host) -> String {
    format!(
        "this is a fault of coretrace: please report it, with the output of `coretrace check` and of the same command with -v \
         (kernel {})",
        printable(&host.release)
    )
}

/// Types of another kernel: the programs read wrong offsets.
pub(super) fn misfit(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    let release = printable(&host.release);
    let hints = match host.has_btf {
        true => vec![
            format!("leave --btf and CORETRACE_BTF out: kernel {release} has its own types in {KERNEL_BTF}"),
            format!("where neither is given, {}", report(host)),
        ],
        false => advice(host),
    };
    failure.misfit.then_some(())?;
    found(format!("the type information (BTF) is not that of the running kernel {release}"), hints)
}

/// Out of memory or descriptors: the rest of the log is only what followed from that.
pub(super) fn exhausted(failure: &Failure) -> Option<Diagnosis> {
    let logged = |errno: Errno| failure.is(&[errno]) || failure.log.line(&["BTF", &format!(": -{errno:?}")]).is_some();
    if logged(Errno::EMFILE) {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or_else(|_| String::new(), |(soft, _)| format!(" ({soft})"));
        return found(
            format!("too many files are open for the limit of this process{limit}"),
            ["ulimit -n 1024   (LimitNOFILE= in a systemd unit)"],
        );
    }
    if logged(Errno::ENFILE) {
        return found("too many files are open on this host", ["raise the limit: sudo sysctl fs.file-max=N"]);
    }
    // Before 5.11 the cause is mostly the limit of locked memory, which has its own rule.
    if !logged(Errno::ENOMEM) || failure.host.memlock_is_short() {
        return None;
    }
    found(
        "there is no memory for it: the kernel has none left, or a limit of this process or its cgroup is reached",
        [
            "use a smaller event buffer (--buffer)",
            "or raise the limit: of the container or service (MemoryMax=), or of the process (ulimit -v)",
        ],
    )
}

/// No type information at all.
pub(super) fn no_btf(failure: &Failure) -> Option<Diagnosis> {
    // libbpf also logs that it found no kernel file where it then uses an image on disk.
    let signs = ["failed to find valid kernel BTF", "Error loading vmlinux BTF"];
    if !signs.iter().any(|sign| failure.log.has(sign)) || failure.log.verifier().is_some() {
        return None;
    }
    let mut hints = advice(failure.host);
    hints.push(
        "(programs of the kinds tp_btf, fentry and fexit need the kernel's own: there --btf does not help)".into(),
    );
    found(format!("there is no type information (BTF) of kernel {}", printable(&failure.host.release)), hints)
}

/// The file of type information given with --btf cannot be used.
pub(super) fn bad_btf(failure: &Failure) -> Option<Diagnosis> {
    let reason = failure.log.after("failed to parse target BTF: ")?;
    found(format!("the file of type information (--btf) cannot be used: {}", printable(reason)), advice(failure.host))
}

/// A field or type that this kernel does not have (CO-RE).
pub(super) fn relocation(failure: &Failure) -> Option<Diagnosis> {
    let name = printable(failure.log.unresolved()?);
    let release = printable(&failure.host.release);
    found(
        format!("kernel {release} has no `{name}`, and coretrace's program cannot do without"),
        [format!("if --btf is given: is that file of exactly {release}?"), report(failure.host)],
    )
}

/// A map or kernel function that is missing.
pub(super) fn unresolved(failure: &Failure) -> Option<Diagnosis> {
    let log = &failure.log;
    let line = log.line(&["BPF map '", "is referenced but wasn't created"]);
    let line = line.or_else(|| log.line(&["kfunc '", "is referenced but wasn't resolved"]))?;
    found(printable(line), [report(failure.host)])
}

/// A helper that this kernel, or this kind of program, does not have.
pub(super) fn helper(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    let Some(Helper { name, id }) = failure.log.helper().filter(|helper| helper.id != POISON) else {
        let line = failure.log.line(&["helper call is not allowed in "])?;
        return found(format!("the kernel refuses this hook's program: {}", printable(line)), [report(host)]);
    };
    let release = printable(&host.release);
    let known = HELPERS.iter().find(|(known, ..)| *known == id);
    let name = known.map_or_else(|| printable(name), |(_, name, _)| (*name).to_owned());
    match known {
        Some((_, _, (major, minor))) if !host.at_least((*major, *minor)) => found(
            format!("kernel {release} is too old for this: it has no helper {name} (#{id})"),
            [format!("kernel {major}.{minor} or newer has it; `coretrace check` shows what works here")],
        ),
        _ if name == "unknown" => found(
            format!("kernel {release} is too old for this: it has no helper #{id}"),
            ["`coretrace check` shows what works here"],
        ),
        _ => found(
            format!("on kernel {release} this kind of program may not call {name} (#{id})"),
            ["`coretrace check` shows what works here".to_owned(), report(host)],
        ),
    }
}

/// The program exceeds the verifier's limit.
pub(super) fn complexity(failure: &Failure) -> Option<Diagnosis> {
    let line = printable(failure.log.too_complex()?);
    found(format!("the program is too complex for this kernel's verifier: {line}"), [report(failure.host)])
}

/// A classic tracepoint that cannot be found, mostly because tracefs is missing.
pub(super) fn tracepoint(failure: &Failure) -> Option<Diagnosis> {
    let line = failure.log.line(&["failed to determine tracepoint '"])?;
    let name = printable(quoted(line)?);
    match &failure.host.tracefs {
        None => found(
            format!("tracefs is not mounted, so the tracepoint {name} cannot be found"),
            [
                "sudo mount -t tracefs tracefs /sys/kernel/tracing",
                "in a container: bind the host's /sys/kernel/tracing to the same place",
            ],
        ),
        Some(tracefs) if tracefs.elsewhere => found(
            format!("tracefs is mounted only at {}, so the tracepoint {name} cannot be found", shown(&tracefs.path)),
            ["sudo mount -t tracefs tracefs /sys/kernel/tracing"],
        ),
        Some(tracefs) if !tracefs.readable || line.ends_with("-EACCES") || line.ends_with("-EPERM") => found(
            format!(
                "{} may not be read by this process, so the tracepoint {name} cannot be found",
                shown(&tracefs.path)
            ),
            ["sudo coretrace …", "or add cap_dac_read_search to the capabilities of the executable"],
        ),
        Some(_) => {
            let why = if name.starts_with("syscalls/") {
                "it has no such call, or CONFIG_FTRACE_SYSCALLS is off"
            } else {
                "it is of another version, or a module is not loaded"
            };
            found(
                format!("kernel {} has no tracepoint {name}: {why}", printable(&failure.host.release)),
                ["`coretrace check` shows what works here"],
            )
        }
    }
}

/// A function to attach to that does not exist.
pub(super) fn function(failure: &Failure) -> Option<Diagnosis> {
    let log = &failure.log;
    let line = log
        .line(&["failed to find kernel BTF type ID of '", "-ESRCH"])
        .or_else(|| log.line(&["failed to create k", "probe '", "perf event: -ENOENT"]));
    let name = match line {
        // Not the program's name: both are in quotes.
        Some(line) => line.split_once(" of '").or_else(|| line.split_once("probe '"))?.1.split(['\'', '+']).next()?,
        None => log.line(&[" is not found in vmlinux BTF"])?.split(' ').next()?,
    };
    let host = failure.host;
    if line.is_some_and(|line| line.contains("failed to create k")) && !host.kprobes {
        return found(
            format!("kernel {} has no kprobes (CONFIG_KPROBE_EVENTS)", printable(&host.release)),
            [
                "where --attach was given: without it, all ways to hook in are tried",
                "`coretrace check` shows what works here",
            ],
        );
    }
    let modules = if host.at_least((5, 11)) { "" } else { "; functions of modules can be traced this way since 5.11" };
    found(
        format!(
            "kernel {} has no function or tracepoint `{}`: other name, inlined by the compiler, or its module is not loaded{modules}",
            printable(&host.release),
            printable(name)
        ),
        ["look for its name here: grep -w NAME /proc/kallsyms", "`coretrace check` shows what works here"],
    )
}

/// A function that is there, but takes no probe.
pub(super) fn unprobeable(failure: &Failure) -> Option<Diagnosis> {
    const REFUSALS: [&str; 3] = ["perf event: -EINVAL", "perf event: -EADDRNOTAVAIL", "perf event: -EOPNOTSUPP"];
    let release = printable(&failure.host.release);
    let refused = REFUSALS.iter().find_map(|refusal| failure.log.line(&["failed to create k", "probe '", refusal]));
    // ftrace has no place of it (kernel/bpf/trampoline.c: register_fentry), or only one that others change.
    if refused.is_none()
        && failure.log.line(&["prog '", "failed to attach: -EBUSY"]).is_some()
        && failure.is(&[Errno::EBUSY])
    {
        return found(
            format!(
                "kernel {release} does not let that function be hooked by fentry or fexit: it is marked so (notrace, noinstr), or a live patch has changed it"
            ),
            ["what can be probed: coretrace probe --list"],
        );
    }
    let line = refused?;
    let name = printable(line.split_once("probe '")?.1.split(['\'', '+']).next()?).to_string();
    found(
        format!(
            "kernel {release} does not let `{name}` be probed: it is marked so (notrace, NOKPROBE_SYMBOL, __init), or its first instruction cannot be moved"
        ),
        ["what can be probed: coretrace probe --list", "the marked ones: /sys/kernel/debug/kprobes/blacklist"],
    )
}

/// No BPF trampolines.
pub(super) fn trampoline(failure: &Failure) -> Option<Diagnosis> {
    if failure.errno != Some(ENOTSUPP) && failure.log.line(&["failed to ", "attach: -ENOTSUPP"]).is_none() {
        return None;
    }
    let arm = match Arch::HERE {
        Arch::X86 => "",
        Arch::Arm => ": on arm64 they came with 6.0 (efc9909fdce0), for functions with 6.4",
    };
    found(
        format!(
            "kernel {} cannot attach fentry, fexit or LSM programs (no BPF trampolines{arm})",
            printable(&failure.host.release)
        ),
        [
            "it needs CONFIG_BPF_JIT, net.core.bpf_jit_enable=1 and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
            "`coretrace check` shows which hooks work here",
        ],
    )
}

/// Options that the kernel was built without.
pub(super) fn not_built_in(failure: &Failure) -> Option<Diagnosis> {
    if failure.log.has("attaching to shared libraries without specific PID is not supported") {
        return found(
            "this kernel attaches USDT probes of position-independent programs and libraries to one process only",
            ["name the process with -p; kernel 5.15 and newer do not need this"],
        );
    }
    let attach = failure.is(&[Errno::EOPNOTSUPP]) && failure.log.has("attach");
    let nothing = failure.is(&[Errno::ENOSYS]);
    match (attach, nothing) {
        (true, _) => found(
            format!("kernel {} was built without what this hook needs", printable(&failure.host.release)),
            [
                "for many functions at once (kprobe.multi) that is CONFIG_FPROBE",
                "`coretrace check` shows what works here",
            ],
        ),
        (_, true) => found(
            "this system has no bpf(2): the kernel was built without CONFIG_BPF_SYSCALL, or a seccomp filter hides it",
            ["in a container: start it with `--privileged` or `--security-opt seccomp=unconfined`"],
        ),
        _ => None,
    }
}

/// The verifier's own reason.
pub(super) fn verifier(failure: &Failure) -> Option<Diagnosis> {
    let (program, reason) = failure.log.verifier()?;
    found(
        format!(
            "the verifier of kernel {} refuses program {}: {}",
            printable(&failure.host.release),
            printable(program),
            printable(reason)
        ),
        [report(failure.host)],
    )
}

/// The last guess: an old kernel.
pub(super) fn old(failure: &Failure) -> Option<Diagnosis> {
    let host = failure.host;
    if host.at_least((5, 10)) || !failure.is(&[Errno::EINVAL, Errno::ENOENT, Errno::E2BIG]) {
        return None;
    }
    let map = failure.log.line(&["map '", "': failed to create: "]).and_then(quoted);
    let what = map.map_or_else(String::new, |map| format!(", and cannot create the map {}", printable(map)));
    found(
        format!("kernel {} is older than 5.10, the oldest that coretrace supports{what}", printable(&host.release)),
        ["`coretrace check` shows what works here", "a newer kernel of this distribution may work"],
    )
}
