//! Opens, configures, loads and attaches a tracer's skeleton: the first of its plans that this kernel
//! can do.

use std::cell::RefCell;
use std::fs::File;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{ErrorKind, Link, Map, MapCore, MapType, Object, OpenObject, ProgramMut, TracepointCategory};

use crate::ffi::counters::{KINDS_MAX, MappedCounters};
use crate::ffi::log::{blame, mark_log, said_so_far};
use crate::host::possible_cpus;
use crate::load::labels::{self, Labels};
use crate::load::plan::{Hook, Plan, Program, Target, in_order};
use crate::load::proof::{self, Misfit};
use crate::load::settings::{CGROUPS_MAX, Settings};
use crate::load::transport::Perf;
use crate::load::{followed, watched};
use crate::types::btf::BtfSource;

/// Why a hook that [`Hook::needs_kernel_btf`] is not tried.
pub const NO_KERNEL_BTF: &str = "the kernel has no BTF of its own (one handed in does not do for this hook)";

/// What a run needs to load and attach.
#[derive(Debug)]
pub struct Session {
    /// For the kernel side.
    pub settings: Settings,
    /// Where the types of the kernel come from.
    pub btf: BtfSource,
    /// Why they do not come from elsewhere.
    pub btf_passed_over: Vec<String>,
    /// Whether the kernel has BTF of its own.
    pub kernel_btf: bool,
    /// The only way to hook in that is tried.
    pub hook: Option<Hook>,
    /// The hooks on which the kernel may interrupt a program to run another process, for which it then skips that hook;
    /// the others are tried first. See [`crate::load::plan::preempts`].
    pub preempted: Vec<Hook>,
    /// The kernel does not count how often it skips programs on probes and classic tracepoints: before 6.7
    /// (dd8657894c11: bpf: Count missed stats in trace_call_bpf).
    pub uncounted: bool,
    /// Bytes of the buffer: of the ring, or of all CPUs' perf buffers together.
    pub buffer: u32,
    /// Processes to watch.
    pub pids: Vec<u32>,
    /// Most processes that can be followed at once.
    pub followed_max: u32,
    /// Cgroup directories to watch, by their full paths.
    pub cgroups: Vec<(PathBuf, File)>,
    /// Somebody is to see all that can be known of an event (-w, -o json, --record), or a filter asks for it: also what is
    /// costlier to find.
    pub details: bool,
    /// What every path that is wanted begins with one of, once it is normalized; empty: any.
    pub path_prefixes: Vec<Vec<u8>>,
    /// Have the verifier tell into libbpf's log how much it had to look at.
    pub verifier_stats: bool,
}

impl Session {
    /// Whether only some of the host's processes are watched.
    #[must_use]
    pub fn watches_some(&self) -> bool {
        let s = &self.settings;
        let labels = s.labels.as_ref().is_some_and(|labels| labels.only.is_some() || labels.ignore.is_some());
        s.filter_pids || !s.uids.is_empty() || s.comm.accept != 0 || s.cgroups > 0 || labels
    }

    /// Pages of the perf buffer of each CPU: a power of two, as the kernel wants it.
    ///
    /// # Errors
    /// When the number of CPUs is unknown.
    pub fn perf_pages(&self) -> Result<usize> {
        let cpus = libbpf_rs::num_possible_cpus().context("counting the CPUs")?;
        let pages = self.buffer as usize / cpus / self.settings.page_size.max(1) as usize;
        Ok(pages.max(1).next_power_of_two())
    }
}

/// Programs that run, until this is dropped.
#[derive(Debug)]
pub struct Attached<'a> {
    /// The object with its maps.
    pub object: &'a Object,
    /// The plan that worked.
    pub plan: &'static Plan,
    /// The hooks that were taken, as `SEC` names.
    pub hooks: Vec<String>,
    /// Why the plans before it did not.
    pub refused: Vec<String>,
    /// What there is no hook for here.
    pub absent: Vec<String>,
    /// Why the programs could not be tested on coretrace's own task (src/load/proof.rs).
    pub unproven: Option<String>,
    /// The buffers to read, where they are perf buffers.
    pub perf: Option<Perf>,
    /// What the kernel side has counted.
    pub counters: MappedCounters,
    links: RefCell<Vec<Link>>,
}

