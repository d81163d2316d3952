//! A binary that is looked at: its symbols, its debug information, its probes; each read when it is asked for.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};

use super::code;
use super::dwarf::{self, Loaded};
use super::elf::{Elf, unpack};
use super::machine::Machine;
use super::prototypes::Prototypes;
use super::separate;
use super::symbols::{Function, Symbols};
use super::usdt::{self, StaticProbe};
use crate::error::Wrong;
use crate::types::image::Format;

/// The most that the symbols come to that are packed in a binary.
const PACKED: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct Binary {
    /// What it is called in messages.
    pub name: String,
    /// Where it is opened, and probed.
    pub path: PathBuf,
    pub elf: Elf,
    root: PathBuf,
    inside: PathBuf,
    /// The file with its debug information, if that is another one.
    separate: OnceCell<Option<(Elf, PathBuf)>>,
    packed: OnceCell<Option<Elf>>,
    symbols: OnceCell<Symbols>,
    loaded: OnceCell<Option<Loaded>>,
    /// What is not as one might expect it: for the user, once.
    notes: RefCell<Vec<String>>,
}

impl Binary {
    /// `path` as it is seen where `root` is `/`.
    ///
    /// # Errors
    /// When there is no such file, or none that can be probed.
    pub fn open(root: &Path, path: &Path) -> Result<Self, Wrong> {
        let full = root.join(path.strip_prefix("/").unwrap_or(path));
        let full = if root == Path::new("/") { path.to_owned() } else { full };
        let elf = Elf::open(&full)?;
        Self::of(elf, root, path, full)
    }

    /// A file that is opened by another path than its own: one that was deleted.
    ///
    /// # Errors
    /// As above.
    pub fn open_at(root: &Path, path: &Path, at: &Path) -> Result<Self, Wrong> {
        Self::of(Elf::open(at)?, root, path, at.to_owned())
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Wrong> {
        Self::of(Elf::of_bytes(bytes)?, Path::new("/nowhere"), Path::new("/it"), "/it".into())
    }

    fn of(elf: Elf, root: &Path, inside: &Path, path: PathBuf) -> Result<Self, Wrong> {
        let name = inside.display().to_string();
        if elf.machine != Machine::HERE && !cfg!(any(test, feature = "fuzz")) {
            return Err(Wrong::new(format!("{name} is of another architecture: {}", elf.machine.name())));
        }
        Ok(Self {
            name,
            path,
            elf,
            root: root.to_owned(),
            inside: inside.to_owned(),
            separate: OnceCell::new(),
            packed: OnceCell::new(),
            symbols: OnceCell::new(),
            loaded: OnceCell::new(),
            notes: RefCell::default(),
        })
    }

    pub fn note(&self, note: String) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// What there is to say of it so far, each once.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    fn separate(&self) -> Option<&(Elf, PathBuf)> {
        let find = || {
            let mut notes = Vec::new();
            let place = separate::Place { root: &self.root, path: &self.inside };
            let found = separate::find(&self.elf, place, &mut notes);
            notes.into_iter().for_each(|note| self.note(note));
            found
        };
        self.separate.get_or_init(find).as_ref()
    }

    /// Symbols that are packed in a binary which has no others (`.gnu_debugdata`).
    fn packed(&self) -> Option<&Elf> {
        let unpacked = || {
            let bytes = self.elf.named(".gnu_debugdata").ok()??;
            match unpack(Format::Xz, &bytes, PACKED).and_then(Elf::inside) {
                Ok(elf) => Some(elf),
                Err(fault) => {
                    self.note(format!("{}: .gnu_debugdata: {}", self.name, fault.message));
                    None
                }
            }
        };
        self.packed.get_or_init(unpacked).as_ref()
    }

    pub fn symbols(&self) -> &Symbols {
        self.symbols.get_or_init(|| {
            let mut files = vec![&self.elf];
            if !self.elf.has(".symtab") {
                files.extend(self.separate().map(|(elf, _)| elf));
                files.extend(self.packed());
            }
            let symbols = Symbols::read(&files);
            symbols.faults.iter().for_each(|fault| self.note(format!("{}: {}", self.name, fault.message)));
            symbols
        })
    }

    /// The file that has the debug information.
    pub(super) fn with_debug(&self) -> Option<(&Elf, &Path)> {
        if dwarf::has(&self.elf) {
            return Some((&self.elf, &self.path));
        }
        self.separate().filter(|(elf, _)| dwarf::has(elf)).map(|(elf, path)| (elf, path.as_path()))
    }

