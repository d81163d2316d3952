//! Attached programs, until they are dropped.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libbpf_rs::query::{LinkTypeInfo, PerfEventLinkInfo, PerfEventType};
use libbpf_rs::{Link, Map, MapCore, MapFlags, Object};

use crate::event::Failure;
use crate::event::total::Totals;
use crate::ffi::counters::recursion_misses;
use crate::load::attach::Hooks;
use crate::load::every_cpu::EveryCpu;
use crate::load::followed;
use crate::load::modules::{Change, Modules, of_module};
use crate::load::object::Loaded;
use crate::load::plan::{Hook, Plan, Program};
use crate::load::session::Session;
use crate::load::shared::{self, Shared};
use crate::load::source::Source;
use crate::report::note;

/// All programs of a run.
#[derive(Debug)]
pub struct Attached {
    /// The maps that they share.
    pub shared: Shared,
    /// One object per tracer, in their order.
    pub parts: Vec<Part>,
    /// The object that keeps the map of followed processes, if any are followed.
    pub kin: Option<Part>,
}

/// One object whose programs are on their hooks.
#[derive(Debug)]
pub struct Part {
    /// The tracer's name.
    pub name: &'static str,
    /// Which of the run's sources it is of.
    pub source: usize,
    /// The plan that worked.
    pub plan: Plan,
    /// Why the plans tried before it failed.
    pub refused: Vec<String>,
    /// What of it is not as one might expect.
    pub notes: Vec<String>,
    /// Why the programs could not be tested on coretrace's own task (src/load/proof.rs).
    pub unproven: Option<String>,
    object: Object,
    hooks: Hooks,
    modules: Modules,
}

impl Part {
    pub(crate) fn new(name: &'static str, plan: Plan, loaded: Loaded) -> Self {
        let Loaded { object, hooks, unproven } = loaded;
        let modules = Modules::of(&plan);
        Part { name, source: 0, plan, refused: Vec::new(), notes: Vec::new(), unproven, object, hooks, modules }
    }

    /// Attaches those programs of the plan that `meant` selects.
    ///
    /// # Errors
    /// When a program that is not optional cannot be attached.
    pub(crate) fn attach(&mut self, meant: &dyn Fn(&Program) -> bool) -> Result<()> {
        self.hooks.attach(self.plan.programs.iter().filter(|program| meant(program)), &self.object)
    }

    /// Pins the labels that are in this object, so that other processes find them.
    ///
    /// # Errors
    /// When they cannot be pinned.
    pub(crate) fn pin_labels(&mut self, session: &Session) -> Result<()> {
        shared::pin_labels(session, &mut self.object)
    }

    /// The hooks in use, as `SEC` names.
    #[must_use]
    pub fn hooks(&self) -> &[String] {
        &self.hooks.taken
    }

    /// Whether no module came or went while its functions were hooked.
    pub(crate) fn is_settled(&self) -> bool {
        self.modules.are_as_before()
    }

    /// Hooks the functions of a module that was loaded during the run.
    ///
    /// # Errors
    /// When that cannot be done.
    fn attach_late(&self, module: &str) -> Result<()> {
        // By their types, programs are on the functions of one load of a module, which they keep from being unloaded
        // (861de02e5f3f, bpf: Take module reference for trampoline in module, 5.13), or of none. One link on many functions
        // is on their addresses.
        ensure!(
            self.plan.hook == Hook::Kprobe,
            "{} cannot be attached during a run: start again",
            self.plan.hook.name()
        );
        let late = self.plan.programs.iter().filter_map(|program| of_module(program, module));
        late.into_iter().try_for_each(|program| self.hooks.attach_late(&program, &self.object))
    }

    /// Hooks that this kernel lacks.
    #[must_use]
    pub fn absent(&self) -> &[String] {
        &self.hooks.absent
    }
}

impl Attached {
    fn all(&self) -> impl Iterator<Item = &Part> {
        self.kin.iter().chain(&self.parts)
    }

    /// How often the kernel did not run a program, because it was already running on that CPU (it
    /// counts that since 5.12).
    #[must_use]
    pub fn missed(&self) -> u64 {
        let of = |part: &Part| {
            let programs =
                part.object.progs().filter(|p| p.autoload()).filter_map(|p| recursion_misses(&p)).sum::<u64>();
            programs + part.hooks.links.borrow().iter().map(missed_probes).sum::<u64>()
        };
        self.all().map(of).sum()
    }