impl Attached<'_> {
    /// A map of the object.
    ///
    /// # Errors
    /// When the object has none of that name.
    pub fn map(&self, name: &str) -> Result<Map<'_>> {
        find_map(self.object, name)
    }

    /// How often the kernel did not run a program, because it was already running on that CPU (it
    /// counts that since 5.12).
    #[must_use]
    pub fn missed(&self) -> u64 {
        let programs = self.object.progs().filter(|p| p.autoload());
        programs.filter_map(|p| crate::ffi::counters::recursion_misses(&p)).sum()
    }

    /// Follows one more process.
    ///
    /// # Errors
    /// When the map of followed processes is full.
    pub fn follow(&self, pid: u32) -> Result<()> {
        let followed = self.map("followed")?;
        followed::add(&followed, pid)
    }

    /// Takes the programs off their hooks, the last one first: the beginning of calls is no longer seen before their
    /// return is not. Else the calls between the two would pass for losses. Each takes the kernel a while, in which
    /// events go on: `meanwhile` is called behind each.
    ///
    /// # Errors
    /// Those of `meanwhile`; all programs are off their hooks all the same.
    pub fn detach(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let links = std::mem::take(&mut *self.links.borrow_mut());
        let mut done = Ok(());
        for link in links.into_iter().rev() {
            drop(link);
            done = done.and_then(|()| meanwhile());
        }
        done
    }
}

/// Tries one plan after the other; `body` gets the first that works.
///
/// # Errors
/// When none does: every plan with its cause. Or what `body` returns.
pub(crate) fn start<'obj, B>(
    session: &Session,
    plans: impl Iterator<Item = (&'obj mut MaybeUninit<OpenObject>, &'static Plan)>,
    builder: impl Fn() -> B,
    proof: fn(&[u8]) -> Option<proof::Read>,
    body: &mut dyn FnMut(Attached<'_>) -> Result<()>,
    mut configure: impl FnMut(&mut B::Output) -> Result<()>,
) -> Result<()>
where
    B: SkelBuilder<'obj>,
    <B::Output as OpenSkel<'obj>>::Output: Skel<'obj>,
{
    // No plan would do better.
    session.settings.labels.as_ref().map_or(Ok(()), Labels::check)?;
    let mut refused: Vec<Refused> = Vec::new();
    for (slot, plan) in in_order(plans, |(_, plan)| plan.hook, session.hook, |hook| session.preempted.contains(&hook)) {
        let hook = plan.hook;
        if plan.hook.needs_kernel_btf() && !session.kernel_btf {
            refused.push(Refused { hook, tried: None, why: anyhow!(NO_KERNEL_BTF) });
            continue;
        }
        let said = mark_log();
        match load(session, plan, builder(), slot, proof, &mut configure) {
            Ok((mut skel, loaded)) => {
                if let Some(labels) = &session.settings.labels {
                    let mut maps = skel.object_mut().maps_mut();
                    let mut map = maps.find(|map| map.name() == labels::MAP).context("the object has no labels")?;
                    labels.keep(&mut map)?;
                }
                let refused = refused.iter().map(ToString::to_string).collect();
                let Hooked { perf, links, hooks, absent, counters, unproven, .. } = loaded;
                let object = skel.object();
                let links = links.into();
                return body(Attached { object, plan, hooks, refused, absent, unproven, perf, counters, links });
            }
            // It is the types that are wrong, not the way to hook in.
            Err(error) if error.is::<Misfit>() => return Err(error),
            Err(why) => refused.push(Refused { hook, tried: Some(said..said_so_far()), why }),
        }
    }
    Err(none_works(refused))
}

/// A plan that does not work.
struct Refused {
    hook: Hook,
    /// What libbpf said of it; none: it was not tried.
    tried: Option<Range<usize>>,
    why: anyhow::Error,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:#}", self.hook.name(), self.why)
    }
}

/// The failure of the best way to hook in that was tried: what is to be put right first. (The best of all, where none was.)
fn none_works(mut refused: Vec<Refused>) -> anyhow::Error {
    if refused.is_empty() {
        return anyhow!("this tracer has no such way to attach (--attach)").context(crate::error::Usage);
    }
    let best = refused.remove(refused.iter().position(|plan| plan.tried.is_some()).unwrap_or(0));
    if let Some(said) = best.tried {
        blame(said);
    }
    if refused.is_empty() {
        return best.why;
    }
    // It comes last, as what it says follows.
    let others: String = refused.iter().map(|plan| format!("\n  {plan}")).collect();
    best.why.context(format!("no way to hook in works here:{others}\n  {}", best.hook.name()))
}

