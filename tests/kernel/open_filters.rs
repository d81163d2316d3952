//! open: filters; those in the kernel count what they refuse.

use std::fs::{self, create_dir};
use std::os::unix::fs::symlink;

use libc::{O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use serde_json::json;

use crate::host::Peer;
use crate::known::{Dir, cgroup_root, words};
use crate::opened::{Script, open_command, paths, scripted, traced_opens};
use crate::support::{Ended, Trace, run, skip, targets};

/// The names of the files that were shown.
fn names(ended: &Ended) -> Vec<&str> {
    paths(&ended.events).iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
}

/// On each CPU the sequence has no gap: missing events were refused in the kernel, not by coretrace.
fn assert_refused_in_the_kernel(ended: &Ended, refused: u64) {
    let mut seen: Vec<_> = ended.events.iter().map(|e| (e["cpu"].as_u64(), e["seq"].as_u64().unwrap())).collect();
    seen.sort_unstable();
    let mut next = (None, 0);
    for (cpu, seq) in seen {
        assert_eq!(seq, if next.0 == cpu { next.1 } else { 0 }, "{:#?}", ended.events);
        next = (cpu, seq + 1);
    }
    let totals = ended.totals();
    assert!(totals.filtered >= refused, "{totals:?}");
}

/// A directory with files, and a script that opens them in several ways.
fn several() -> (Dir, Script) {
    let dir = Dir::new();
    for name in ["read", "written", "both", "emptied"] {
        fs::write(dir.join(name), "").unwrap();
    }
    let script = Script::default()
        .open(dir.join("read"), O_RDONLY)
        .open(dir.join("missing"), O_RDONLY)
        .open(dir.join("written"), O_WRONLY)
        .open(dir.join("both"), O_RDWR)
        .open(dir.join("made"), O_RDWR | O_CREAT)
        .open(dir.join("emptied"), O_WRONLY | O_CREAT | O_TRUNC)
        .open(dir.join("no/parent"), O_WRONLY);
    (dir, script)
}

#[test]
fn filters_show_only_what_they_say() {
    for (options, expected) in [
        (&["-x"][..], &["missing", "parent"][..]),
        (&["--write"], &["written", "both", "made", "emptied", "parent"]),
        (&["--flags", "O_CREAT"], &["made", "emptied"]),
        (&["--flags", "O_CREAT,O_TRUNC"], &["emptied"]),
        (&["-x", "--write"], &["parent"]),
    ] {
        let (_dir, script) = several();
        let ended = scripted(options, &script);
        assert_eq!(names(&ended), expected, "{options:?}");
        assert_refused_in_the_kernel(&ended, 7 - expected.len() as u64);
    }
}

#[test]
fn a_flag_that_is_not_known_is_wrong_usage() {
    let output = run(["open", "--flags", "O_CREATE", "--", "true"]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("O_CREATE:") && printed.contains("O_CREAT, ") && printed.contains("O_CLOEXEC"),
        "{printed}"
    );
}

#[test]
fn a_path_filter_is_a_directory_and_all_below_it() {
    let dir = Dir::new();
    for name in ["a", "a/deep", "a/deep/er", "ab", "b"] {
        create_dir(dir.join(name)).unwrap();
    }
    let script =
        ["a", "a/deep", "a/deep/er", "ab", "b"].iter().fold(Script::default(), |s, name| s.dir(dir.join(name)));
    let script = script.cd(dir.path()).dir("a/deep").dir("b");
    let ended = scripted(&["--path", dir.join("a").to_str().unwrap()], &script);
    assert_eq!(names(&ended), ["a", "deep", "er", "deep"]);
    let glob = format!("{}/*/deep", dir.path().display());
    assert_eq!(names(&scripted(&["--path", &glob], &script)), ["deep", "deep"]);
}

#[test]
fn a_path_filter_is_not_evaded_by_another_spelling() {
    let dir = Dir::new();
    let at = |name: &str| dir.join(name);
    create_dir(at("secret")).unwrap();
    create_dir(at("other")).unwrap();
    fs::write(at("secret/file"), "").unwrap();
    let elsewhere = Dir::new();
    let link = elsewhere.join("link");
    symlink(at("secret/file"), &link).unwrap();
    let base = dir.path().to_str().unwrap();
    let script = Script::default()
        .open(format!("{base}/other/../secret/file"), O_RDONLY)
        .open(format!("/{base}//secret/./file"), O_RDONLY)
        .open(format!("/proc/self/root{base}/secret/file"), O_RDONLY)
        .open(format!("/dev/../{base}/secret/missing"), O_RDONLY)
        .open(&link, O_RDONLY)
        .cd(at("other"))
        .open("../secret/file", O_RDONLY)
        .open("file", O_RDONLY)
        .open(format!("{base}/secret/../other/missing"), O_RDONLY);
    let secret = at("secret");
    let ended = scripted(&["--path", secret.to_str().unwrap()], &script);
    let spelled: Vec<_> = ended.events.iter().map(|event| event["path"].as_str().unwrap()).collect();
    assert_eq!(spelled.len(), 6, "{spelled:#?}");
    assert!(ended.events.iter().all(|e| e["file"] == json!(at("secret/file")) || e["errno"] == "ENOENT"));
}

#[test]
fn paths_that_begin_otherwise_are_refused_in_the_kernel() {
    let dir = Dir::new();
    let opens = |s: Script| s.open("/dev/null", O_RDONLY).open(dir.path(), O_RDONLY);
    let script = (0..20).fold(Script::default(), |script, _| opens(script));
    let ended = scripted(&["--path", dir.path().to_str().unwrap()], &script);
    assert_eq!(ended.events.len(), 20);
    assert_refused_in_the_kernel(&ended, 20);
}

#[test]
fn one_of_several_processes_is_shown() {
    let (mut one, mut other) = (Peer::obedient(), Peer::obedient());
    let mut trace = Trace::raw(&mut open_command(["-p", &one.pid().to_string()]));
    trace.ready();
    other.order("open /dev/zero");
    let fd = one.order("open /dev/null");
    let event = trace.wait_for("its open", |e| e["path"] == "/dev/null");
    assert_eq!((event["ret"].to_string(), &event["pid"]), (fd, &json!(one.pid())));
    let ended = trace.stop();
    assert!(ended.events.iter().all(|e| e["pid"] == one.pid()), "{:#?}", ended.events);
}

#[test]
fn one_of_several_users_is_shown() {
    let script =
        Script::default().open("/dev/null", O_RDONLY).then(words!["user", "65534"]).open("/dev/zero", O_RDONLY);
    let ended = scripted(&["-u", "65534"], &script);
    assert_eq!((names(&ended), &ended.events[0]["uid"]), (vec!["zero"], &json!(65534)));
}

#[test]
fn one_of_several_names_is_shown() {
    let script = Script::default().then(words!["name", "quiet"]).open("/dev/null", O_RDONLY);
    let script = script.then(words!["name", "loud"]).open("/dev/zero", O_RDONLY);
    let ended = traced_opens(&["-n", "l?ud"], words!["opens"].iter().chain(&script.0));
    assert_eq!((names(&ended), &ended.events[0]["comm"]), (vec!["zero"], &json!("loud")));
}

#[test]
fn one_of_several_cgroups_is_shown() {
    if fs::metadata(cgroup_root().join("cgroup.procs")).is_err() {
        return skip("open_filters::one_of_several_cgroups_is_shown", "no cgroup v2");
    }
    let cgroup = Dir::cgroup();
    let script = Script::default().open("/dev/zero", O_RDONLY);
    let (here, there) = (words!["opens"], words!["in-cgroup", cgroup.path(), targets(), "opens"]);
    let options = ["-c", cgroup.path().to_str().unwrap(), "-n", "opening"];
    assert_eq!(traced_opens(&options, here.iter().chain(&script.0)).events.len(), 0);
    let ended = traced_opens(&options, there.iter().chain(&script.0));
    assert_eq!(names(&ended), ["zero"]);
    let name = format!("/{}", cgroup.path().file_name().unwrap().to_str().unwrap());
    assert!(ended.events[0]["cgroup"].as_str().unwrap().ends_with(&name), "{:#?}", ended.events);
}
