//! What each subcommand does, from its options to its exit code.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::commands::{outlet, setup};
use crate::error::{EVENTS_LOST, Usage};
use crate::escape::{self, shown};
use crate::ffi::log;
use crate::flow::enrich::Resolver;
use crate::flow::filter::Filter;
use crate::flow::heartbeat::Heartbeat;
use crate::flow::ledger::Ledger;
use crate::flow::pipeline::Pipeline;
use crate::flow::record::{Header, Recorder};
use crate::flow::{files, sink};
use crate::host::{Host, users};
use crate::load::diagnose::diagnosed;
use crate::load::session::{self, Session};
use crate::options::Common;
use crate::report::{Notes, note};
use crate::run::launch::{self, Inherited, Launched};
use crate::run::live;
use crate::run::signals::Signals;
use crate::tracers::Tracer;

pub(crate) fn trace(tracer: &dyn Tracer, common: &Common) -> Result<u8> {
    let host = Host::read(Path::new("/"));
    let output = &common.output;
    let with_command = !common.command.is_empty();
    log::capture_log(output.verbose > 1);
    let user = common.limits.user.as_deref().map(|name| users::user(Path::new("/"), name)).transpose()?;
    let mut signals = Signals::new(with_command)?;
    let inherited = Inherited::read()?;
    let filter = setup::filter(&common.filters)?;
    if let Some(program) = common.command.first() {
        launch::check(program)?;
    }
    let mut session = setup::session(tracer, common, &host)?;
    if with_command {
        session.settings.filter_pids = true;
        session.settings.follow = true;
        if user.is_none() && !output.quiet && host.euid == 0 && std::env::var_os("SUDO_USER").is_some() {
            note("CMD runs as root; --user NAME runs it as another user");
        }
    }
    if !output.quiet && session.settings.pidns != 0 {
        note("in a PID namespace: only its processes are shown, by their numbers in it");
    }

    // All kinds, also those that are not wanted: a fork that could not be followed counts all the same.
    let mut ledger = Ledger::new(tracer.kinds().iter());
    ledger.partial = session.watches_some();
    let mut pipeline = pipeline(tracer, common, ledger, filter, &host)?;
    if setup::details(common) {
        pipeline.enrich(Resolver::new(Path::new("/"), host.cgroup2.as_deref()));
    }
    if let Some(count) = common.limits.count {
        pipeline.limit(count);
    }

    let limits = live::Limits {
        duration: common.limits.duration,
        stats: common.limits.stats,
        detach: common.limits.detach,
        to_stdout: outlet::to_stdout(output, with_command),
        reopen: output.output_file.clone().filter(|_| pipeline.renewable),
    };
    pipeline.heartbeat = common.limits.heartbeat.map(|every| Heartbeat::new(every, tracer.beat(&session)));
    let (mut ran, mut command) = (false, None);
    let started = tracer.start(&session, &mut |attached| {
        ran = true;
        // Until here they ended it at once.
        signals.block(with_command)?;
        if common.filters.follow {
            live::follow_existing(&session, &attached)?;
        }
        if output.verbose > 0 {
            tell_hooks(&session, &attached);
        }
        if with_command {
            // Last of all, so that its life is not longer than it need be.
            let launched = Launched::new(&common.command, user.as_ref(), &inherited)?;
            attached.follow(launched.pid())?;
            if let Some(heart) = &mut pipeline.heartbeat {
                heart.command = Some((launched.pid(), crate::host::clock::boot_now()));
            }
            command = Some(launched);
        }
        live::run(&session, attached, &mut pipeline, &limits, &mut signals, &mut command)
    });
    let (log, failed) = log::take_log();
    if output.verbose > 1 {
        let _ = log.iter().try_for_each(|line| Notes.write_all(escape::clean(line).as_bytes()));
    }
    if let Err(error) = started {
        return Err(if ran { error } else { diagnosed(error, log.get(failed).unwrap_or_default(), &host) });
    }
    finish(pipeline, common, command)
}