/// What there is once a plan's programs are on their hooks.
#[derive(Default)]
struct Hooked {
    perf: Option<Perf>,
    links: Vec<Link>,
    hooks: Vec<String>,
    absent: Vec<String>,
    /// Of programs that could go on one of several functions, on which they went.
    exits: Vec<(&'static str, &'static str)>,
    counters: MappedCounters,
    unproven: Option<String>,
}

impl Hooked {
    fn lacks(&mut self, what: &str, optional: bool) -> Result<()> {
        let missing = format!("the kernel has no {what}");
        ensure!(optional, "{missing}");
        self.absent.push(missing);
        Ok(())
    }
}

type Loaded<'obj, B> = <<B as SkelBuilder<'obj>>::Output as OpenSkel<'obj>>::Output;

/// Loads one plan's programs and puts them on their hooks.
fn load<'obj, B>(
    session: &Session,
    plan: &Plan,
    mut builder: B,
    slot: &'obj mut MaybeUninit<OpenObject>,
    proof: fn(&[u8]) -> Option<proof::Read>,
    configure: &mut impl FnMut(&mut B::Output) -> Result<()>,
) -> Result<(Loaded<'obj, B>, Hooked)>
where
    B: SkelBuilder<'obj>,
    Loaded<'obj, B>: Skel<'obj>,
{
    // Open until the object is loaded.
    let btf = session.btf.file()?;
    if let Some(btf) = &btf {
        builder.object_builder_mut().btf_custom_path(btf.path()).context("naming the BTF file")?;
    }
    let mut open = builder.open(slot).context("opening the BPF object")?;
    configure(&mut open)?;
    let mut hooked = Hooked::default();
    prepare(session, plan, open.open_object_mut(), &mut hooked)?;
    let skel = open.load().context("loading the BPF programs")?;
    match proof::prove(skel.object(), proof) {
        Err(error) if error.is::<Misfit>() => return Err(error),
        proven => hooked.unproven = proven.err().map(|error| format!("{error:#}")),
    }
    fill(session, skel.object())?;
    hooked.counters = MappedCounters::new(&find_map(skel.object(), "ledger")?)?;
    if session.settings.perf {
        hooked.perf = Some(Perf::open(&find_map(skel.object(), "events")?, session.perf_pages()?)?);
    }
    attach(plan, skel.object(), &mut hooked)?;
    Ok((skel, hooked))
}

fn find_map<'a>(object: &'a Object, name: &str) -> Result<Map<'a>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("the object has no map {name}"))
}

/// include/linux/bpf_verifier.h: the verifier tells how many instructions it processed.
const BPF_LOG_STATS: u32 = 4;

fn prepare(session: &Session, plan: &Plan, object: &mut OpenObject, hooked: &mut Hooked) -> Result<()> {
    let settings = &session.settings;
    for mut program in object.progs_mut() {
        let wanted = plan
            .programs
            .iter()
            .find(|p| program.name() == p.name && p.is_needed(settings.kinds, settings.follow, settings.filter_pids));
        let mut there = wanted.is_some();
        if let Some(Program { target: Target::Exit(functions), optional, .. }) = wanted {
            let chosen = functions.iter().find(|name| program.set_attach_target(0, Some((**name).to_owned())).is_ok());
            there = chosen.is_some();
            match chosen {
                Some(function) => hooked.exits.push((wanted.map_or("", |p| p.name), function)),
                None => hooked.lacks(&functions.join(" or "), *optional)?,
            }
        }
        program.set_autoload(there || program.name() == proof::PROGRAM);
        if session.verifier_stats {
            program.set_log_level(BPF_LOG_STATS);
        }
    }
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let sized = match name.as_str() {
            "events" if settings.perf => {
                let cpus = possible_cpus()?;
                map.set_type(MapType::PerfEventArray)
                    .and_then(|()| map.set_key_size(4))
                    .and_then(|()| map.set_value_size(4))
                    .and_then(|()| map.set_max_entries(cpus))
            }
            "events" => map.set_max_entries(session.buffer),
            "ledger" => {
                ensure!(map.max_entries() == KINDS_MAX, "the ledger has rows of {}", map.max_entries());
                map.set_max_entries(KINDS_MAX * possible_cpus()?)
            }
            labels::MAP => match &settings.labels {
                Some(labels) => {
                    labels.reuse(&mut map)?;
                    Ok(())
                }
                None => map.set_autocreate(false),
            },
            "followed" if settings.follow => map.set_max_entries(session.followed_max),
            "followed" => map.set_max_entries(u32::try_from(session.pids.len().max(1))?),
            "ended" => map.set_max_entries(ended_entries(map.max_entries(), possible_cpus()?)),
            "cgroups" if settings.cgroups == 0 => map.set_autocreate(false),
            "cgroups" => {
                ensure!(map.max_entries() as usize == CGROUPS_MAX, "the map of cgroups has another size");
                Ok(())
            }
            _ => Ok(()),
        };
        sized.with_context(|| format!("configuring the map {name}"))?;
    }
    Ok(())
}

