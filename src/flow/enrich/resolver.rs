//! Names of users and cgroups, cached: each is looked up when it is first needed.

use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::cgroups::Cgroups;
use crate::event::{Event, Names};
use crate::host::users;

/// Finds names for the numbers in the head of an event. They are the current ones of this host: not for recordings.
#[derive(Debug)]
pub struct Resolver {
    root: PathBuf,
    users: Cache<u32>,
    cgroups: Cgroups,
}

impl Resolver {
    /// Users from `etc/passwd` below `root`; cgroups below the mount point of cgroup v2.
    #[must_use]
    pub fn new(root: &Path, cgroup2: Option<&Path>) -> Self {
        Resolver { root: root.to_owned(), users: Cache::default(), cgroups: Cgroups::new(cgroup2) }
    }

    /// Adds the names. The event lives no longer than what it borrows from here.
    pub fn add<'e>(&'e mut self, event: &mut Event<'e>) {
        if !event.head.has_process() {
            return;
        }
        let user = self.users.get(event.head.uid, || users(&self.root));
        let cgroup = self.cgroups.path(event.head.cgroup_id);
        event.names = Some(Names { user, cgroup });
    }
}

fn users(root: &Path) -> Vec<(u32, Box<[u8]>)> {
    users::names(root).into_iter().map(|(uid, name)| (uid, name.into_bytes().into())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::event::{Head, Kind};
    use crate::fake::Tree;

    static KIND: Kind = Kind::new(1, "exec", "A sample.", &[]);

    const MOUNT: &str = "sys/fs/cgroup";

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:100::/:\n");
        tree.file("sys/fs/cgroup/system.slice/cron.service/cgroup.procs", "");
        tree.link("sys/fs/cgroup/link", "system.slice");
        tree
    }

    fn resolver(tree: &Tree) -> Resolver {
        Resolver::new(tree.root(), Some(&tree.path(MOUNT)))
    }

    fn id(tree: &Tree, cgroup: &str) -> u64 {
        fs::metadata(tree.path(MOUNT).join(cgroup)).unwrap().ino()
    }

    /// The names of an event's user and cgroup, once a walk that is under way has ended: a busy machine may need several
    /// slices of it.
    fn names_of(names: &mut Resolver, uid: u32, cgroup_id: u64) -> [String; 2] {
        let event = || Event::new(&KIND, Head { uid, cgroup_id, ..Head::default() });
        names.add(&mut event());
        while names.cgroups.is_walking() {
            names.cgroups.next = None;
            names.add(&mut event());
        }
        let mut event = event();
        names.add(&mut event);
        let Names { user, cgroup } = event.names.unwrap();
        [user, cgroup].map(|name| name.map_or("?".to_owned(), |name| String::from_utf8(name.to_vec()).unwrap()))
    }

    /// As if a second had passed.
    fn later(names: &mut Resolver) {
        (names.users.looked, names.cgroups.next) = (None, None);
    }

    #[test]
    fn numbers_get_their_names() {
        let tree = tree();
        let mut names = resolver(&tree);
        assert_eq!(names_of(&mut names, 0, id(&tree, "")), ["root", "/"]);
        assert_eq!(names_of(&mut names, 1000, id(&tree, "system.slice")), ["anna", "/system.slice"]);
        assert_eq!(
            names_of(&mut names, 0, id(&tree, "system.slice/cron.service")),
            ["root", "/system.slice/cron.service"]
        );
        assert_eq!(names_of(&mut names, 4711, u64::MAX), ["?", "?"]);
    }

    #[test]
    fn what_came_later_is_found_a_second_later() {
        let tree = tree();
        let mut names = resolver(&tree);
        assert_eq!(names_of(&mut names, 0, id(&tree, "")), ["root", "/"]);
        tree.dir("sys/fs/cgroup/new.scope");
        tree.file("etc/passwd", "new:x:7:7::/:\n");
        let new = id(&tree, "new.scope");
        assert_eq!(names_of(&mut names, 7, new), ["?", "?"], "it was looked for just now");
        later(&mut names);
        assert_eq!(names_of(&mut names, 7, new), ["new", "/new.scope"]);
    }

    #[test]
    fn what_is_gone_keeps_its_name() {
        let tree = tree();
        let mut names = resolver(&tree);
        let cron = id(&tree, "system.slice/cron.service");
        assert_eq!(names_of(&mut names, 0, cron), ["root", "/system.slice/cron.service"]);
        tree.remove("sys/fs/cgroup/system.slice/cron.service");
        later(&mut names);
        assert_eq!(names_of(&mut names, 4711, u64::MAX), ["?", "?"]);
        assert_eq!(names_of(&mut names, 0, cron), ["root", "/system.slice/cron.service"]);
    }

    #[test]
    fn what_has_no_name_is_looked_for_once() {
        let tree = tree();
        let mut names = resolver(&tree);
        assert_eq!(names_of(&mut names, 4711, u64::MAX), ["?", "?"]);
        later(&mut names);
        assert_eq!(names_of(&mut names, 4711, u64::MAX), ["?", "?"]);
        assert!(names.users.looked.is_none() && names.cgroups.next.is_none(), "the host was asked again");
    }

    #[test]
    fn without_cgroups_and_users_there_are_no_names() {
        let tree = Tree::new();
        assert_eq!(names_of(&mut Resolver::new(tree.root(), None), 0, 1), ["?", "?"]);
        assert_eq!(names_of(&mut Resolver::new(tree.root(), Some(&tree.path("missing"))), 0, 1), ["?", "?"]);
    }

    #[test]
    fn names_of_this_host_agree_with_it() {
        // Where there is cgroup v2, this process is in it, by a path that is known from elsewhere.
        let host = crate::host::Host::read(Path::new("/"));
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned);
        if let (Some(mount), Some(own)) = (host.cgroup2.as_deref(), own)
            && let Ok(dir) = fs::metadata(mount.join(own.trim_start_matches('/')))
        {
            let mut names = Resolver::new(Path::new("/"), Some(mount));
            assert_eq!(names_of(&mut names, 0, dir.ino()), ["root", own.as_str()]);
        }
    }
}
