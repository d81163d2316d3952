//! What is added up, by what it has in common. Which events have what is shown by their fields: a path and a result are
//! of a file, a result below zero is a failure, a function is called.

use std::collections::HashMap;

use super::by::By;
use super::key::{Key, Kind};
use super::spread::Spread;
use crate::event::{Event, List, Path, Value};
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

/// Rows, so many at most.
#[derive(Debug)]
pub struct Rows {
    most: usize,
    by_key: HashMap<Key, Amount>,
    left_out: u64,
}

impl Rows {
    fn add(&mut self, event: &str, bytes: &[u8], kind: Kind) -> Option<&mut Amount> {
        let key = Key { event: event.into(), bytes: bytes.into(), kind };
        if self.by_key.len() >= self.most && !self.by_key.contains_key(&key) {
            self.left_out += 1;
            return None;
        }
        let amount = self.by_key.entry(key).or_default();
        amount.count += 1;
        Some(amount)
    }

    fn file(&mut self, event: &str, bytes: &[u8], kind: Kind, failed: bool) {
        if let Some(amount) = self.add(event, bytes, kind) {
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
    /// Processes in rows by arguments that are cut: what differs behind that is put together.
    pub cut: u64,
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
            cut: 0,
            scratch: Vec::new(),
        }
    }

    /// What is in no row, as these are too many.
    pub fn left_out(&self) -> u64 {
        let Amounts { processes, paths, directories, errors, calls, .. } = self;
        [processes, paths, directories, errors, calls].iter().fold(0, |sum, rows| sum + rows.left_out)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        let Amounts { processes, paths, directories, errors, calls, .. } = self;
        [processes, paths, directories, errors, calls].iter().all(|rows| rows.by_key.is_empty())
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
            self.errors.file(kind, name.as_bytes(), Kind::Name, true);
        }
        if let (Some(Value::Path(path)), Some(_)) = (event.get("path"), event.get("ret")) {
            self.file(kind, path, failed);
        }
        let func = match event.get("func") {
            Some(Value::Str(name)) => Some(*name),
            Some(Value::Name(name) | Value::Symbol { name, .. }) => Some(name.as_bytes()),
            _ => None,
        };
        if let Some(amount) = func.and_then(|func| self.calls.add(kind, func, Kind::Name)) {
            amount.failed += u64::from(failed);
            if let Some(Value::Span(ns)) = event.get("duration") {
                amount.duration.add(*ns);
            }
        }
    }

    fn file(&mut self, event: &str, path: &Path<'_>, failed: bool) {
        self.scratch.clear();
        path.append_plain_to(&mut self.scratch);
        let kind = Kind::of(path);
        self.paths.file(event, &self.scratch, kind, failed);
        if path.as_it_is {
            return;
        }
        let slash = self.scratch.iter().rposition(|b| *b == b'/');
        let dir = match slash {
            Some(0) => b"/",
            Some(at) => self.scratch.get(..at).unwrap_or_default(),
            None => b"",
        };
        self.directories.file(event, dir, kind.directory(), failed);
    }

    /// What a process has in common with others; its bytes are in `scratch`.
    fn key(&mut self, process: &Process) -> Kind {
        let Amounts { by, ref mut scratch, .. } = *self;
        scratch.clear();
        let ran = process.ran();
        match (by, ran.and_then(|program| program.get(if by == By::Exe { "exe" } else { "argv" }))) {
            (By::Program, argv) => {
                scratch.extend_from_slice(process.name());
                match argv {
                    Some(Value::List(list)) if list.truncated() && !list.bytes.contains(&0) => return Kind::CutName,
                    _ => {}
                }
            }
            (By::Comm, _) => scratch.extend_from_slice(process.last.comm()),
            (By::Uid, _) => scratch.extend_from_slice(process.last.uid.to_string().as_bytes()),
            (By::Cgroup, _) => scratch.extend_from_slice(process.last.cgroup_id.to_string().as_bytes()),
            (By::Container, _) => scratch.extend_from_slice(process.container().unwrap_or(NONE)),
            (By::Unit, _) => scratch.extend_from_slice(process.unit().unwrap_or(NONE)),
            (By::Exe, Some(Value::Path(path))) => {
                path.append_to(scratch);
                return Kind::of(&path);
            }
            (By::Args, Some(Value::List(List { bytes, total }))) => {
                scratch.extend_from_slice(bytes);
                return Kind::Args { total };
            }
            (By::Exe | By::Args, _) => scratch.push(b'?'),
        }
        Kind::Name
    }

    /// Adds a process that has ended.
    pub fn ended(&mut self, process: &Process) {
        let kind = self.key(process);
        let Some(amount) = self.processes.add("", &self.scratch, kind) else { return };
        if let Kind::Args { total } = kind {
            self.cut += u64::from((self.scratch.len() as u64) < total);
        }
        amount.failed += u64::from(process.failed());
        let spreads = [("lifetime", &mut amount.duration), ("cpu", &mut amount.cpu), ("max_rss", &mut amount.rss)];
        for (name, spread) in spreads {
            if let Some(Value::Span(number) | Value::Size(number)) = process.ended(name) {
                spread.add(number);
            }
        }
    }
}