/// Entries of an LRU map in which the newest `least` stay, whatever CPU they come from. Each CPU takes 128 free entries at
/// once and keeps them for itself (kernel/bpf/bpf_lru_list.c: LOCAL_FREE_TARGET): with 32 CPUs, 4096 entries are all taken,
/// and for the next 128 what was added just before is thrown out.
fn ended_entries(least: u32, cpus: u32) -> u32 {
    const LOCAL_FREE_TARGET: u32 = 128;
    least.saturating_add(cpus.saturating_mul(LOCAL_FREE_TARGET))
}

fn fill(session: &Session, object: &Object) -> Result<()> {
    for map in object.maps() {
        if map.name() == "followed" {
            for pid in &session.pids {
                followed::add(&map, *pid)?;
            }
        } else if map.name() == "cgroups" {
            for (n, dir) in (0_u32..).zip(&session.cgroups) {
                watched::put(&map, n, &dir.1)?;
            }
        }
    }
    Ok(())
}

fn attach(plan: &Plan, object: &Object, hooked: &mut Hooked) -> Result<()> {
    for wanted in plan.programs {
        let Some(program) = object.progs_mut().find(|p| p.name() == wanted.name && p.autoload()) else { continue };
        attach_program(wanted, &program, hooked)?;
    }
    Ok(())
}

fn attach_program(wanted: &Program, program: &ProgramMut<'_>, hooked: &mut Hooked) -> Result<()> {
    let section = || program.section().to_string_lossy().into_owned();
    let all: Vec<(String, libbpf_rs::Result<Link>)> = match wanted.target {
        Target::Section => vec![(section(), program.attach())],
        Target::Exit(_) => {
            let chosen = hooked.exits.iter().find(|(name, _)| *name == wanted.name);
            vec![(format!("fexit/{}", chosen.map_or("", |(_, function)| function)), program.attach())]
        }
        Target::Entry(functions) => {
            functions.iter().map(|f| (format!("kprobe/{f}"), program.attach_kprobe(false, f))).collect()
        }
        Target::Return(functions) => {
            functions.iter().map(|f| (format!("kretprobe/{f}"), program.attach_kprobe(true, f))).collect()
        }
        Target::SyscallReturn(calls) => {
            calls.iter().map(|call| (format!("kretsyscall/{call}"), program.attach_ksyscall(true, call))).collect()
        }
        Target::SyscallEvents(events) => {
            let attach = |event| program.attach_tracepoint(TracepointCategory::Syscalls, event);
            events.iter().map(|event| (format!("tp/syscalls/{event}"), attach(event))).collect()
        }
    };
    let several = all.len() > 1;
    let tried: Vec<_> = all.iter().map(|(hook, _)| hook.clone()).collect();
    let before = hooked.links.len();
    for (hook, link) in all {
        match link {
            Ok(link) => {
                hooked.links.push(link);
                hooked.hooks.push(hook);
            }
            // Not there, or under another name.
            Err(e) if e.kind() == ErrorKind::NotFound && (several || wanted.optional) => {}
            Err(e) => return Err(e).with_context(|| format!("attaching to {hook}")),
        }
    }
    if hooked.links.len() > before { Ok(()) } else { hooked.lacks(&tried.join(" or "), wanted.optional) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_way_says_why_it_failed_not_the_last() {
        let refused = |hook, tried, why: &str| Refused { hook, tried, why: anyhow!("{why}") };
        let all = vec![
            refused(Hook::Btf, None, NO_KERNEL_BTF),
            refused(Hook::Fentry, Some(1..2), "not permitted"),
            refused(Hook::Tracepoint, Some(2..3), "no tracefs"),
        ];
        let error = format!("{:#}", none_works(all));
        assert!(error.ends_with("\n  fentry: not permitted"), "{error}");
        assert_eq!(error.matches("no tracefs").count(), 1, "{error}");
        assert!(error.starts_with("no way to hook in works here:\n  btf: "), "{error}");
        let only = none_works(vec![refused(Hook::Btf, None, NO_KERNEL_BTF)]);
        assert_eq!(format!("{only:#}"), NO_KERNEL_BTF);
    }
}
