//! Opens, configures, loads and attaches a tracer's skeleton: the first of its plans that this kernel
//! can do.

use std::cell::RefCell;
use std::fs::File;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, Map, MapCore, MapFlags, MapType, Object, OpenObject, PrintLevel};

use crate::filter::CommGlobs;
use crate::kernel::btf::BtfSource;
use crate::transport::Perf;

/// A way to hook into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hook {
    /// BTF-typed tracepoints, and the entry of a kernel function for exits
    Fentry,
    /// BTF-typed tracepoints alone
    Btf,
    /// Raw tracepoints
    Raw,
    /// Classic tracepoints
    Tracepoint,
}

impl Hook {
    /// Its name in `--attach` and in notes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Fentry => "fentry",
            Hook::Btf => "btf",
            Hook::Raw => "raw",
            Hook::Tracepoint => "tracepoint",
        }
    }

    /// Whether the kernel's own BTF must be there: one handed in does not do.
    #[must_use]
    pub fn needs_kernel_btf(self) -> bool {
        matches!(self, Hook::Fentry | Hook::Btf)
    }
}

/// How events come from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// One ring buffer for all CPUs (kernel 5.8 and newer)
    Ring,
    /// A perf buffer for each CPU
    Perf,
}

/// A BPF program of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// The kinds of events that it sends: it is not loaded where none of them is wanted …
    pub kinds: &'static [u32],
    /// … unless it keeps the map of followed processes, and there is one.
    pub tracks: bool,
}

/// One way to hook in: which programs of the object are loaded.
#[derive(Debug)]
pub struct Plan {
    /// What to call it.
    pub hook: Hook,
    /// The programs, in the order in which they are attached.
    pub programs: &'static [Program],
}

/// Most users that can be filtered by: `UIDS_MAX` in event.bpf.h (checked in bpf.rs).
pub const UIDS_MAX: usize = 16;

/// What the kernel side is told before load: `struct settings` in event.bpf.h.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Bit mask of the wanted kinds.
    pub kinds: u64,
    /// Bytes in the ring buffer at which the reader is woken.
    pub wake: Range<u64>,
    /// Names of threads to show.
    pub comm: CommGlobs,
    /// Perf buffer, not ring buffer.
    pub perf: bool,
    /// Only processes in the map `followed`.
    pub filter_pids: bool,
    /// … and those that they fork.
    pub follow: bool,
    /// Users to show.
    pub uids: Vec<u32>,
    /// How many cgroups are in the map `cgroups`.
    pub cgroups: u32,
    /// Inode of coretrace's PID namespace; 0: the initial one.
    pub pidns: u32,
    /// Bytes in a page.
    pub page_size: u32,
}

/// What a run needs to load and attach.
#[derive(Debug)]
pub struct Session {
    /// For the kernel side.
    pub settings: Settings,
    /// Where the types of the kernel come from.
    pub btf: BtfSource,
    /// Whether the kernel has BTF of its own.
    pub kernel_btf: bool,
    /// The only way to hook in that is tried.
    pub hook: Option<Hook>,
    /// The kernel may interrupt a program on its hook to run another process, for which it then skips that hook:
    /// since 7.0, but not on classic tracepoints, which are therefore tried first (a46023d5616e: Guard
    /// __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast; 16718274ee75: Have perf tracepoint callbacks
    /// always disable preemption).
    pub preempted: bool,
    /// Bytes of the buffer: of the ring, or of all CPUs' perf buffers together.
    pub buffer: u32,
    /// Processes to watch.
    pub pids: Vec<u32>,
    /// Most processes that can be followed at once.
    pub followed_max: u32,
    /// Cgroup directories to watch.
    pub cgroups: Vec<File>,
    /// Somebody is to see all that can be known of an event (-w, -o json, --record): also what is costlier to find.
    pub details: bool,
    /// Have the verifier tell into libbpf's log how much it had to look at.
    pub verifier_stats: bool,
}

