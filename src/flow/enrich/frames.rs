//! Where calls are: the functions of the kernel by its symbols, those of programs by the files that they run.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{ffi::OsString, fs};

use super::cache::AGAIN;
use super::jit::Compiled;
use crate::binary::find::{Mapping, mappings, needed};
use crate::binary::{Inside, Symbolizer, about, below};
use crate::event::stack::BUILD_ID;
use crate::event::{Call, UserStack};
use crate::host::kallsyms::Symbols;
use crate::host::{arch, procfs};

/// What was found of a call.
#[derive(Debug)]
pub(super) struct Found {
    pub calls: Vec<Call>,
    /// It is the same whenever it is looked up.
    pub lasts: bool,
}

impl Found {
    pub fn lasting(calls: Vec<Call>) -> Self {
        Found { calls, lasts: true }
    }

    pub fn for_now(call: Call) -> Self {
        Found { calls: vec![call], lasts: false }
    }
}

/// The most files, and processes, that are remembered.
const MOST: usize = 4096;
/// How long it is believed that a process has mapped what it had.
const FRESH: Duration = Duration::from_millis(100);

/// Looks up calls on this host.
#[derive(Debug)]
pub(super) struct Frames {
    root: PathBuf,
    symbols: Option<Symbols>,
    symbols_read: Option<Instant>,
    /// In bytes.
    page_size: u32,
    /// Files by their build ids.
    files: HashMap<[u8; BUILD_ID], File>,
    /// Which files were looked at, and the libraries that each needs.
    seen: HashMap<PathBuf, (Seen, Vec<String>)>,
    processes: HashMap<u32, Process>,
    /// When a file was last looked for that was not found.
    missed: HashMap<[u8; BUILD_ID], Instant>,
    /// The file of an inode that the program of an inode has mapped, if it was found, and when it was looked for.
    of_inodes: HashMap<(u64, u64), (Option<File>, Instant)>,
    symbolizer: Symbolizer,
    compiled: Compiled,
}

/// A file that calls may be in.
#[derive(Debug, Clone)]
struct File {
    /// As its process sees it.
    name: Box<str>,
    /// Where it can be opened.
    path: PathBuf,
}

/// A file that was looked at, as it was then.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// What a process has mapped.
#[derive(Debug)]
struct Process {
    image: u64,
    read: Instant,
    mappings: Vec<Mapping>,
}

impl Frames {
    pub fn new(root: &Path) -> Self {
        Frames {
            root: root.to_owned(),
            symbols: None,
            symbols_read: None,
            page_size: arch::page_size(),
            files: HashMap::new(),
            seen: HashMap::new(),
            processes: HashMap::new(),
            missed: HashMap::new(),
            of_inodes: HashMap::new(),
            symbolizer: Symbolizer::default(),
            compiled: Compiled::default(),
        }
    }

    /// A call in the kernel.
    pub fn kernel(&mut self, at: u64, returns: bool) -> Vec<Call> {
        let inside = at.saturating_sub(returns.into());
        let found = |symbols: &Option<Symbols>| {
            let (symbol, offset) = symbols.as_ref()?.at(inside)?;
            Some(Call {
                address: Some(at),
                function: Some(symbol.name.into()),
                offset: offset + u64::from(returns),
                file: symbol.module.map(Into::into),
                ..Call::default()
            })
        };
        // A module may have come, and programs of ours: the symbols are read again, but not for each address.
        let due = self.symbols_read.is_none_or(|read| read.elapsed() >= AGAIN);
        let call = found(&self.symbols).or_else(|| {
            if due {
                self.symbols = Symbols::read(&self.root).ok();
                self.symbols_read = Some(Instant::now());
            }
            found(&self.symbols)
        });
        vec![call.unwrap_or(Call { address: Some(at), ..Call::default() })]
    }

    /// A call in the file that has this build id.
    pub fn in_file(
        &mut self,
        id: &[u8; BUILD_ID],
        offset: u64,
        returns: bool,
        pid: u32,
        user: &UserStack<'_>,
    ) -> Vec<Call> {
        if !self.is_there(id) {
            self.files.remove(id);
        }
        if !self.files.contains_key(id) && self.missed.get(id).is_none_or(|when| when.elapsed() >= AGAIN) {
            self.look_for(id, pid, user);
            if !self.files.contains_key(id) {
                if self.missed.len() >= MOST {
                    self.missed.clear();
                }
                self.missed.insert(*id, Instant::now());
            }
        }
        match self.files.get(id) {
            Some(file) => functions(&mut self.symbolizer, file, offset, returns),
            None => vec![Call::in_unknown_file(id, offset)],
        }
    }

