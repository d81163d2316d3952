//! `coretrace replay`: prints a recording again, in any format, with the filters that user space has.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::commands::{outlet, setup};
use crate::error::Usage;
use crate::escape::shown;
use crate::event::{CAUSES, Kind, Lost};
use crate::flow::enrich::Resolver;
use crate::flow::filter::{self, CommGlobs, Filter};
use crate::flow::ledger::Ledger;
use crate::flow::pipeline::Pipeline;
use crate::flow::record::Header;
use crate::flow::record::{Entry, Reader};
use crate::load::kin;
use crate::options::{Filters, Output};
use crate::report::note;
use crate::run::interrupt::Interrupt;
use crate::run::output_wait::GRACE;
use crate::tracers::decoders::Decoders;
use crate::tracers::{self, Tracer};

#[derive(Debug, Args)]
pub struct Replay {
    /// The recording
    pub file: PathBuf,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// How they are printed.
    #[command(flatten)]
    pub output: Output,
}

/// Prints a recording; returns the exit code.
///
/// # Errors
/// When the file is no recording, is cut or damaged (after all that could be read was printed), or the output
/// cannot be written.
pub fn replay(options: &Replay) -> Result<u8> {
    let shown = shown(&options.file);
    let file = File::open(&options.file).with_context(|| format!("opening the recording {shown}"))?;
    let mut reader = Reader::new(BufReader::new(&file)).with_context(|| format!("reading {shown}"))?;
    let header = &reader.header;
    let all = tracers::all();
    let tracers = tracers_of(header, all).with_context(|| format!("reading {shown}"))?;
    let tracers: Vec<&dyn Tracer> = tracers.iter().map(AsRef::as_ref).collect();
    let filters = &options.filters;
    setup::check_format(&options.output, false)?;
    if !filters.cgroup.is_empty() {
        return Err(anyhow!("-c needs the live kernel; a recording has only the cgroups' ids").context(Usage));
    }
    if filters.follow {
        return Err(anyhow!("--follow needs the live kernel").context(Usage));
    }
    let filter = Filter {
        pids: filters.pid.clone(),
        uids: setup::uids(filters)?,
        comm: CommGlobs::compile(&filters.comm).context(Usage)?,
        kinds: filter::kinds_mask(&filters.events, tracers.iter().flat_map(|tracer| tracer.kinds())).context(Usage)?,
        ..setup::filter(filters)?
    };
    let kinds = tracers.iter().flat_map(|tracer| tracer.kinds());
    setup::check_fields(&options.output, kinds.clone())?;
    setup::check_filters(filters, kinds.clone())?;
    setup::check_view(options.output.view(), kinds.filter(|kind| filter.wants_kind(kind.id)), filters)?;
    let kinds: Vec<_> = tracers.iter().flat_map(|tracer| tracer.kinds()).chain([&kin::FOLLOW]).collect();
    let ledger = Ledger::new(kinds.iter().copied());
    let outlet = outlet::outlet(&options.output, false, None)?;
    if outlet.is_same(&file) {
        return Err(anyhow!("-O is the recording itself, {shown}").context(Usage));
    }
    let (look, sink) = (outlet.look(&options.output, false, filters), outlet.target()?);
    let (table, decoders) = (setup::table(&tracers, look.room()), Decoders::new(tracers));
    let mut pipeline = setup::pipeline(&decoders, table, ledger, filter, &options.output, look, sink);
    pipeline.replay();
    let mut resolver = Resolver::recorded();
    resolver.choose(setup::chosen(filters)?);
    pipeline.enrich(resolver);
    let interrupt = Interrupt::within(GRACE)?;
    pipeline.header();
    let interrupted = Cell::new(false);
    let ended = play(&mut reader, &kinds, &mut pipeline, &|| {
        interrupted.set(interrupt.asked());
        interrupted.get()
    });
    if options.output.format.lines().is_none() && !pipeline.is_over_known() && !options.output.quiet {
        note("when the run was over is not known: what had not ended by then is shown up to the last event");
    }
    pipeline.finish().1?;
    if interrupted.get() {
        note("interrupted before the end of the recording");
    }
    ended.with_context(|| format!("reading {shown}")).map(|()| 0)
}

/// The tracers that made a recording, tracing what its header says.
pub(crate) fn tracers_of(header: &Header, mut all: Vec<Box<dyn Tracer>>) -> Result<Vec<Box<dyn Tracer>>> {
    ensure!(!header.tracers.is_empty(), "no tracer made it");
    let mut found = Vec::new();
    for made in &header.tracers {
        let at = all
            .iter()
            .position(|tracer| tracer.name() == made.name)
            .with_context(|| format!("it was made by the tracer {:?}, which this version does not have", made.name))?;
        let tracer = all.get(at).context("a tracer")?;
        ensure!(
            tracer.info().layout == made.layout,
            "it was recorded by coretrace {} with another layout of events: use that version to replay it",
            header.version.escape_debug()
        );
        let of_spec = made.spec.as_ref().map(|spec| tracer.replayed(spec)).transpose()?.flatten();
        match of_spec {
            Some(tracer) => found.push(tracer),
            None => found.push(all.swap_remove(at)),
        }
    }
    Ok(found)
}

/// Puts what is in a recording into a pipeline, until that takes no more or `stop` says so.
///
/// # Errors
/// When the recording is cut or damaged.
pub(crate) fn play<R: Read>(
    reader: &mut Reader<R>,
    kinds: &[&Kind],
    pipeline: &mut Pipeline<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<()> {
    while !pipeline.done() && !stop() {
        match reader.entry()? {
            Entry::Sample(sample) => pipeline.sample(sample),
            Entry::Begin(clock, boot_ns) => {
                pipeline.clock(clock);
                pipeline.began(boot_ns);
            }
            Entry::Clock(now) => pipeline.clock(now),
            Entry::Names(names) => pipeline.recorded_names(names).context("the recording is damaged")?,
            Entry::Environ { pid, program, bytes } => pipeline.environs.take_recorded(pid, program, bytes),
            Entry::Command(pid) => pipeline.command(pid),
            Entry::Symbol { address, offset, name } => pipeline.learn(address, offset, name),
            Entry::Calls(calls) => pipeline.stacks.take_recorded(calls).context("the recording is damaged")?,
            Entry::Lost { kind, cause, cpu, count, unix_ns } => {
                let class = kinds.iter().find(|k| k.id == kind).map_or("unknown".into(), |k| k.name.clone());
                let cause = CAUSES.get(cause as usize).copied().unwrap_or("unknown");
                pipeline.lost(Lost { unix_ns, class, cause, count, cpu });
            }
            Entry::End(over_ns) => {
                over_ns.into_iter().for_each(|boot_ns| pipeline.over(boot_ns));
                break;
            }
        }
    }
    Ok(())
}
