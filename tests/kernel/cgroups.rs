//! `-c`: a cgroup, and all below it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{Peer, text};
use crate::known::{Dir, cgroup_root};
use crate::support::{Trace, in_vm, skip, targets};

const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup that is removed after the test, once it is empty.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(path: &str) -> Cgroup {
        let path = Path::new(ROOT).join(path);
        fs::create_dir(&path).unwrap();
        Cgroup(path)
    }

    fn add(&self, peer: &Peer) {
        fs::write(self.0.join("cgroup.procs"), peer.pid().to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        crate::host::until("the cgroup is empty", || fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

#[test]
fn a_cgroup_and_those_below() {
    if !in_vm() {
        return skip("cgroups::a_cgroup_and_those_below", "changes the cgroups of the host");
    }
    // Dropped in the opposite order: the processes first, the outermost cgroup last.
    let (outer, beside) = (Cgroup::new("tb-outer"), Cgroup::new("tb-beside"));
    let inner = Cgroup::new("tb-outer/inner");
    let innermost = Cgroup::new("tb-outer/inner/most");
    let mut peers = [(); 5].map(|()| Peer::obedient());
    for (cgroup, peer) in [&outer, &inner, &innermost, &beside].into_iter().zip(&peers) {
        cgroup.add(peer);
    }
    for (args, counts) in [
        (vec!["-c", "/sys/fs/cgroup/tb-outer"], [1, 1, 1, 0, 0]),
        (vec!["-c", "/tb-outer/inner"], [0, 1, 1, 0, 0]),
        (vec!["-c", "tb-outer/inner/most", "-c", "tb-beside/"], [0, 0, 1, 1, 0]),
        (vec!["-c", "/"], [1, 1, 1, 1, 1]),
    ] {
        let trace = Trace::proc(&args);
        peers.iter_mut().for_each(|peer| drop(peer.order("forks 1")));
        let ended = trace.stop();
        let totals = ended.assert_clean();
        let shown = peers.each_ref().map(|peer| ended.of("fork", peer.pid()).len());
        assert_eq!(shown, counts, "{args:?}");
        let hidden = counts.iter().filter(|n| **n == 0).count() as u64;
        assert!(totals.filtered >= 2 * hidden, "{args:?}: {totals:?}");
        for (peer, cgroup) in peers.iter().zip([&outer, &inner, &innermost, &beside]) {
            use std::os::unix::fs::MetadataExt;
            let id = fs::metadata(&cgroup.0).unwrap().ino();
            assert!(ended.of("fork", peer.pid()).iter().all(|e| e["cgroup_id"] == id), "{}", text(&cgroup.0));
        }
    }
    drop(peers);
}

#[test]
fn a_cgroup_has_its_path_at_once() {
    let mut peer = Peer::obedient();
    let pid = peer.pid().to_string();
    let mut trace = crate::attempts::start("exec", ["-p", &pid, "--follow"].map(String::from).to_vec());
    trace.ready();
    let run = format!("run {} exit 0", text(&targets()));
    // One after the other, each made when those before have been shown: a walk through all would miss later ones, and
    // is made at most once per second.
    let begin = std::time::Instant::now();
    let mut cgroups = Vec::new();
    for _ in 0..5 {
        cgroups.push(Dir::cgroup());
        let cgroup = cgroups.last().unwrap();
        fs::write(cgroup.join("cgroup.procs"), &pid).unwrap();
        let child = peer.order(&run);
        let exec = trace.wait_for("it ran", |e| e["pid"].to_string() == child);
        let path = Path::new("/").join(cgroup.path().strip_prefix(cgroup_root()).unwrap());
        assert_eq!(exec["cgroup"], text(&path), "after {:?}", begin.elapsed());
    }
    trace.stop().assert_clean();
    peer.end();
}

#[test]
fn a_cgroup_that_is_made_again_is_watched_again() {
    if !in_vm() {
        return skip("cgroups::a_cgroup_that_is_made_again_is_watched_again", "changes the cgroups of the host");
    }
    let path = cgroup_root().join("tb-service");
    fs::create_dir(&path).unwrap();
    let mut trace = Trace::proc(["-c", "/tb-service", "--events", "exec"]);
    let run = format!("run {} exit 0", text(&targets()));
    for _ in 0..2 {
        let mut peer = Peer::obedient();
        fs::write(path.join("cgroup.procs"), peer.pid().to_string()).unwrap();
        let child = peer.order(&run);
        trace.wait_for("what it runs", |e| e["pid"].to_string() == child);
        peer.end();
        crate::host::until("the cgroup is empty", || fs::remove_dir(&path).is_ok());
        trace.stderr.clear();
        trace.note("that it is gone", |line| line.contains("tb-service is gone"));
        fs::create_dir(&path).unwrap();
        trace.note("that it is there again", |line| line.contains("tb-service is another cgroup now"));
    }
    trace.stop().assert_clean();
    fs::remove_dir(&path).unwrap();
}
