//! Names of users and cgroups. Caches only: what an event needs is looked up when it is first met.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroups::Cgroups;
use crate::event::{Event, Shape, Value};
use crate::host::users;

/// Adds the fields `user` and `cgroup` to the events whose kind declares them. They are this host's, now: not for what
/// was recorded.
#[derive(Debug)]
pub struct Names {
    root: PathBuf,
    users: Cache<u32>,
    cgroups: Cgroups,
}

impl Names {
    /// Users of `etc/passwd` below `root`; cgroups below the mount point of cgroup v2.
    #[must_use]
    pub fn new(root: &Path, cgroup2: Option<&Path>) -> Self {
        Names { root: root.to_owned(), users: Cache::default(), cgroups: Cgroups::new(cgroup2) }
    }

    /// Adds what the kind declares. The event lives no longer than what it borrows from here.
    pub fn add<'e>(&'e mut self, event: &mut Event<'e>) {
        let declares = |name: &str| event.kind.fields().iter().any(|field| field.name == name);
        let (user, cgroup) = (declares("user"), declares("cgroup"));
        if user {
            let name = self.users.get(event.head.uid, || users(&self.root));
            event.push("user", name.map_or(Value::Unreadable(Shape::Str), Value::Str));
        }
        if cgroup {
            let path = self.cgroups.path(event.head.cgroup_id);
            event.push("cgroup", path.map_or(Value::Unreadable(Shape::Str), Value::Str));
        }
    }
}

/// The shortest time between two looks at the host: an event whose number has no name must not cost one each.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Above this many entries, what is no longer there is forgotten.
pub(super) const MOST: usize = 16384;

/// Names by number; `None` for a number that had none when it was looked for.
#[derive(Debug)]
struct Cache<K> {
    known: HashMap<K, Option<Box<[u8]>>>,
    looked: Option<Instant>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Cache { known: HashMap::new(), looked: None }
    }
}

impl<K: Copy + Eq + Hash> Cache<K> {
    /// The name of a number; `all` looks for all of them.
    ///
    /// What is not found is remembered as that, if it was looked for: a number is as good as never used
    /// again.
    fn get(&mut self, key: K, all: impl FnOnce() -> Vec<(K, Box<[u8]>)>) -> Option<&[u8]> {
        if !self.known.contains_key(&key) && self.looked.is_none_or(|looked| looked.elapsed() >= AGAIN) {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            // What is gone meanwhile stays: events of its last moments are still to come.
            self.known.extend(all().into_iter().map(|(key, name)| (key, Some(name))));
            self.known.entry(key).or_insert(None);
            // Afterwards: looking may itself take its time.
            self.looked = Some(Instant::now());
        }
        self.known.get(&key)?.as_deref()
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
    use crate::event::{Field, Head, Kind};
    use crate::fake::Tree;

    const fn field(name: &'static str) -> Field {
        Field::new(name, Shape::Str, false, "A sample.")
    }

    static KIND: Kind = Kind::new(1, "exec", "A sample.", const { &[field("user"), field("cgroup")] });
    static PLAIN: Kind = Kind::new(2, "fork", "A sample.", &[]);

    const MOUNT: &str = "sys/fs/cgroup";

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:100::/:\n");
        tree.file("sys/fs/cgroup/system.slice/cron.service/cgroup.procs", "");
        tree.link("sys/fs/cgroup/link", "system.slice");
        tree
    }

    fn names(tree: &Tree) -> Names {
        Names::new(tree.root(), Some(&tree.path(MOUNT)))
    }

    fn id(tree: &Tree, cgroup: &str) -> u64 {
        fs::metadata(tree.path(MOUNT).join(cgroup)).unwrap().ino()
    }