    /// A call at an address of a process.
    pub fn in_process(&mut self, at: u64, returns: bool, pid: u32, user: &UserStack<'_>) -> Found {
        let unknown = Call { address: Some(at), ..Call::default() };
        let inside = at.saturating_sub(returns.into());
        if self.read_mappings(pid, user, inside) {
            let process = self.processes.get(&pid);
            let mut mappings = process.iter().flat_map(|process| process.mappings.iter());
            let Some(mapping) = mappings.find(|one| one.start <= inside && inside < one.end) else {
                return Found::for_now(unknown);
            };
            // What was compiled while it ran is in memory that is no file, or one without a name.
            if mapping.inode == 0 || mapping.deleted {
                let proc = self.root.join("proc");
                if let Some(found) = self.compiled.at(inside, pid, user.image, &proc) {
                    let (function, offset) = (Some(found.name.into()), found.offset + u64::from(returns));
                    return Found::for_now(Call { function, offset, file: Some(found.file.into()), ..unknown });
                }
            }
            if mapping.inode == 0 {
                let name = mapping.path.to_string_lossy();
                return Found::for_now(Call { file: (!name.is_empty()).then(|| name.as_ref().into()), ..unknown });
            }
            let (offset, mapping) = (at - mapping.start + mapping.offset, mapping.clone());
            let file = self.mapped_file(pid, &mapping);
            return Found::lasting(functions(&mut self.symbolizer, &file, offset, returns));
        }
        // The process has ended: what the caller is in is known, and where its own file was.
        let caller = user.caller_in.filter(|_| at == user.caller);
        if let Some((inode, offset)) = caller
            && let Some(file) = self.of_inode(inode, user)
        {
            return Found::lasting(functions(&mut self.symbolizer, &file, offset, returns));
        }
        let (start, end) = user.code;
        if (start..end).contains(&inside)
            && let Some(file) = self.exe(user)
            && let Some(code) = about(&file.path).and_then(|about| about.code)
        {
            return Found::lasting(functions(&mut self.symbolizer, &file, at - start + code, returns));
        }
        let file = arch::is_of_uprobes(at, self.page_size).then(|| "[uprobes]".into());
        Found::lasting(vec![Call { file, ..unknown }])
    }

    /// As if it was looked up long ago.
    #[cfg(test)]
    pub fn doubt(&mut self) {
        self.compiled.doubt();
    }

    /// Reads what a process has mapped, if it still runs that program; false: it does not.
    fn read_mappings(&mut self, pid: u32, user: &UserStack<'_>, inside: u64) -> bool {
        if let Some(known) = self.processes.get(&pid).filter(|known| known.image == user.image) {
            let has = known.mappings.iter().any(|one| one.start <= inside && inside < one.end);
            if has || known.read.elapsed() < FRESH {
                return true;
            }
        }
        // `image` is when the process began, and some numbers more: how many programs it ran.
        let all = mappings(pid, &self.root.join("proc")).unwrap_or_default();
        if all.is_empty() || !procfs::runs(pid, user.image, user.code) {
            return self.processes.get(&pid).is_some_and(|known| known.image == user.image);
        }
        if self.processes.len() >= MOST {
            self.processes.clear();
        }
        self.processes.insert(pid, Process { image: user.image, read: Instant::now(), mappings: all });
        true
    }

    /// Looks for a file by its build id: among those that the process has mapped, then as its own file and what that
    /// needs.
    fn look_for(&mut self, id: &[u8; BUILD_ID], pid: u32, user: &UserStack<'_>) {
        let mapped = mappings(pid, &self.root.join("proc")).unwrap_or_default();
        for mapping in mapped.iter().filter(|mapping| mapping.inode != 0) {
            let file = self.mapped_file(pid, mapping);
            self.learn(&file);
        }
        if self.files.contains_key(id) {
            return;
        }
        self.needed_by(user, |frames, _| frames.files.contains_key(id));
    }

    /// The file of an inode: the program's own, or one that it needs.
    fn of_inode(&mut self, inode: u64, user: &UserStack<'_>) -> Option<File> {
        let key = (user.inode, inode);
        let is_it = |file: &File| fs::metadata(&file.path).is_ok_and(|about| about.ino() == inode);
        match self.of_inodes.get(&key) {
            Some((Some(file), _)) if is_it(file) => return Some(file.clone()),
            Some((None, when)) if when.elapsed() < AGAIN => return None,
            _ => {}
        }
        let found = self.needed_by(user, |_, file| is_it(file));
        if self.of_inodes.len() >= MOST {
            self.of_inodes.clear();
        }
        self.of_inodes.insert(key, (found.clone(), Instant::now()));
        found
    }

