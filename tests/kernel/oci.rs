//! Containers that a real OCI runtime starts, in cgroups as those have them that call it: Debian's crun, without systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::host::{Scratch, text as path};
use crate::known::text;
use crate::support::{Ended, Trace, coretrace, in_vm, parse, skip};

/// Where guests have it.
const CRUN: &str = "/usr/sbin/crun";

/// A directory with what a container is made of: busybox.
fn bundle(scratch: &Scratch, cgroup: &str) -> PathBuf {
    let bundle = scratch.path("bundle");
    for dir in ["rootfs/bin", "rootfs/proc", "rootfs/dev"] {
        fs::create_dir_all(bundle.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", bundle.join("rootfs/bin/busybox")).unwrap();
    for name in ["sh", "ls", "cat"] {
        let link = bundle.join("rootfs/bin").join(name);
        symlink("busybox", &link).or_else(|error| if link.exists() { Ok(()) } else { Err(error) }).unwrap();
    }
    let spaces = ["pid", "ipc", "uts", "mount"].map(|space| json!({ "type": space }));
    let config = json!({
        "ociVersion": "1.0.0",
        "process": {
            "terminal": false, "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin", "INSIDE=1"],
            "args": ["/bin/sh", "-c", "/bin/ls /; /bin/cat; exit 3"],
        },
        "root": { "path": "rootfs" },
        "hostname": "inside",
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "cgroupsPath": cgroup, "namespaces": spaces },
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

/// Runs a container under `coretrace ARGS… -- crun`, until its last program waits for input, then to its end.
fn run(scratch: &Scratch, cgroup: &str, id: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(coretrace());
    command.args(["proc", "-o", "json", "-O", "-", "-v"]).args(args).args(["--", CRUN, "--root"]);
    command.arg(scratch.path("state")).args(["--cgroup-manager", "cgroupfs", "run", "--bundle"]);
    // A guest's root is its initramfs, which cannot be exchanged for another one.
    command.arg(bundle(scratch, cgroup)).args(["--no-pivot", id]).stdin(Stdio::piped());
    let mut trace = Trace::with_stdin(&mut command);
    let input = trace.child.stdin.take();
    trace.line("the last program of the container", |line| is_exec_of(line, "/bin/cat"));
    drop(input);
    let mut ended = trace.output();
    // CMD's own output is among them.
    ended.events = ended.stdout.iter().filter(|line| line.starts_with('{')).map(|line| parse(line)).collect();
    assert_eq!(ended.status.code(), Some(3), "{:#?}", ended.stderr);
    ended
}

fn is_exec_of(line: &str, program: &str) -> bool {
    line.starts_with("{\"kind\":\"exec\"") && parse(line)["argv"][0] == program
}

/// Whether it is not skipped: only in guests, which have crun.
fn can_run(test: &str) -> bool {
    let can = in_vm() && Path::new(CRUN).exists();
    if !can {
        skip(&format!("oci::{test}"), "it makes cgroups and files of the host's");
    }
    can
}

/// A file that a runtime makes, removed after the test.
struct Made(&'static str, PathBuf);

impl Made {
    fn new(top: &'static str, file: String, content: &str) -> Made {
        let file = PathBuf::from(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        Made(top, file)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let mut path = self.1.as_path();
        let _ = fs::remove_file(path);
        while let Some(parent) = path.parent().filter(|parent| parent.starts_with(self.0)) {
            let _ = fs::remove_dir(parent);
            path = parent;
        }
    }
}

#[test]
fn what_crun_starts_is_in_its_container() {
    if !can_run("what_crun_starts_is_in_its_container") {
        return;
    }
    let id = |digit: &str| digit.repeat(64);
    let (bare, docker, pod) = (id("1a"), id("2b"), id("3c"));
    let (bare, docker, pod) = (&bare[..64], &docker[..64], &pod[..64]);
    let config = json!({ "ID": docker, "Name": "/web-1", "Config": { "Image": "nginx:1.25" } });
    let _docker = Made::new(
        "/var/lib/docker",
        format!("/var/lib/docker/containers/{docker}/config.v2.json"),
        &config.to_string(),
    );
    let _log = Made::new("/var/log/containers", format!("/var/log/containers/web-7c5d_shop_nginx-{pod}.log"), "");
    let slice = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podcafe.slice";
    for (cgroup, id, unit, of) in [
        (
            format!("/machine.slice/crun-{bare}.scope"),
            bare,
            json!(format!("crun-{bare}.scope")),
            json!({ "name": null, "runtime": "crun", "image": null, "pod": null, "namespace": null }),
        ),
        (
            format!("/docker/{docker}"),
            docker,
            json!(null),
            json!({ "name": "web-1", "runtime": "docker", "image": "nginx:1.25", "pod": null, "namespace": null }),
        ),
        (
            format!("{slice}/cri-containerd-{pod}.scope"),
            pod,
            json!(format!("cri-containerd-{pod}.scope")),
            json!({ "name": "nginx", "runtime": "containerd", "image": null, "pod": "web-7c5d", "namespace": "shop" }),
        ),
    ] {
        let scratch = Scratch::new("oci");
        let file = scratch.path("recording");
        let ended = run(&scratch, &cgroup, id, &["--record", path(&file), "--env", "INSIDE"]);
        let inside = |event: &&Value| !event["container"].is_null();
        for program in ["/bin/sh", "/bin/ls", "/bin/cat"] {
            let exec = ended.kind("exec").into_iter().find(|exec| exec["argv"][0] == program);
            let exec = exec.unwrap_or_else(|| panic!("no exec of {program}: {:#?}", ended.events));
            assert_eq!((&exec["container"]["id"], &exec["unit"]), (&json!(id), &unit), "{exec}");
            assert_eq!((text(&exec["cgroup"]), &exec["env"]), (cgroup.as_str(), &json!({ "INSIDE": "1" })), "{exec}");
        }
        // At its end: on a busy machine, events do not wait until a name is found.
        let last = ended.kind("exit").into_iter().rfind(inside).expect("the end of what is inside");
        for (member, value) in of.as_object().unwrap() {
            assert_eq!(last["container"][member], *value, "{member}: {last}");
        }
        let crun = ended.kind("exec").into_iter().find(|exec| exec["argv"][0] == CRUN).expect("crun's own");
        assert_eq!((&crun["container"], &crun["unit"]), (&json!(null), &json!(null)));
        views(&ended, &file, id, &unit);

        // With a filter, only what is inside is shown.
        let mut of_it = run(&scratch, &cgroup, id, &["--container", &id[..12]]);
        let totals = of_it.assert_ended();
        of_it.events.retain(|event| event["kind"] != "lost");
        assert!(of_it.events.iter().all(|event| inside(&event)), "{:#?}", of_it.events);
        assert!(of_it.events.len() >= 6 && totals > 0, "{:#?}", of_it.events);
        let _ = fs::remove_dir(format!("/sys/fs/cgroup{cgroup}"));
    }
}

impl Ended {
    /// How many events were filtered, in a run whose command ended otherwise than with 0.
    fn assert_ended(&self) -> u64 {
        let totals = self.balance();
        assert_eq!(totals.dropped, 0, "{:#?}", self.stderr);
        totals.filtered
    }
}

/// Lives and nodes of the tree say where processes were, as their events do.
fn views(ended: &Ended, file: &Path, id: &str, unit: &Value) {
    let replay = |args: &[&str]| {
        let output = Trace::raw(Command::new(coretrace()).args(["replay", path(file)]).args(args)).output();
        assert!(output.status.success(), "{:#?}", output.stderr);
        output.stdout
    };
    for view in ["--lives", "--tree=end"] {
        let objects: Vec<Value> = replay(&[view, "-o", "json"]).iter().map(|line| parse(line)).collect();
        let is_it = |one: &&Value, program: &str| one["argv"][0] == program && one.get("fork_of").is_none();
        let of = |program: &str| objects.iter().find(|one| is_it(one, program)).expect("its process");
        for program in ["/bin/ls", "/bin/cat", "/bin/sh"] {
            let one = of(program);
            assert_eq!((&one["container"]["id"], &one["unit"]), (&json!(id), unit), "{view}: {one}");
        }
        let crun = of(CRUN);
        assert_eq!(
            (&crun["container"], &crun["unit"], &crun["begun"]),
            (&json!(null), &json!(null), &json!("command"))
        );
    }
    let lines = replay(&["--lives", "-w", "--utc"]);
    assert!(lines[0].contains(" CONTAINER ") && lines.len() >= 4, "{lines:#?}");
    let cat = ended.kind("exec").into_iter().find(|exec| exec["argv"][0] == "/bin/cat").expect("its exec");
    let container = &ended.one("exit", &cat["pid"])["container"];
    let name = container["name"].as_str().unwrap_or(&text(&container["id"])[..12]);
    assert!(lines.iter().any(|line| line.ends_with(" /bin/cat") && line.contains(&format!(" {name} "))), "{lines:#?}");
}
