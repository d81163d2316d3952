//! For tests: a small tree of files that stands for a host.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use crate::host::Host;

/// A directory of its own, removed at the end.
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// An empty tree.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coretrace-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A tree of a 6.1 kernel with its BTF and with every capability: what `change` then spoils.
    pub(crate) fn debian() -> Self {
        let tree = Self::new();
        tree.file("proc/sys/kernel/osrelease", "6.1.0-50-cloud-amd64\n");
        tree.file("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-06-01)\n");
        tree.file("sys/kernel/debug/sched/preempt", "none (voluntary) full\n");
        tree.status("0", "000001ffffffffff", "0");
        tree.file("sys/kernel/btf/vmlinux", crate::types::sample::sample());
        tree.file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        tree.file("sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,tomoyo,bpf");
        tree.file("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
        tree.file("proc/sys/kernel/perf_event_paranoid", "3\n");
        tree.link("proc/self/ns/pid", "pid:[4026531836]");
        tree.link("proc/self/ns/user", "user:[4026531837]");
        tree.link("proc/self/exe", "/usr/local/bin/coretrace");
        tree.file("proc/1/cgroup", "0::/init.scope\n");
        tree.dir("sys/bus/event_source/devices/kprobe");
        tree.dir("sys/kernel/tracing/events");
        tree.file(
            "proc/self/mountinfo",
            "24 22 0:22 / /sys/kernel/tracing rw - tracefs tracefs rw\n25 22 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        );
        tree
    }

    /// The process's own `status`: user id, effective capabilities, seccomp mode.
    pub(crate) fn status(&self, uid: &str, caps: &str, seccomp: &str) {
        let text = format!(
            "Name:\tcoretrace\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapPrm:\t{caps}\nCapEff:\t{caps}\nSeccomp:\t{seccomp}\n"
        );
        self.file("proc/self/status", text);
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub(crate) fn dir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    /// What the tree says, with an unlimited memlock (a fact of this process, not of the tree).
    pub(crate) fn host(&self) -> Host {
        let mut host = Host::read(self.root());
        host.memlock = u64::MAX;
        host
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