impl Session {
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
    /// The buffers to read, where they are perf buffers.
    pub perf: Option<Perf>,
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
        programs.filter_map(|p| crate::bpf::recursion_misses(&p)).sum()
    }

    /// Follows one more process.
    ///
    /// # Errors
    /// When the map of followed processes is full.
    pub fn follow(&self, pid: u32) -> Result<()> {
        let followed = self.map("followed")?;
        followed
            .update(&pid.to_ne_bytes(), &0_u64.to_ne_bytes(), MapFlags::ANY)
            .with_context(|| format!("following process {pid}"))
    }

    /// Takes the programs off their hooks.
    pub fn detach(&self) {
        self.links.borrow_mut().clear();
    }
}

/// Tries one plan after the other; `body` gets the first that works.
///
/// # Errors
/// When none does: every plan with its cause. Or what `body` returns.
pub fn start<'obj, B>(
    session: &Session,
    plans: impl Iterator<Item = (&'obj mut MaybeUninit<OpenObject>, &'static Plan)>,
    builder: impl Fn() -> B,
    body: &mut dyn FnMut(Attached<'_>) -> Result<()>,
    mut configure: impl FnMut(&mut B::Output) -> Result<()>,
) -> Result<()>
where
    B: SkelBuilder<'obj>,
    <B::Output as OpenSkel<'obj>>::Output: Skel<'obj>,
{
    let mut refused: Vec<(String, anyhow::Error)> = Vec::new();
    let mut plans: Vec<_> = plans.filter(|(_, plan)| session.hook.is_none_or(|hook| hook == plan.hook)).collect();
    if session.preempted {
        plans.sort_by_key(|(_, plan)| plan.hook != Hook::Tracepoint);
    }
    for (slot, plan) in plans {
        let name = plan.hook.name();
        if plan.hook.needs_kernel_btf() && !session.kernel_btf {
            let why = anyhow!("the kernel has no BTF of its own (one handed in does not do for this hook)");
            refused.push((name.to_owned(), why));
            continue;
        }
        mark_log();
        match load(session, plan, builder(), slot, &mut configure) {
            Ok((skel, (perf, links, hooks))) => {
                let refused = refused.iter().map(|(name, why)| format!("{name}: {why:#}")).collect();
                return body(Attached { object: skel.object(), plan, hooks, refused, perf, links: links.into() });
            }
            Err(error) => refused.push((name.to_owned(), error)),
        }
    }
    match refused.as_slice() {
        [] => bail!("this tracer cannot be attached in that way"),
        [_] => Err(refused.remove(0).1),
        all => {
            let tried: Vec<_> = all.iter().map(|(name, why)| format!("\n  {name}: {why:#}")).collect();
            let last = refused.pop().map(|(_, why)| why).unwrap_or_else(|| anyhow!("nothing was tried"));
            Err(last.context(format!("no way to hook in works here:{}", tried.concat())))
        }
    }
}

/// The perf buffers where they are used, what keeps the programs on their hooks, and the hooks' `SEC` names.
type Hooked = (Option<Perf>, Vec<Link>, Vec<String>);
type Loaded<'obj, B> = <<B as SkelBuilder<'obj>>::Output as OpenSkel<'obj>>::Output;

/// Loads one plan's programs and puts them on their hooks.
fn load<'obj, B>(
    session: &Session,
    plan: &Plan,
    mut builder: B,
    slot: &'obj mut MaybeUninit<OpenObject>,
    configure: &mut impl FnMut(&mut B::Output) -> Result<()>,
) -> Result<(Loaded<'obj, B>, Hooked)>
where
    B: SkelBuilder<'obj>,
    Loaded<'obj, B>: Skel<'obj>,
{
    if let BtfSource::File(path) = &session.btf {
        builder.object_builder_mut().btf_custom_path(path).context("naming the BTF file")?;
    }
    let mut open = builder.open(slot).context("opening the BPF object")?;
    configure(&mut open)?;
    prepare(session, plan, open.open_object_mut())?;
    let skel = open.load().context("loading the BPF programs")?;
    fill(session, skel.object())?;
    let open_perf = || Perf::open(&find_map(skel.object(), "events")?, session.perf_pages()?);
    let perf = session.settings.perf.then(open_perf).transpose()?;
    let (links, hooks) = attach(plan, skel.object())?;
    Ok((skel, (perf, links, hooks)))
}

fn find_map<'a>(object: &'a Object, name: &str) -> Result<Map<'a>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("the object has no map {name}"))
}

