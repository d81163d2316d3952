//! The files of a run: `-O FILE` and `--record FILE`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::host::{Peer, Scratch, text, until};
use crate::support::{Trace, coretrace, parse, targets};

#[test]
fn the_output_and_the_recording_are_not_one_file() {
    let scratch = Scratch::new("one-file");
    let file = scratch.file("file", "precious\n");
    let link = scratch.path("link");
    fs::hard_link(&file, &link).unwrap();
    for (output, record) in
        [(&file, text(&file)), (&file, text(&link)), (&Path::new("-").to_owned(), "/proc/self/fd/1")]
    {
        let mut command = Command::new(coretrace());
        command.args(["proc", "-o", "json", "-O", text(output), "--record", record, "--"]).arg(targets());
        let stdout = OpenOptions::new().append(true).open(&file).unwrap();
        let ended = command.args(["exit", "0"]).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        let printed = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{record}: {printed}");
        assert!(printed.contains("--record") && printed.contains("this file is the output, too"), "{printed}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious\n", "{record}");
    }
    // Files that several may share (terminals, /dev/null) do not count.
    let program = targets();
    let both = ["proc", "-q", "-O", "/dev/null", "--record", "/dev/null", "--", text(&program), "exit", "0"];
    assert_eq!(crate::support::run(both).status.code(), Some(0));
}

#[test]
fn a_recording_is_not_replayed_into_itself() {
    let scratch = Scratch::new("itself");
    let file = scratch.path("recording");
    let program = targets();
    let args = ["proc", "-q", "-O", "/dev/null", "--record", text(&file), "--", text(&program), "exit", "0"];
    assert_eq!(crate::support::run(args).status.code(), Some(0));
    let before = fs::read(&file).unwrap();
    let ended = crate::support::run(["replay", text(&file), "-O", text(&file)]);
    assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn files_are_for_their_owner_alone() {
    let scratch = Scratch::new("private");
    let (output, record, old) = (scratch.path("output"), scratch.path("record"), scratch.file("old", "what was there"));
    fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
    for output in [&output, &old] {
        let script = format!(
            "umask 0; exec {} proc -q -O {} --record {} -- {} exit 0",
            text(&coretrace()),
            text(output),
            text(&record),
            text(&targets())
        );
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    }
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&output), mode(&record), mode(&old)), (0o600, 0o600, 0o644));
    assert!(fs::read_to_string(&old).unwrap().starts_with("TIME"), "it was emptied");
}

/// `proc -p PEER -O FILE`, attached.
fn watch(peer: &Peer, file: &Path, format: &str) -> Trace {
    let mut command = Command::new(coretrace());
    command.args(["proc", "-v", "-o", format, "-O", text(file), "-p", &peer.pid().to_string()]);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    trace
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_that_is_emptied_meanwhile_has_no_hole() {
    let scratch = Scratch::new("emptied");
    let file = scratch.path("events");
    let mut peer = Peer::obedient();
    let trace = watch(&peer, &file, "json");
    peer.order("forks 1");
    until("the first fork", || lines(&file).len() == 1);
    // As logrotate does with copytruncate.
    File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
    peer.order("forks 1");
    until("the second fork", || lines(&file).len() == 1);
    assert_eq!(parse(&lines(&file)[0])["kind"], "fork");
    trace.signal(Signal::SIGTERM);
    assert_eq!(trace.output().balance().delivered, 2);
}

#[test]
fn sighup_opens_the_file_again() {
    let scratch = Scratch::new("rotated");
    let (file, old) = (scratch.path("events"), scratch.path("events.1"));
    let mut peer = Peer::obedient();
    let mut trace = watch(&peer, &file, "text");
    peer.order("forks 1");
    until("the first fork", || lines(&file).len() == 2);
    fs::rename(&file, &old).unwrap();
    peer.order("forks 1");
    until("what goes on in the old file", || lines(&old).len() == 3);
    trace.signal(Signal::SIGHUP);
    until("the new file begins as every one", || lines(&file).len() == 1);
    assert!(lines(&file)[0].starts_with("TIME"));
    peer.order("forks 1");
    until("the third fork", || lines(&file).len() == 2);
    assert_eq!(lines(&old).len(), 3);
    // If that fails, nothing changes.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    trace.signal(Signal::SIGHUP);
    trace.note("the failure", |line| line.contains("not opened again"));
    trace.signal(Signal::SIGTERM);
    let ended = trace.output();
    assert_eq!((ended.status.code(), ended.balance().delivered), (Some(0), 3), "{:#?}", ended.stderr);
}
