//! Side archives: directories of types of kernels that have none of their own, by distribution, architecture, release.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::host::arch::Arch;
use crate::host::mounts::below;

/// Where packages put them.
pub(crate) const INSTALLED: &str = "/usr/share/coretrace/btf";
/// What this architecture is called: by BTFHub, and by `uname -m`.
pub(crate) const ARCHES: &[&str] = match Arch::HERE {
    Arch::X86 => &[Arch::X86.name()],
    Arch::Arm => &[Arch::Arm.name(), Arch::Arm.machine()],
};
/// How the files end, the last as BTFHub has them.
const ENDS: [&str; 5] = [".btf", ".btf.zst", ".btf.xz", ".btf.gz", ".btf.tar.xz"];

/// The distribution and its version, as os-release(5) has them: `ubuntu`, `20.04`.
pub(crate) fn distribution(root: &Path) -> Option<(String, String)> {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    let text = files.iter().find_map(|path| fs::read(below(root, Path::new(path))).ok())?;
    let text = String::from_utf8_lossy(&text);
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(found.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| is_name(value))
    };
    Some((value("ID")?, value("VERSION_ID").unwrap_or_default()))
}

/// Whether it can be one step of a path.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && !text.starts_with('.')
}

/// Where the running kernel's may be below `dir`, as BTFHub keeps them, and simpler.
pub(super) fn places(dir: &Path, host: &Host) -> Vec<PathBuf> {
    if !is_name(&host.release) {
        return Vec::new();
    }
    let mut dirs = Vec::new();
    if let Some((distro, version)) = distribution(&host.root).filter(|(_, version)| !version.is_empty()) {
        dirs.extend(ARCHES.iter().map(|arch| dir.join(&distro).join(&version).join(arch)));
    }
    dirs.extend(ARCHES.iter().map(|arch| dir.join(arch)));
    dirs.push(dir.to_owned());
    let names = ENDS.map(|end| format!("{}{end}", host.release));
    dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn the_distribution_is_read_with_and_without_quotes() {
        let tree = Tree::new();
        assert_eq!(distribution(tree.root()), None);
        tree.file("usr/lib/os-release", "NAME=x\nID=arch\n");
        assert_eq!(distribution(tree.root()), Some(("arch".into(), String::new())));
        tree.file("etc/os-release", "ID=\"ubuntu\"\nID_LIKE=debian\nVERSION_ID='20.04'\n");
        assert_eq!(distribution(tree.root()), Some(("ubuntu".into(), "20.04".into())));
        tree.file("etc/os-release", "ID=../x\nVERSION_ID=1\n");
        assert_eq!(distribution(tree.root()), None);
    }

    #[test]
    fn the_nearest_place_comes_first() {
        let tree = Tree::debian();
        tree.file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
        let places = places(Path::new("/d"), &tree.host());
        let arch = ARCHES[0];
        assert_eq!(places[0], PathBuf::from(format!("/d/debian/12/{arch}/6.1.0-50-cloud-amd64.btf")));
        assert_eq!(places[4], PathBuf::from(format!("/d/debian/12/{arch}/6.1.0-50-cloud-amd64.btf.tar.xz")));
        assert!(places.contains(&PathBuf::from(format!("/d/{arch}/6.1.0-50-cloud-amd64.btf.xz"))));
        assert_eq!(places[places.len() - 5], Path::new("/d/6.1.0-50-cloud-amd64.btf"));
    }
}