    /// What an event says of its user and cgroup.
    fn said(names: &mut Names, uid: u32, cgroup_id: u64) -> [String; 2] {
        let mut event = Event::new(&KIND, Head { uid, cgroup_id, ..Head::default() });
        names.add(&mut event);
        assert_eq!(event.fields.len(), 2);
        ["user", "cgroup"].map(|name| match event.get(name).unwrap() {
            Value::Str(name) => String::from_utf8(name.to_vec()).unwrap(),
            Value::Unreadable(Shape::Str) => "?".to_owned(),
            other => panic!("{other:?}"),
        })
    }

    /// As if a second had passed.
    fn later(names: &mut Names) {
        (names.users.looked, names.cgroups.next) = (None, None);
    }

    #[test]
    fn numbers_get_their_names() {
        let tree = tree();
        let mut names = names(&tree);
        assert_eq!(said(&mut names, 0, id(&tree, "")), ["root", "/"]);
        assert_eq!(said(&mut names, 1000, id(&tree, "system.slice")), ["anna", "/system.slice"]);
        assert_eq!(said(&mut names, 0, id(&tree, "system.slice/cron.service")), ["root", "/system.slice/cron.service"]);
        assert_eq!(said(&mut names, 4711, u64::MAX), ["?", "?"]);
    }

    #[test]
    fn only_a_kind_that_declares_names_gets_them() {
        let tree = tree();
        let (mut names, mut event) = (names(&tree), Event::new(&PLAIN, Head::default()));
        names.add(&mut event);
        assert!(event.fields.is_empty());
        drop(event);
        assert!(names.users.looked.is_none() && names.cgroups.next.is_none(), "nor is anything looked for");
    }

    #[test]
    fn what_came_later_is_found_a_second_later() {
        let tree = tree();
        let mut names = names(&tree);
        assert_eq!(said(&mut names, 0, id(&tree, "")), ["root", "/"]);
        tree.dir("sys/fs/cgroup/new.scope");
        tree.file("etc/passwd", "new:x:7:7::/:\n");
        let new = id(&tree, "new.scope");
        assert_eq!(said(&mut names, 7, new), ["?", "?"], "it was looked for just now");
        later(&mut names);
        assert_eq!(said(&mut names, 7, new), ["new", "/new.scope"]);
    }

    #[test]
    fn what_is_gone_keeps_its_name() {
        let tree = tree();
        let mut names = names(&tree);
        let cron = id(&tree, "system.slice/cron.service");
        assert_eq!(said(&mut names, 0, cron), ["root", "/system.slice/cron.service"]);
        tree.remove("sys/fs/cgroup/system.slice/cron.service");
        later(&mut names);
        assert_eq!(said(&mut names, 4711, u64::MAX), ["?", "?"]);
        assert_eq!(said(&mut names, 0, cron), ["root", "/system.slice/cron.service"]);
    }

    #[test]
    fn what_has_no_name_is_looked_for_once() {
        let tree = tree();
        let mut names = names(&tree);
        assert_eq!(said(&mut names, 4711, u64::MAX), ["?", "?"]);
        later(&mut names);
        assert_eq!(said(&mut names, 4711, u64::MAX), ["?", "?"]);
        assert!(names.users.looked.is_none() && names.cgroups.next.is_none(), "the host was asked again");
    }

    #[test]
    fn a_cache_does_not_grow_without_end() {
        let mut cache = Cache::default();
        for key in 0..3 * MOST {
            cache.looked = None;
            assert_eq!(cache.get(key, Vec::new), None);
            assert!(cache.known.len() <= MOST);
        }
    }

    #[test]
    fn without_cgroups_and_users_there_are_no_names() {
        let tree = Tree::new();
        assert_eq!(said(&mut Names::new(tree.root(), None), 0, 1), ["?", "?"]);
        assert_eq!(said(&mut Names::new(tree.root(), Some(&tree.path("missing"))), 0, 1), ["?", "?"]);
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
            let mut names = Names::new(Path::new("/"), Some(mount));
            assert_eq!(said(&mut names, 0, dir.ino()), ["root", own.as_str()]);
        }
    }
}
