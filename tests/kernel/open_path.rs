//! open: paths are absolute and right, or marked as incomplete.

use std::fs::{self, create_dir};
use std::os::unix::fs::symlink;

use libc::{AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR};
use serde_json::{Value, json};

use crate::known::{Dir, words};
use crate::opened::{Script, last_opened, opened, scripted};

/// The first descriptor that a script gets.
const FIRST: i32 = 3;
/// include/uapi/linux/openat2.h
const RESOLVE_IN_ROOT: u64 = 0x10;

/// A directory with a file in it.
fn with_file() -> Dir {
    let dir = Dir::new();
    create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/file"), "").unwrap();
    dir
}

/// The path, the file, and no marks.
fn assert_path(event: &Value, path: impl serde::Serialize, file: impl serde::Serialize) {
    assert_eq!((&event["path"], &event["file"]), (&json!(path), &json!(file)), "{event}");
    for mark in ["path_truncated", "path_deleted", "path_unreachable"] {
        assert_eq!(event.get(mark), None, "{event}");
    }
}

#[test]
fn an_absolute_path_is_shown_as_it_was_spelled() {
    let dir = with_file();
    let base = dir.path().to_str().unwrap();
    let spelled =
        ["/sub/file", "//sub///file", "/./sub/./file", "/sub/../sub/file"].map(|name| format!("{base}{name}"));
    let script = spelled.iter().fold(Script::default(), |script, path| script.open(path, O_RDONLY));
    for (event, path) in opened(&[], &script).iter().zip(&spelled) {
        assert_path(event, path, dir.join("sub/file"));
    }
}

#[test]
fn a_relative_path_begins_with_the_working_directory() {
    let dir = with_file();
    let base = dir.path().to_str().unwrap();
    let spelled = ["file", "./file", "../sub/file", ".//file"];
    let script = Script::default().cd(dir.join("sub"));
    let script = spelled.iter().fold(script, |script, path| script.open(path, O_RDONLY));
    for (event, path) in opened(&[], &script).iter().zip(spelled) {
        assert_path(event, format!("{base}/sub/{path}"), dir.join("sub/file"));
        assert_eq!(event["cwd"], json!(dir.join("sub")));
    }
}

#[test]
fn a_path_relative_to_the_root_has_one_slash() {
    let event = last_opened(&Script::default().cd("/").open("dev/null", O_RDONLY));
    assert_path(&event, "/dev/null", "/dev/null");
}

#[test]
fn a_symlink_is_in_the_path_and_resolved_in_the_file() {
    let dir = with_file();
    symlink("sub", dir.join("link")).unwrap();
    let event = last_opened(&Script::default().cd(dir.path()).open("link/file", O_RDONLY));
    assert_path(&event, dir.join("link/file"), dir.join("sub/file"));
}

#[test]
fn a_path_below_a_directorys_descriptor_is_complete() {
    let dir = with_file();
    let script = Script::default().dir(dir.join("sub")).openat(FIRST, "file", O_RDONLY);
    let events = opened(&[], &script.openat2(FIRST, "file", O_RDONLY, 0, 0));
    for event in &events[1..] {
        assert_path(event, dir.join("sub/file"), dir.join("sub/file"));
        assert_ne!(event["cwd"], json!(dir.join("sub")));
    }
    assert_eq!(events.len(), 3);
}

#[test]
fn a_directory_that_was_renamed_has_its_new_name() {
    let dir = with_file();
    let rename = words!["rename", dir.join("sub"), dir.join("new")];
    let event = last_opened(&Script::default().dir(dir.join("sub")).then(rename).openat(FIRST, "file", O_RDONLY));
    assert_path(&event, dir.join("new/file"), dir.join("new/file"));
}

#[test]
fn a_directory_that_is_gone_is_marked() {
    let dir = Dir::new();
    let gone = dir.join("gone");
    let script = Script::default().then(words!["mkdir", &gone]).cd(&gone).then(words!["rmdir", &gone]);
    let event = last_opened(&script.open("file", O_CREAT | O_RDWR));
    assert_eq!((&event["path"], &event["errno"]), (&json!(gone.join("file")), &json!("ENOENT")), "{event}");
    assert_eq!(event["path_deleted"], true, "{event}");
}

#[test]
fn in_a_chroot_the_path_is_the_processs_and_the_file_everybodys() {
    let dir = with_file();
    let chroot = Script::default().then(words!["chroot", dir.path()]).cd("/sub");
    for event in opened(&[], &chroot.open("file", O_RDONLY).open("/sub/file", O_RDONLY)) {
        assert_path(&event, "/sub/file", dir.join("sub/file"));
        assert_eq!(event["cwd"], "/sub");
    }
}

#[test]
fn a_directory_outside_of_the_chroot_is_marked() {
    let dir = with_file();
    create_dir(dir.join("root")).unwrap();
    let script = Script::default().dir(dir.join("sub")).then(words!["chroot", dir.join("root")]).cd("/");
    let event = last_opened(&script.openat(FIRST, "file", O_RDONLY));
    assert_eq!(event["path_unreachable"], true, "{event}");
    assert_eq!((&event["path"], &event["file"]), (&json!(dir.join("sub/file")), &json!(dir.join("sub/file"))));
}