/// Whether a program of the plan is needed for what is wanted.
fn needed(session: &Session, program: &Program) -> bool {
    let settings = &session.settings;
    program.kinds.iter().any(|kind| settings.kinds & (1 << kind) != 0) || (program.tracks && settings.filter_pids)
}

/// include/linux/bpf_verifier.h: the verifier tells how many instructions it processed.
const BPF_LOG_STATS: u32 = 4;

fn prepare(session: &Session, plan: &Plan, object: &mut OpenObject) -> Result<()> {
    let settings = &session.settings;
    for mut program in object.progs_mut() {
        let wanted = plan.programs.iter().any(|p| program.name() == p.name && needed(session, p));
        program.set_autoload(wanted);
        if session.verifier_stats {
            program.set_log_level(BPF_LOG_STATS);
        }
    }
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let sized = match name.as_str() {
            "events" if settings.perf => {
                let cpus = u32::try_from(libbpf_rs::num_possible_cpus()?)?;
                map.set_type(MapType::PerfEventArray)
                    .and_then(|()| map.set_key_size(4))
                    .and_then(|()| map.set_value_size(4))
                    .and_then(|()| map.set_max_entries(cpus))
            }
            "events" => map.set_max_entries(session.buffer),
            "followed" if settings.follow => map.set_max_entries(session.followed_max),
            "followed" => map.set_max_entries(u32::try_from(session.pids.len().max(1))?),
            "cgroups" if settings.cgroups == 0 => map.set_autocreate(false),
            "cgroups" if settings.cgroups > map.max_entries() => {
                bail!("-c: at most {} cgroups can be given", map.max_entries())
            }
            _ => Ok(()),
        };
        sized.with_context(|| format!("configuring the map {name}"))?;
    }
    Ok(())
}

fn fill(session: &Session, object: &Object) -> Result<()> {
    for map in object.maps() {
        if map.name() == "followed" {
            for pid in &session.pids {
                map.update(&pid.to_ne_bytes(), &0_u64.to_ne_bytes(), MapFlags::ANY)
                    .with_context(|| format!("following process {pid}"))?;
            }
        } else if map.name() == "cgroups" {
            for (n, dir) in (0_u32..).zip(&session.cgroups) {
                map.update(&n.to_ne_bytes(), &dir.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
                    .context("watching the cgroup (is it a directory of cgroup v2?)")?;
            }
        }
    }
    Ok(())
}

fn attach(plan: &Plan, object: &Object) -> Result<(Vec<Link>, Vec<String>)> {
    let (mut links, mut hooks) = (Vec::new(), Vec::new());
    for wanted in plan.programs {
        let Some(program) = object.progs_mut().find(|p| p.name() == wanted.name && p.autoload()) else { continue };
        let section = program.section().to_string_lossy().into_owned();
        links.push(program.attach().with_context(|| format!("attaching to {section}"))?);
        hooks.push(section);
    }
    Ok((links, hooks))
}

/// libbpf's messages, and how many of them belong to what was tried before.
static LOG: Mutex<(Vec<String>, usize)> = Mutex::new((Vec::new(), 0));

/// Collects what libbpf says, instead of printing it: see [`take_log`].
pub fn capture_log(debug: bool) {
    fn keep(_: PrintLevel, line: String) {
        if let Ok(mut log) = LOG.lock() {
            log.0.push(line);
        }
    }
    let level = if debug { PrintLevel::Debug } else { PrintLevel::Warn };
    libbpf_rs::set_print(Some((level, keep)));
}

/// Something new is tried: what was said so far does not belong to it.
fn mark_log() {
    if let Ok(mut log) = LOG.lock() {
        log.1 = log.0.len();
    }
}

/// What libbpf said since the last call, and from where on it belongs to what was tried last.
#[must_use]
pub fn take_log() -> (Vec<String>, usize) {
    LOG.lock().map(|mut log| std::mem::take(&mut *log)).unwrap_or_default()
}
