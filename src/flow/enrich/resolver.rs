//! Names of users, cgroups, containers and units, cached: each is looked up when it is first needed.

use std::collections::HashSet;
use std::mem::take;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cache::{Cache, MOST};
use super::cgroups::Cgroups;
use super::chosen::{Chosen, Verdict};
use super::containers::{About, Containers};
use super::processes::Processes;
use crate::event::{Event, Head, Life, Names};
use crate::host::containers::{Container, Files, by_process};
use crate::host::users;

/// Finds names for the numbers in the head of an event: the current ones of this host, or those of a recording.
#[derive(Debug)]
pub struct Resolver {
    /// None: names are those of a recording.
    root: Option<PathBuf>,
    users: Cache<u32>,
    cgroups: Cgroups,
    containers: Containers,
    /// Where processes are, if their cgroups do not say it.
    processes: Option<Processes>,
    /// Users whose names were handed over, and those whose are to be.
    told: HashSet<u32>,
    fresh: Vec<u32>,
    /// Some recordings have none.
    has_names: bool,
}

/// What was looked up, for a recording. The name follows behind a line feed, where there is one: it may have any bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recorded {
    User {
        uid: u32,
    },
    Cgroup {
        id: u64,
        containers: Vec<Container>,
        sure: bool,
    },
    /// The process is in what that number stands for, which is said as if it were a cgroup.
    Process {
        pid: u32,
        id: u64,
    },
}

impl Resolver {
    /// Users from `etc/passwd` below `root`; cgroups below the mount point of cgroup v2.
    #[must_use]
    pub fn new(root: &Path, cgroup2: Option<&Path>) -> Self {
        let files = Files::new(root, cgroup2);
        Resolver {
            root: Some(root.to_owned()),
            cgroups: Cgroups::new(cgroup2),
            containers: Containers::new(Some(files)),
            processes: by_process(root).then(|| Processes::new(Some(root))),
            has_names: true,
            ..Resolver::recorded()
        }
    }

    /// Knows what [`Resolver::take_recorded`] is given.
    #[must_use]
    pub fn recorded() -> Self {
        Resolver {
            root: None,
            users: Cache::default(),
            cgroups: Cgroups::new(None),
            containers: Containers::new(None),
            processes: None,
            told: HashSet::new(),
            fresh: Vec::new(),
            has_names: false,
        }
    }

    /// Only events of these cgroups are wanted: see [`Resolver::wants`].
    pub fn choose(&mut self, chosen: Chosen) {
        self.containers.chosen = chosen;
    }

    /// What is known of cgroups is handed over by [`Resolver::judged`].
    pub fn judge(&mut self) {
        self.containers.judged = Some(HashSet::new());
    }

    /// The cgroups that were looked up since then, and whether all events of them are refused.
    pub fn judged(&mut self, put: &mut dyn FnMut(u64, bool)) {
        let Containers { judged, known, .. } = &mut self.containers;
        let all = judged.iter_mut().flat_map(HashSet::drain);
        let refuses = self.processes.is_none();
        all.for_each(|id| put(id, refuses && known.get(&id).is_some_and(|about| about.verdict == Verdict::Refused)));
    }

    /// Looks up the names that an event needs.
    pub fn look_up(&mut self, event: &Event<'_>) {
        let Some(root) = &self.root else { return };
        let head = &event.head;
        if !head.has_process() {
            return;
        }
        self.users.get(head.uid, || users(root));
        if self.users.known(head.uid).is_some() && !self.told.contains(&head.uid) {
            if self.told.len() >= MOST {
                self.told.clear();
            }
            self.told.insert(head.uid);
            self.fresh.push(head.uid);
        }
        let id = head.cgroup_id;
        if self.containers.knows(id) {
            self.containers.refresh(id);
        } else {
            self.cgroups.path(id);
            // Not where all are still being walked through.
            match self.cgroups.known.get(&id) {
                Some(path) => self.containers.add(id, path.as_deref()),
                None => self.containers.tell(id),
            }
        }
        if self.processes.is_some() && !self.is_in_one(id) {
            // What begins a program has often been moved just before.
            self.look_at_process(head, event.kind.life == Some(Life::Program));
        }
    }

    /// Whether a cgroup (v2) itself is known to be a container's.
    fn is_in_one(&self, id: u64) -> bool {
        self.containers.known.get(&id).is_some_and(|about| !about.containers.is_empty())
    }

    fn look_at_process(&mut self, head: &Head, moved: bool) {
        let Some(processes) = &mut self.processes else { return };
        processes.look_up(head.pid, head.ppid, moved);
        let Some(place) = processes.place(head.pid) else { return };
        if self.containers.knows(place) {
            self.containers.refresh(place);
        } else if let Some(path) = processes.path(place) {
            self.containers.add(place, Some(path));
        }
    }

