//! From the options and the host to what a run is made of: the session, the filter, the pipeline.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use crate::commands::outlet;
use crate::error::Usage;
use crate::escape::{self, shown};
use crate::event::decode::Decode;
use crate::event::{Field, Kind, Life, Shape};
use crate::flow::enrich::Chosen;
use crate::flow::filter::{self, CommGlobs, Filter};
use crate::flow::ledger::Ledger;
use crate::flow::pipeline::Pipeline;
use crate::host::arch::page_size;
use crate::host::containers::by_process;
use crate::host::{Host, users};
use crate::load::labels::{self, Labels};
use crate::load::plan::{Hook, others_come_between, preempts};
use crate::load::session::{COOKIES, Session};
use crate::load::settings::{CGROUPS_MAX, SPACES_MAX, Settings, Transport, UIDS_MAX};
use crate::options::{Common, Filters, Kernel, Labelling, Output};
use crate::output::tables::{Room, Table};
use crate::output::{By, Look, View, fields};
use crate::tracers::Tracer;
use crate::types::btf;

/// What is to be loaded, from the options and from what the host has.
pub(crate) fn session(tracers: &[&dyn Tracer], common: &Common, host: &Host) -> Result<Session> {
    let filters = &common.filters;
    // What was typed comes first: it is wrong on every host.
    let kinds = match filters.events.as_slice() {
        [] => None,
        names => Some(filter::kinds_mask(names, tracers.iter().flat_map(|tracer| tracer.kinds())).context(Usage)?),
    };
    check_ancestors(tracers, common)?;
    let uids = uids(filters)?;
    if uids.len() > UIDS_MAX {
        return Err(anyhow!("-u: at most {UIDS_MAX} users can be given").context(Usage));
    }
    if filters.cgroup.len() > CGROUPS_MAX {
        return Err(anyhow!("-c: at most {CGROUPS_MAX} cgroups can be given").context(Usage));
    }
    let comm = CommGlobs::compile(&filters.comm).context(Usage)?;
    for pid in &filters.pid {
        crate::host::procfs::check(*pid)?;
    }
    let labels = labels(&common.labels)?;
    let mut session = base_session(tracers, &common.kernel, host)?;
    session.settings.labels = labels;
    session.settings.parent = parent(common);
    session.settings.ancestors = common.limits.ancestors.unwrap_or(0);
    session.settings.heartbeat = common.limits.heartbeat.map_or(0, |_| std::process::id());
    // --path asks for the file that a name led to, too.
    session.details = details(common) || !filters.path.is_empty();
    // A test in the kernel for as many as it takes of what cannot match; globs are user space's.
    let prefixes: Option<Vec<_>> = filters.path.iter().map(|glob| filter::literal_prefix(glob)).collect();
    session.path_prefixes = prefixes.unwrap_or_default();
    session.verifier_stats = common.output.verbose > 1;
    if let Some(kinds) = kinds {
        session.settings.kinds = kinds;
    }
    session.pids.clone_from(&filters.pid);
    if filters.follow {
        // Now, while they can be distinguished from others; after the hooks are there, for those that came meanwhile.
        session.pids.extend(crate::host::procfs::descendants(&filters.pid)?);
    }
    session.settings.filter_pids = !filters.pid.is_empty();
    session.settings.follow = filters.follow;
    session.settings.uids = uids;
    session.settings.comm = comm;
    session.cgroups = filters.cgroup.iter().map(|path| open_cgroup(path, host)).collect::<Result<_>>()?;
    session.settings.cgroups = u32::try_from(session.cgroups.len())?;
    session.settings.names = names(common) && host.cgroup2.is_some();
    let (refuses, by_process) = (!chosen(filters)?.is_all(), by_process(&host.root));
    // Where one cgroup may hold processes of several containers, user space alone refuses.
    session.settings.refuses = refuses && !by_process;
    ensure!(
        session.settings.names || by_process || !refuses,
        "--container and --unit need cgroups, and none are mounted"
    );
    Ok(session)
}

fn labels(options: &Labelling) -> Result<Option<Labels>> {
    let Some(name) = &options.labels else { return Ok(None) };
    let text = |label: &Option<String>| label.as_deref().map(labels::text).transpose().context(Usage);
    let (default, only) = (text(&options.default_label)?, text(&options.only_label)?);
    let ignore = text(&options.ignore_label)?;
    Ok(Some(Labels { default: default.unwrap_or_default(), only, ignore, ..Labels::new(name)? }))
}

/// Whether all that can be known of an event is shown, or kept to be shown.
pub(crate) fn details(common: &Common) -> bool {
    common.output.wide
        || !common.output.fields.is_empty()
        || common.output.format.is_complete()
        || common.limits.record.is_some()
}

/// Whether the name of a process's parent is shown, or kept to be shown.
fn parent(common: &Common) -> bool {
    let Output { wide, format, fields, summary, .. } = &common.output;
    let is_shown = match fields.as_slice() {
        [] => (*wide || format.is_complete()) && summary.is_none(),
        names => names.iter().any(|name| *name == Field::PARENT_COMM.name),
    };
    is_shown || common.limits.record.is_some()
}

