//! What there is to know of the host when a run begins.
//!
//! [`Host::read`] only reads small files. Whatever it cannot read is unknown, never an error: the host is described
//! most of all when something on it does not work.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

use super::caps::{self, Caps};
use super::mounts::{self, Tracefs};
use super::preempt::Preemption;

/// Where the kernel shows its own types (since 5.4, `CONFIG_DEBUG_INFO_BTF`).
pub(crate) const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Inode of the initial PID namespace: `PROC_PID_INIT_INO` (0xEFFFFFFC) in include/linux/proc_ns.h.
pub const INITIAL_PID_NAMESPACE: u64 = 4_026_531_836;
/// Inode of the initial user namespace: `PROC_USER_INIT_INO` (0xEFFFFFFD) in include/linux/proc_ns.h.
pub const INITIAL_USER_NAMESPACE: u64 = 4_026_531_837;

/// How far the kernel is closed to its own administrator (kernel_lockdown(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    None,
    /// Nobody may change the running kernel. Tracing is not affected.
    Integrity,
    /// Nobody may read the kernel's memory either: no `bpf_probe_read_kernel`, no kprobe
    /// (`LOCKDOWN_BPF_READ_KERNEL`, `LOCKDOWN_KPROBES` in include/linux/security.h).
    Confidentiality,
    /// Nothing says so: securityfs is not mounted, or the kernel has no lockdown.
    Unknown,
}

/// Whether the kernel has the types of a loaded module: since 5.11 (36e68442d1af, bpf: Load and verify kernel module BTFs),
/// with CONFIG_DEBUG_INFO_BTF_MODULES.
#[must_use]
pub fn has_module_types(root: &Path, name: &str) -> bool {
    root.join("sys/kernel/btf").join(name).exists()
}

/// See [`Host::has_module`]. (What is built in has no state: Documentation/ABI/stable/sysfs-module.)
#[must_use]
pub fn has_module(root: &Path, name: &str) -> bool {
    let module = root.join("sys/module").join(name);
    match fs::read_to_string(module.join("initstate")) {
        Ok(state) => state.trim_end() == "live",
        Err(_) => module.is_dir(),
    }
}

/// What was read about this host, once.
#[derive(Debug, Clone)]
pub struct Host {
    /// Root directory that all of this was read from.
    pub root: PathBuf,
    /// Release of the kernel, as `uname -r` says.
    pub release: String,
    /// Its first two numbers; `(0, 0)` when the release does not begin with them.
    pub version: (u32, u32),
    /// Whether it may take the CPU from a task that is in the kernel: see [`crate::load::plan::preempts`].
    pub preemption: Preemption,
    /// The kernel carries its own type information (`/sys/kernel/btf/vmlinux`: `CONFIG_DEBUG_INFO_BTF`, since 5.4).
    pub has_btf: bool,
    pub uid: u32,
    pub euid: u32,
    /// Effective capabilities. Without `/proc`: all for root, none for others.
    pub caps: Caps,
    /// A seccomp filter watches this process's system calls (`Seccomp: 2`), as container engines set one.
    pub seccomp: bool,
    pub lockdown: Lockdown,
    /// Active security modules in order, where securityfs is mounted.
    pub lsms: Option<Vec<String>>,
    pub tracefs: Option<Tracefs>,
    /// Kernel functions can be probed (`CONFIG_KPROBE_EVENTS`; the source of events is there since 4.17).
    pub kprobes: bool,
    /// `kernel.unprivileged_bpf_disabled`: 0 no, 1 for good, 2 until changed (Documentation/admin-guide/sysctl).
    pub unprivileged_bpf_disabled: Option<i32>,
    /// `kernel.perf_event_paranoid`: 2 by default; 3 and 4 are additions of Debian, Ubuntu and Android.
    pub perf_event_paranoid: Option<i32>,
    /// Limit of locked memory in bytes that this process may set by itself (the hard one, libbpf sets it where it
    /// matters); `u64::MAX` is no limit.
    pub memlock: u64,
    /// Inode of this process's PID namespace.
    pub pid_namespace: Option<u64>,
    /// Inode of this process's user namespace.
    pub user_namespace: Option<u64>,
    /// CPUs that this kernel may ever have: the number of values in a per-CPU map.
    pub possible_cpus: Option<usize>,
    /// What kind of container this looks like. A hint, not a fact.
    pub container: Option<String>,
    /// Where the cgroup v2 hierarchy is mounted.
    pub cgroup2: Option<PathBuf>,
    pub exe: PathBuf,
}