    /// How many calls have begun and not returned yet, for tracers that join the two (call.bpf.h), and of what.
    #[must_use]
    pub fn unreturned(&self, sources: &[&dyn Source]) -> Vec<(String, u64)> {
        let of = |part: &Part| {
            let maps = ["calls", "frames"].into_iter().filter_map(|name| shared::find(&part.object, name).ok());
            // A call that has returned, and could not be taken out, has no time at which it began.
            let is_open = |map: &Map<'_>, key: &Vec<u8>| {
                let began = map.lookup(key, MapFlags::ANY).ok().flatten();
                began.is_some_and(|value| map.name() != "frames" || value.iter().take(8).any(|byte| *byte != 0))
            };
            let open = |map: Map<'_>| map.keys().filter(|key| is_open(&map, key)).count();
            let count = maps.filter(|map| map.autocreate()).map(open).sum::<usize>();
            let watched = sources.get(part.source).map_or("", |source| source.watched());
            (count > 0).then(|| (watched.to_owned(), count as u64))
        };
        self.parts.iter().filter_map(of).collect()
    }

    /// What was added up so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn totals(&self, sources: &[&dyn Source]) -> Result<Vec<Totals>> {
        let parts = self.parts.iter().filter_map(|part| Some((part, sources.get(part.source)?)));
        parts.filter_map(|(part, source)| source.totals(&part.plan, &part.object).transpose()).collect()
    }

    /// Has each tracer look at what is there already.
    ///
    /// # Errors
    /// When one cannot.
    pub fn begin(&self, sources: &[&dyn Source], meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut parts = self.parts.iter().filter_map(|part| Some((part, sources.get(part.source)?)));
        parts.try_for_each(|(part, source)| source.begin(&part.object, meanwhile))
    }

    /// Has each tracer do what is to be done as time goes by; returns whether there is more to do.
    ///
    /// # Errors
    /// When one cannot.
    pub fn turn(&self, sources: &[&dyn Source], last: bool) -> Result<bool> {
        let mut parts = self.parts.iter().filter_map(|part| Some((part, sources.get(part.source)?)));
        parts.try_fold(false, |more, (part, source)| Ok(source.turn(&part.object, last)? | more))
    }

    /// What could not be read or kept so far.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn failures(&self, sources: &[&dyn Source]) -> Result<Vec<Failure>> {
        let parts = self.parts.iter().filter_map(|part| Some((part, sources.get(part.source)?)));
        let all = parts.map(|(part, source)| source.failures(&part.object)).collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Handles what changes while programs run: CPUs that come online.
    ///
    /// # Errors
    /// When a hook would miss what happens on one of them.
    pub fn look(&self) -> Result<()> {
        self.all().filter_map(|part| part.hooks.every_cpu.as_ref()).try_for_each(EveryCpu::look)
    }

    /// Whether functions of modules are hooked that may be loaded later.
    #[must_use]
    pub fn hooks_late(&self) -> bool {
        self.parts.iter().any(|part| part.plan.hook == Hook::Kprobe && !part.modules.is_empty())
    }

    /// Handles modules that were unloaded, or loaded again, while their functions are hooked; what is to be said of it.
    pub fn look_at_modules(&self, sources: &[&dyn Source], meanwhile: &mut dyn FnMut() -> Result<()>) -> Vec<String> {
        let mut notes = Vec::new();
        for (part, source) in self.parts.iter().filter_map(|part| Some((part, sources.get(part.source)?))) {
            for change in part.modules.changes() {
                let name = part.name;
                notes.push(match change {
                    Change::Gone(module) => {
                        format!("the module {module} was unloaded: {name} sees nothing of it until it is loaded again")
                    }
                    Change::Loaded(module) => match part.attach_late(&module) {
                        Ok(()) => match source.begin(&part.object, meanwhile) {
                            Ok(()) => format!("the module {module} was loaded: {name} sees it from now on"),
                            Err(error) => format!(
                                "the module {module} was loaded: {name} sees it from now on, but not what was there already: {error:#}"
                            ),
                        },
                        Err(why) => format!("the module {module} was loaded, but {name} does not see it: {why:#}"),
                    },
                });
            }
        }
        notes
    }

    /// Follows one more process.
    ///
    /// # Errors
    /// When the map of followed processes is full.
    pub fn follow(&self, pid: u32) -> Result<()> {
        followed::add(self.shared.map("followed")?, pid)
    }

    /// Detaches the programs, the last one first: entries of calls stop being seen before their returns do. Otherwise
    /// the calls in between would count as losses. The kernel takes a while for each, and events keep coming:
    /// `meanwhile` is called after each.
    ///
    /// # Errors
    /// Those of `meanwhile`; all programs are detached nevertheless.
    pub fn detach(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        // The followed processes' hook that was attached last goes first.
        let last = self.kin.iter().flat_map(|kin| kin.hooks.links.take()).rev();
        let links: Vec<Link> =
            last.chain(self.parts.iter().rev().flat_map(|part| part.hooks.links.take().into_iter().rev())).collect();
        let mut done = Ok(());
        let (count, mut said) = (links.len(), Instant::now());
        for (n, link) in (1..).zip(links) {
            drop(link);
            done = done.and_then(|()| meanwhile());
            if said.elapsed() >= SAY && n < count {
                note(&format!("{} of {count} hooks are left: the kernel takes its time to let go of each", count - n));
                said = Instant::now();
            }
        }
        done
    }
}

/// How often it is said what is left to be detached: single links on functions of programs take 16 to 130 ms each (the
/// kernel waits for all CPUs).
const SAY: Duration = Duration::from_secs(2);

/// How often the kernel did not run a probe, as another one was running there, or as too many calls were under way to watch
/// the returns of all (since 6.7: 3acf8ace6823, bpf: Add missed value to kprobe perf link info).
fn missed_probes(link: &Link) -> u64 {
    match link.info().map(|info| info.info) {
        Ok(LinkTypeInfo::PerfEvent(PerfEventLinkInfo { event_type: PerfEventType::Kprobe { missed, .. }, .. })) => {
            missed
        }
        _ => 0,
    }
}
