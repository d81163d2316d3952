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

/// The most processes whose functions are remembered.
const MOST: usize = 64;
/// A longer file is not read.
const LONGEST: u64 = 64 << 20;
/// How many functions are looked at that begin before an address: shorter ones may be where a longer one was.
const NESTED: usize = 16;
/// How long a file is believed to be the same.
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
    functions: Functions,
}

/// A function that was compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub name: &'a str,
    /// How far behind its beginning the address is.
    pub offset: u64,
    /// The file that says it, as the process sees it.
    pub file: String,
}

impl Compiled {
    /// The function at an address of a process, whose program is `image`. `proc`: where processes are listed.
    pub fn at(&mut self, address: u64, pid: u32, image: u64, proc: &Path) -> Option<Function<'_>> {
        let of_process = proc.join(pid.to_string());
        let inside = innermost(pid, &of_process);
        let name = format!("tmp/perf-{inside}.map");
        let key = (pid, image);
        let is_fresh = self.known.get(&key).is_some_and(|map| map.looked.elapsed() < FRESH);
        if !is_fresh {
            self.look(key, &of_process, &name);
        }
        let (start, name_of) = self.known.get(&key)?.functions.at(address)?;
        Some(Function { name: name_of, offset: address - start, file: format!("/{name}") })
    }

    fn look(&mut self, key: (u32, u64), of_process: &Path, name: &str) {
        let before = self.known.remove(&key);
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let file = Base::of_host(&of_process.join("root")).and_then(|root| root.file(name));
        let about = file.as_ref().and_then(|file| file.metadata().ok()).filter(|about| is_its(about, of_process));
        let then = about.as_ref().map_or((0, 0, 0), |about| (about.len(), about.mtime(), about.mtime_nsec()));
        let functions = match (before, file) {
            (Some(before), _) if before.then == then => before.functions,
            (_, Some(file)) if about.is_some_and(|about| about.len() <= LONGEST) => {
                let mut text = Vec::new();
                let read = file.take(LONGEST).read_to_end(&mut text);
                read.map_or_else(|_| Functions::default(), |_| Functions::parse(&text))
            }
            _ => Functions::default(),
        };
        self.known.insert(key, Map { looked: Instant::now(), then, functions });
    }
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
            let Some(name) = parts.next().filter(|name| !name.is_empty()) else { continue };
            let at = name.as_ptr().addr() - text.as_ptr().addr();
            all.push((start, size, at..at + name.len()));
        }
        all.sort_by_key(|(start, ..)| *start);
        Functions { text, all }
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
        let expected = Function { name: "third", offset: 1, file: "/tmp/perf-7.map".to_owned() };
        assert_eq!(compiled.at(0x8001, 700, 1, &proc), Some(expected));
        assert_eq!(compiled.at(0x8001, 701, 1, &proc), None, "there is no such process");
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
