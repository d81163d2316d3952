//! Which pseudo file systems are mounted where: tracefs and cgroup v2, from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where the kernel's tracing files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracefs {
    /// The directory, as the host names it.
    pub path: PathBuf,
    /// Whether its `events` directory can be listed by this process.
    pub readable: bool,
    /// It is not where libbpf looks, so that no classic tracepoint is found.
    pub elsewhere: bool,
}

/// Where tracefs belongs (Documentation/trace/ftrace.rst) …
pub(crate) const TRACEFS: &str = "/sys/kernel/tracing";
/// … and where it was before 4.1 and still shows up.
const DEBUGFS: &str = "/sys/kernel/debug/tracing";
/// Where cgroup v2 is by itself, and beside v1 (systemd's hybrid layout).
const CGROUP2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Mount points of one file system type, in the order of the file.
fn points(mountinfo: &[u8], fstype: &[u8]) -> Vec<PathBuf> {
    mountinfo.split(|b| *b == b'\n').filter_map(|line| point(line, fstype)).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS…] - FSTYPE SOURCE OPTIONS` (proc_pid_mountinfo(5)).
fn point(line: &[u8], fstype: &[u8]) -> Option<PathBuf> {
    let mut words = line.split(|b| *b == b' ');
    let point = words.nth(4)?;
    words.find(|word| word == b"-")?;
    (words.next()? == fstype).then(|| PathBuf::from(OsString::from_vec(unescape(point))))
}

/// Blanks and backslashes are written as three octal digits (fs/proc_namespace.c, `mangle()`).
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let digits = rest.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| matches!(b, b'0'..=b'7')));
        let code = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        plain.push(code.unwrap_or(*first));
        text = if code.is_some() { &rest[3..] } else { rest };
    }
    plain
}

/// The usual places first, then whatever else is mounted.
fn preferred(mut found: Vec<PathBuf>, usual: &[&str]) -> Vec<PathBuf> {
    found.sort_by_key(|path| usual.iter().position(|u| path == Path::new(u)).unwrap_or(usual.len()));
    found.dedup();
    found
}

/// A path of the host, below the root directory that stands for it.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Finds tracefs, where libbpf does (tracefs_path() in its libbpf.c): below debugfs if there is such a directory, which is
/// mounted by the first access (fs/tracefs/inode.c), so that it need not be in the list; else where it belongs.
pub(super) fn tracefs(root: &Path, mountinfo: &[u8]) -> Option<Tracefs> {
    let path = PathBuf::from(if below(root, Path::new(DEBUGFS)).exists() { DEBUGFS } else { TRACEFS });
    let mounted = preferred(points(mountinfo, b"tracefs"), &[TRACEFS, DEBUGFS]);
    let readable = fs::read_dir(below(root, &path.join("events"))).is_ok();
    if readable || mounted.contains(&path) {
        return Some(Tracefs { path, readable, elsewhere: false });
    }
    mounted.into_iter().next().map(|path| Tracefs { path, readable, elsewhere: true })
}

/// Files that namespaces are mounted on, as `ip netns add` does.
#[must_use]
pub fn namespaces(mountinfo: &[u8]) -> Vec<PathBuf> {
    points(mountinfo, b"nsfs")
}

/// Finds the cgroup v2 hierarchy.
pub(super) fn cgroup2(mountinfo: &[u8]) -> Option<PathBuf> {
    preferred(points(mountinfo, b"cgroup2"), &CGROUP2).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    const HYBRID: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
39 31 0:37 / /mnt/with\\040blank rw shared:5 master:1 - cgroup2 cgroup2 rw
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn cgroup2_is_found_beside_v1() {
        assert_eq!(cgroup2(HYBRID.as_bytes()), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(cgroup2(HYBRID.split_once("41 ").unwrap().0.as_bytes()), Some("/mnt/with blank".into()));
        assert_eq!(cgroup2(b"22 27 0:21 / /cgroup2 rw - proc proc rw\ncut"), None);
    }

    #[test]
    fn octal_escapes_become_bytes() {
        assert_eq!(unescape(b"a\\040b\\134c\\9\\04"), b"a b\\c\\9\\04");
    }

    #[test]
    fn tracefs_is_where_libbpf_looks_for_it_or_elsewhere() {
        let lines = b"1 1 0:1 / /sys/kernel/tracing rw - tracefs tracefs rw\n2 1 0:1 / /other rw - tracefs t rw\n";
        let tree = Tree::new();
        let found = |path: &str, readable, elsewhere| Some(Tracefs { path: path.into(), readable, elsewhere });
        assert_eq!(tracefs(tree.root(), lines), found("/sys/kernel/tracing", false, false));
        tree.dir("other/events");
        assert_eq!(
            tracefs(tree.root(), lines),
            found("/sys/kernel/tracing", false, false),
            "a better one is of no use"
        );
        let other = lines.splitn(2, |b| *b == b'\n').nth(1).unwrap();
        assert_eq!(tracefs(tree.root(), other), found("/other", false, true));
        tree.dir("sys/kernel/tracing/events");
        assert_eq!(tracefs(tree.root(), lines), found("/sys/kernel/tracing", true, false));
        // An empty directory there is enough to be taken.
        tree.dir("sys/kernel/debug/tracing");
        assert_eq!(tracefs(tree.root(), lines), found("/sys/kernel/tracing", false, true));
    }

    #[test]
    fn tracefs_below_debugfs_needs_no_entry() {
        let tree = Tree::new();
        assert_eq!(tracefs(tree.root(), b""), None);
        tree.dir("sys/kernel/debug/tracing/events");
        let found = Tracefs { path: "/sys/kernel/debug/tracing".into(), readable: true, elsewhere: false };
        assert_eq!(tracefs(tree.root(), b""), Some(found));
    }
}