    /// What is known of where an event's process is.
    fn about(&self, head: &Head) -> Option<&About> {
        let known = &self.containers.known;
        let place = self.processes.as_ref().filter(|_| !self.is_in_one(head.cgroup_id));
        let place = place.and_then(|processes| processes.place(head.pid)).and_then(|place| known.get(&place));
        place.or_else(|| known.get(&head.cgroup_id))
    }

    /// Adds the names that are known. The event lives no longer than what it borrows from here.
    pub fn add<'e>(&'e self, event: &mut Event<'e>) {
        if !self.has_names || !event.head.has_process() {
            return;
        }
        let user = self.users.known(event.head.uid).flatten();
        let cgroup = self.containers.known.get(&event.head.cgroup_id).and_then(|about| about.path.as_deref());
        let about = self.about(&event.head);
        let unit = about.and_then(|about| about.unit.as_deref());
        let container = about.and_then(|about| about.containers.last());
        event.names = Some(Names { user, cgroup, unit, container });
    }

    /// Whether an event is shown.
    pub fn wants(&mut self, head: &Head) -> bool {
        let wanted = self.verdict(head) != Verdict::Refused;
        if !wanted {
            self.containers.tell(head.cgroup_id);
        }
        wanted
    }

    /// What becomes of an event.
    fn verdict(&self, head: &Head) -> Verdict {
        match self.about(head).filter(|_| head.has_process()) {
            Some(about) => about.verdict,
            None if self.containers.chosen.is_all() => Verdict::Shown,
            // It is in none.
            None if !head.has_process() => Verdict::Refused,
            // Of a recording, no more will be known.
            None if self.root.is_none() => Verdict::Refused,
            None => Verdict::Unsure,
        }
    }

    /// What was looked up since then, as a recording has it.
    pub fn take_fresh(&mut self) -> impl Iterator<Item = Vec<u8>> {
        let moved = self.processes.as_mut().map(|processes| take(&mut processes.fresh)).unwrap_or_default();
        let users =
            take(&mut self.fresh).into_iter().map(|uid| (Recorded::User { uid }, self.users.known(uid).flatten()));
        let cgroup = |id: u64| {
            let About { path, containers, sure, .. } = self.containers.known.get(&id)?;
            Some((Recorded::Cgroup { id, containers: containers.clone(), sure: *sure }, path.as_deref()))
        };
        let cgroups = take(&mut self.containers.fresh).into_iter().filter_map(cgroup);
        let process = |pid| Some((Recorded::Process { pid, id: self.processes.as_ref()?.place(pid)? }, None));
        let processes = moved.into_iter().filter_map(process);
        users.chain(cgroups).chain(processes).filter_map(|(what, name)| {
            let mut bytes = serde_json::to_vec(&what).ok()?;
            if let Some(name) = name {
                bytes.push(b'\n');
                bytes.extend_from_slice(name);
            }
            Some(bytes)
        })
    }

    /// Takes what a recording has.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn take_recorded(&mut self, bytes: &[u8]) -> Result<()> {
        let (what, name) = match bytes.iter().position(|b| *b == b'\n') {
            Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
            None => (bytes, None),
        };
        match serde_json::from_slice(what).context("a user's or a cgroup's names")? {
            Recorded::User { uid } => self.users.put(uid, name),
            Recorded::Cgroup { id, containers, sure } => self.containers.put(id, name, containers, sure),
            Recorded::Process { pid, id } => self.processes.get_or_insert_with(|| Processes::new(None)).adopt(pid, id),
        }
        self.has_names = true;
        Ok(())
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
        let mut resolver = Resolver::new(tree.root(), Some(&tree.path(MOUNT)));
        resolver.containers = Containers::patient(Files::new(tree.root(), Some(&tree.path(MOUNT))));
        resolver
    }

    fn id(tree: &Tree, cgroup: &str) -> u64 {
        fs::metadata(tree.path(MOUNT).join(cgroup)).unwrap().ino()
    }

    /// The names of an event's user and cgroup, once a walk that is under way has ended: a busy machine may need several
    /// slices of it.
    fn names_of(names: &mut Resolver, uid: u32, cgroup_id: u64) -> [String; 2] {
        let mut event = Event::new(&KIND, Head { uid, cgroup_id, ..Head::default() });
        names.look_up(&event);
        while names.cgroups.is_walking() {
            names.cgroups.next = None;
            names.look_up(&event);
        }
        names.add(&mut event);
        let Names { user, cgroup, .. } = event.names.unwrap();
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

    /// The container and the unit of an event, and what becomes of it.
    fn place(names: &mut Resolver, cgroup_id: u64) -> (String, String, Verdict) {
        names_of(names, 0, cgroup_id);
        let mut event = Event::new(&KIND, Head { cgroup_id, ..Head::default() });
        names.add(&mut event);
        let Names { unit, container, .. } = event.names.unwrap();
        let container = container.map_or("-", Container::shown).to_owned();
        (container, String::from_utf8_lossy(unit.unwrap_or(b"-")).into_owned(), names.verdict(&event.head))
    }

    const WEB: &str = "sys/fs/cgroup/system.slice/docker-ID.scope";
    const ID: &str = "cafe00cafe00cafe00cafe00cafe00cafe00cafe00cafe00cafe00cafe00cafe";

    fn web(tree: &Tree) -> u64 {
        let cgroup = WEB.replace("ID", ID);
        tree.dir(&cgroup);
        fs::metadata(tree.path(&cgroup)).unwrap().ino()
    }

    fn name_it(tree: &Tree) {
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        tree.file(&file, r#"{"Name":"/web","Config":{"Image":"nginx"}}"#);
    }

    fn chosen(container: &str) -> Chosen {
        Chosen::new(&[container.to_owned()], &[]).unwrap()
    }

    #[test]
    fn a_cgroup_is_in_a_container_and_a_unit() {
        let tree = tree();
        let web = web(&tree);
        name_it(&tree);
        let mut names = resolver(&tree);
        let scope = format!("docker-{ID}.scope");
        assert_eq!(place(&mut names, web), ("web".into(), scope, Verdict::Shown));
        let cron = id(&tree, "system.slice/cron.service");
        assert_eq!(place(&mut names, cron), ("-".into(), "cron.service".into(), Verdict::Shown));
        // It is kept when all of it is gone.
        tree.remove("var/lib/docker");
        tree.remove(&WEB.replace("ID", ID));
        assert_eq!(place(&mut names, web).0, "web");
    }

    #[test]
    fn a_container_is_looked_for_again_once() {
        let tree = tree();
        let web = web(&tree);
        let mut names = resolver(&tree);
        names.choose(chosen("web"));
        let scope = format!("docker-{ID}.scope");
        assert_eq!(place(&mut names, web), (ID[..12].into(), scope.clone(), Verdict::Unsure));
        name_it(&tree);
        names.containers.later();
        assert_eq!(place(&mut names, web), ("web".into(), scope.clone(), Verdict::Shown));

        let mut names = resolver(&tree);
        names.choose(chosen("web"));
        tree.remove("var/lib/docker");
        assert_eq!(place(&mut names, web).2, Verdict::Unsure);
        names.containers.later();
        assert_eq!(place(&mut names, web).2, Verdict::Refused, "there is no more to find");
        name_it(&tree);
        names.containers.later();
        assert_eq!(place(&mut names, web), (ID[..12].into(), scope, Verdict::Refused));
    }

    #[test]
    fn what_is_not_chosen_is_refused() {
        let tree = tree();
        let web = web(&tree);
        name_it(&tree);
        let of = |chosen: Chosen, cgroup| {
            let mut names = resolver(&tree);
            names.choose(chosen);
            place(&mut names, cgroup).2
        };
        let cron = id(&tree, "system.slice/cron.service");
        assert_eq!((of(chosen("w*"), web), of(chosen("w*"), cron)), (Verdict::Shown, Verdict::Refused));
        assert_eq!((of(chosen("db"), web), of(chosen("cafe00"), web)), (Verdict::Refused, Verdict::Shown));
        let unit = Chosen::new(&[], &["cron".to_owned()]).unwrap();
        assert_eq!((of(unit.clone(), web), of(unit, cron)), (Verdict::Refused, Verdict::Shown));
        assert_eq!(of(chosen("web"), u64::MAX), Verdict::Unsure, "gone before it was found");
    }

    #[test]
    fn a_recording_has_the_names_of_its_events() {
        let tree = tree();
        let (web, cron) = (web(&tree), id(&tree, "system.slice/cron.service"));
        let mut live = resolver(&tree);
        let mut replayed = Resolver::recorded();
        let mut event = Event::new(&KIND, Head { cgroup_id: web, ..Head::default() });
        replayed.add(&mut event);
        assert_eq!(event.names, None, "it has none yet");
        drop(event);
        let mut compare = |live: &mut Resolver, uid, cgroup_id, entries| {
            let head = Head { uid, cgroup_id, ..Head::default() };
            names_of(live, uid, cgroup_id);
            let fresh: Vec<_> = live.take_fresh().collect();
            assert_eq!(fresh.len(), entries, "{uid} {cgroup_id}");
            fresh.iter().for_each(|entry| replayed.take_recorded(entry).unwrap());
            let (mut a, mut b) = (Event::new(&KIND, head), Event::new(&KIND, head));
            live.add(&mut a);
            replayed.add(&mut b);
            assert_eq!(a.names, b.names);
            assert!(a.names.is_some());
        };
        compare(&mut live, 0, web, 2);
        compare(&mut live, 0, web, 0);
        compare(&mut live, 0, cron, 1);
        compare(&mut live, 4711, u64::MAX, 0);
        later(&mut live);
        compare(&mut live, 4711, u64::MAX, 2);
        // Its name is found later.
        name_it(&tree);
        live.containers.later();
        compare(&mut live, 0, web, 1);
        for damaged in [&b""[..], b"{}", b"\n", b"{\"User\":{\"uid\":-1}}", b"[]\n/x"] {
            assert!(replayed.take_recorded(damaged).is_err());
        }
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
