//! `coretrace replay`: prints a recording again, in any format, with the filters that user space has.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::commands::{outlet, setup};
use crate::error::Usage;
use crate::escape::shown;
use crate::event::{CAUSES, Lost};
use crate::flow::filter::{self, CommGlobs, Filter};
use crate::flow::ledger::Ledger;
use crate::flow::record::{Entry, Reader};
use crate::options::{Filters, Output};
use crate::tracers;

/// `coretrace replay`.
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

/// Prints a recording; tells the exit code.
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
    let tracer = all.iter().find(|t| t.name() == header.tracer).with_context(|| {
        format!("{shown} was made by the tracer {:?}, which this version does not have", header.tracer)
    })?;
    ensure!(
        tracer.layout() == header.layout,
        "{shown} was recorded by coretrace {} with another layout of events: use that version to replay it",
        header.version.escape_debug()
    );
    let filters = &options.filters;
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
        kinds: filter::kinds_mask(&filters.events, tracer.kinds()).context(Usage)?,
        ..setup::filter(filters)?
    };
    let kinds = tracer.kinds();
    let ledger = Ledger::new(kinds.iter());
    let outlet = outlet::outlet(&options.output, false, None)?;
    if outlet.is_same(&file) {
        return Err(anyhow!("-O is the recording itself, {shown}").context(Usage));
    }
    let (look, sink) = (outlet.look(&options.output, false), outlet.target()?);
    let mut pipeline = setup::pipeline(tracer.as_ref(), ledger, filter, &options.output, look, sink);
    pipeline.replay();
    pipeline.header();
    let ended = loop {
        match reader.entry() {
            Ok(Entry::Sample(sample)) => pipeline.sample(sample),
            Ok(Entry::Clock(now)) => pipeline.clock(now),
            Ok(Entry::Lost { kind, cause, cpu, count, unix_ns }) => {
                let class = kinds.iter().find(|k| k.id == kind).map_or("unknown".into(), |k| k.name.clone());
                let cause = CAUSES.get(cause as usize).copied().unwrap_or("unknown");
                pipeline.lost(Lost { unix_ns, class, cause, count, cpu });
            }
            Ok(Entry::End) => break Ok(()),
            Err(error) => break Err(error),
        }
        if pipeline.done() {
            break Ok(());
        }
    };
    pipeline.finish().1?;
    ended.with_context(|| format!("reading {shown}")).map(|()| 0)
}