/// Whether a tracer's events have what is above their processes, where that is asked for.
fn check_ancestors(tracers: &[&dyn Tracer], common: &Common) -> Result<()> {
    let mut fields = tracers.iter().flat_map(|tracer| tracer.kinds()).flat_map(Kind::fields);
    if common.limits.ancestors.is_some() && !fields.any(|field| field.name == Field::ANCESTORS.name) {
        let why = "--ancestors: of a connection, only the name of its process's parent is known (parent_comm)";
        return Err(anyhow!(why).context(Usage));
    }
    Ok(())
}

/// Whether events need names.
pub(crate) fn names(common: &Common) -> bool {
    let Filters { container, unit, .. } = &common.filters;
    let by_name = matches!(common.output.summary, Some(By::Container | By::Unit));
    details(common) || by_name || !container.is_empty() || !unit.is_empty()
}

/// The containers and units whose events are shown.
pub(crate) fn chosen(filters: &Filters) -> Result<Chosen> {
    Chosen::new(&filters.container, &filters.unit).context(Usage)
}

pub(crate) fn base_session(tracers: &[&dyn Tracer], kernel: &Kernel, host: &Host) -> Result<Session> {
    let btf = btf::find(kernel.wanted(), host)?;
    let perf = match kernel.hooking.transport {
        Some(transport) => transport == Transport::Perf,
        // Where it is older, a distribution may have it all the same. (The probe also says no where the
        // right to try is missing.)
        None => !host.at_least((5, 8)) && !libbpf_rs::MapType::RingBuf.is_supported().unwrap_or(true),
    };
    let cpus = u64::try_from(libbpf_rs::num_possible_cpus().unwrap_or(1))?;
    let buffer = kernel.hooking.buffer.unwrap_or((cpus << 19).clamp(2 << 20, 64 << 20));
    let page_size = page_size();
    // The kernel wants a power of two, in whole pages.
    let buffer = u32::try_from(buffer.next_power_of_two())?.max(page_size);
    let mut plans = tracers.iter().flat_map(|tracer| tracer.plans());
    let nested = plans.any(|plan| others_come_between(host, plan.hook));
    let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|n| n.trim().parse().ok());
    Ok(Session {
        settings: Settings {
            kinds: default_kinds(tracers)?,
            // A quarter full: time enough to read the rest before it is full.
            wake: u64::from(buffer) / 4..u64::from(buffer) / 2,
            perf,
            pidns: match host.pid_namespace.filter(|_| host.in_pid_namespace()) {
                Some(inode) => u32::try_from(inode)?,
                None => 0,
            },
            page_size,
            // An interrupt may also come to a function that is probed.
            spaces: if nested { SPACES_MAX } else { 2 },
            ..Settings::default()
        },
        btf: btf.source,
        btf_passed_over: btf.passed_over,
        kernel_btf: host.has_btf,
        hook: kernel.hooking.attach.0,
        preempted: Hook::ALL.into_iter().filter(|hook| preempts(host, *hook)).collect(),
        uncounted: !host.at_least((6, 7)),
        cookies: host.at_least(COOKIES),
        entry_on_one_cpu: host.at_least((7, 1)) && !host.at_least((7, 2)),
        buffer,
        pids: Vec::new(),
        followed_max: pid_max.unwrap_or(32768).clamp(1024, 65536),
        cgroups: Vec::new(),
        details: false,
        path_prefixes: Vec::new(),
        verifier_stats: false,
    })
}

pub(crate) fn uids(filters: &Filters) -> Result<Vec<u32>> {
    filters.uid.iter().map(|user| users::uid_of(Path::new("/"), user).context("-u").context(Usage)).collect()
}

/// A cgroup by its path: as it is, or below where cgroup v2 is mounted.
pub(crate) fn cgroup_path(path: &Path, host: &Host) -> Result<PathBuf> {
    let mount = host.cgroup2.as_deref().context("this needs cgroup v2, and it is not mounted")?;
    let below = path.strip_prefix("/").unwrap_or(path);
    let full = if path.starts_with(mount) { path.to_owned() } else { mount.join(below) };
    ensure!(full.join("cgroup.procs").exists(), "{}: there is no cgroup at {}", shown(path), shown(&full));
    Ok(full)
}

fn open_cgroup(path: &Path, host: &Host) -> Result<(PathBuf, File)> {
    let full = cgroup_path(path, host).context("-c")?;
    let dir = File::open(&full).with_context(|| format!("-c: opening {}", shown(&full)))?;
    Ok((full, dir))
}

/// The kinds of events that are wanted where `--events` does not say, as a mask.
fn default_kinds(tracers: &[&dyn Tracer]) -> Result<u64> {
    let mut masks = tracers.iter().map(|tracer| filter::kinds_mask(&tracer.default_kinds(), tracer.kinds().iter()));
    masks.try_fold(0, |all, mask| Ok(all | mask?))
}