#[test]
fn in_a_bind_mount_the_path_is_the_mounts() {
    let dir = with_file();
    create_dir(dir.join("there")).unwrap();
    let script = Script::default().then(words!["bind", dir.join("sub"), dir.join("there")]).cd(dir.join("there"));
    assert_path(&last_opened(&script.open("file", O_RDONLY)), dir.join("there/file"), dir.join("there/file"));
}

#[test]
fn a_path_crosses_mounts() {
    let dir = Dir::new();
    create_dir(dir.join("outer")).unwrap();
    let (outer, inner) = (dir.join("outer"), dir.join("outer/a/inner"));
    let script = Script::default().then(words!["tmpfs", &outer]).then(words!["mkdir", outer.join("a")]);
    let script = script.then(words!["mkdir", &inner]).then(words!["tmpfs", &inner]).cd(&inner);
    let event = last_opened(&script.open("file", O_CREAT | O_RDWR));
    assert_path(&event, inner.join("file"), inner.join("file"));
}

#[test]
fn a_path_of_four_thousand_bytes_is_whole() {
    let dir = with_file();
    let base = dir.path().to_str().unwrap();
    let dots = "./".repeat((4000 - base.len() - "/sub/file".len()) / 2);
    let name = format!("{dots}sub/file");
    let whole = format!("{base}/{name}");
    assert!(whole.len() >= 3999);
    for event in opened(&[], &Script::default().cd(base).open(&name, O_RDONLY).open(&whole, O_RDONLY)) {
        assert_path(&event, &whole, dir.join("sub/file"));
    }
}

#[test]
fn a_file_without_a_path_has_the_kernels_name_for_it() {
    let dir = Dir::new();
    let gone = dir.join("gone");
    fs::write(&gone, "").unwrap();
    // Its ends are the descriptors 3 and 4; 5 is in memory, and 6 is deleted.
    let script = Script::default().then(words!["pipe"]).then(words!["memfd", "evil"]).open(&gone, O_RDONLY);
    let script = script.then(words!["unlink", &gone]).open("/proc/self/ns/net", O_RDONLY);
    let script = [3, 5, 6].iter().fold(script, |s, fd| s.open(format!("/proc/self/fd/{fd}"), O_RDONLY));
    let ended = scripted(&[], &script);
    let reported = ended.all_reported("open");
    let files: Vec<_> = reported.iter().map(|reported| reported["file"].as_str().expect("a link")).collect();
    for (name, file) in ["net:[", "pipe:[", "/memfd:evil (", "/tmp"].iter().zip(&files[1..]) {
        assert!(file.starts_with(name) || name == &"/tmp", "{file}");
    }
    assert_eq!(ended.events.len(), 5);
    for (event, file) in ended.events.iter().zip(files) {
        let mark = if event.get("file_deleted") == Some(&json!(true)) { " (deleted)" } else { "" };
        assert_eq!(format!("{}{mark}", event["file"].as_str().expect("a file")), file, "{event}");
    }
}

#[test]
fn an_empty_name_is_no_directory() {
    let dir = with_file();
    let script = Script::default().cd(dir.path()).open("", O_RDONLY).dir(dir.path()).openat(FIRST, "", O_RDONLY);
    let events = opened(&[], &script);
    for event in [&events[0], &events[2]] {
        assert_eq!((&event["path"], &event["errno"]), (&json!(""), &json!("ENOENT")), "{event}");
    }
}

#[test]
fn flags_that_could_not_be_read_are_not_made_up() {
    // Only this way sees the call: see the plans' `not_seen`.
    for options in [&["--attach", "tracepoint"][..], &["--attach", "tracepoint", "--write"]] {
        let script = Script::default().then(words!["openat2-nowhere", "/dev/null"]);
        let events = opened(options, &script);
        let [event] = &events[..] else { panic!("{events:#?}") };
        assert_eq!((&event["flags"], &event["mode"], &event["errno"]), (&json!(null), &json!(null), &json!("EFAULT")));
        assert_eq!(event["path"], "/dev/null", "{event}");
    }
}

#[test]
fn below_a_descriptor_that_is_none_the_beginning_is_missing() {
    let script = Script::default().openat(77, "some/file", O_RDONLY).openat(77, "/dev/null", O_RDONLY);
    let events = opened(&[], &script);
    let event = &events[0];
    assert_eq!((&event["errno"], &event["path"]), (&json!("EBADF"), &json!("some/file")), "{event}");
    assert_eq!(event["path_truncated"], true, "{event}");
    // An absolute name needs no directory.
    assert_path(&events[1], "/dev/null", "/dev/null");
}

#[test]
fn with_a_root_of_its_own_an_absolute_name_is_below_it() {
    let dir = with_file();
    let root = |script: Script, dir| script.openat2(dir, "/sub/file", O_RDONLY, 0, RESOLVE_IN_ROOT);
    let events = opened(&[], &root(root(Script::default().dir(dir.path()), FIRST).cd(dir.path()), AT_FDCWD));
    for event in &events[1..] {
        assert_path(event, dir.join("sub/file"), dir.join("sub/file"));
    }
    assert_eq!(events.len(), 3);
}
