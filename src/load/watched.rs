//! The cgroups of `-c`, by path: a service that is restarted gets a new directory of the same name.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::escape::printable;
use crate::report::note;

/// Makes the kernel side watch a cgroup, at this index of its map.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn put(cgroups: &impl MapCore, place: u32, dir: &File) -> Result<()> {
    cgroups
        .update(&place.to_ne_bytes(), &dir.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
        .context("watching the cgroup (is it a directory of cgroup v2?)")
}

/// The watched cgroups.
pub(crate) struct Watched<'a> {
    map: &'a MapHandle,
    cgroups: Vec<Cgroup<'a>>,
}

struct Cgroup<'a> {
    path: &'a Path,
    /// The directory's inode; none while there is no directory.
    id: Option<u64>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(map: &'a MapHandle, cgroups: &'a [(PathBuf, File)]) -> Self {
        let id = |dir: &File| dir.metadata().ok().map(|dir| dir.ino());
        let cgroups = cgroups.iter().map(|(path, dir)| Cgroup { path, id: id(dir) }).collect();
        Watched { map, cgroups }
    }

    /// Checks whether they are still the same, and watches those that replaced others.
    pub(crate) fn look(&mut self) {
        for (place, cgroup) in (0_u32..).zip(&mut self.cgroups) {
            let Some(now) = cgroup.changed() else { continue };
            let name = printable(&cgroup.path.to_string_lossy());
            match now {
                None => note(&format!("-c: the cgroup {name} is gone; a new one at that path will be watched")),
                Some(_) => {
                    let dir = File::open(cgroup.path).context("opening it");
                    match dir.and_then(|dir| put(self.map, place, &dir)) {
                        Ok(()) => note(&format!("-c: {name} is another cgroup now, and is watched from here on")),
                        // Perhaps gone again; the next check shows.
                        Err(_) => continue,
                    }
                }
            }
            cgroup.id = now;
        }
    }
}

impl Cgroup<'_> {
    /// The inode that is there now, if it has changed.
    fn changed(&self) -> Option<Option<u64>> {
        let now = fs::metadata(self.path).ok().map(|dir| dir.ino());
        (now != self.id).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn a_directory_that_goes_and_comes_is_another() {
        let tree = Tree::new();
        tree.dir("a.service");
        tree.dir("b.service");
        let path = tree.path("a.service");
        let id = fs::metadata(&path).unwrap().ino();
        let mut cgroup = Cgroup { path: &path, id: Some(id) };
        assert_eq!(cgroup.changed(), None);
        tree.remove("a.service");
        assert_eq!(cgroup.changed(), Some(None));
        cgroup.id = None;
        assert_eq!(cgroup.changed(), None);
        fs::rename(tree.path("b.service"), &path).unwrap();
        assert!(matches!(cgroup.changed(), Some(Some(now)) if now != id));
    }
}
