//! Cgroups of version 1: the path of a process in that hierarchy which says most, as /proc shows it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::path::containers;

/// Hierarchies that runtimes and systemd put their cgroups into, the best first. (Others, as `net_cls`, may be there
/// beside version 2, for something else.)
const HIERARCHIES: [&[u8]; 6] = [b"name=systemd", b"pids", b"memory", b"devices", b"cpu", b"freezer"];
/// The longest file that is read.
const FILE_MAX: u64 = 1 << 16;

/// Whether containers may be told apart by processes alone: there are cgroups of version 1.
#[must_use]
pub fn by_process(root: &Path) -> bool {
    read(&root.join("proc/self/cgroup")).is_some_and(|text| paths(&text).next().is_some())
}

/// The path of a process: in the hierarchy that says in which container it is, else in systemd's.
#[must_use]
pub fn process_path(proc: &Path, pid: u32) -> Option<Box<[u8]>> {
    let text = read(&proc.join(format!("{pid}/cgroup")))?;
    let in_one = paths(&text).find(|path| !containers(path).is_empty());
    in_one.or_else(|| paths(&text).next()).map(Box::from)
}

/// The paths in those hierarchies, the best first: lines are `ID:CONTROLLERS:PATH` (cgroups(7)).
fn paths(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let of = |name: &'static [u8]| {
        text.split(|b| *b == b'\n').find_map(move |line| {
            let mut parts = line.splitn(3, |b| *b == b':');
            let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
            names.split(|b| *b == b',').any(|of| of == name).then_some(path)
        })
    };
    HIERARCHIES.into_iter().filter_map(of)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(FILE_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn the_path_that_names_a_container_is_taken() {
        let (tree, id) = (Tree::new(), "a".repeat(64));
        let path = |text: &str| {
            tree.file("proc/7/cgroup", text);
            process_path(&tree.path("proc"), 7).map(|path| String::from_utf8_lossy(&path).into_owned())
        };
        let docker = format!("/docker/{id}");
        assert_eq!(path(&format!("4:cpu,cpuacct:{docker}\n1:name=systemd:/x.service\n0::/\n")), Some(docker.clone()));
        assert_eq!(path(&format!("4:pids:/a:b\n1:name=systemd:{docker}\n")), Some(docker));
        assert_eq!(path("4:pids:/a:b\n3:net_cls:/x\n"), Some("/a:b".into()));
        assert_eq!(path("4:pids:/a\n1:name=systemd:/system.slice/x.service\n"), Some("/system.slice/x.service".into()));
        for none in ["", "\n\n", "0::/x\n", "3:net_cls:/x", "pids:/x", "4:pids"] {
            assert_eq!(path(none), None, "{none:?}");
        }
        assert_eq!(process_path(&tree.path("proc"), 8), None);
        tree.file("proc/self/cgroup", "0::/\n2:net_cls:/\n");
        assert!(!by_process(tree.root()), "that is not for containers");
        tree.file("proc/self/cgroup", "3:pids:/\n0::/\n");
        assert!(by_process(tree.root()));
    }
}
