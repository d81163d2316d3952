//! What specs are resolved with: the types, symbols and files of this host.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use crate::binary::Binary;
use crate::binary::find::{Scene, binaries};
use crate::error::Wrong;
use crate::escape::shown;
use crate::host::kallsyms::{self, Symbols};
use crate::host::{Host, arch};
use crate::load::session::COOKIES;
use crate::types::btf::{self, Wanted};
use crate::types::relo::Target;

/// What specs are resolved with. All of it is read when it is first asked for.
pub struct Opening<'a> {
    host: &'a Host,
    /// Where types are to come from.
    wanted: Wanted<'a>,
    types: OnceCell<Rc<Target>>,
    modules: RefCell<HashMap<String, Rc<Target>>>,
    symbols: OnceCell<Rc<Symbols>>,
    traceable: OnceCell<Option<HashSet<String>>>,
    /// Binaries are looked for where this process runs.
    process: Option<u32>,
    /// How many specs there are so far.
    pub(super) specs: usize,
    /// What is not as one might expect it.
    pub notes: Vec<String>,
}

impl<'a> Opening<'a> {
    /// For a host, the types that a run takes, and the process that is watched, if one is named.
    #[must_use]
    pub fn new(host: &'a Host, wanted: Wanted<'a>, process: Option<u32>) -> Self {
        Opening {
            host,
            wanted,
            types: OnceCell::new(),
            modules: RefCell::default(),
            symbols: OnceCell::new(),
            traceable: OnceCell::new(),
            process,
            specs: 0,
            notes: Vec::new(),
        }
    }

    /// The kernel's types, or those of a module with them (5.11 and newer, where it is loaded).
    pub(super) fn types(&self, module: Option<&str>) -> Result<Rc<Target>> {
        let Some(module) = module else {
            if self.types.get().is_none() {
                let found = btf::find(self.wanted, self.host)?;
                let _ = self.types.set(Rc::new(Target::of_run(&found.source)?));
            }
            return self.types.get().cloned().context("the kernel's types");
        };
        if let Some(known) = self.modules.borrow().get(module) {
            return Ok(Rc::clone(known));
        }
        // No path.
        ensure!(!module.contains(['/', '.']), "{module:?} is no name of a module");
        let target = Rc::new(Target::read_with(&Path::new(MODULES_BTF).join(module), None)?);
        self.modules.borrow_mut().insert(module.to_owned(), Rc::clone(&target));
        Ok(target)
    }

    /// The kernel's symbols.
    pub(super) fn symbols(&self) -> Result<Rc<Symbols>> {
        if self.symbols.get().is_none() {
            let _ = self.symbols.set(Rc::new(Symbols::read(Path::new("/"))?));
        }
        self.symbols.get().cloned().context("the kernel's symbols")
    }

    /// The functions that can be traced; None: tracefs cannot be read.
    pub(super) fn traceable(&self) -> Option<&HashSet<String>> {
        let read = || kallsyms::traceable(&self.host.tracefs.as_ref()?.path).ok();
        self.traceable.get_or_init(read).as_ref()
    }

    /// The binaries that a word means: one, or all that the process has mapped.
    pub(super) fn binaries(&self, word: &str) -> Result<Vec<Binary>, Wrong> {
        let path = std::env::var_os("PATH");
        binaries(word, self.process.map_or(Scene::Host { path: path.as_deref() }, Scene::Process))
    }

    /// Whether programs can read what their probe was attached with.
    pub(super) fn cookies(&self) -> bool {
        self.host.at_least(COOKIES)
    }

    /// Whether static probes are called, not trapped, where there is room for a call.
    pub(super) fn optimizes_static_probes(&self) -> bool {
        arch::STATIC_PROBES_ARE_CALLED.is_some_and(|since| self.host.at_least(since))
    }

    fn events(&self) -> Result<PathBuf> {
        let tracefs = self.host.tracefs.as_ref();
        let tracefs = tracefs.context("tracefs is not mounted\n  mount -t tracefs tracefs /sys/kernel/tracing")?;
        Ok(tracefs.path.join("events"))
    }

    /// What a classic tracepoint's format file says.
    pub(super) fn format(&self, category: &str, name: &str) -> Result<String> {
        let path = self.events()?.join(category).join(name).join("format");
        fs::read_to_string(&path).with_context(|| format!("the tracepoint {category}:{name}: reading {}", shown(&path)))
    }

    /// The classic tracepoints of a category.
    pub(super) fn tracepoints(&self, category: &str) -> Result<Vec<String>> {
        let path = self.events()?.join(category);
        let with_format = |name: &String| path.join(name).join("format").exists();
        Ok(directories(&path)?.into_iter().filter(with_format).collect())
    }

    /// The categories of classic tracepoints.
    pub(super) fn categories(&self) -> Result<Vec<String>> {
        directories(&self.events()?)
    }
}

/// The names of the directories in one, in order.
fn directories(path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", shown(path));
    let mut names = Vec::new();
    for entry in fs::read_dir(path).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        if entry.file_type().is_ok_and(|of| of.is_dir()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Where the kernel has the types of its modules (kernel/bpf/btf.c: btf_module_notify, 5.11).
const MODULES_BTF: &str = "/sys/kernel/btf";
