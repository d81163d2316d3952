//! Limits that coretrace sets itself, whatever the kernel grants.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::host::{Peer, Scratch, text};
use crate::rights::{BPF, DAC_READ_SEARCH, PERFMON, SYS_RESOURCE, as_user, assert_says, elevated};
use crate::support::{Trace, coretrace, targets};

#[test]
fn without_proc_what_needs_it_says_so() {
    let peer = Peer::obedient();
    let targets = targets();
    let run = |args: &[&str]| {
        let mut command = Command::new(&targets);
        command.args(["mounts", "-proc"]).arg(coretrace()).args(["proc", "-o", "json"]).args(args);
        Trace::raw(&mut command).end()
    };
    assert_says(&run(&["--", text(&targets), "exit", "0"]), &["is /proc mounted?"]);
    assert_says(&run(&["-p", &peer.pid().to_string()]), &["needs /proc", "not mounted"]);
    let ended = run(&["-n", "coretrace-none", "-d", "0.1"]);
    assert_eq!(ended.assert_clean().delivered, 0);
}

#[test]
fn file_capabilities_do_not_open_the_files_of_others() {
    let scratch = Scratch::new("file-caps-others");
    let Some(copy) = elevated(&scratch, &[BPF, PERFMON, DAC_READ_SEARCH], 0o755) else { return };
    let secret = scratch.file("secret", "of root");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    for args in [
        &["replay", text(&secret)][..],
        &["relocs", "--object", text(&secret)],
        &["relocs", "--btf", text(&secret)],
        &["btf", "dump", "--btf", text(&secret)],
        &["check", "--btf", text(&secret)],
    ] {
        let output = as_user(&copy, &[]).args(args).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert!(!output.status.success() && printed.contains("ermission denied"), "{args:?}: {printed}");
    }
}

#[test]
fn a_set_user_id_copy_does_nothing() {
    let scratch = Scratch::new("set-id");
    for mode in [0o4755, 0o2755, 0o6755] {
        let Some(copy) = elevated(&scratch, &[], mode) else { return };
        for args in [&["check"][..], &["proc", "-d", "0.1", "-n", "nobody-has-this"], &["schema"], &["btf", "ls"]] {
            let output = as_user(&copy, &[]).args(args).output().unwrap();
            let printed = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}: {printed}");
            assert!(printed.contains("set-user-ID") && printed.contains("chmod ug-s"), "{printed}");
        }
        let output = as_user(&copy, &[]).args(["__child", "1,2", "0:0:0", "", "0,0", "id"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(as_user(&copy, &[]).arg("--version").output().unwrap().status.success());
        fs::remove_file(copy).unwrap();
    }
}

#[test]
fn too_few_descriptors_are_not_taken_for_missing_types() {
    let line = format!("ulimit -n 12; exec {} proc -v -- {} exit 3", text(&coretrace()), text(&targets()));
    // With that right, the limit is raised.
    let drop = format!("drop={SYS_RESOURCE}");
    let output = Command::new(targets()).args(["as", &drop, "/bin/sh", "-c", &line]).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("too many files are open") && printed.contains("ulimit -n"), "{printed}");
}
