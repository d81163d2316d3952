//! exec: which file is run, however it was named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use crate::known::{Dir, text, traced, words};
use crate::support::{Ended, targets};

/// The last exec: of the program that the test is about.
fn last_exec(ended: &Ended) -> &serde_json::Value {
    ended.kind("exec").pop().unwrap_or_else(|| panic!("no exec: {:#?}", ended.stderr))
}

#[test]
fn a_symlink_is_resolved() {
    let dir = Dir::new();
    let link = dir.join("another-name");
    symlink(targets(), &link).unwrap();
    let ended = traced(&[], words!["arg0", &link, &link, "who"]);
    let exec = last_exec(&ended);
    assert_eq!(exec["exe"], json!(targets().canonicalize().unwrap()));
    assert_eq!(exec["exe"], ended.reported("who")["exe"]);
    assert_eq!(exec["argv"], json!([link, "who"]), "called by the link's name");
    assert_eq!(exec["comm"], "another-name", "the kernel names it after the link");
}

#[test]
fn a_relative_path_is_resolved() {
    let dir = Dir::new();
    fs::create_dir(dir.join("sub")).unwrap();
    symlink(targets().canonicalize().unwrap().parent().unwrap(), dir.join("sub/link")).unwrap();
    let name = format!("./sub/../sub/link/{}", targets().file_name().unwrap().display());
    let ended = traced(&[], words!["in-dir", dir.path(), &name, "who"]);
    let exec = last_exec(&ended);
    assert_eq!(exec["exe"], json!(targets().canonicalize().unwrap()));
    assert_eq!(exec["argv"], json!([name, "who"]));
}

#[test]
fn a_path_crosses_mounts() {
    let dir = Dir::new();
    let ended = traced(&[], words!["in-mounts", dir.path(), "who"]);
    let exec = last_exec(&ended);
    let expected = dir.join("there").join(targets().canonicalize().unwrap().file_name().unwrap());
    assert_eq!(exec["exe"], json!(expected));
    assert_eq!(exec["exe"], ended.reported("who")["exe"]);
}

#[test]
fn in_a_chroot_the_file_is_everybodys_and_the_working_directory_the_processs() {
    let dir = Dir::new();
    let copy = dir.join("copy");
    let ended = traced(&["--cwd"], words!["copied", &copy, targets(), "in-chroot", dir.path(), "/copy", "who"]);
    let exec = last_exec(&ended);
    assert_eq!(exec["argv"], json!(["/copy", "who"]));
    // The file is from the root of the mount namespace, the working directory as the process sees it.
    assert_eq!((&exec["exe"], &exec["cwd"]), (&json!(copy), &json!("/")));
}

#[test]
fn a_script_is_shown_as_its_interpreter_runs_it() {
    let dir = Dir::new();
    let script = dir.join("script");
    let line = format!("{} who", targets().display());
    let ended = traced(&[], words!["script", &script, &line, "", "two words"]);
    let exec = last_exec(&ended);
    assert_eq!(exec["exe"], json!(targets().canonicalize().unwrap()), "the interpreter");
    assert_eq!(exec["argv"], json!([targets(), "who", script, "", "two words"]));
    assert_eq!(exec["comm"], "script");
    assert_eq!(ended.reported("who")["comm"], "script");
}

#[test]
fn a_deleted_file_is_shown_as_such() {
    let dir = Dir::new();
    let file = dir.join("gone");
    let ended = traced(&[], words!["deleted", &file, "who"]);
    let exec = last_exec(&ended);
    assert_eq!(ended.reported("who")["exe"], format!("{} (deleted)", file.display()), "it is gone");
    assert_eq!((&exec["exe"], &exec["exe_deleted"]), (&json!(file), &json!(true)));
    assert_eq!(ended.kind("exec")[0].get("exe_deleted"), None);
}

#[test]
fn a_file_in_memory_is_shown_by_its_name() {
    let ended = traced(&[], ["memfd", "evil", "who"]);
    let exec = last_exec(&ended);
    assert_eq!((&exec["exe"], &exec["exe_deleted"]), (&json!("/memfd:evil"), &json!(true)));
    assert_eq!(ended.reported("who")["exe"], "/memfd:evil (deleted)");
    assert_eq!(exec["argv"], json!(["evil", "who"]));
    assert_eq!(exec["comm"], ended.reported("who")["comm"]);
}

#[test]
fn a_file_run_by_execveat_is_shown() {
    let file = targets().canonicalize().unwrap();
    let name = file.file_name().unwrap();
    let ended = traced(&[], words!["execveat", file.parent().unwrap(), name, "who", "more"]);
    let exec = last_exec(&ended);
    assert_eq!((&exec["exe"], &exec["argv"]), (&json!(file), &json!([name.to_str(), Some("who"), Some("more")])));
    assert_eq!(exec["comm"], ended.reported("who")["comm"]);
}

/// A copy of the targets, this many directories down, and the exec event of it.
fn run_below(dirs: usize, name_len: usize) -> (PathBuf, serde_json::Value) {
    let dir = Dir::new();
    let deep = (0..dirs).fold(dir.path().to_owned(), |path, n| path.join(format!("{n:d<name_len$}")));
    fs::create_dir_all(&deep).unwrap();
    let copy = deep.join("copy");
    let ended = traced(&[], words!["copied", &copy, &copy, "who"]);
    let exec = last_exec(&ended).clone();
    assert_eq!(exec["argv"], json!([copy, "who"]));
    assert_eq!(ended.reported("who")["exe"], json!(copy));
    (copy, exec)
}

/// The whole path, or its last names, marked as cut.
fn assert_whole_or_cut(path: &PathBuf, exec: &serde_json::Value) {
    if exec.get("exe_truncated").is_none() {
        return assert_eq!(exec["exe"], json!(path));
    }
    assert_eq!(exec["exe_truncated"], true);
    let (shown, path) = (text(&exec["exe"]), path.to_str().unwrap());
    let missing = path.strip_suffix(shown).unwrap_or_else(|| panic!("{shown} is no end of {path}"));
    assert!(missing.ends_with('/') && !shown.starts_with('/'), "cut between names: {missing} {shown}");
    assert!(shown.len() > 500, "{shown}");
}

#[test]
fn a_path_of_sixty_names_is_complete() {
    let (path, exec) = run_below(55, 20);
    assert_eq!(exec["exe"], json!(path));
    assert_eq!(exec.get("exe_truncated"), None);
}

#[test]
fn a_path_of_a_hundred_names_is_complete_or_cut_visibly() {
    let (path, exec) = run_below(100, 20);
    assert_whole_or_cut(&path, &exec);
}

#[test]
fn a_path_of_three_thousand_bytes_is_complete() {
    let (path, exec) = run_below(14, 250);
    assert!(path.as_os_str().len() > 3500);
    assert_eq!(exec["exe"], json!(path));
    assert_eq!(exec.get("exe_truncated"), None);
}

#[test]
fn a_path_of_four_thousand_bytes_is_complete_or_cut_visibly() {
    let (path, exec) = run_below(16, 249);
    assert!((4000..4096).contains(&path.as_os_str().len()), "{}", path.as_os_str().len());
    assert_whole_or_cut(&path, &exec);
}
