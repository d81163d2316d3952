//! Before it is attached, every tracer proves that it reads the right data: what its programs read of coretrace's own
//! task must match what coretrace knows. With the types of another kernel (`--btf`) they load without complaint, and
//! read wrong offsets.

use std::os::unix::ffi::OsStrExt;
use std::{fmt, fs};

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags, Object, ProgramInput};
use nix::unistd::{SysconfVar, getpid, getppid, gettid, sysconf};

use crate::escape::printable;
use crate::event::until_nul;

/// The program and the map of proof.bpf.h.
pub(crate) const PROGRAM: &str = "prove_self";
const MAP: &str = "proof";

/// What a program read of this process: `struct proof` in proof.bpf.h.
#[derive(Debug, Clone)]
pub struct Read {
    pub(crate) start_ns: u64,
    pub(crate) argv_bytes: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) ppid: u32,
    pub(crate) comm: Vec<u8>,
    pub(crate) exe: Vec<u8>,
    pub(crate) argv: Vec<u8>,
}

/// What this process knows about itself; without /proc, only part of it.
#[derive(Debug, Clone)]
struct Known {
    /// Process, thread, parent: if /proc shows in which PID namespace these numbers are.
    ids: Option<[u32; 3]>,
    comm: Option<Vec<u8>>,
    /// In clock ticks since boot, and ticks per second.
    start: Option<(u64, u64)>,
    exe: Option<Vec<u8>>,
    argv: Vec<u8>,
}

/// The types do not fit: what was read, and what is right.
#[derive(Debug)]
pub(crate) struct Misfit(Vec<String>);

impl Misfit {
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Misfit(vec!["pid is 0 instead of 7".to_owned()])
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what the programs read of coretrace itself is wrong: {}", self.0.join(", "))
    }
}

impl std::error::Error for Misfit {}

/// Runs the program in this task, and compares.
///
/// # Errors
/// [`Misfit`] when what it read is wrong; others when it could not be run.
pub(crate) fn prove(object: &Object, decode: fn(&[u8]) -> Option<Read>) -> Result<()> {
    let program = object.progs_mut().find(|program| program.name() == PROGRAM).context("the object has no proof")?;
    let map = object.maps().find(|map| map.name() == MAP).context("the object has no map for the proof")?;
    let mut wrong = Vec::new();
    // More than once: the parent may end meanwhile, and the memory to be read may be on disk, where the program cannot
    // fetch it.
    for _ in 0..3 {
        // Before the program runs: this touches the memory that it is to read.
        let known = Known::here();
        program.test_run(ProgramInput::default()).context("running the proof")?;
        let bytes = map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY).context("reading the proof")?;
        let read = bytes.as_deref().and_then(decode).context("reading the proof")?;
        wrong = known.differs(&read);
        if wrong.is_empty() {
            return Ok(());
        }
    }
    bail!(Misfit(wrong))
}

impl Known {
    fn here() -> Self {
        let file = |name: &str| fs::read(name).ok();
        let stat = file("/proc/self/stat").map(|text| String::from_utf8_lossy(&text).into_owned());
        let second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok());
        let start = stat.as_deref().and_then(started).zip(second);
        let args: Vec<_> = std::env::args_os().collect();
        Known {
            ids: fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|_| [getpid(), gettid(), getppid()].map(|id| id.as_raw().cast_unsigned())),
            comm: file("/proc/thread-self/comm").map(|mut text| {
                text.pop();
                text
            }),
            start,
            exe: fs::read_link("/proc/self/exe").ok().and_then(|path| {
                let name = path.file_name()?.as_bytes();
                Some(name.strip_suffix(b" (deleted)").unwrap_or(name).to_vec())
            }),
            argv: args.iter().flat_map(|arg| arg.as_bytes().iter().copied().chain([0])).collect(),
        }
    }

    /// The values that were read wrong.
    fn differs(&self, read: &Read) -> Vec<String> {
        let mut wrong = Vec::new();
        let names = ["pid", "tid", "ppid"].into_iter().zip([read.pid, read.tid, read.ppid]);
        for ((name, read), known) in names.zip(self.ids.into_iter().flatten()) {
            if read != known {
                wrong.push(format!("{name} is {read} instead of {known}"));
            }
        }
        let mut text = |name: &str, read: &[u8], known: Option<&[u8]>| {
            let shown = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes).replace('\0', " "));
            if let Some(known) = known.filter(|known| *known != read) {
                wrong.push(format!("{name} is \"{}\" instead of \"{}\"", shown(read), shown(known)));
            }
        };
        text("comm", until_nul(&read.comm), self.comm.as_deref());
        let most = read.exe.len().saturating_sub(1);
        text("exe", until_nul(&read.exe), self.exe.as_ref().map(|exe| exe.get(..most).unwrap_or(exe)));
        let kept = |argv: &[u8]| argv.iter().copied().take(read.argv.len()).collect::<Vec<_>>();
        let bytes = usize::try_from(read.argv_bytes).unwrap_or(usize::MAX).min(read.argv.len());
        text("argv", read.argv.get(..bytes).unwrap_or_default(), Some(&kept(&self.argv)));
        if self.argv.len() as u64 != read.argv_bytes {
            wrong.push(format!("argv has {} bytes instead of {}", read.argv_bytes, self.argv.len()));
        }
        if let Some((ticks, second)) = self.start {
            // The kernel adds a time namespace's offset, then rounds down.
            let read = i128::from(read.start_ns) + i128::from(crate::host::clock::boot_offset());
            let read = read * i128::from(second) / 1_000_000_000;
            if read.abs_diff(i128::from(ticks)) > 1 {
                wrong.push(format!("start time is {read} instead of {ticks} (1/{second} s since boot)"));
            }
        }
        wrong
    }
}

