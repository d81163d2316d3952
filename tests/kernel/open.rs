//! open: each system call, when it succeeds and when it fails.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use libc::{O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY};
use serde_json::{Value, json};

use crate::known::{Dir, text, words};
use crate::opened::{Script, last_opened, opened, scripted};

/// The current directory of a process, used where none is given.
const CWD: i32 = libc::AT_FDCWD;

#[test]
fn each_call_shows_its_descriptor_flags_and_mode() {
    let dir = Dir::new();
    let files = ["a", "b", "c", "d"].map(|name| dir.join(name));
    let script = Script::default()
        .cd(dir.path())
        .open(&files[0], O_CREAT | O_RDWR | O_EXCL)
        .openat(CWD, &files[1], O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC)
        .openat2(CWD, &files[2], O_CREAT | O_WRONLY, 0o7755, 0)
        .creat(&files[3])
        .open(&files[0], O_RDONLY);
    let events = opened(&[], &script);
    let flags = [
        (json!(["O_RDWR", "O_CREAT", "O_EXCL"]), json!("0640")),
        (json!(["O_WRONLY", "O_CREAT", "O_APPEND", "O_CLOEXEC"]), json!("0640")),
        (json!(["O_WRONLY", "O_CREAT"]), json!("07755")),
        (json!(["O_WRONLY", "O_CREAT", "O_TRUNC"]), json!("0604")),
        (json!(["O_RDONLY"]), Value::Null),
    ];
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    for (n, (event, (flags, mode))) in events.iter().zip(flags).enumerate() {
        let file = &files[n % 4];
        assert_eq!((&event["flags"], &event["mode"]), (&flags, &mode), "{event}");
        assert_eq!((&event["path"], &event["file"]), (&json!(file), &json!(file)));
        assert_eq!(event["cwd"], json!(dir.path()));
        assert_eq!((&event["user"], &event["uid"]), (&json!("root"), &json!(0)));
        assert_eq!(event["cgroup"].as_str(), cgroup, "{event}");
        assert_eq!((event.get("errno"), event.get("by")), (None, None), "{event}");
    }
    assert_eq!(events.len(), 5);
}

/// The error of each of the calls, when it opens that path for writing.
fn assert_fails(before: Script, path: &str, error: &str) {
    let calls = |s: Script| s.open(path, O_WRONLY).openat(CWD, path, O_WRONLY).openat2(CWD, path, O_WRONLY, 0, 0);
    for event in opened(&[], &calls(before).creat(path)) {
        assert_eq!((&event["errno"], &event["path"]), (&json!(error), &json!(path)), "{event}");
        assert_eq!(event.get("file"), None, "{event}");
    }
}

#[test]
fn a_file_that_is_not_there_is_enoent() {
    assert_fails(Script::default(), "/no-such-directory/file", "ENOENT");
}

#[test]
fn a_file_of_someone_else_is_eacces() {
    let dir = Dir::new();
    let file = dir.join("private");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_fails(Script::default().then(words!["user", "65534"]), file.to_str().unwrap(), "EACCES");
}

#[test]
fn a_directory_opened_for_writing_is_eisdir() {
    assert_fails(Script::default(), "/proc/self", "EISDIR");
}

#[test]
fn a_symlink_to_itself_is_eloop() {
    let dir = Dir::new();
    let link = dir.join("loop");
    symlink(&link, &link).unwrap();
    assert_fails(Script::default(), link.to_str().unwrap(), "ELOOP");
}

#[test]
fn one_file_too_many_is_emfile() {
    assert_fails(Script::default().then(words!["files", "3"]), "/dev/null", "EMFILE");
}

#[test]
fn a_name_that_cannot_be_read_is_null() {
    let event = last_opened(&Script::default().then(words!["open-nowhere"]));
    assert_eq!(event["errno"], "EFAULT");
    assert_eq!(event.get("path"), Some(&Value::Null), "{event}");
}

#[test]
fn a_name_of_five_thousand_bytes_is_cut_visibly() {
    let name = format!("/{}", "x".repeat(5000));
    let event = last_opened(&Script::default().open(&name, O_RDONLY));
    assert_eq!((&event["errno"], &event["path_truncated"]), (&json!("ENAMETOOLONG"), &json!(true)));
    let path = text(&event["path"]);
    assert!(name.starts_with(path) && path.len() >= 4095, "{} bytes", path.len());
}

#[test]
fn a_file_without_a_name_is_shown_by_its_directory() {
    let dir = Dir::new();
    let event = last_opened(&Script::default().open(dir.path(), O_TMPFILE | O_RDWR));
    assert_eq!((&event["path"], &event["mode"]), (&json!(dir.path()), &json!("0640")));
    assert_eq!(event["flags"], json!(["O_RDWR", "O_TMPFILE"]));
    assert!(text(&event["file"]).starts_with(dir.path().to_str().unwrap()), "{event}");
    assert_eq!(event["file_deleted"], true, "{event}");
}

#[test]
fn a_place_alone_can_be_opened() {
    let event = last_opened(&Script::default().open("/proc", O_PATH | O_TRUNC));
    assert_eq!(event["file"], "/proc");
    assert!(event["flags"].as_array().unwrap().contains(&json!("O_PATH")), "{event}");
}

#[test]
fn opens_of_children_and_grandchildren_are_shown() {
    let script = Script::default().open("/dev/null", O_RDONLY).then(words!["fork"]).open("/dev/zero", O_RDONLY);
    let ended = scripted(&[], &script.then(words!["fork"]).open("/dev/full", O_RDONLY));
    let reported = ended.all_reported("open");
    let opens = |path: &str| ended.events.iter().find(|e| e["path"] == path).map(|e| (&e["pid"], &e["ret"]));
    for (reported, path) in reported.iter().zip(["/dev/null", "/dev/zero", "/dev/full"]) {
        assert_eq!(opens(path), Some((&reported["pid"], &reported["ret"])), "{:#?}", ended.events);
    }
    assert_eq!((reported.len(), ended.events.len()), (3, 3));
    assert!(reported[0]["pid"] != reported[1]["pid"] && reported[1]["pid"] != reported[2]["pid"]);
}
