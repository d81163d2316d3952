//! Programs that report what they inherited.

use std::fs;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::kin::say;

/// Prints what this process inherited, as JSON.
pub fn about_self() {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name}")).trim()
    };
    let numbers = |name: &str| -> Vec<u32> { field(name).split_whitespace().filter_map(|n| n.parse().ok()).collect() };
    let variable = |name: &str| std::env::var(name).map_or(Value::Null, Value::from);
    let about = json!({
        "fds": open_files(),
        "uid": numbers("Uid"), "gid": numbers("Gid"), "groups": numbers("Groups"),
        "home": variable("HOME"), "user": variable("USER"), "logname": variable("LOGNAME"),
        "cwd": std::env::current_dir().ok(),
    });
    say(&about.to_string());
}

fn open_files() -> Vec<u32> {
    let dir = fs::read_dir("/proc/self/fd").expect("/proc");
    let files = dir.filter_map(|entry| {
        let entry = entry.expect("an open file");
        let target = fs::read_link(entry.path()).ok()?;
        // The directory itself, while it is being read.
        (!target.ends_with("fd")).then(|| entry.file_name().to_str()?.parse().ok())?
    });
    let mut files: Vec<u32> = files.collect();
    files.sort_unstable();
    files
}

/// Prints the names of the next `n` signals that come (numbers for those without a name), then ends with 7.
pub fn signals(n: u32) {
    SigSet::all().thread_block().expect("sigprocmask");
    say(&format!("ready {}", std::process::id()));
    for _ in 0..n {
        let number = crate::sys::next_signal();
        say(&Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.as_str().to_owned()));
    }
    std::process::exit(7);
}