/// When the process started, in ticks since boot: field 22 of proc_pid_stat(5).
fn started(stat: &str) -> Option<u64> {
    // The name, in parentheses, may contain anything; the state is the third field.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            ids: Some([7, 7, 1]),
            comm: Some(b"coretrace".to_vec()),
            start: Some((1234, 100)),
            exe: Some(b"coretrace-1".to_vec()),
            argv: b"coretrace\0proc\0".to_vec(),
        }
    }

    fn read() -> Read {
        let padded = |text: &[u8], length: usize| [text, &vec![0; length - text.len()]].concat();
        Read {
            start_ns: 12_345_678_900,
            argv_bytes: 15,
            pid: 7,
            tid: 7,
            ppid: 1,
            comm: padded(b"coretrace", 16),
            exe: padded(b"coretrace-1", 64),
            argv: padded(b"coretrace\0proc\0", 128),
        }
    }

    #[test]
    fn what_is_right_is_accepted_also_where_it_is_cut() {
        assert_eq!(known().differs(&read()), [""; 0]);
        let long = Known { argv: [&b"x".repeat(300)[..], b"\0"].concat(), exe: Some(b"y".repeat(200)), ..known() };
        let mut cut = read();
        (cut.argv, cut.argv_bytes, cut.exe) = (b"x".repeat(128), 301, [&b"y".repeat(63)[..], b"\0"].concat());
        assert_eq!(long.differs(&cut), [""; 0]);
        let little = Known { ids: None, comm: None, start: None, exe: None, ..known() };
        assert_eq!(little.differs(&read()), [""; 0]);
    }

    #[test]
    fn each_wrong_value_is_reported() {
        let reports = |wrong: Read, words: &str| {
            let reported = known().differs(&wrong).join(", ");
            assert!(reported.contains(words), "{words}: {reported}");
        };
        reports(Read { pid: 8, ..read() }, "pid is 8 instead of 7");
        reports(Read { tid: 0, ..read() }, "tid is 0 instead of 7");
        reports(Read { ppid: 2, ..read() }, "ppid is 2 instead of 1");
        reports(Read { comm: vec![0; 16], ..read() }, "comm is \"\" instead of \"coretrace\"");
        reports(Read { exe: b"z\0".to_vec(), ..read() }, "exe is \"z\"");
        reports(Read { argv: vec![0x1b; 128], ..read() }, "argv is \"\\x1b");
        reports(Read { argv_bytes: 16, ..read() }, "argv has 16 bytes instead of 15");
        reports(Read { argv_bytes: u64::MAX, ..read() }, "argv has 18446744073709551615 bytes");
        reports(Read { start_ns: 12_370_000_000, ..read() }, "start time is 1237 instead of 1234");
        reports(Read { start_ns: u64::MAX, ..read() }, "start time is");
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        assert_eq!(started(&format!("7 (a) b) {}", fields.join(" "))), Some(22));
        assert_eq!(started("7 (a"), None);
    }

    #[test]
    fn this_process_is_known() {
        let known = Known::here();
        assert!(known.comm.is_some() && known.exe.is_some() && known.start.is_some_and(|(ticks, _)| ticks > 0));
    }
}
