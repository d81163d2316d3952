//! From the options and the host to what a run is made of: the session, the filter, the pipeline.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use crate::commands::outlet;
use crate::error::Usage;
use crate::escape::shown;
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
use crate::output::{By, Lines, Look, View, fields};
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
pub(crate) fn check_fields<'k>(
    output: &Output,
    kinds: impl IntoIterator<Item = &'k Kind, IntoIter: Clone>,
) -> Result<()> {
    let Some(lines) = output.format.lines() else { return Ok(()) };
    fields::check(&output.fields, kinds, lines == Lines::Json).map_err(|why| anyhow!("--fields {why}").context(Usage))
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
    if let View::Summary(by) = view {
        return check_summary(by, kinds);
    }
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

/// Whether events of these kinds come to something, and to what is asked for.
fn check_summary<'k>(by: By, kinds: impl IntoIterator<Item = &'k Kind>) -> Result<()> {
    let kinds: Vec<&Kind> = kinds.into_iter().collect();
    if kinds.iter().any(|kind| kind.life == Some(Life::End)) {
        return Ok(());
    }
    let (name, needs) = (by.name(), "the exit events of proc (--with proc)");
    if by != By::default() {
        return Err(anyhow!("--summary={name} is about processes that end, and needs {needs}").context(Usage));
    }
    let of_others = |field: &Field| field.shape == Shape::Ret || field.name == "func";
    if !kinds.iter().flat_map(|kind| kind.fields()).any(of_others) {
        return Err(anyhow!("--summary: these events come to nothing; of processes, it needs {needs}").context(Usage));
    }
    Ok(())
}

/// Whether what options add to events of these kinds is shown, or kept to be shown.
pub(crate) fn check_added<'k>(
    tracers: &[&dyn Tracer],
    kinds: impl IntoIterator<Item = &'k Kind>,
    common: &Common,
) -> Result<()> {
    let Output { format, fields, .. } = &common.output;
    let above = common.limits.ancestors.map(|_| ("--ancestors", "ancestors"));
    let added: Vec<_> = tracers.iter().flat_map(|tracer| tracer.added()).chain(above).collect();
    let kinds: Vec<&Kind> = kinds.into_iter().collect();
    let lacks = |field: &str| !kinds.iter().flat_map(|kind| kind.fields()).any(|of| of.name == field);
    if let Some((option, _)) = added.iter().find(|(_, field)| lacks(field)) {
        return Err(anyhow!("{option}: the events of which it shows something are left out by --events").context(Usage));
    }
    let (Some(lines), None) = (format.lines(), &common.limits.record) else { return Ok(()) };
    let view = common.output.view();
    let hidden = |field: &str| match fields.as_slice() {
        [] => !view.shows_all_fields(lines),
        names => !names.iter().any(|name| name == field),
    };
    let Some((option, field)) = added.iter().find(|(_, field)| hidden(field)) else { return Ok(()) };
    let by = view.option().unwrap_or("--fields");
    let hint = match (view, fields.as_slice()) {
        (_, [_, ..]) => format!("\n  --fields {},{field} does", fields.join(",")),
        (view, []) if view.shows_all_fields(Lines::Json) => "\n  -o json does".to_owned(),
        _ => String::new(),
    };
    Err(anyhow!("{option}: {by} does not show that{hint}").context(Usage))
}

/// The filters on what only user space can test.
pub(crate) fn filter(filters: &Filters) -> Result<Filter> {
    Ok(Filter {
        args: filters.args.as_deref().map(filter::regex).transpose().context(Usage)?,
        paths: filters.path.iter().map(|glob| filter::path_glob(glob)).collect::<Result<_>>().context(Usage)?,
        ..Filter::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::tracers::Tracers;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        tracer: Tracers,
    }

    /// What is wrong with a line, as far as it is about what options add.
    fn added(line: &str) -> Option<String> {
        let line = Line::parse_from(["coretrace"].into_iter().chain(line.split(' ')));
        let (tracer, common) = line.tracer.parts();
        let names = &common.filters.events;
        let kinds = tracer.kinds().iter().filter(|kind| names.is_empty() || names.iter().any(|of| *of == kind.name));
        check_added(&[tracer], kinds, common).err().map(|error| format!("{:#}", error.root_cause()))
    }

    #[test]
    fn what_is_added_to_events_and_never_shown_is_refused() {
        for (line, words) in [
            ("proc --cwd --lives", "--cwd: --lives does not show that\n  -o json does"),
            ("proc --env PATH --tree=end", "--env: --tree=end does not show that\n  -o json does"),
            ("proc --env-diff --summary -o json", "--env-diff: --summary does not show that"),
            ("open --ancestors 2 --summary", "--ancestors: --summary does not show that"),
            ("proc --cwd --fields pid", "--cwd: --fields does not show that\n  --fields pid,cwd does"),
            ("proc --cwd --events exit", "--cwd: the events of which it shows something are left out by --events"),
        ] {
            assert_eq!(added(line).as_deref(), Some(words), "{line}");
        }
        for line in [
            "proc --cwd",
            "proc --cwd --tree",
            "proc --env PATH --lives -o json",
            "proc --env-diff --tree=end -o json",
            "proc --cwd --fields pid,cwd",
            "proc --cwd --lives --record x",
            "proc --cwd --ancestors 2 -o perfetto -O x",
            "proc --lives",
            "open --summary",
        ] {
            assert_eq!(added(line), None, "{line}");
        }
    }
}
