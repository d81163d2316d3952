//! Containers and units: names, `--container`, `--unit`. Their cgroups and files are made as runtimes make them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::host::{Peer, Scratch, text, until};
use crate::known::{cgroup_root, inode};
use crate::support::{DEADLINE, Ended, Trace, in_vm, skip, targets};

/// Where docker has its containers.
const DOCKER: &str = "/var/lib/docker/containers";

/// A container's cgroup and file, which are removed after the test.
struct Container {
    id: String,
    cgroup: PathBuf,
}

impl Container {
    /// As docker makes it with systemd: first its file, then its cgroup.
    fn new(digit: char, name: &str) -> Container {
        let container = Container::nameless(digit);
        container.name(name);
        container
    }

    fn nameless(digit: char) -> Container {
        let id = digit.to_string().repeat(64);
        let cgroup = cgroup_root().join(format!("tb.slice/docker-{id}.scope"));
        fs::create_dir_all(&cgroup).unwrap();
        Container { id, cgroup }
    }

    fn name(&self, name: &str) {
        let dir = Path::new(DOCKER).join(&self.id);
        fs::create_dir_all(&dir).unwrap();
        let config = json!({ "ID": self.id, "Name": format!("/{name}"), "Config": { "Image": "nginx:1.25" } });
        fs::write(dir.join("config.v2.json"), config.to_string()).unwrap();
    }

    fn add(&self, peer: &Peer) {
        fs::write(self.cgroup.join("cgroup.procs"), peer.pid().to_string()).unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(DOCKER).join(&self.id));
        until("the cgroup is empty", || fs::remove_dir(&self.cgroup).is_ok() || !self.cgroup.exists());
        let _ = fs::remove_dir(self.cgroup.parent().unwrap());
    }
}

/// How many forks of each peer are shown.
fn forks<const N: usize>(ended: &Ended, peers: &[Peer; N]) -> [usize; N] {
    peers.each_ref().map(|peer| ended.of("fork", peer.pid()).len())
}

#[test]
fn a_container_is_named_in_every_event_and_in_a_replay() {
    if !in_vm() {
        return skip("containers::a_container_is_named_in_every_event_and_in_a_replay", "changes the host's /var/lib");
    }
    let scratch = Scratch::new("containers");
    let file = scratch.path("recording");
    let web = Container::new('a', "web-1");
    let mut peers = [Peer::obedient(), Peer::obedient()];
    web.add(&peers[0]);
    let pids = peers.each_ref().map(|peer| peer.pid().to_string()).join(",");
    let trace = Trace::proc(["-p", &pids, "--record", text(&file)]);
    peers.iter_mut().for_each(|peer| drop(peer.order("forks 1")));
    let ended = trace.stop();
    ended.assert_clean();
    let [inside, outside] = peers.each_ref().map(|peer| ended.of("fork", peer.pid())[0]);
    let container = json!({ "id": web.id, "name": "web-1", "image": "nginx:1.25", "runtime": "docker", "pod": null, "namespace": null });
    assert_eq!(inside["container"], container);
    assert_eq!(inside["unit"], format!("docker-{}.scope", web.id));
    assert_eq!(inside["cgroup_id"], inode(&web.cgroup));
    assert_eq!((&outside["container"], &outside["unit"]), (&json!(null), &json!(null)));
    let replayed = crate::support::run(["replay", "-o", "json", text(&file)]);
    assert_eq!(String::from_utf8(replayed.stdout).unwrap().lines().collect::<Vec<_>>(), ended.stdout);
    let only = crate::support::run(["replay", "--container", "web-*", "-o", "json", text(&file)]);
    assert_eq!(String::from_utf8(only.stdout).unwrap().lines().count(), ended.of("fork", peers[0].pid()).len());
    drop(peers);
}

