//! `coretrace exec` of a list of attempts: see targets/events/attempts.rs.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::host::Scratch;
use crate::support::{Ended, Trace, coretrace, must_have, targets};

/// `coretrace TRACER -o json -O - -v ARGS…`, with tracefs mounted; does not wait.
pub fn start<S: AsRef<OsStr>>(tracer: &str, args: impl IntoIterator<Item = S>) -> Trace {
    let mut command = Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args([tracer, "-o", "json", "-O", "-", "-v"]).args(args);
    Trace::raw(&mut command)
}

/// Traces `targets ARGS…` by `coretrace exec OPTIONS…`, all of it delivered.
pub fn exec<S: AsRef<OsStr>>(options: &[&str], args: impl IntoIterator<Item = S>) -> Ended {
    let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
    line.extend(["--".into(), targets().into_os_string()]);
    line.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    let ended = start("exec", line).end();
    ended.assert_clean();
    ended
}

/// The ways in which `exec` hooks in: all of them in a VM, elsewhere those that work on the machine.
pub fn flavours() -> Vec<&'static str> {
    let works = |flavour: &&str| {
        let args = ["--attach", flavour, "--", targets().to_str().unwrap(), "exit", "0"].map(str::to_owned);
        must_have(flavour) || start("exec", args).end().status.success()
    };
    let flavours: Vec<_> = ["fentry", "kprobe", "ksyscall", "tracepoint"].into_iter().filter(works).collect();
    assert!(!flavours.is_empty(), "no way to hook in works here");
    flavours
}

/// The results of the attempts.
pub struct Tried {
    pub ended: Ended,
    /// The event of each, and the thread that tried.
    pub events: Vec<Value>,
    pub tids: Vec<Value>,
}

/// Traces attempts; each must have an event that agrees with the kernel's answer, and there must be no others.
pub fn tried(options: &[&str], attempts: &[Value]) -> Tried {
    let scratch = Scratch::new(&format!("attempts-{:?}", thread::current().id()));
    let list = scratch.file("list", json!(attempts).to_string());
    let ended = exec(options, [OsStr::new("attempts"), list.as_os_str()]);
    let reported = ended.all_reported("tried");
    assert_eq!(reported.len(), attempts.len());
    let tids = ended.all_reported("trying").iter().map(|reported| reported["tid"].clone()).collect();
    let events = reported.iter().zip(attempts).map(|(reported, attempt)| {
        let event = ended.one("execve", &reported["pid"]);
        assert_eq!(event["ret"].as_i64(), reported["code"].as_i64().map(|code| -code), "{attempt}: {event}");
        event.clone()
    });
    let events = events.collect();
    assert_eq!(ended.events.len(), 1 + attempts.len(), "its own, and those of the list");
    Tried { ended, events, tids }
}

/// A copy of the targets, made by another process: a process forked meanwhile would have it open for writing.
pub fn copy_of_targets(to: &Path) {
    assert!(Command::new("cp").arg(targets()).arg(to).status().expect("cp").success());
}

/// A file with these permissions.
pub fn file(path: &Path, content: &[u8], mode: u32) {
    let written = Command::new("sh").args(["-c", "cat >\"$1\"", "sh"]).arg(path).stdin(pipe(content)).status();
    assert!(written.expect("sh").success());
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn pipe(content: &[u8]) -> std::io::PipeReader {
    let (read, mut write) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut write, content).expect("it fits into a pipe");
    read
}

/// A directory with something of each kind to try.
pub struct Zoo(crate::known::Dir);

impl Zoo {
    pub fn new() -> Zoo {
        let dir = crate::known::Dir::new();
        copy_of_targets(&dir.join("program"));
        file(&dir.join("text"), b"no program", 0o644);
        file(&dir.join("garbage"), b"\x7fELF, but not really", 0o755);
        let line = format!("#!{} who\n", dir.join("program").display());
        file(&dir.join("script"), line.as_bytes(), 0o755);
        fs::create_dir(dir.join("sub")).unwrap();
        Zoo(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }
}

/// A map of that name held by a process.
pub fn map_of(pid: u32, name: &str) -> Option<libbpf_rs::MapHandle> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process that runs");
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let id = |text: String| text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok());
    let mut maps = texts.filter_map(id).filter_map(|id| libbpf_rs::MapHandle::from_map_id(id).ok());
    maps.find(|map| libbpf_rs::MapCore::name(map) == name)
}
