//! What is added up, by what it has in common. Which events have what is shown by their fields: a path and a result are
//! of a file, a result below zero is a failure, a function is called.

use std::collections::HashMap;

use super::by::By;
use super::spread::Spread;
use crate::event::{Event, Path, Value};
use crate::output::processes::Process;
use crate::output::spelling::ErrnoName;

/// What rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Process,
    Path,
    Directory,
    Error,
    Call,
}

impl Of {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Of::Process => "process",
            Of::Path => "path",
            Of::Directory => "directory",
            Of::Error => "error",
            Of::Call => "call",
        }
    }

    pub const ALL: [Of; 5] = [Of::Process, Of::Path, Of::Directory, Of::Error, Of::Call];
}

/// What is in no container, or in no unit.
const NONE: &[u8] = b"-";

/// A row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amount {
    pub count: u64,
    pub failed: u64,
    pub duration: Spread,
    pub cpu: Spread,
    pub rss: Spread,
}

/// Of which kind of events, and what they have in common.
pub type Key = (Box<str>, Box<[u8]>);

/// Rows, so many at most.
#[derive(Debug)]
pub struct Rows {
    most: usize,
    by_key: HashMap<Key, Amount>,
    left_out: u64,
}

impl Rows {
    fn add(&mut self, kind: &str, key: &[u8]) -> Option<&mut Amount> {
        let key: Key = (kind.into(), key.into());
        if self.by_key.len() >= self.most && !self.by_key.contains_key(&key) {
            self.left_out += 1;
            return None;
        }
        let amount = self.by_key.entry(key).or_default();
        amount.count += 1;
        Some(amount)
    }

    fn file(&mut self, kind: &str, key: &[u8], failed: bool) {
        if let Some(amount) = self.add(kind, key) {
            amount.failed += u64::from(failed);
        }
    }

    /// Those with the most first.
    pub fn sorted(&self, most: impl Fn(&Amount) -> u64) -> Vec<(&Key, &Amount)> {
        let mut all: Vec<_> = self.by_key.iter().collect();
        all.sort_by(|(a, x), (b, y)| most(y).cmp(&most(x)).then_with(|| a.cmp(b)));
        all
    }
}

#[derive(Debug)]
pub struct Amounts {
    pub by: By,
    pub processes: Rows,
    pub paths: Rows,
    pub directories: Rows,
    pub errors: Rows,
    pub calls: Rows,
    scratch: Vec<u8>,
}

impl Amounts {
    pub fn new(by: By, most: usize) -> Self {
        let rows = || Rows { most, by_key: HashMap::new(), left_out: 0 };
        Amounts {
            by,
            processes: rows(),
            paths: rows(),
            directories: rows(),
            errors: rows(),
            calls: rows(),
            scratch: Vec::new(),
        }
    }

    /// What is in no row, as these are too many.
    pub fn left_out(&self) -> u64 {
        let Amounts { processes, paths, directories, errors, calls, .. } = self;
        [processes, paths, directories, errors, calls].iter().fold(0, |sum, rows| sum + rows.left_out)
    }

    /// Adds an event.
    pub fn add(&mut self, event: &Event<'_>) {
        let kind = &*event.kind.name;
        let failed = match event.get("ret") {
            Some(Value::Ret(ret)) => *ret < 0,
            _ => false,
        };
        if let (Some(Value::Ret(ret)), true) = (event.get("ret"), failed) {
            let name = ErrnoName(*ret).to_string();
            self.errors.file(kind, name.as_bytes(), true);
        }
        if let (Some(Value::Path(path)), Some(_)) = (event.get("path"), event.get("ret")) {
            self.file(kind, path, failed);
        }
        let func = match event.get("func") {
            Some(Value::Str(name)) => Some(*name),
            Some(Value::Name(name) | Value::Symbol { name, .. }) => Some(name.as_bytes()),
            _ => None,
        };
        if let Some(amount) = func.and_then(|func| self.calls.add(kind, func)) {
            amount.failed += u64::from(failed);
            if let Some(Value::Span(ns)) = event.get("duration") {
                amount.duration.add(*ns);
            }
        }
    }

    fn file(&mut self, kind: &str, path: &Path<'_>, failed: bool) {
        self.scratch.clear();
        path.append_to(&mut self.scratch);
        self.paths.file(kind, &self.scratch, failed);
        let slash = self.scratch.iter().rposition(|b| *b == b'/');
        let dir = match slash {
            Some(0) => b"/",
            Some(at) => self.scratch.get(..at).unwrap_or_default(),
            None => b".",
        };
        self.directories.file(kind, dir, failed);
    }

    /// Adds a process that has ended.
    pub fn ended(&mut self, process: &Process) {
        self.scratch.clear();
        match self.by {
            By::Program => self.scratch.extend_from_slice(process.name()),
            By::Comm => self.scratch.extend_from_slice(process.last.comm()),
            By::Uid => self.scratch.extend_from_slice(process.last.uid.to_string().as_bytes()),
            By::Cgroup => self.scratch.extend_from_slice(process.last.cgroup_id.to_string().as_bytes()),
            By::Container => self.scratch.extend_from_slice(process.container().unwrap_or(NONE)),
            By::Unit => self.scratch.extend_from_slice(process.unit().unwrap_or(NONE)),
            By::Exe => match process.ran().and_then(|program| program.get("exe")) {
                Some(Value::Path(path)) => path.append_to(&mut self.scratch),
                _ => self.scratch.push(b'?'),
            },
            By::Args => match process.ran().and_then(|program| program.get("argv")) {
                Some(Value::List(list)) => {
                    let words = list.bytes.strip_suffix(b"\0").unwrap_or(list.bytes);
                    self.scratch.extend(words.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
                }
                _ => self.scratch.push(b'?'),
            },
        }
        let Some(amount) = self.processes.add("", &self.scratch) else { return };
        amount.failed += u64::from(process.failed());
        let spreads = [("lifetime", &mut amount.duration), ("cpu", &mut amount.cpu), ("max_rss", &mut amount.rss)];
        for (name, spread) in spreads {
            if let Some(Value::Span(number) | Value::Size(number)) = process.ended(name) {
                spread.add(number);
            }
        }
    }
}