    /// Learns of the file of a program, and then of those that it needs, up to the one that is looked for.
    fn needed_by(&mut self, user: &UserStack<'_>, is_it: impl Fn(&Self, &File) -> bool) -> Option<File> {
        let exe = self.exe(user)?;
        let mut rest = self.learn(&exe);
        if is_it(self, &exe) {
            return Some(exe);
        }
        let mut names = HashSet::new();
        while let Some(name) = rest.pop().filter(|_| names.len() < MOST) {
            if !names.insert(name.clone()) {
                continue;
            }
            for path in needed(&name, &self.root) {
                let file = File { name: path.to_string_lossy().into(), path: below(&self.root, &path) };
                rest.extend(self.learn(&file));
                if is_it(self, &file) {
                    return Some(file);
                }
            }
        }
        None
    }

    /// Where a mapped file can be opened: by its name on this host, if that is the same file, as the name lasts longer
    /// than the process; else as the process sees it.
    fn mapped_file(&self, pid: u32, mapping: &Mapping) -> File {
        let name = mapping.path.to_string_lossy().into();
        let here = below(&self.root, &mapping.path);
        if !mapping.deleted && fs::metadata(&here).is_ok_and(|about| about.ino() == mapping.inode) {
            return File { name, path: here };
        }
        let there = below(&self.root.join("proc").join(pid.to_string()).join("root"), &mapping.path);
        let path = if mapping.deleted || !there.exists() { mapping.at.clone() } else { there };
        File { name, path }
    }

    /// The file of the program that a process ran, if it is there by its name.
    fn exe(&self, user: &UserStack<'_>) -> Option<File> {
        let exe = user.exe.filter(|exe| !exe.deleted && !exe.truncated && !exe.outside)?;
        let mut name = Vec::new();
        exe.append_to(&mut name);
        let name = PathBuf::from(OsString::from_vec(name));
        let path = below(&self.root, &name);
        let is_it = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.ino() == user.inode);
        is_it.then(|| File { name: name.to_string_lossy().into(), path })
    }

    /// Looks at a file, unless that was done before and it is still the same; returns the libraries that it needs.
    fn learn(&mut self, file: &File) -> Vec<String> {
        let Some(now) = Seen::now(&file.path) else { return Vec::new() };
        if let Some((_, libraries)) = self.seen.get(&file.path).filter(|(then, _)| *then == now) {
            return libraries.clone();
        }
        let Some(about) = about(&file.path) else { return Vec::new() };
        if self.files.len() >= MOST || self.seen.len() >= MOST {
            self.files.clear();
            self.seen.clear();
        }
        self.seen.insert(file.path.clone(), (now, about.libraries.clone()));
        if let Some(id) = about.build_id {
            // The kernel fills up shorter ones with zeros (lib/buildid.c).
            let mut whole = [0; BUILD_ID];
            whole.iter_mut().zip(&id).for_each(|(to, from)| *to = *from);
            self.files.insert(whole, file.clone());
        }
        about.libraries
    }

    /// Whether the file of a build id is still the one that was looked at.
    fn is_there(&self, id: &[u8; BUILD_ID]) -> bool {
        self.files.get(id).is_some_and(|file| {
            let then = self.seen.get(&file.path).map(|(then, _)| then);
            then.is_some() && Seen::now(&file.path).as_ref() == then
        })
    }
}

impl Seen {
    fn now(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = (about.mtime(), about.mtime_nsec());
        Some(Seen { device: about.dev(), inode: about.ino(), size: about.size(), changed })
    }
}

/// What is known of a place in a file.
fn functions(symbolizer: &mut Symbolizer, file: &File, offset: u64, returns: bool) -> Vec<Call> {
    let inside = symbolizer.functions(&file.path, offset.saturating_sub(returns.into()));
    let call = |inside: Inside| Call {
        function: Some(inside.function.into()),
        offset: if inside.inlined { 0 } else { inside.offset + u64::from(returns) },
        file: Some(file.name.clone()),
        source: inside.source.map(Into::into),
        inlined: inside.inlined,
        ..Call::default()
    };
    match inside.is_empty() {
        true => vec![Call { file: Some(file.name.clone()), file_offset: Some(offset), ..Call::default() }],
        false => inside.into_iter().map(call).collect(),
    }
}