    pub fn debug(&self) -> Option<&Loaded> {
        let load = || {
            let (elf, path) = self.with_debug()?;
            let shared = match separate::shared(elf, path, &self.root) {
                Ok(shared) => shared,
                Err(fault) => {
                    self.note(format!("{}: {}", self.name, fault.message));
                    None
                }
            };
            match Loaded::read(elf, shared.as_ref()) {
                Ok(loaded) => Some(loaded),
                Err(fault) => {
                    self.note(format!("{}: its debug information is not used: {}", self.name, fault.message));
                    None
                }
            }
        };
        self.loaded.get_or_init(load).as_ref()
    }

    /// Whether its debug information is in files of its own, which are not read.
    pub fn is_split(&self) -> bool {
        self.debug().is_some_and(|debug| debug.view().is_split())
    }

    /// Prototypes of the table, where it is one of those libraries; a program that has the C library inside of it, too.
    pub fn prototypes(&self) -> Option<Prototypes> {
        let file = self.inside.file_name().map(|name| name.to_string_lossy().into_owned());
        let names = [self.elf.own_name(), file];
        let found = names.iter().flatten().find_map(|name| Prototypes::of_library(name));
        found.or_else(|| {
            let whole = !self.elf.has_interpreter() && self.symbols().address("__libc_start_main").is_some();
            whole.then(|| Prototypes::of_library("libc.so"))?
        })
    }

    /// A function by its name; of a glob, all that match. By name, each once.
    ///
    /// # Errors
    /// When there is none.
    pub fn functions(&self, name: &str) -> Result<Vec<Function>, Wrong> {
        if crate::names::glob::is_glob(name) {
            let mut found = self.symbols().matching(&self.elf, name);
            found.retain(|function| !function.chooses);
            let none = || Wrong::new(format!("no function of {} matches {name}", self.name));
            return if found.is_empty() { Err(none()) } else { Ok(found) };
        }
        let found = match self.symbols().called(&self.elf, name) {
            Ok(found) => found,
            Err(fault) => return self.called_in_source(name).ok_or_else(|| self.why_not(name, fault)),
        };
        if found.iter().all(|function| function.chooses) {
            return Err(self.chosen(name));
        }
        Ok(found)
    }

    /// Of functions that the linker calls otherwise (C++, Rust): by what the source calls them.
    fn called_in_source(&self, name: &str) -> Option<Vec<Function>> {
        let debug = self.debug()?.view();
        let mut found = Vec::new();
        for (address, _) in debug.functions_called(name) {
            let Some(offset) =
                self.elf.loaded(address).filter(|segment| segment.executable).and(self.elf.offset(address))
            else {
                continue;
            };
            // By its symbol, where it has one: that says which class it is of.
            found.push(self.function_at(address).unwrap_or_else(|| Function {
                name: name.to_owned(),
                in_source: None,
                address,
                offset,
                size: 0,
                bind: super::symbols::Bind::Local,
                chooses: false,
                aliases: Vec::new(),
            }));
        }
        (!found.is_empty()).then_some(found)
    }

    fn why_not(&self, name: &str, fault: Wrong) -> Wrong {
        let Some(inlined) = self.debug().and_then(|debug| debug.view().inlined(name)) else {
            let wrong = Wrong { message: format!("{}: {}", self.name, fault.message), ..fault };
            // glibc 2.34, NEWS: their functions have moved to libc, and these libraries are empty.
            let file = self.inside.file_name().map(|file| file.to_string_lossy()).unwrap_or_default();
            let moved = ["libpthread.so", "libdl.so", "librt.so", "libutil.so", "libanl.so"];
            return match moved.iter().any(|library| file.starts_with(library)) {
                true => wrong.hint(format!("since glibc 2.34 it is in libc: libc:{name}")),
                false => wrong,
            };
        };
        let wrong =
            Wrong::new(format!("{}: {name} has no code of its own: it is inlined wherever it is called", self.name));
        let place = |(address, at): &(u64, String)| {
            let offset = self.elf.offset(*address).unwrap_or(*address);
            format!("{offset:#x} ({at})")
        };
        let wrong = wrong.list("these are", &inlined.places.iter().map(place).collect::<Vec<_>>());
        match inlined.more {
            0 => wrong,
            more => wrong.hint(format!("and {more} more")),
        }
    }

    /// It is chosen when the program starts which code takes this name.
    fn chosen(&self, name: &str) -> Wrong {
        let wrong = Wrong::new(format!(
            "{}: {name} has several versions, one of which is chosen for the processor when a program starts",
            self.name
        ));
        let parts = [format!("__{name}_*"), format!("{name}_*")];
        let mut found: Vec<String> = Vec::new();
        for glob in parts {
            let all = self.symbols().matching(&self.elf, &glob);
            found.extend(all.into_iter().filter(|one| !one.chooses).map(|one| one.name).take(12));
        }
        match found.is_empty() {
            true => wrong.hint("their names are in the debug symbols of the library, which are not there"),
            false => wrong.list("these may be", &found),
        }
    }

