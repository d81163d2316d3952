//! Labels that are refused: a message says why, and existing files stay as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

use crate::host::{Peer, Scratch, copy_of_coretrace};
use crate::labels::{Labels, PINS, stderr_of};
use crate::support::{Ended, Trace, coretrace, in_vm, skip, targets};

/// `coretrace exec --labels NAME -- targets exit 0` run by `targets WRAP…`.
fn exec(labels: &Labels, wrap: &[&str], coretrace: &Path) -> Ended {
    let mut command = Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(targets()).args(wrap).arg(coretrace);
    command.args(["exec", "-o", "json", "-O", "-", "-v", "--labels", &labels.0, "--"]).arg(targets());
    Trace::raw(command.args(["exit", "0"])).end()
}

/// It ended with 1, the command did not run, and the message has all of these words.
fn assert_says(ended: &Ended, words: &[&str]) {
    let printed = ended.stderr.join("\n");
    assert_eq!((ended.status.code(), ended.events.len()), (Some(1), 0), "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    // Not once for each way to hook in.
    assert_eq!(printed.matches(words[0]).count(), 1, "{printed}");
}

/// The same of a tracer and of `coretrace label`.
fn assert_refused(labels: &Labels, words: &[&str]) {
    assert_says(&exec(labels, &["mounts", "+tracefs"], &coretrace()), words);
    let output = labels.label("set", &["uid", "0", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words.iter().all(|word| stderr_of(&output).contains(word)), "{words:?}: {}", stderr_of(&output));
}

/// A map with one entry, pinned where labels would be.
fn pinned(labels: &Labels, kind: MapType, name: &str, key: u32, value: u32) -> MapHandle {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    let mut map = MapHandle::create(kind, Some(name), key, value, 8, &options).unwrap();
    fs::create_dir_all(PINS).unwrap();
    map.update(&vec![0; key as usize], &vec![7; value as usize], MapFlags::ANY).unwrap();
    map.pin(labels.pin()).unwrap();
    map
}

fn assert_unharmed(labels: &Labels, map: &MapHandle) {
    let there = MapHandle::from_pinned_path(labels.pin()).expect("it is still pinned");
    assert_eq!(there.info().unwrap().info.id, map.info().unwrap().info.id, "the same one");
    let key = vec![0; map.key_size() as usize];
    let value = there.lookup(&key, MapFlags::ANY).unwrap();
    assert_eq!(value, Some(vec![7; map.value_size() as usize]));
}

#[test]
fn another_versions_labels_are_left_alone() {
    let Some(labels) = Labels::new("another_versions_labels_are_left_alone") else { return };
    let map = pinned(&labels, MapType::Hash, "labels_v0", 16, 32);
    assert_refused(&labels, &["another version of coretrace", "labels_v0", "labels_v1", &labels.0]);
    assert_unharmed(&labels, &map);
}

#[test]
fn what_is_no_map_of_labels_is_left_alone() {
    let shapes = [
        (MapType::Array, "x", 4, 8),
        (MapType::Array, "labels_v1", 4, 8),
        (MapType::Hash, "labels_v1", 8, 32),
        (MapType::Hash, "labels_v1", 16, 64),
    ];
    for (kind, name, key, value) in shapes {
        let Some(labels) = Labels::new("what_is_no_map_of_labels_is_left_alone") else { return };
        let map = pinned(&labels, kind, name, key, value);
        assert_refused(&labels, &["no map of labels", name, "left alone"]);
        assert_unharmed(&labels, &map);
    }
}

#[test]
fn a_pinned_program_is_left_alone() {
    let Some(labels) = Labels::new("a_pinned_program_is_left_alone") else { return };
    if Command::new("bpftool").arg("version").output().is_err() {
        return skip("once::labels_refused::a_pinned_program_is_left_alone", "there is no bpftool to pin one");
    }
    let peer = Peer::obedient();
    let mut trace = crate::attempts::start("exec", ["-p", &peer.pid().to_string()]);
    trace.ready();
    let id = *crate::host::programs_of(trace.child.id()).first().unwrap();
    fs::create_dir_all(PINS).unwrap();
    let bpftool = |args: &[&str]| {
        let output = Command::new("bpftool").args(args).arg(labels.pin()).output().unwrap();
        assert!(output.status.success(), "{}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    bpftool(&["prog", "pin", "id", &id.to_string()]);
    assert_refused(&labels, &["no map of labels", "left alone", &labels.0]);
    assert!(bpftool(&["prog", "show", "pinned"]).starts_with(&format!("{id}:")), "it is still there");
    trace.stop();
}

#[test]
fn without_the_bpf_file_system_the_message_says_how_to_mount_it() {
    let Some(labels) = Labels::new("without_the_bpf_file_system_the_message_says_how_to_mount_it") else { return };
    let words = ["BPF file system", "not mounted", "mount -t bpf bpf /sys/fs/bpf"];
    for change in ["-bpf", "tmpfs-on-bpf"] {
        assert_says(&exec(&labels, &["mounts", change], &coretrace()), &words);
        let mut command = Command::new(targets());
        let output = command.args(["mounts", change]).arg(coretrace()).args(["label", "ls"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{change}");
        assert!(words.iter().all(|word| stderr_of(&output).contains(word)), "{}", stderr_of(&output));
    }
}

/// The owner of the directory could remove root's labels, or replace them.
#[test]
fn a_directory_of_somebody_else_is_not_used() {
    const NAME: &str = "a_directory_of_somebody_else_is_not_used";
    let Some(labels) = Labels::new(NAME) else { return };
    if !in_vm() {
        return skip(&format!("once::labels_refused::{NAME}"), "gives the directory of all labels away");
    }
    fs::create_dir_all(PINS).unwrap();
    let shared = |owner, mode| {
        std::os::unix::fs::chown(PINS, Some(owner), None).unwrap();
        fs::set_permissions(PINS, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let words = ["is not root's own directory", PINS, "rm -r /sys/fs/bpf/coretrace"];
    for (owner, mode) in [(54321, 0o755), (0, 0o777), (0, 0o775)] {
        shared(owner, mode);
        let refused = std::panic::catch_unwind(|| assert_refused(&labels, &words));
        let listed = crate::support::run(["label", "ls"]);
        shared(0, 0o755);
        refused.unwrap();
        assert!(listed.status.code() == Some(1) && stderr_of(&listed).contains(words[0]), "{}", stderr_of(&listed));
    }
    assert!(!labels.pin().exists());
    assert_eq!(exec(&labels, &["mounts", "+tracefs"], &coretrace()).status.code(), Some(0));
}

#[test]
fn without_the_right_to_pin_or_open_the_message_says_so() {
    const NAME: &str = "without_the_right_to_pin_or_open_the_message_says_so";
    let Some(labels) = Labels::new(NAME) else { return };
    if !in_vm() {
        return skip(&format!("once::labels_refused::{NAME}"), "needs a hook that works without root");
    }
    fs::create_dir_all(PINS).unwrap();
    let scratch = Scratch::new("labels-rights");
    let coretrace = copy_of_coretrace(&scratch);
    // CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_BPF: enough to trace.
    let wrap = ["as", "uid=54321,caps=2+38+39,memlock=1073741824"];
    let pin = labels.pin();
    assert_says(
        &exec(&labels, &wrap, &coretrace),
        &["pinning the labels at", pin.to_str().unwrap(), "ermission denied"],
    );
    assert!(!pin.exists());
    let map = pinned(&labels, MapType::Hash, "labels_v1", 16, 32);
    assert_says(&exec(&labels, &wrap, &coretrace), &["opening", pin.to_str().unwrap(), "CAP_BPF", "sudo"]);
    assert_unharmed(&labels, &map);
}