impl Host {
    /// Whether a part of the kernel that may be a module is there: built in, or loaded and ready.
    #[must_use]
    pub fn has_module(&self, name: &str) -> bool {
        has_module(&self.root, name)
    }

    /// Reads what there is below `root`; limits and CPUs are always this process's own.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read(root.join(path)).ok().map(|b| String::from_utf8_lossy(&b).trim().to_owned());
        let number = |path: &str| text(path).and_then(|t| t.parse().ok());
        // Of this thread: another may have given up its rights.
        let status = text("proc/thread-self/status").or_else(|| text("proc/self/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let id = |n: usize| field("Uid")?.split_whitespace().nth(n)?.parse().ok();
        let euid = id(1).unwrap_or_else(|| nix::unistd::geteuid().as_raw());
        let mountinfo = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        // Not uname first: setarch(8) can make that say 2.6.
        let release = text("proc/sys/kernel/osrelease").filter(|t| !t.is_empty()).unwrap_or_else(uname);
        Self {
            version: version(&release),
            preemption: Preemption::read(root),
            release,
            has_btf: root.join("sys/kernel/btf/vmlinux").exists(),
            uid: id(0).unwrap_or_else(|| nix::unistd::getuid().as_raw()),
            euid,
            caps: field("CapEff").and_then(Caps::parse).unwrap_or(if euid == 0 { Caps::ALL } else { Caps::default() }),
            seccomp: field("Seccomp").is_some_and(|mode| mode.trim() == "2"),
            lockdown: text("sys/kernel/security/lockdown").map_or(Lockdown::Unknown, |modes| lockdown(&modes)),
            lsms: text("sys/kernel/security/lsm").map(|list| list.split(',').map(str::to_owned).collect()),
            tracefs: mounts::tracefs(root, &mountinfo),
            kprobes: root.join("sys/bus/event_source/devices/kprobe").exists(),
            unprivileged_bpf_disabled: number("proc/sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("proc/sys/kernel/perf_event_paranoid"),
            memlock: getrlimit(Resource::RLIMIT_MEMLOCK).map_or(u64::MAX, |(_, hard)| hard),
            pid_namespace: namespace(&root.join("proc/self/ns/pid")),
            user_namespace: namespace(&root.join("proc/self/ns/user")),
            possible_cpus: libbpf_rs::num_possible_cpus().ok(),
            container: container(root),
            cgroup2: mounts::cgroup2(&mountinfo),
            exe: fs::read_link(root.join("proc/self/exe")).unwrap_or_else(|_| "coretrace".into()),
            root: root.to_owned(),
        }
    }

    /// Whether the kernel is at least this old; an unknown version counts as a new one.
    #[must_use]
    pub fn at_least(&self, version: (u32, u32)) -> bool {
        self.version == (0, 0) || self.version >= version
    }

    /// BPF memory counts against `ulimit -l`: until 5.10. Since 5.11 it is charged to the memory cgroup
    /// (lore.kernel.org/bpf/20201201215900.3569844-1-guro@fb.com, as libbpf's `probe_memcg_account()` has it).
    #[must_use]
    pub fn needs_memlock(&self) -> bool {
        !self.at_least((5, 11))
    }

    /// `ulimit -l` stands in the way: it counts here, it is set, and this process may not raise it.
    #[must_use]
    pub fn memlock_is_short(&self) -> bool {
        self.needs_memlock() && self.memlock != u64::MAX && !self.caps.has(caps::SYS_RESOURCE)
    }

    /// This process sees only a part of the host's processes, under other numbers.
    #[must_use]
    pub fn in_pid_namespace(&self) -> bool {
        self.pid_namespace.is_some_and(|inode| inode != INITIAL_PID_NAMESPACE)
    }

    /// Its capabilities count only inside a user namespace, where the kernel grants none of what tracing needs:
    /// `capable()` asks for the initial one (kernel/capability.c).
    #[must_use]
    pub fn in_user_namespace(&self) -> bool {
        self.user_namespace.is_some_and(|inode| inode != INITIAL_USER_NAMESPACE)
    }
}

fn uname() -> String {
    nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned())
}

/// `6.1.0-50-cloud-amd64` → (6, 1); `7.2-rc1` → (7, 2).
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

/// `none [integrity] confidentiality`: the one in brackets (security/lockdown/lockdown.c).
fn lockdown(modes: &str) -> Lockdown {
    match modes.split_whitespace().find(|mode| mode.starts_with('[')) {
        Some("[none]") => Lockdown::None,
        Some("[integrity]") => Lockdown::Integrity,
        Some("[confidentiality]") => Lockdown::Confidentiality,
        _ => Lockdown::Unknown,
    }
}

/// The number in a link such as `pid:[4026531836]` (namespaces(7)).
fn namespace(link: &Path) -> Option<u64> {
    let target = fs::read_link(link).ok()?;
    target.to_str()?.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// What container engines leave behind: marker files, systemd's name of the manager, paths of cgroup v1.
fn container(root: &Path) -> Option<String> {
    if let Some(name) = fs::read_to_string(root.join("run/systemd/container")).ok().filter(|n| !n.trim().is_empty()) {
        return Some(name.trim().to_owned());
    }
    for (marker, engine) in [(".dockerenv", "docker"), ("run/.containerenv", "podman")] {
        if root.join(marker).exists() {
            return Some(engine.to_owned());
        }
    }
    let groups = fs::read_to_string(root.join("proc/1/cgroup")).ok()?;
    let engines = ["kubepods", "docker", "libpod", "containerd", "crio", "lxc", "garden"];
    engines.into_iter().find(|engine| groups.contains(engine)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn everything_is_read_from_the_tree() {
        let tree = Tree::debian();
        let host = tree.host();
        assert_eq!((host.release.as_str(), host.version), ("6.1.0-50-cloud-amd64", (6, 1)));
        assert!(host.has_btf && !host.seccomp && host.caps.missing(host.version).is_empty());
        assert_eq!((host.uid, host.euid, host.lockdown), (0, 0, Lockdown::None));
        assert_eq!(host.lsms.as_deref().and_then(|l| l.last()).map(String::as_str), Some("bpf"));
        assert_eq!((host.unprivileged_bpf_disabled, host.perf_event_paranoid), (Some(2), Some(3)));
        assert_eq!(host.pid_namespace, Some(INITIAL_PID_NAMESPACE));
        assert!(!host.in_pid_namespace() && !host.in_user_namespace() && !host.needs_memlock());
        assert_eq!(
            host.tracefs,
            Some(Tracefs { path: "/sys/kernel/tracing".into(), readable: true, elsewhere: false })
        );
        assert_eq!((host.cgroup2, host.container), (Some("/sys/fs/cgroup".into()), None));
        assert_eq!(host.exe, Path::new("/usr/local/bin/coretrace"));
        assert!(host.possible_cpus.is_none_or(|n| n > 0));
    }

    #[test]
    fn an_empty_tree_is_unknown_not_an_error() {
        let host = Tree::new().host();
        assert!(!host.release.is_empty(), "uname is the fallback");
        assert!(!host.has_btf && host.tracefs.is_none() && host.cgroup2.is_none() && host.lsms.is_none());
        assert_eq!((host.lockdown, host.pid_namespace), (Lockdown::Unknown, None));
        assert!(!host.in_pid_namespace() && !host.in_user_namespace());
    }

    #[test]
    fn releases_are_parsed() {
        for (release, expected) in
            [("5.10.0-32-amd64", (5, 10)), ("7.2-rc1", (7, 2)), ("4.18.0", (4, 18)), ("6", (0, 0)), ("x86", (0, 0))]
        {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(lockdown("none [integrity] confidentiality"), Lockdown::Integrity);
        assert_eq!(lockdown("none integrity [confidentiality]"), Lockdown::Confidentiality);
        assert_eq!(lockdown("none integrity"), Lockdown::Unknown);
    }

    #[test]
    fn containers_are_recognised() {
        let tree = Tree::debian();
        tree.link("proc/self/ns/pid", "pid:[4026532201]");
        tree.link("proc/self/ns/user", "user:[4026532200]");
        tree.file("proc/1/cgroup", "12:cpu:/kubepods/burstable/pod1/abc\n");
        let host = tree.host();
        assert!(host.in_pid_namespace() && host.in_user_namespace());
        assert_eq!(host.container.as_deref(), Some("kubepods"));
        tree.file(".dockerenv", "");
        assert_eq!(tree.host().container.as_deref(), Some("docker"));
        tree.file("run/systemd/container", "lxc\n");
        assert_eq!(tree.host().container.as_deref(), Some("lxc"));
    }

    #[test]
    fn memlock_matters_until_5_10() {
        let tree = Tree::debian();
        tree.file("proc/sys/kernel/osrelease", "5.10.0-32-cloud-amd64");
        let mut host = tree.host();
        assert!(host.needs_memlock() && !host.memlock_is_short());
        host.memlock = 65536;
        assert!(!host.memlock_is_short(), "cap_sys_resource may raise it");
        host.caps = Caps::of(&[caps::BPF, caps::PERFMON]);
        assert!(host.memlock_is_short());
        host.version = (5, 11);
        assert!(!host.memlock_is_short());
    }
}
