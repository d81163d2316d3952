//! What the tests of `coretrace open` share: scripts for the target `opens`, and what was seen of them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::known::{without_misses, words};
use crate::support::{Ended, Trace, coretrace, must_have, targets};

/// The ways to hook in, those that see most first.
pub const WAYS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];

/// Orders for the target `opens`, in sequence.
#[derive(Clone, Default)]
pub struct Script(pub Vec<OsString>);

impl Script {
    /// Any order.
    pub fn then<const N: usize>(mut self, words: [OsString; N]) -> Script {
        self.0.extend(words);
        self
    }

    pub fn open(self, path: impl AsRef<OsStr>, flags: i32) -> Script {
        self.then(words!["open", path.as_ref(), flags.to_string(), 0o640.to_string()])
    }

    pub fn openat(self, dir: i32, path: impl AsRef<OsStr>, flags: i32) -> Script {
        self.then(words!["openat", dir.to_string(), path.as_ref(), flags.to_string(), 0o640.to_string()])
    }

    pub fn openat2(self, dir: i32, path: impl AsRef<OsStr>, flags: i32, mode: u32, resolve: u64) -> Script {
        let (dir, flags) = (dir.to_string(), flags.to_string());
        self.then(words!["openat2", dir, path.as_ref(), flags, mode.to_string(), resolve.to_string()])
    }

    pub fn creat(self, path: impl AsRef<OsStr>) -> Script {
        self.then(words!["creat", path.as_ref(), 0o604.to_string()])
    }

    /// Opens a directory, whose descriptor later orders may use.
    pub fn dir(self, path: impl AsRef<OsStr>) -> Script {
        self.open(path, libc::O_PATH | libc::O_DIRECTORY)
    }

    pub fn cd(self, path: impl AsRef<OsStr>) -> Script {
        self.then(words!["cd", path.as_ref()])
    }
}

/// `coretrace open OPTIONS`, with tracefs, in its own mount namespace.
pub fn open_command<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["open", "-o", "json", "-O", "-", "-v"]).args(options);
    command
}

/// Traces `targets ARGS…` to its end, all of it delivered; the events in the order of their times.
pub fn traced_opens<S: AsRef<OsStr>>(options: &[&str], args: impl IntoIterator<Item = S>) -> Ended {
    let args: Vec<_> = args.into_iter().collect();
    let mut ended =
        without_misses(options, || Trace::raw(open_command(options).arg("--").arg(targets()).args(&args)).end());
    ended.assert_clean();
    ended.events.sort_by_key(|event| event["boot_ns"].as_u64());
    ended
}

/// Traces only a script, not how its program was started.
pub fn scripted(options: &[&str], script: &Script) -> Ended {
    traced_opens(&[options, &["-n", "opening"]].concat(), words!["opens"].iter().chain(&script.0))
}

/// An event for each open of a script, with the result that the target saw.
pub fn opened(options: &[&str], script: &Script) -> Vec<Value> {
    let ended = scripted(options, script);
    let reported: Vec<_> = ended.all_reported("open").into_iter().map(|reported| reported["ret"].clone()).collect();
    let seen: Vec<_> = ended.events.iter().map(|event| event["ret"].clone()).collect();
    assert_eq!(seen, reported, "{:#?}", ended.events);
    ended.events
}

/// The same for a script whose last open is what matters.
pub fn last_opened(script: &Script) -> Value {
    opened(&[], script).pop().expect("an open")
}

/// Whether this way to hook in works here: in a VM, it must.
pub fn works(way: &str) -> bool {
    let mut command = open_command(["--attach", way, "-q", "--"]);
    must_have(way) || command.arg(targets()).args(["exit", "0"]).output().expect("coretrace starts").status.success()
}

/// The ways that see more than system calls of 64-bit programs.
pub fn knowing_ways() -> Vec<&'static str> {
    WAYS[..2].iter().copied().filter(|way| works(way)).collect()
}

/// The paths of events.
pub fn paths(events: &[Value]) -> Vec<&Path> {
    events.iter().map(|event| Path::new(event["path"].as_str().expect("a path"))).collect()
}