/// How the events of these tracers look in text: one alone has columns of its own.
pub(crate) fn table(tracers: &[&dyn Tracer], room: Room) -> Table {
    match tracers {
        [first, others @ ..] if others.iter().all(|other| other.name() == first.name()) => first.table(room),
        _ => Table::general(room),
    }
}

pub(crate) fn pipeline<'a>(
    decoder: &'a dyn Decode,
    table: Table,
    ledger: Ledger,
    filter: Filter,
    output: &Output,
    look: Look,
    sink: Box<dyn Write>,
) -> Pipeline<'a> {
    // Of a terminal, which may be resized.
    let width = look.width.map(|_| outlet::terminal_width as fn() -> Option<usize>);
    let losses_aside = output.format.has_losses_aside();
    let output = match (output.format.lines(), output.fields.as_slice()) {
        (None, _) => output.format.build(look, table),
        (Some(lines), []) => output.view().build(lines, look, table),
        (Some(lines), names) => lines.build_only(look, names, ledger.accounts.iter().map(|account| &account.kind)),
    };
    let mut pipeline = Pipeline::new(decoder, ledger, filter, output, sink, losses_aside);
    pipeline.width = width;
    pipeline
}

/// Whether the format has what is asked for, and can be where it is to go.
pub(crate) fn check_format(output: &Output, with_command: bool) -> Result<()> {
    if output.format.lines().is_some() {
        return Ok(());
    }
    let of_lines = [
        ("--lives", output.lives),
        ("--tree", output.tree.is_some()),
        ("--summary", output.summary.is_some()),
        ("--fields", !output.fields.is_empty()),
    ];
    if let Some((option, _)) = of_lines.iter().find(|(_, given)| *given) {
        return Err(anyhow!("{option} is of lines (-o text, -o json): -o perfetto shows all events").context(Usage));
    }
    if with_command && output.output_file.as_ref().is_none_or(|path| path.as_os_str() == "-") {
        return Err(
            anyhow!("-o perfetto is binary, and CMD writes there, too: name a file with -O FILE").context(Usage)
        );
    }
    Ok(())
}

/// Whether events of these kinds have the fields that are asked for.
pub(crate) fn check_fields<'k>(output: &Output, kinds: impl IntoIterator<Item = &'k Kind>) -> Result<()> {
    let known = fields::known(kinds);
    match output.fields.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let (name, known) = (escape::line(name.as_bytes()), known.join(", "));
            Err(anyhow!("--fields {name}: there is no such field; there are {known}").context(Usage))
        }
        None => Ok(()),
    }
}

/// Whether events of these kinds have what filters ask for: without it, none would be shown.
pub(crate) fn check_filters<'k>(
    filters: &Filters,
    kinds: impl IntoIterator<Item = &'k Kind, IntoIter: Clone>,
) -> Result<()> {
    let kinds = kinds.into_iter();
    let has = |shape| kinds.clone().flat_map(Kind::fields).any(|field| field.shape == shape && field.name != "cwd");
    let options = [
        ("--args", filters.args.is_some(), Shape::List, "arguments of programs"),
        ("--path", !filters.path.is_empty(), Shape::Path, "paths"),
    ];
    match options.into_iter().find(|(_, given, shape, _)| *given && !has(*shape)) {
        Some((option, .., what)) => {
            let why = "no event of this run has any, so that none would be shown";
            let hint = "what a probe reads is compared by its condition: 'SPEC if NAME ~ \"GLOB\"'";
            Err(anyhow!("{option} is about {what}: {why}\n  {hint}").context(Usage))
        }
        None => Ok(()),
    }
}

/// Whether a view can be made of these kinds of events, filtered in this way.
pub(crate) fn check_view<'k>(view: View, kinds: impl IntoIterator<Item = &'k Kind>, filters: &Filters) -> Result<()> {
    let Some(option) = view.of_processes() else { return Ok(()) };
    let single = [("--args", filters.args.is_some()), ("--path", !filters.path.is_empty())];
    if let Some((filter, _)) = single.iter().find(|(_, given)| *given) {
        return Err(anyhow!("{filter}: it is about single events, and {option} is about processes").context(Usage));
    }
    if !kinds.into_iter().any(|kind| kind.life == Some(Life::End)) {
        return Err(
            anyhow!("{option} needs to see processes end: the exit events of proc (--with proc)").context(Usage)
        );
    }
    Ok(())
}

/// The filters on what only user space can test.
pub(crate) fn filter(filters: &Filters) -> Result<Filter> {
    Ok(Filter {
        args: filters.args.as_deref().map(filter::regex).transpose().context(Usage)?,
        paths: filters.path.iter().map(|glob| filter::path_glob(glob)).collect::<Result<_>>().context(Usage)?,
        ..Filter::default()
    })
}
