//! `coretrace check`: what this host offers, and whether commands work on it, or on other kernels by their types.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::json;

use crate::commands::names::commands;
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::setup;
use crate::commands::table::{Row, Table, Verdict};
use crate::commands::verdict::{self, Judged, judge};
use crate::error::describe;
use crate::escape::shown;
use crate::ffi::log;
use crate::host::arch::Arch;
use crate::host::mounts::below;
use crate::host::{Host, KERNEL_BTF};
use crate::load::diagnose::diagnosed;
use crate::load::modules::modules;
use crate::load::source::Source;
use crate::load::start::{no_such_way, start};
use crate::options::{Hooking, Kernel, Side, variable};
use crate::tracers::{self, Tracer};
use crate::types::btf::{self, BtfError, BtfSource, Found};
use crate::types::image::{self, Fault};
use crate::types::model::Types;
use crate::types::relo::{Object, Outcome, Target, Walk, walk};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("others").args(["btf", "kernel"]).multiple(true))]
pub struct Check {
    /// Which commands are to work (proc, if none is named)
    #[arg(value_parser = commands(), value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// Of other kernels than the running one, by their types: files (BTF, or a vmlinux, a vmlinuz, a kernel package
    /// that holds it) and directories of such. Needs no rights. With --load: the types to load with, as for any command
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub btf: Vec<PathBuf>,
    /// The same: kernels as they are shipped (vmlinuz, vmlinux, deb, rpm)
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub kernel: Vec<PathBuf>,
    /// Where else types may be.
    #[command(flatten)]
    pub side: Side,
    /// Architecture that the files must be of (by default the one of this coretrace)
    #[arg(long, value_enum, requires = "others")]
    pub arch: Option<Arch>,
    /// Load and attach the programs for a moment, which is the last proof; needs the rights to trace
    #[arg(long)]
    pub load: bool,
    /// Format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Choice,
    /// How the programs would be hooked in.
    #[command(flatten)]
    pub hooking: Hooking,
}

/// Prints the table; the exit code is 0 if all works, else 1.
///
/// # Errors
/// When a file named by `--btf` cannot be used, or stdout cannot be written.
pub fn check(options: &Check) -> Result<u8> {
    log::capture_log(false);
    // `--btf FILE… COMMAND`: what has a command's name is one (a file of that name: ./NAME).
    let mut commands: HashSet<&str> = options.commands.iter().map(String::as_str).collect();
    let mut files = Vec::new();
    let all = tracers::all();
    for path in options.btf.iter().chain(&options.kernel) {
        match all.iter().find(|tracer| path.as_os_str() == tracer.name()) {
            Some(tracer) => _ = commands.insert(tracer.name()),
            None => files.push(path.clone()),
        }
    }
    if commands.is_empty() {
        commands.insert("proc");
    }
    let named: Vec<_> = all.iter().filter(|tracer| commands.contains(tracer.name())).map(AsRef::as_ref).collect();
    let table = if files.is_empty() || options.load {
        here(options, &named, files)?
    } else {
        offline(options, &named, &files)?
    };
    let works = table.works();
    let mut text = Vec::new();
    match options.format {
        Choice::Text => table.write(&mut text)?,
        Choice::Json => {
            for row in &table.0 {
                let hint: Vec<_> = row.hint.iter().flat_map(|hint| hint.lines()).collect();
                let (name, target) = match row.name.rsplit_once(": ") {
                    Some((target, command)) => (command, Some(target)),
                    None => (row.name.as_str(), None),
                };
                let line = json!({
                    "name": name,
                    "command": all.iter().any(|tracer| tracer.name() == name),
                    "btf": target,
                    "verdict": row.verdict.name(),
                    "value": row.value,
                    "hint": hint,
                });
                text.extend_from_slice(format!("{line}\n").as_bytes());
            }
        }
    }
    print(options.format, &String::from_utf8_lossy(&text))?;
    Ok(u8::from(!works))
}

/// The table of the running kernel.
fn here(options: &Check, tracers: &[&dyn Tracer], files: Vec<PathBuf>) -> Result<Table> {
    ensure!(files.len() < 2, "--load: one file of types at most can be loaded with");
    let host = Host::read(Path::new("/"));
    let btf = files.into_iter().next().or_else(|| variable("CORETRACE_BTF").map(PathBuf::from));
    let kernel = Kernel { btf, side: options.side.clone(), hooking: options.hooking.clone() };
    let source = btf::find(kernel.wanted(), &host);
    let mut table = Table::host(&host, source.as_ref());
    let rows: Vec<Row> = if options.load {
        tracers.iter().map(|tracer| loaded(*tracer, &kernel, &host)).collect()
    } else {
        predicted(options, tracers, &host, source, &table)?
    };
    rows.into_iter().for_each(|row| table.push(row));
    Ok(table)
}

