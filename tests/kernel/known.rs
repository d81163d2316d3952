//! What a test knows without coretrace: its target's reports, the available hooks, directories of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::support::{Ended, Trace, coretrace, kernel, must_have, parse, targets};

impl Ended {
    /// What a target reported about `what`, in order: see targets/events/say.rs.
    pub fn all_reported(&self, what: &str) -> Vec<Value> {
        let reported =
            self.stderr.iter().filter_map(|line| line.strip_prefix('@')?.strip_prefix(what)?.strip_prefix(' '));
        reported.map(parse).collect()
    }

    /// The same, if it was reported once.
    pub fn reported(&self, what: &str) -> Value {
        let reported = self.all_reported(what);
        assert_eq!(reported.len(), 1, "reported of {what}: {:#?}", self.stderr);
        reported.into_iter().next().unwrap()
    }

    /// The one event of a kind that a process has.
    pub fn one(&self, kind: &str, pid: &Value) -> &Value {
        let events = self.all(kind, "pid", pid);
        assert_eq!(events.len(), 1, "{kind} of {pid}: {events:#?}; reported {:#?}", self.stderr);
        events[0]
    }

    /// The last event of a kind that a process has.
    pub fn last(&self, kind: &str, pid: &Value) -> &Value {
        let events = self.all(kind, "pid", pid);
        events.last().unwrap_or_else(|| panic!("no {kind} of {pid}: {:#?}", self.events))
    }

    /// For how many events the kernel did not run a program, as reported.
    pub fn missed(&self) -> u64 {
        self.closing("missed")
    }

    /// The number after a word of the closing lines; 0 if it is missing.
    pub fn closing(&self, word: &str) -> u64 {
        let reported =
            |line: &String| line.trim().strip_prefix(word)?.strip_prefix(": ")?.split(' ').next()?.parse().ok();
        self.stderr.iter().rev().find_map(reported).unwrap_or(0)
    }

    /// All events of a kind in which a field has that value.
    pub fn all(&self, kind: &str, field: &str, value: &Value) -> Vec<&Value> {
        self.events.iter().filter(|e| e["kind"] == kind && e[field] == *value).collect()
    }
}

/// Words of a command line: strings and paths.
macro_rules! words {
    ($($word:expr),* $(,)?) => { [$(std::ffi::OsString::from($word)),*] };
}
pub(crate) use words;

/// Traces `targets ARGS…` to its end, all of it delivered.
pub fn trace<S: AsRef<OsStr>>(options: &[&str], args: impl IntoIterator<Item = S>) -> Ended {
    let mut line: Vec<_> = options.iter().map(OsString::from).collect();
    line.extend(words!["--", targets()]);
    line.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    let ended = without_misses(options, || Trace::proc(&line).end());
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

/// Traces `targets ARGS…`, which must end well.
pub fn traced<S: AsRef<OsStr>>(options: &[&str], args: impl IntoIterator<Item = S>) -> Ended {
    let ended = trace(options, args);
    ended.assert_clean();
    ended
}

/// The ways to hook in (--attach): all of them in a VM, elsewhere those that work on the machine.
pub fn flavours() -> Vec<&'static str> {
    let works = |flavour: &&str| {
        let mut command = Command::new(coretrace());
        command.args(["proc", "-q", "--attach", flavour, "-O", "/dev/null", "--"]).arg(targets()).args(["exit", "0"]);
        must_have(flavour) || command.output().expect("coretrace starts").status.success()
    };
    let flavours: Vec<_> = ["fentry", "btf", "raw", "tracepoint"].into_iter().filter(works).collect();
    assert!(!flavours.is_empty(), "no way to hook in works here");
    flavours
}

/// Whether the kernel may interrupt a program on that hook, and then skip it for other processes on the CPU: on fentry
/// if the kernel can be preempted, on others except the classic tracepoints since 7.0.
pub fn may_miss(flavour: &str) -> bool {
    match flavour {
        "tracepoint" => false,
        "fentry" => kernel() >= (5, 12),
        _ => kernel() >= (7, 0),
    }
}

/// What `trace` left, run again, five times at most, while the kernel skipped programs and may do so (see [`may_miss`]):
/// what it skipped is counted, but not there to be looked at.
pub fn without_misses(options: &[&str], trace: impl Fn() -> Ended) -> Ended {
    let way = options.iter().position(|option| *option == "--attach").map_or("btf", |at| options[at + 1]);
    again_if_missed(may_miss(way), trace)
}

/// The same, where that is known otherwise.
pub fn again_if_missed(may_miss: bool, trace: impl Fn() -> Ended) -> Ended {
    let mut ended = trace();
    for _ in 1..5 {
        if ended.missed() == 0 || !may_miss {
            break;
        }
        eprintln!("traced again, as the kernel skipped programs {} times", ended.missed());
        ended = trace();
    }
    ended
}

/// Whether the kernel can be preempted, as far as it shows that.
pub fn preemptible() -> bool {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let modes = text("/sys/kernel/debug/sched/preempt");
    text("/proc/sys/kernel/version").contains("PREEMPT") && !modes.contains("(none)") && !modes.contains("(voluntary)")
}

/// A number of an event.
pub fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

/// A string of an event.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

/// The strings of a list of an event.
pub fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}")).iter().map(text).collect()
}

/// Nanoseconds since 1970 of an event's time.
pub fn unix_ns(event: &Value) -> u64 {
    let time = chrono::DateTime::parse_from_rfc3339(text(&event["time"])).expect("a time as RFC 3339 has it");
    time.timestamp_nanos_opt().expect("a time of this century") as u64
}

/// Inode of a directory.
pub fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).ino()
}

/// A directory that is removed after the test.
pub struct Dir(PathBuf);

impl Dir {
    /// A new one, which everyone may enter.
    pub fn new() -> Dir {
        Dir::below(&std::env::temp_dir().canonicalize().unwrap())
    }

    /// A new cgroup (v2).
    pub fn cgroup() -> Dir {
        Dir::below(&cgroup_root())
    }

    fn below(parent: &Path) -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coretrace-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Dir(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A cgroup's files cannot be removed, and need not be.
        let _ = fs::remove_dir(&self.0).or_else(|_| fs::remove_dir_all(&self.0));
    }
}

/// Where cgroup v2 is mounted.
pub fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = lines.find(|words| words[2] == "cgroup2").expect("cgroup v2 is mounted");
    PathBuf::from(mount[1])
}
