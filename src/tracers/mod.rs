//! One module a tracer: its options, its events, its decoder, its hooks.

pub mod decoders;
pub mod extra;

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use crate::escape::shown;
use crate::event::Kind;
use crate::event::decode::Decode;
use crate::flow::heartbeat::Beat;
use crate::host::Host;
use crate::host::kallsyms::{self, Symbols};
use crate::load::kin::Kin;
use crate::load::session::{COOKIES, Session};
use crate::load::source::{Embedded, Source};
use crate::output::tables::{Room, Table};
use crate::types::btf::{self, Wanted};
use crate::types::relo::Target;

/// What does not depend on a tracer's options.
#[derive(Debug)]
pub struct Info {
    /// Its BPF object; the name is that of the subcommand.
    pub embedded: Embedded,
    /// One line on what it is for: the help of its subcommand.
    pub about: &'static str,
    /// Hash of its event layouts.
    pub layout: u64,
}

/// A tracer, as the rest of the program sees it.
pub trait Tracer: Decode + Source {
    /// What does not depend on its options.
    fn info(&self) -> &'static Info;
    /// All kinds of events that it knows.
    fn kinds(&self) -> &[Kind];
    /// The kinds that are shown without `--events`.
    fn default_kinds(&self) -> Vec<&str> {
        self.kinds().iter().map(|kind| &*kind.name).collect()
    }
    /// How its events look in text.
    fn table(&self, room: Room) -> Table {
        Table::general(room)
    }
    /// What it does for a heartbeat: something that passes this run's kinds and filters. None: nothing would.
    fn beat(&self, session: &Session) -> Option<Beat>;
    /// Whether a run may have it several times: it traces what it is told to.
    fn takes_specs(&self) -> bool {
        false
    }
    /// Whether its events are not sent, but added up in the kernel ([`Source::totals`]).
    fn adds_up(&self) -> bool {
        false
    }
    /// The tracers that it becomes on this host, where its options say what it traces: one for each spec.
    ///
    /// # Errors
    /// When what they name is not there.
    fn open(&self, _: &mut Opening<'_>) -> Result<Option<Vec<Box<dyn Tracer>>>> {
        Ok(None)
    }
    /// What it could trace, one on each line, where its options ask for that alone.
    ///
    /// # Errors
    /// When it is not known.
    fn list(&self, _: &Opening<'_>) -> Result<Option<Vec<String>>> {
        Ok(None)
    }
    /// What a recording has to have, so that its events can be read: see [`Tracer::replayed`].
    fn recorded(&self) -> Option<serde_json::Value> {
        None
    }
    /// The tracer that reads the events of a recording with this in its header.
    ///
    /// # Errors
    /// When it is damaged.
    fn replayed(&self, _: &serde_json::Value) -> Result<Option<Box<dyn Tracer>>> {
        Ok(None)
    }
}

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
    specs: usize,
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
    fn types(&self, module: Option<&str>) -> Result<Rc<Target>> {
        let Some(module) = module else {
            if self.types.get().is_none() {
                let found = btf::find(self.wanted, self.host)?;
                let _ = self.types.set(Rc::new(Target::of(&found.source)?));
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
    fn symbols(&self) -> Result<Rc<Symbols>> {
        if self.symbols.get().is_none() {
            let _ = self.symbols.set(Rc::new(Symbols::read(Path::new("/"))?));
        }
        self.symbols.get().cloned().context("the kernel's symbols")
    }

    /// The functions that can be traced; None: tracefs cannot be read.
    fn traceable(&self) -> Option<&HashSet<String>> {
        let read = || kallsyms::traceable(&self.host.tracefs.as_ref()?.path).ok();
        self.traceable.get_or_init(read).as_ref()
    }

    /// Whether programs can read what their probe was attached with.
    fn cookies(&self) -> bool {
        self.host.at_least(COOKIES)
    }

    /// Whether static probes are called, not trapped, where there is room for a call (ba2bfc97b462: uprobes/x86: Add
    /// support to optimize uprobes, 6.18).
    fn optimizes_static_probes(&self) -> bool {
        self.host.at_least((6, 18))
    }

    fn events(&self) -> Result<PathBuf> {
        let tracefs = self.host.tracefs.as_ref();
        let tracefs = tracefs.context("tracefs is not mounted\n  mount -t tracefs tracefs /sys/kernel/tracing")?;
        Ok(tracefs.path.join("events"))
    }

    /// What a classic tracepoint's format file says.
    fn format(&self, category: &str, name: &str) -> Result<String> {
        let path = self.events()?.join(category).join(name).join("format");
        fs::read_to_string(&path).with_context(|| format!("the tracepoint {category}:{name}: reading {}", shown(&path)))
    }

    /// The classic tracepoints of a category.
    fn tracepoints(&self, category: &str) -> Result<Vec<String>> {
        let path = self.events()?.join(category);
        let with_format = |name: &String| path.join(name).join("format").exists();
        Ok(directories(&path)?.into_iter().filter(with_format).collect())
    }

    /// The categories of classic tracepoints.
    fn categories(&self) -> Result<Vec<String>> {
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

/// What fexit cannot see: when the programs on the function change, calls under way bypass them
/// (kernel/bpf/trampoline.c: bpf_tramp_image_put).
pub(crate) const NOT_SEEN_BY_FEXIT: &str = "calls under way when another tracer joins or leaves the same function";

/// All BPF objects in this program: the tracers', and the one that keeps the map of followed processes.
#[must_use]
pub fn sources() -> Vec<Box<dyn Source>> {
    let tracers = all().into_iter().map(|tracer| -> Box<dyn Source> { tracer });
    tracers.chain([Box::new(Kin) as Box<dyn Source>]).collect()
}

macro_rules! tracers {
    ($($module:ident::$tracer:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// A subcommand for each tracer.
        #[derive(Debug, clap::Subcommand)]
        pub enum Tracers {
            $(
                #[allow(missing_docs)]
                $tracer(crate::options::Trace<$module::$tracer>)
            ),+
        }

        impl Tracers {
            /// The tracer, and the options that all tracers share.
            #[must_use]
            pub fn parts(&self) -> (&dyn Tracer, &crate::options::Common) {
                match self { $(Tracers::$tracer(t) => (&t.tracer, &t.common)),+ }
            }
        }

        /// A tracer without the shared options: what `--with` takes.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Alone {
            $($tracer($module::$tracer)),+
        }

        impl Alone {
            /// The tracer.
            fn boxed(self) -> Box<dyn Tracer> {
                match self { $(Alone::$tracer(tracer) => Box::new(tracer)),+ }
            }
        }

        /// All tracers, with their default options: for replays, the schema and `check`.
        #[must_use]
        pub fn all() -> Vec<Box<dyn Tracer>> {
            vec![$(Box::new($module::$tracer::default())),+]
        }
    };
}

// The list: a new tracer is bpf/NAME.bpf.c, tracers/NAME.rs and one word here.
tracers! {
    proc::Proc,
    exec::Exec,
    opens::Open,
    probe::Probe,
    uprobe::Uprobe,
    usdt::Usdt,
}
