//! Paths of cgroups by id: the kernel is asked for each; where it refuses, all directories are walked, a slice at a
//! time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use super::cache::{AGAIN, MOST};
use crate::ffi::handle::open_cgroup;

/// How long a walk may delay events …
const SLICE: Duration = Duration::from_millis(2);
/// … and how long until it may do so again.
const PAUSE: Duration = Duration::from_millis(40);

/// Paths from the mount point of cgroup v2; an id is the inode number of its directory (fs/kernfs/dir.c,
/// `kernfs_ino()`).
#[derive(Debug)]
pub(super) struct Cgroups {
    mount: Option<PathBuf>,
    /// `None` for one that did not exist when it was looked up: ids are not reused.
    pub(super) known: HashMap<u64, Option<Box<[u8]>>>,
    way: Way,
    /// When the walk may continue.
    pub(super) next: Option<Instant>,
}

#[derive(Debug)]
enum Way {
    Untried,
    /// The kernel opens a cgroup by its id.
    ById(File),
    Walk(Option<Walk>),
}

impl Cgroups {
    /// Whether a walk has begun and not ended.
    #[cfg(test)]
    pub(super) fn is_walking(&self) -> bool {
        matches!(self.way, Way::Walk(Some(_)))
    }

    pub(super) fn new(mount: Option<&Path>) -> Self {
        Cgroups { mount: mount.map(Path::to_owned), known: HashMap::new(), way: Way::Untried, next: None }
    }

    /// The path of a cgroup. It is kept when the cgroup is gone: its last events are still to come.
    pub(super) fn path(&mut self, id: u64) -> Option<&[u8]> {
        if !self.known.contains_key(&id) {
            self.look(id);
        }
        self.known.get(&id)?.as_deref()
    }

    fn look(&mut self, id: u64) {
        let Some(mount) = &self.mount else { return };
        if matches!(self.way, Way::Untried) {
            self.way = opener(mount).map_or(Way::Walk(None), Way::ById);
        }
        match &mut self.way {
            Way::Untried => {}
            Way::ById(dir) => {
                if self.known.len() >= MOST {
                    self.known.clear();
                }
                match by_id(mount, dir, id) {
                    Ok(path) => drop(self.known.insert(id, path)),
                    Err(e) if e.raw_os_error() == Some(Errno::ESTALE as i32) => drop(self.known.insert(id, None)),
                    // Too many open files, for example: try again later.
                    Err(_) => {}
                }
            }
            Way::Walk(walk) => {
                let now = Instant::now();
                if self.next.is_some_and(|next| now < next) {
                    return;
                }
                let on = walk.get_or_insert_with(|| {
                    if self.known.len() >= MOST {
                        self.known.clear();
                    }
                    Walk::new(mount, id, &mut self.known)
                });
                let done = on.go_on(mount, now + SLICE, &mut self.known);
                if done {
                    self.known.entry(on.wanted).or_insert(None);
                    *walk = None;
                }
                self.next = Some(Instant::now() + if done { AGAIN } else { PAUSE });
            }
        }
    }
}

/// The mount point, if the kernel opens cgroups by id: tested with the mount point's own id.
fn opener(mount: &Path) -> Option<File> {
    let dir = File::open(mount).ok()?;
    let id = dir.metadata().ok()?.ino();
    let is_cgroup2 = fstatfs(&dir).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
    (is_cgroup2 && by_id(mount, &dir, id).is_ok_and(|path| path.as_deref() == Some(b"/"))).then_some(dir)
}

/// `None`: it is not below this mount point (in another cgroup namespace's part).
fn by_id(mount: &Path, dir: &File, id: u64) -> io::Result<Option<Box<[u8]>>> {
    let cgroup = open_cgroup(dir.as_fd(), id)?;
    let path = fs::read_link(format!("/proc/self/fd/{}", cgroup.as_raw_fd()))?;
    let Ok(below) = path.strip_prefix(mount) else { return Ok(None) };
    let path = path_of(below);
    // It was removed just now (fs/d_path.c).
    let live = path.strip_suffix(b" (deleted)").filter(|_| !mount.join(below).exists());
    Ok(Some(live.map_or_else(|| path.clone(), Box::from)))
}

fn path_of(below: &Path) -> Box<[u8]> {
    [b"/", below.as_os_str().as_bytes()].concat().into()
}

/// An ongoing walk through all cgroups. What cannot be read is left out.
#[derive(Debug)]
struct Walk {
    rest: Vec<PathBuf>,
    open: Option<fs::ReadDir>,
    /// The id that it was begun for: one created later may have been passed already.
    wanted: u64,
}

impl Walk {
    fn new(mount: &Path, wanted: u64, known: &mut HashMap<u64, Option<Box<[u8]>>>) -> Self {
        known.extend(fs::metadata(mount).map(|root| (root.ino(), Some(Box::from(*b"/")))));
        Walk { rest: vec![mount.to_owned()], open: None, wanted }
    }

    /// Continues until then; returns whether the walk is complete.
    fn go_on(&mut self, mount: &Path, until: Instant, known: &mut HashMap<u64, Option<Box<[u8]>>>) -> bool {
        loop {
            let Some(entry) = self.open.as_mut().and_then(Iterator::next) else {
                let Some(dir) = self.rest.pop() else { return true };
                self.open = fs::read_dir(dir).ok();
                continue;
            };
            // Of the directory entry itself: a link is not a directory.
            if let Ok(entry) = entry
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                let path = entry.path();
                if let Ok(below) = path.strip_prefix(mount) {
                    known.insert(entry.ino(), Some(path_of(below)));
                }
                self.rest.push(path);
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    #[test]
    fn a_walk_keeps_events_waiting_no_longer_than_a_slice() {
        let tree = Tree::new();
        for n in 0..30 {
            tree.dir(&format!("cgroup/{n}/{n}"));
        }
        let mount = tree.path("cgroup");
        let mut known = HashMap::new();
        let mut walk = Walk::new(&mount, 7, &mut known);
        let mut slices = 1;
        // No time at all: one entry per call.
        while !walk.go_on(&mount, Instant::now(), &mut known) {
            slices += 1;
        }
        assert!(slices >= 60, "{slices}");
        assert_eq!(known.len(), 61);
        assert!(known.values().any(|path| path.as_deref() == Some(b"/29/29")));
    }

    #[test]
    fn what_came_while_it_was_walked_is_not_said_to_be_nowhere() {
        let tree = Tree::new();
        tree.dir("cgroup/a");
        let mut cgroups = Cgroups::new(Some(&tree.path("cgroup")));
        let id = |name: &str| fs::metadata(tree.path(name)).unwrap().ino();
        assert_eq!(cgroups.path(u64::MAX), None);
        assert!(matches!(cgroups.way, Way::Walk(_)), "this is no cgroup v2");
        tree.dir("cgroup/b");
        assert_eq!(cgroups.path(id("cgroup/b")), None, "it is looked for a second later");
        while !cgroups.known.contains_key(&id("cgroup/b")) {
            cgroups.next = None;
            cgroups.path(id("cgroup/b"));
        }
        assert_eq!(cgroups.path(id("cgroup/b")), Some(&b"/b"[..]));
        assert_eq!(cgroups.known.get(&u64::MAX), Some(&None));
    }

    #[test]
    fn a_cache_of_cgroups_does_not_grow_without_end() {
        let tree = Tree::new();
        let mut cgroups = Cgroups::new(Some(&tree.path("missing")));
        for id in 0..3 * MOST as u64 {
            cgroups.next = None;
            assert_eq!(cgroups.path(id), None);
            assert!(cgroups.known.len() <= MOST);
        }
    }
}
