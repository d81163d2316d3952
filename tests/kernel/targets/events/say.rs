//! How a target reports to its test: a line `@WHAT {JSON}` on stderr, in one write.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{getgid, getppid, gettid, getuid};
use serde_json::{Value, json};

pub fn say(what: &str, value: &Value) {
    let line = format!("@{what} {value}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("the test listens");
}

/// An argument that must be a number.
pub fn number<T: FromStr>(arg: &OsStr) -> T {
    let number = arg.to_str().and_then(|arg| arg.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {arg:?}"))
}

/// A clock in nanoseconds.
pub fn now(clock: ClockId) -> u64 {
    let now = clock_gettime(clock).expect("clocks can be read");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// All that a process knows about itself; what changes soonest is read first.
pub fn who() {
    let (boot, wall) = (now(ClockId::CLOCK_BOOTTIME), now(ClockId::CLOCK_REALTIME));
    let link = |name: &str| fs::read_link(format!("/proc/self/{name}")).map(|p| lossy(p.as_os_str().as_bytes()));
    let file = |name: &str| fs::read(format!("/proc/self/{name}")).unwrap_or_default();
    say(
        "who",
        &json!({
            "boot_ns": boot,
            "wall_ns": wall,
            "pid": std::process::id(),
            "tid": gettid().as_raw(),
            "ppid": getppid().as_raw(),
            "uid": getuid().as_raw(),
            "gid": getgid().as_raw(),
            "comm": lossy(file("comm").trim_ascii_end()),
            "cmdline": lossy(&file("cmdline")),
            "cgroup": lossy(&file("cgroup")),
            "exe": link("exe").ok(),
            "cwd": link("cwd").ok(),
        }),
    );
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
