//! Functions that a runtime has compiled while it ran, as it says itself: `/tmp/perf-PID.map`, a line for each, with its
//! address, its size and its name (linux: tools/perf/Documentation/jit-interface.txt). node, Java's perf-map-agent,
//! python3 from 3.12 on and others write it when they are asked to.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::untrusted::Base;

/// The most bytes that are remembered of all processes.
const MOST_BYTES: usize = 128 << 20;
/// The most processes whose functions are remembered.
const MOST: usize = 256;
/// Of a longer file, what is behind is not read.
const LONGEST: u64 = 16 << 20;
/// The most functions of a process, and the longest name.
const MOST_FUNCTIONS: usize = 1 << 18;
const NAME: usize = 1024;
/// How many functions are looked at that begin before an address: shorter ones may be where a longer one was.
const NESTED: usize = 16;
/// How long a file is believed to be the same: so long for each megabyte that there is to read.
const FRESH: Duration = Duration::from_secs(1);

/// What processes say of their code.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// By process and program.
    known: HashMap<(u32, u64), Map>,
}

#[derive(Debug)]
struct Map {
    looked: Instant,
    /// Of the file: its size, and when it was changed.
    then: (u64, i64, i64),
    /// Its name, as the process sees it.
    name: String,
    functions: Functions,
}

impl Map {
    fn is_fresh(&self) -> bool {
        let megabytes = u32::try_from(self.then.0.min(LONGEST) >> 20).unwrap_or(0);
        self.looked.elapsed() < FRESH * (1 + megabytes)
    }
}

/// A function that was compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub name: &'a str,
    /// How far behind its beginning the address is.
    pub offset: u64,
    /// The file that says it, as the process sees it.
    pub file: &'a str,
}

impl Compiled {
    /// The function at an address of a process, whose program is `image`. `proc`: where processes are listed.
    pub fn at(&mut self, address: u64, pid: u32, image: u64, proc: &Path) -> Option<Function<'_>> {
        let key = (pid, image);
        if !self.known.get(&key).is_some_and(Map::is_fresh) {
            self.look(key, &proc.join(pid.to_string()));
        }
        let map = self.known.get(&key)?;
        let (start, name) = map.functions.at(address)?;
        Some(Function { name, offset: address - start, file: &map.name })
    }

    /// As if it was looked up long ago.
    #[cfg(test)]
    pub fn doubt(&mut self) {
        self.known.values_mut().for_each(|map| map.looked -= FRESH * 2);
    }

    fn look(&mut self, key: (u32, u64), of_process: &Path) {
        let before = self.known.remove(&key);
        let name = format!("/tmp/perf-{}.map", innermost(key.0, of_process));
        let may_be_read = !is_on_another_host(of_process, &name);
        let root = || Base::of_host(&of_process.join("root")).filter(|_| may_be_read);
        let file = root().and_then(|root| root.file(name.trim_start_matches('/')));
        let about = file.as_ref().and_then(|file| file.metadata().ok()).filter(|about| is_its(about, of_process));
        let then = about.as_ref().map_or((0, 0, 0), |about| (about.len(), about.mtime(), about.mtime_nsec()));
        let functions = match (before, file) {
            (Some(before), _) if before.then == then => before.functions,
            (_, Some(file)) if about.is_some() => {
                let mut text = Vec::new();
                let read = file.take(LONGEST).read_to_end(&mut text);
                read.map_or_else(|_| Functions::default(), |_| Functions::parse(&text))
            }
            _ => Functions::default(),
        };
        let bytes = self.known.values().map(|map| map.functions.bytes()).sum::<usize>() + functions.bytes();
        if self.known.len() >= MOST || bytes > MOST_BYTES {
            self.known.clear();
        }
        self.known.insert(key, Map { looked: Instant::now(), then, name, functions });
    }
}

/// Whether the file is on a file system whose answers come from another process or host, and may never come: it is not
/// asked. (What /proc says of mounts, the kernel knows itself.)
fn is_on_another_host(of_process: &Path, name: &str) -> bool {
    const ELSEWHERE: [&str; 7] = ["fuse", "nfs", "9p", "cifs", "smb", "ceph", "afs"];
    let mounts = fs::read_to_string(of_process.join("mountinfo")).unwrap_or_default();
    mounts.lines().any(|mount| {
        let point = mount.split(' ').nth(4).unwrap_or_default();
        let kind = mount.split_once(" - ").map_or("", |(_, rest)| rest);
        ["/", "/tmp", name].contains(&point) && ELSEWHERE.iter().any(|elsewhere| kind.starts_with(elsewhere))
    })
}

/// Whether a process, or root, made the file: others may have put one there.
fn is_its(about: &Metadata, of_process: &Path) -> bool {
    about.uid() == 0 || fs::metadata(of_process).is_ok_and(|process| process.uid() == about.uid())
}

/// The number that a process has for itself: in the innermost of its PID namespaces.
fn innermost(pid: u32, of_process: &Path) -> u32 {
    let status = fs::read_to_string(of_process.join("status")).unwrap_or_default();
    let all = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    all.and_then(|all| all.split_ascii_whitespace().last()?.parse().ok()).unwrap_or(pid)
}