/// From the options to what a run does with its events: the output, and the recording.
fn pipeline<'a>(
    tracer: &'a dyn Tracer,
    common: &Common,
    ledger: Ledger,
    filter: Filter,
    host: &Host,
) -> Result<Pipeline<'a>> {
    let (output, with_command, patience) = (&common.output, !common.command.is_empty(), common.limits.duration);
    let outlet = outlet::outlet(output, with_command, patience)?;
    let record = common.limits.record.as_ref();
    let record = record.map(|path| {
        let file = files::open(path, patience).with_context(|| format!("creating the recording {}", shown(path)))?;
        // CMD's output and the notes, too, would be in the middle of it.
        if outlet.is_same(&file) || files::is_same(&file, io::stdout()) || files::is_same(&file, io::stderr()) {
            let path = shown(path);
            return Err(anyhow!("--record {path}: this file is the output, too, or CMD's").context(Usage));
        }
        Ok(file)
    });
    let record = record.transpose()?;
    let (look, to_stderr) = (outlet.look(output, common.labels.labels.is_some()), outlet.is_stderr());
    let renewable = !with_command && outlet.is_renewable();
    let (sink, gauge) = sink::start(outlet.target()?)?;
    let mut pipeline = setup::pipeline(tracer, ledger, filter, output, look, Box::new(sink));
    pipeline.watch(gauge);
    (pipeline.to_stderr, pipeline.closing_fails, pipeline.renewable) = (to_stderr, to_stderr, renewable);
    if let Some(file) = record {
        files::empty(&file).context("emptying the file for the recording")?;
        let header = Header {
            tracer: tracer.name().to_owned(),
            layout: tracer.layout(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: host.release.clone(),
        };
        let (sink, gauge) = sink::start(Box::new(file))?;
        let recorder = Recorder::new(BufWriter::with_capacity(1 << 16, sink), &header);
        pipeline.record(recorder.context("writing the recording")?, gauge);
    }
    Ok(pipeline)
}

fn finish(pipeline: Pipeline<'_>, common: &Common, command: Option<Launched>) -> Result<u8> {
    let quiet = common.output.quiet;
    let heartbeats = pipeline.heartbeat.as_ref().map(|heart| (heart.to_string(), heart.unheard()));
    let mut failed = pipeline.failed;
    let (ledger, ended) = pipeline.finish();
    if let Err(error) = ended {
        note(&format!("{error:#}"));
        failed = true;
    }
    let unheard = heartbeats.as_ref().map_or(0, |(_, unheard)| *unheard);
    if let Some((heartbeats, _)) = heartbeats.filter(|_| !quiet || unheard > 0) {
        note(&heartbeats);
    }
    // What was not written is told like every loss.
    if !quiet || ledger.unwritten() > 0 {
        note(&ledger.to_string());
    }
    if !ledger.balances() {
        note("the counters do not balance: this is a fault in coretrace, please report it");
    }
    if common.limits.strict && ledger.lost() + unheard > 0 {
        return Ok(EVENTS_LOST);
    }
    let code = match command {
        Some(mut command) => match command.ended()? {
            Some(status) => launch::exit_code(status),
            None => {
                if !quiet {
                    note(&format!("the command still runs, as process {}", command.pid()));
                }
                0
            }
        },
        None => 0,
    };
    Ok(if failed { code.max(1) } else { code })
}

fn tell_hooks(session: &Session, attached: &session::Attached<'_>) {
    attached.refused.iter().for_each(|why| note(&format!("not used: {why}")));
    if let Some(why) = &attached.unproven {
        note(&format!("not proven that the types are this kernel's: {why}"));
    }
    attached.absent.iter().for_each(|what| note(&format!("not watched: {what}")));
    let hook = attached.plan.hook;
    if !attached.plan.blind.is_empty() {
        note(&format!("not seen by {}: {}", hook.name(), attached.plan.blind));
    }
    if hook.is_probe() && session.uncounted {
        note(&format!("not counted by {}: what the kernel skips there (it counts that since 6.7)", hook.name()));
    }
    let transport = if session.settings.perf { "perf buffer" } else { "ring buffer" };
    let size = session.buffer >> 10;
    session.btf_passed_over.iter().for_each(|why| note(&format!("types not from {why}")));
    let types = &session.btf;
    note(&format!("attached to {} ({transport} of {size} KiB, types from {types})", attached.hooks.join(", ")));
}
