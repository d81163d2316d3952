//! Modules whose functions are hooked: they may be unloaded, which takes the hooks away, and be loaded again.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::has_module;
use crate::load::plan::{Plan, Program, Target};

/// How often it is looked whether they are still there.
const LOOK: Duration = Duration::from_millis(100);

/// The modules of a plan.
#[derive(Debug)]
pub(crate) struct Modules {
    all: Vec<Module>,
    next: Cell<Instant>,
}

#[derive(Debug)]
struct Module {
    name: String,
    /// Which load of it: the inode of its directory in sysfs, a new one each time. None: it is not there.
    load: Cell<Option<u64>>,
}

/// What has happened to a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Gone(String),
    /// It was loaded since.
    Back(String),
}

impl Modules {
    /// Those whose functions the programs of a plan hook.
    pub fn of(plan: &Plan) -> Self {
        let mut names: Vec<&str> = plan.programs.iter().flat_map(modules).collect();
        names.sort_unstable();
        names.dedup();
        let module = |name: &str| Module { name: name.to_owned(), load: Cell::new(load(Path::new("/"), name)) };
        Modules { all: names.into_iter().map(module).collect(), next: Cell::new(Instant::now() + LOOK) }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What has changed since they were looked at last.
    pub fn changes(&self) -> Vec<Change> {
        let now = Instant::now();
        if self.all.is_empty() || now < self.next.get() {
            return Vec::new();
        }
        self.next.set(now + LOOK);
        self.changes_in(Path::new("/"))
    }

    fn changes_in(&self, root: &Path) -> Vec<Change> {
        let change = |module: &Module| match (module.load.replace(load(root, &module.name)), module.load.get()) {
            (before, now) if before == now => None,
            (_, None) => Some(Change::Gone(module.name.clone())),
            (_, Some(_)) => Some(Change::Back(module.name.clone())),
        };
        self.all.iter().filter_map(change).collect()
    }
}

/// The modules of the functions that a program hooks.
pub(crate) fn modules(program: &Program) -> impl Iterator<Item = &str> {
    let functions = match &program.target {
        Target::Entry(names) | Target::Return(names) | Target::Exit(names) | Target::TypedEntry(names) => {
            names.as_slice()
        }
        Target::Each(names, _) | Target::Together(names, _) => names.as_slice(),
        _ => &[],
    };
    functions.iter().filter_map(|name| Some(name.split_once(':')?.0))
}

fn load(root: &Path, name: &str) -> Option<u64> {
    // Its functions can be hooked once it is ready.
    let there = has_module(root, name);
    there.then(|| fs::metadata(root.join("sys/module").join(name)).ok().map(|module| module.ino())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;
    use crate::load::plan::{Hook, Needed, names};

    #[test]
    fn a_module_goes_and_comes_back() {
        let root = Tree::new();
        let module = root.path("sys/module/nf_it");
        let on = |target| Program::new("p", Needed::Follow).on(target);
        let programs = vec![on(Target::Entry(names(&["nf_it:a", "vfs_open", "nf_it:b"]))), on(Target::Called)];
        let modules = Modules::of(&Plan { hook: Hook::Kprobe, programs, not_seen: "".into() });
        assert_eq!(modules.changes_in(root.root()), []);
        root.file("sys/module/nf_it/initstate", "coming\n");
        assert_eq!(modules.changes_in(root.root()), []);
        root.file("sys/module/nf_it/initstate", "live\n");
        assert_eq!(modules.changes_in(root.root()), [Change::Back("nf_it".into())]);
        assert_eq!(modules.changes_in(root.root()), []);
        // Unloaded and loaded between two looks.
        fs::rename(&module, root.path("old")).unwrap();
        root.dir("sys/module/nf_it");
        assert_eq!(modules.changes_in(root.root()), [Change::Back("nf_it".into())]);
        fs::remove_dir_all(&module).unwrap();
        assert_eq!(modules.changes_in(root.root()), [Change::Gone("nf_it".into())]);
    }
}