/// Functions by address.
#[derive(Debug, Default)]
struct Functions {
    text: String,
    /// Where each begins, how long it is, and where in the text its name is; by address, and in the order in which they
    /// were compiled.
    all: Vec<(u64, u64, std::ops::Range<usize>)>,
}

impl Functions {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut all = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ' ');
            let mut number = || {
                let part = parts.next()?;
                u64::from_str_radix(part.strip_prefix("0x").unwrap_or(part), 16).ok()
            };
            let (Some(start), Some(size)) = (number(), number()) else { continue };
            let Some(name) = parts.next().filter(|name| (1..=NAME).contains(&name.len())) else { continue };
            if all.len() >= MOST_FUNCTIONS {
                break;
            }
            let at = name.as_ptr().addr() - text.as_ptr().addr();
            all.push((start, size, at..at + name.len()));
        }
        all.sort_by_key(|(start, ..)| *start);
        Functions { text, all }
    }

    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.all.as_slice())
    }

    /// The function at an address, and where it begins: of several that were there, the last that was compiled.
    fn at(&self, address: u64) -> Option<(u64, &str)> {
        let behind = self.all.partition_point(|(start, ..)| *start <= address);
        let mut before = self.all.get(..behind)?.iter().rev().take(NESTED);
        let (start, _, name) = before.find(|(start, size, _)| address - start < *size)?;
        Some((*start, self.text.get(name.clone())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    const MAP: &str =
        "7f00 10 LazyCompile:~first /app/a b.js:1\nbad\n7f00 20 second\n0x8000 100 third\nzz 1 no\n9000 1\n";

    #[test]
    fn a_function_is_found_by_its_addresses() {
        let functions = Functions::parse(MAP.as_bytes());
        assert_eq!(functions.at(0x7eff), None);
        assert_eq!(functions.at(0x7f00), Some((0x7f00, "second")), "the last one that was compiled there");
        assert_eq!(functions.at(0x7f1f), Some((0x7f00, "second")));
        assert_eq!(functions.at(0x7f20), None);
        assert_eq!(Functions::parse(b"100 100 long\n110 8 short\n").at(0x150), Some((0x100, "long")));
        assert_eq!(functions.at(0x80ff), Some((0x8000, "third")));
        assert_eq!((functions.at(0x8100), functions.at(u64::MAX)), (None, None));
        assert_eq!(Functions::parse(&MAP.as_bytes()[..24]).at(0x7f00), Some((0x7f00, "LazyCompile:~fir")));
        assert_eq!(Functions::parse(b"\xff\xfe\0 1 2\n1 2 \xff").at(1), Some((1, "\u{fffd}")));
    }

    #[test]
    fn the_map_is_that_of_the_number_that_the_process_has_itself() {
        let tree = Tree::new();
        tree.file("proc/700/status", "Name:\tjava\nNSpid:\t700\t7\n");
        tree.file("proc/700/root/tmp/perf-7.map", MAP);
        tree.file("proc/700/root/tmp/perf-700.map", "8000 100 of_another\n");
        let (mut compiled, proc) = (Compiled::default(), tree.path("proc"));
        let expected = Function { name: "third", offset: 1, file: "/tmp/perf-7.map" };
        assert_eq!(compiled.at(0x8001, 700, 1, &proc), Some(expected));
        assert_eq!(compiled.at(0x8001, 701, 1, &proc), None, "there is no such process");
    }

    #[test]
    fn what_may_never_answer_is_not_asked() {
        let tree = Tree::new();
        tree.file("proc/700/status", "Name:\tjava\n");
        tree.file("proc/700/root/tmp/perf-700.map", MAP);
        tree.file("proc/700/mountinfo", "24 22 0:22 / /tmp rw - fuse.evil evil rw\n");
        assert_eq!(Compiled::default().at(0x8001, 700, 1, &tree.path("proc")), None);
        tree.file("proc/700/mountinfo", "24 22 0:22 / /tmp rw - tmpfs tmpfs rw\n25 22 0:23 / /mnt rw - fuse.x x rw\n");
        assert!(Compiled::default().at(0x8001, 700, 1, &tree.path("proc")).is_some());
        let long = format!("1 1 {}\n2 1 {}\n", "x".repeat(NAME), "x".repeat(NAME + 1));
        let functions = Functions::parse(long.as_bytes());
        assert!(functions.at(1).is_some() && functions.at(2).is_none());
    }

    #[test]
    fn a_link_is_not_followed_to_a_map() {
        let tree = Tree::new();
        tree.file("proc/700/status", "Name:\tjava\n");
        tree.file("elsewhere", MAP);
        tree.dir("proc/700/root/tmp");
        tree.link("proc/700/root/tmp/perf-700.map", &tree.path("elsewhere").to_string_lossy());
        assert_eq!(Compiled::default().at(0x8001, 700, 1, &tree.path("proc")), None);
    }
}