#[test]
fn containers_are_filtered_and_those_that_start_later_are_added() {
    if !in_vm() {
        return skip(
            "containers::containers_are_filtered_and_those_that_start_later_are_added",
            "changes the host's /var/lib",
        );
    }
    let (web, db) = (Container::new('a', "web-1"), Container::new('b', "db"));
    let mut peers = [(); 3].map(|()| Peer::obedient());
    web.add(&peers[0]);
    db.add(&peers[1]);
    for (args, counts) in [
        (&["--container", "web-1"][..], [2, 0, 0]),
        (&["--container", "web-*", "--container", "bbbbbbbbbbbb"], [2, 2, 0]),
        (&["--container", "*"], [2, 2, 0]),
        (&["--container", "other"], [0, 0, 0]),
        (&["--unit", "docker-bbbb*.scope"], [0, 2, 0]),
    ] {
        let trace = Trace::proc(args);
        peers.iter_mut().for_each(|peer| drop(peer.order("forks 2")));
        let ended = trace.stop();
        let totals = ended.assert_clean();
        assert_eq!(forks(&ended, &peers), counts, "{args:?}");
        let hidden = counts.iter().filter(|n| **n == 0).count() as u64;
        assert!(totals.filtered >= 4 * hidden, "{args:?}: {totals:?}");
    }
    // One that starts while the run goes on, from its first event on.
    let trace = Trace::proc(["--container", "web-*"]);
    peers.iter_mut().for_each(|peer| drop(peer.order("forks 1")));
    let late = Container::new('c', "web-2");
    late.add(&peers[2]);
    peers.iter_mut().for_each(|peer| drop(peer.order("forks 3")));
    let ended = trace.stop();
    ended.assert_clean();
    assert_eq!(forks(&ended, &peers), [4, 0, 3]);
    assert!(ended.of("fork", peers[2].pid()).iter().all(|event| event["container"]["name"] == "web-2"));
    drop(peers);
}

#[test]
fn a_refused_container_is_filtered_in_the_kernel() {
    if !in_vm() {
        return skip("containers::a_refused_container_is_filtered_in_the_kernel", "changes the host's /var/lib");
    }
    let db = Container::new('b', "db");
    let mut peer = Peer::obedient();
    db.add(&peer);
    let scratch = Scratch::new("refused");
    let file = scratch.path("recording");
    let mut trace = Trace::proc(["-p", &peer.pid().to_string(), "--container", "web", "--record", text(&file)]);
    trace.ready();
    // What user space has refused once does not come again: of a thousand, a recording has few.
    peer.order("forks 1");
    let recorded = || {
        let replayed = crate::support::run(["replay", "-o", "json", text(&file)]);
        String::from_utf8(replayed.stdout).unwrap().lines().count()
    };
    until("the first of them came", || recorded() > 0);
    peer.order("forks 1000");
    let ended = trace.stop();
    let totals = ended.assert_clean();
    assert_eq!(totals.delivered, 0);
    assert!(totals.filtered >= 1001 && recorded() < 500, "{totals:?}, {} recorded", recorded());
    drop(peer);
}

#[test]
fn a_container_whose_file_comes_later_is_looked_for_again() {
    if !in_vm() {
        return skip(
            "containers::a_container_whose_file_comes_later_is_looked_for_again",
            "changes the host's /var/lib",
        );
    }
    let web = Container::nameless('d');
    let mut peer = Peer::obedient();
    web.add(&peer);
    let mut trace = Trace::proc(["-p", &peer.pid().to_string()]);
    trace.ready();
    peer.order("forks 1");
    let first = trace.wait_for("a fork", |event| event["kind"] == "fork");
    assert_eq!((&first["container"]["id"], &first["container"]["name"]), (&json!(web.id), &json!(null)));
    web.name("late");
    let begin = std::time::Instant::now();
    loop {
        let child = peer.order(&format!("run {} exit 0", text(&targets())));
        let fork = trace.wait_for("its fork", |event| event["child_pid"].to_string() == child);
        if fork["container"]["name"] == "late" {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{fork}");
    }
    trace.stop().assert_clean();
    drop(peer);
}
