//! What /proc shows of processes that already run.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Processes whose ancestors are among `roots`, without those themselves.
///
/// # Errors
/// When /proc cannot be read.
pub fn descendants(roots: &[u32]) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc (is it mounted?)")? {
        let name = entry.context("reading /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that is gone by now has no descendants of its own: they were reparented.
        if let Some(stat) = stat(pid) {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut rest = roots.to_vec();
    while let Some(parent) = rest.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if !roots.contains(&child) {
                found.push(child);
            }
            rest.push(child);
        }
    }
    Ok(found)
}

/// What can be known of whether a process still has a thread that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has none.
    Gone,
    /// It has, and began then or up to a [`tick`] later, in nanoseconds since boot as the kernel's programs take them.
    Since(u64),
    /// It has, and /proc does not show it.
    Hidden,
}

/// Whether a process still has a thread that runs.
#[must_use]
pub fn life(pid: u32) -> Life {
    match stat(pid) {
        // The first thread may have ended before the others (then the process shows as a zombie).
        Some(stat) if matches!(stat.state, b'Z' | b'X') && stat.threads <= 1 => Life::Gone,
        Some(stat) => Life::Since(stat.began),
        // It may hide it (hidepid), or not be mounted.
        None if i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)) => Life::Hidden,
        None => Life::Gone,
    }
}

/// The time, in nanoseconds since boot as the kernel's programs take them, by which a process had begun that runs now.
#[must_use]
pub fn began_by(pid: u32) -> u64 {
    match life(pid) {
        Life::Since(began) => began.saturating_add(tick()),
        Life::Hidden | Life::Gone => crate::host::clock::boot_now(),
    }
}

/// Nanoseconds in a tick of the clock by which /proc counts times.
#[must_use]
pub fn tick() -> u64 {
    let second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok());
    1_000_000_000 / second.filter(|n| *n > 0).unwrap_or(100)
}

/// Refuses a number that is no process.
///
/// # Errors
/// When there is none of that number, or it is a thread's.
pub fn check(pid: u32) -> Result<()> {
    let status = match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(_) if !Path::new("/proc/self").exists() => bail!("-p needs /proc, and it is not mounted"),
        Err(_) => bail!("-p {pid}: there is no such process"),
    };
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:")).map(str::trim);
    match tgid.and_then(|tgid| tgid.parse::<u32>().ok()) {
        Some(tgid) if tgid != pid => bail!("-p {pid}: this is a thread of the process {tgid}; give -p {tgid}"),
        _ => Ok(()),
    }
}

/// Whether this process was started with that signal ignored, as nohup does.
#[must_use]
pub fn ignores(signal: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signal.checked_sub(1).is_some_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

struct Stat {
    state: u8,
    ppid: u32,
    threads: u32,
    /// In nanoseconds since boot, rounded down to a tick.
    began: u64,
    /// Where the code of its program is; zeros: it is not shown.
    code: (u64, u64),
}

/// Whether a process, which began by then (nanoseconds since boot), runs the program whose code is there in its memory.
#[must_use]
pub fn runs(pid: u32, began: u64, code: (u64, u64)) -> bool {
    stat(pid).is_some_and(|stat| stat.code == code && began.abs_diff(stat.began) <= 2 * tick())
}

/// Documentation/filesystems/proc.rst, table 1-4. The name in parentheses may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = bytes.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(bytes.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    let threads = fields.nth(15)?.parse().ok()?;
    let ticks: i128 = fields.nth(1)?.parse().ok()?;
    // startcode and endcode.
    let code = (fields.nth(3).and_then(|n| n.parse().ok()), fields.next().and_then(|n| n.parse().ok()));
    // With what a time namespace adds (fs/proc/array.c: do_task_stat).
    let began = ticks * i128::from(tick()) - i128::from(crate::host::clock::boot_offset());
    Some(Stat {
        state,
        ppid,
        threads,
        began: u64::try_from(began).unwrap_or(0),
        code: (code.0.unwrap_or(0), code.1.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_a_descendant_of_its_parent() {
        let me = std::process::id();
        let parent = stat(me).unwrap().ppid;
        assert!(descendants(&[parent]).unwrap().contains(&me));
        assert!(!descendants(&[me]).unwrap().contains(&me));
        assert!(matches!(life(me), Life::Since(_)) && check(me).is_ok());
    }

    #[test]
    fn a_process_began_between_what_is_said_of_it() {
        let before = crate::host::clock::boot_now();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let after = crate::host::clock::boot_now();
        let Life::Since(began) = life(child.id()) else { panic!("it runs") };
        let by = began_by(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(life(child.id()), Life::Gone);
        assert!(began <= after && by >= before, "{before} {began} {by} {after}");
        assert_eq!(by - began, tick());
    }

    #[test]
    fn a_number_that_is_no_process_is_refused() {
        assert_eq!(life(u32::MAX), Life::Gone);
        assert!(check(u32::MAX).unwrap_err().to_string().contains("no such process"));
    }
}
