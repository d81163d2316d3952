//! Modules whose functions are hooked: they may be unloaded, which takes the hooks away, and be loaded again.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::host::has_module;
use crate::load::plan::{Names, Plan, Program, Target};

/// How often it is looked whether they are still there.
const LOOK: Duration = Duration::from_millis(100);

/// The longest that the load of one is waited for.
const LOADED_WITHIN: Duration = Duration::from_secs(1);

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
    /// It was loaded: it was not there when the run began, or it was unloaded since.
    Loaded(String),
}

impl Modules {
    /// Those whose functions the programs of a plan hook. Of one that is just being loaded, its end is awaited.
    pub fn of(plan: &Plan) -> Self {
        let mut names: Vec<&str> = plan.programs.iter().flat_map(modules).collect();
        names.sort_unstable();
        names.dedup();
        let until = Instant::now() + LOADED_WITHIN;
        while names.iter().any(|name| is_coming(Path::new("/"), name)) && Instant::now() < until {
            sleep(Duration::from_millis(1));
        }
        let module = |name: &str| Module { name: name.to_owned(), load: Cell::new(load(Path::new("/"), name)) };
        Modules { all: names.into_iter().map(module).collect(), next: Cell::new(Instant::now() + LOOK) }
    }

    /// Whether they are as they were when this was made.
    pub fn are_as_before(&self) -> bool {
        self.changes_in(Path::new("/")).is_empty()
    }

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
            (_, Some(_)) => Some(Change::Loaded(module.name.clone())),
        };
        self.all.iter().filter_map(change).collect()
    }
}

/// The modules of the functions that a program hooks.
pub(crate) fn modules(program: &Program) -> impl Iterator<Item = &str> {
    functions(&program.target).iter().filter_map(|name| Some(name.split_once(':')?.0))
}

/// The program on the functions of that module alone, if it hooks any.
pub(crate) fn of_module(program: &Program, module: &str) -> Option<Program> {
    let is_of_it = |name: &&Cow<'static, str>| name.split_once(':').is_some_and(|(of, _)| of == module);
    let names: Names = functions(&program.target).iter().filter(is_of_it).cloned().collect();
    let target = match program.target {
        Target::Entry(_) => Target::Entry(names.clone()),
        Target::Return(_) => Target::Return(names.clone()),
        Target::Each(_, when) => Target::Each(names.clone(), when),
        _ => return None,
    };
    (!names.is_empty()).then(|| program.clone().on(target))
}

fn functions(target: &Target) -> &[Cow<'static, str>] {
    match target {
        Target::Entry(names) | Target::Return(names) | Target::Exit(names) | Target::TypedEntry(names) => names,
        Target::Each(names, _) | Target::Together(names, _) => names,
        _ => &[],
    }
}

/// Whether it is being loaded: its functions can be hooked or not, which is not known.
fn is_coming(root: &Path, name: &str) -> bool {
    let state = fs::read(root.join("sys/module").join(name).join("initstate"));
    state.is_ok_and(|state| state.starts_with(b"coming"))
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
        assert_eq!(modules.changes_in(root.root()), [Change::Loaded("nf_it".into())]);
        assert_eq!(modules.changes_in(root.root()), []);
        // Unloaded and loaded between two looks.
        fs::rename(&module, root.path("old")).unwrap();
        root.dir("sys/module/nf_it");
        assert_eq!(modules.changes_in(root.root()), [Change::Loaded("nf_it".into())]);
        fs::remove_dir_all(&module).unwrap();
        assert_eq!(modules.changes_in(root.root()), [Change::Gone("nf_it".into())]);
    }

    #[test]
    fn of_several_functions_those_of_the_module_are_hooked_again() {
        let on = |target| Program::new("p", Needed::Follow).on(target);
        let both = on(Target::Entry(names(&["tcp_v4_connect", "sctp:sctp_connect"])));
        let again = of_module(&both, "sctp").unwrap();
        assert!(matches!(again.target, Target::Entry(names) if names == ["sctp:sctp_connect"]));
        assert!(of_module(&both, "nf_it").is_none() && of_module(&on(Target::Called), "sctp").is_none());
    }
}