    /// The addresses of a line of the source: one for each copy of it.
    ///
    /// # Errors
    /// When there is no code of it, or no debug information.
    pub fn line(&self, file: &str, line: u32) -> Result<Vec<u64>, Wrong> {
        let Some(debug) = self.debug() else {
            let wrong = Wrong::new(format!("{} has no debug information, which lines are found by", self.name));
            return Err(wrong.hint("it is built with -g, or installed with a package of debug symbols"));
        };
        let found = debug.view().line(file, line);
        let code = |address: &u64| self.elf.loaded(*address).is_some_and(|segment| segment.executable);
        let addresses: Vec<u64> = found.addresses.iter().copied().filter(code).collect();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        if found.files.is_empty() {
            let close = crate::names::closest(file, found.known.iter().map(String::as_str));
            let wrong = Wrong::new(format!("{}: no file {file} is in its debug information", self.name));
            return Err(wrong.list("closest", &close));
        }
        let others: Vec<String> = found.others.iter().map(u32::to_string).collect();
        Err(Wrong::new(format!("{}: there is no code of line {line} of {file}", self.name))
            .list("lines with code", &others))
    }

    /// The function that begins at an address.
    pub fn function_at(&self, address: u64) -> Option<Function> {
        self.symbols().at(&self.elf, address)
    }

    /// What keeps a probe off the instruction at a place of the file, as far as is known.
    pub fn refused_at(&self, offset: u64) -> Option<&'static str> {
        let most = code::LONGEST.min(self.elf.source.size().checked_sub(offset)?);
        code::refused(self.elf.machine, &self.elf.source.part(offset, most)?)
    }

    /// Refuses a place within an instruction, where a probe would change what that does. Whether it is known that it is none.
    ///
    /// # Errors
    /// When it is one.
    pub fn begins_instruction(&self, address: u64, offset: u64) -> Result<bool, Wrong> {
        /// No function is longer.
        const FUNCTION: u64 = 1 << 20;
        let start = match self.elf.machine {
            Machine::Arm => Some((address / 4 * 4, 4)),
            Machine::X86 => self.symbols().around(address).filter(|(_, size)| *size <= FUNCTION),
        };
        let begins = || {
            let (start, size) = start?;
            let bytes = self.elf.source.part(self.elf.offset(start)?, size)?;
            let at = usize::try_from(address - start).ok()?;
            Some(start + code::instruction_at(self.elf.machine, &bytes, at)? as u64)
        };
        match begins() {
            Some(begin) if begin != address => {
                let place = self.elf.offset(begin).unwrap_or(begin);
                let wrong = format!("{}: {offset:#x} is within an instruction, which begins at {place:#x}", self.name);
                Err(Wrong::new(wrong).hint("a probe there would change what the program does"))
            }
            begin => Ok(begin.is_some()),
        }
    }

    /// Whether there are functions of C++ or Rust, which exceptions may leave. (libc has some that handle its own way to
    /// cancel threads.)
    pub fn has_exceptions(&self) -> bool {
        let is_theirs = |name: &String| ["libstdc++", "libc++", "libgcc_s"].iter().any(|start| name.starts_with(start));
        let handles = |name: &str| self.symbols().address(name).is_some();
        self.elf.section(".gcc_except_table").is_some()
            && (self.elf.libraries().iter().any(is_theirs)
                || ["__gxx_personality_v0", "rust_eh_personality"].into_iter().any(handles))
    }

    /// Static probes, by name.
    pub fn static_probes(&self) -> Vec<StaticProbe> {
        let all = || Symbols::read(&[&self.elf]);
        usdt::static_probes(&self.elf, &all)
    }

    /// A place that was given by where it is in the file.
    ///
    /// # Errors
    /// When there is no code.
    pub fn at_offset(&self, offset: u64) -> Result<u64, Wrong> {
        let wrong = |why: String| Err(Wrong::new(format!("{}: {offset:#x} {why}", self.name)));
        match self.elf.at_offset(offset) {
            Some((segment, address)) if segment.executable => Ok(address),
            Some(_) => wrong("is in a part of the file that is not executed".to_owned()),
            None if offset >= self.elf.source.size() => wrong("is behind the end of the file".to_owned()),
            None => match self.elf.offset(offset) {
                Some(meant) => wrong(format!("is in no part that is loaded; as an address it is at {meant:#x}")),
                None => wrong("is in no part of the file that is loaded".to_owned()),
            },
        }
    }
}