/// A tracer's row, after its programs were loaded and attached for a moment.
fn loaded(tracer: &dyn Tracer, kernel: &Kernel, host: &Host) -> Row {
    let mut row = Row::new(tracer.name(), Verdict::Yes, "");
    let started = setup::base_session(&[tracer], kernel, host).and_then(|session| {
        let attached = start(&session, &[tracer as &dyn Source], &mut |_, error| Err(error))?;
        for part in &attached.parts {
            row.value = part.hooks().join(", ");
            if !part.refused.is_empty() {
                row.verdict = Verdict::Fallback;
                row.hint = Some(part.refused.iter().map(|why| format!("not {why}")).collect::<Vec<_>>().join("\n"));
            }
        }
        Ok(())
    });
    let (log, failed) = log::take_log();
    if let Err(error) = started {
        row.verdict = Verdict::No;
        let text = describe(&diagnosed(error, log.get(failed).unwrap_or_default(), host));
        let (cause, hint) = text.split_once('\n').unwrap_or((&text, ""));
        row.value = format!("does not work: {cause}");
        row.hint = Some(hint.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
    }
    row
}

/// The tracers' rows from the kernel's types, without loading anything.
fn predicted(
    options: &Check,
    tracers: &[&dyn Tracer],
    host: &Host,
    source: Result<Found, BtfError>,
    table: &Table,
) -> Result<Vec<Row>> {
    // What forbids everything.
    let fault = table.0.iter().find(|row| row.verdict == Verdict::No);
    let own = matches!(&source, Ok(found) if found.source == BtfSource::Kernel);
    let target = match (fault, source) {
        (None, Ok(found)) => Target::of(&found.source)?,
        (Some(fault), _) => {
            let failed = |tracer: &&dyn Tracer| Row {
                name: tracer.name().to_owned(),
                verdict: Verdict::No,
                value: format!("does not work: {}: {}", fault.name, fault.value),
                hint: fault.hint.clone(),
            };
            return Ok(tracers.iter().map(failed).collect());
        }
        (None, Err(error)) => return Err(error.into()),
    };
    let objects: Vec<_> = tracers.iter().map(|tracer| Object::read(tracer.object())).collect::<Result<_>>()?;
    let walks: Vec<_> = objects.iter().map(|object| walk(object, &target)).collect();
    let mut rows = offered(&walks, &target.types);
    rows.extend(tracers.iter().zip(objects.iter().zip(&walks)).map(|(tracer, (object, seen))| {
        let hook = options.hooking.attach.0;
        let judged = match own.then(|| with_module(*tracer, seen, &host.root)).flatten() {
            Some(more) => judge(*tracer, (object, &walk(object, &more)), &more.types, Some(host), hook),
            None => judge(*tracer, (object, seen), &target.types, Some(host), hook),
        };
        verdict_row(tracer.name().to_owned(), *tracer, &judged)
    }));
    rows.push(Row::new(
        "not known",
        Verdict::Info,
        "without loading (?): whether the verifier and the kernel's policies accept them; --load tries it",
    ));
    Ok(rows)
}

/// The types of the module that a tracer hooks, with the kernel's, where the kernel's alone do not have all: as at loading
/// (src/load/types.rs).
fn with_module(tracer: &dyn Tracer, seen: &Walk, root: &Path) -> Option<Target> {
    let lacks = seen.answers.iter().any(|answer| matches!(answer.outcome, Outcome::Missing | Outcome::Guarded));
    let plans = tracer.plans();
    let module = plans.iter().flat_map(|plan| &plan.programs).flat_map(modules).next().filter(|_| lacks)?;
    Target::read_with(&below(root, Path::new(KERNEL_BTF)).with_file_name(module), None).ok()
}

/// The kinds of programs that coretrace may load: `enum bpf_prog_type` (include/uapi/linux/bpf.h) …
const PROGRAMS: [(&str, u32); 4] = [("tracing", 26), ("raw_tracepoint", 17), ("kprobe", 2), ("tracepoint", 5)];
/// … and of maps that it may make: `enum bpf_map_type`.
const MAPS: [(&str, u32); 7] = [
    ("hash", 1),
    ("array", 2),
    ("perf_event_array", 4),
    ("percpu_array", 6),
    ("cgroup_array", 8),
    ("lru_hash", 9),
    ("ringbuf", 27),
];

/// What of that the kernel has, and of the helpers that the programs call, as far as its types show.
fn offered(walks: &[Walk], types: &Types) -> Vec<Row> {
    let helpers: BTreeSet<u32> = walks.iter().flat_map(Walk::helpers).collect();
    let helpers: Vec<_> = helpers.iter().map(|helper| (format!("#{helper}"), *helper)).collect();
    let named = |list: &[(&str, u32)]| list.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    let row = |name: &str, of: &str, list: Vec<(String, u32)>| {
        types.has_value(of, 0)?;
        let has = |number: u32| types.has_value(of, number) == Some(true);
        let (here, lacks): (Vec<_>, Vec<_>) = list.iter().partition(|(_, number)| has(*number));
        let names = |list: &[&(String, u32)]| list.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        Some(match lacks.as_slice() {
            [] if name == "helpers" => Row::new(name, Verdict::Yes, format!("all {} that are called", here.len())),
            [] => Row::new(name, Verdict::Yes, names(&here)),
            lacks => {
                Row::new(name, Verdict::Fallback, format!("not here: {}; what needs them is not used", names(lacks)))
            }
        })
    };
    let rows = [
        row("program types", "bpf_prog_type", named(&PROGRAMS)),
        row("map types", "bpf_map_type", named(&MAPS)),
        row("helpers", "bpf_func_id", helpers),
    ];
    rows.into_iter().flatten().collect()
}

/// The first plan that works, or why none does.
fn verdict_row(name: String, tracer: &dyn Tracer, judged: &[Judged]) -> Row {
    let why = |plan: &Judged| format!("not {}: {}", plan.plan.hook.name(), plan.refused.join("; "));
    let refused: Vec<_> = judged.iter().take_while(|plan| !plan.refused.is_empty()).collect();
    let hint = (!refused.is_empty()).then(|| refused.iter().map(|plan| why(plan)).collect::<Vec<_>>().join("\n"));
    let (verdict, value) = match judged.get(refused.len()) {
        Some(plan) if refused.is_empty() => (Verdict::Untested, plan.hooks.join(", ")),
        Some(plan) => (Verdict::Fallback, plan.hooks.join(", ")),
        None if judged.is_empty() => (Verdict::No, format!("does not work: {}", no_such_way(tracer))),
        None => (Verdict::No, "does not work: no way to attach works".to_owned()),
    };
    Row { name, verdict, value, hint }
}

/// The table of other kernels, by their types.
fn offline(options: &Check, tracers: &[&dyn Tracer], named: &[PathBuf]) -> Result<Table> {
    let arch = options.arch.unwrap_or(Arch::HERE);
    if arch != Arch::HERE {
        bail!("{}", verdict::ask_that_of(arch));
    }
    let objects: Vec<_> = tracers.iter().map(|tracer| Object::read(tracer.object())).collect::<Result<_>>()?;
    let (mut table, mut bare) = (Table::default(), false);
    for path in named {
        let mut files = Vec::new();
        if path.is_dir() {
            for (closed, error) in verdict::files(path, &mut files)? {
                let value = format!("cannot be read, and what is in it was passed over: {error}");
                table.push(Row::new(&shown(&closed), Verdict::Fallback, value));
            }
        } else {
            files.push(path.clone());
        }
        let before = table.0.len();
        for file in files.iter().filter(|file| !(path.is_dir() && image::is_module(file))) {
            let target = match Target::load(file) {
                // A directory may hold other things.
                Err(fault) if path.is_dir() && (fault.is_other() || !image::may_be_kernel(file)) => continue,
                read => of_arch(read, file, arch),
            };
            bare |= target.as_ref().is_ok_and(|target| !target.types.has_functions());
            for (tracer, object) in tracers.iter().zip(&objects) {
                let name = format!("{}: {}", shown(file), tracer.name());
                table.push(match &target {
                    Ok(target) => {
                        let (walked, hook) = ((object, &walk(object, target)), options.hooking.attach.0);
                        elsewhere(name, *tracer, &judge(*tracer, walked, &target.types, None, hook))
                    }
                    Err(error) => Row::new(&name, Verdict::No, error)
                        .hint("name a file of types (BTF) of a kernel of this architecture"),
                });
            }
        }
        ensure!(table.0.len() > before, "{}: there are no types of kernels", shown(path));
    }
    table.push(Row::new("not known", Verdict::Info, verdict::NOT_IN_TYPES));
    if bare {
        table.push(Row::new("not known", Verdict::Info, verdict::NOT_IN_MINIMIZED));
    }
    Ok(table)
}

/// The types of a file, if they are of this architecture.
fn of_arch(read: Result<Target, Fault>, file: &Path, arch: Arch) -> Result<Target, String> {
    let target = read.map_err(|fault| format!("BTF file {}: {fault}", shown(file)))?;
    match (verdict::arch(&target), target.about.machine) {
        (Some(other), _) if other != arch => Err(format!("its kernel is of another architecture: {}", other.machine())),
        (None, Some(name)) => Err(format!("its kernel is of another architecture: {name}")),
        _ => Ok(target),
    }
}

/// The verdict on a kernel that is not here.
fn elsewhere(name: String, tracer: &dyn Tracer, judged: &[Judged]) -> Row {
    let mut row = verdict_row(name, tracer, judged);
    if let (Verdict::No, Some(hint)) = (row.verdict, &mut row.hint) {
        hint.push_str("\ntake a kernel of 5.10 or newer, with BTF; if it is one, please report this");
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_a_command_lacks_is_answered_as_by_the_command() {
        let all = tracers::all();
        let proc = all.iter().find(|tracer| tracer.name() == "proc").unwrap();
        let row = verdict_row("proc".to_owned(), proc.as_ref(), &[]);
        assert_eq!(row.value, "does not work: --attach: proc has no such way; it has btf, fentry, raw, tracepoint");
    }
}
