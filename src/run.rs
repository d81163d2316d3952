//! What each subcommand does, from its options to its exit code.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit};

use crate::cli::{Cli, Command, Common, Usage};
use crate::enrich::Names;
use crate::event::Kind;
use crate::heartbeat::Heartbeat;
use crate::kernel::{Host, diagnose, elevated, shown};
use crate::launch::{self, Inherited, Launched, NotRun};
use crate::ledger::Ledger;
use crate::live::{self, Signals};
use crate::output::{self, Choice, escape};
use crate::pipeline::Pipeline;
use crate::record::{Header, Recorder};
use crate::session::{self, Session};
use crate::tracers::{self, Tracer};
use crate::{setup, users};

/// Exit code of `--strict` when events were lost.
const EVENTS_LOST: u8 = 3;

/// Does what the command line says; tells the exit code.
///
/// # Errors
/// When it cannot be done; see [`describe`].
pub fn run(cli: &Cli) -> Result<u8> {
    if !cli.command.needs_rights() {
        // Else file capabilities would open files of others (cap_dac_read_search).
        elevated::give_up()?;
    }
    match &cli.command {
        Command::Trace(tracer) => {
            let (tracer, common) = tracer.parts();
            trace(tracer, common)
        }
        Command::Replay(options) => crate::replay::replay(options),
        Command::Check(options) => crate::check::check(options),
        Command::Relocs(options) => crate::relocs::relocs(options),
        Command::Btf(options) => crate::btf_cmd::btf(options),
        Command::Label(options) => crate::label_cmd::label(options),
        Command::Schema => {
            let kinds: Vec<&'static Kind> = tracers::all().iter().flat_map(|t| t.kinds()).collect();
            let text = serde_json::to_string_pretty(&output::schema::schema(&kinds))?;
            print(Choice::Json, &format!("{text}\n"))
        }
        Command::Man { dir } => {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", shown(dir)))?;
            let written = clap_mangen::generate_to(Cli::grammar(), dir);
            written.with_context(|| format!("writing manual pages to {}", shown(dir))).map(|()| 0)
        }
    }
}

/// The exit code for an error: CMD's own where it could not be run, 2 for wrong usage, else 1.
#[must_use]
pub fn failure_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<NotRun>() {
        Some(not_run) => not_run.code,
        None if error.downcast_ref::<Usage>().is_some() => 2,
        None => 1,
    }
}

/// An error in full: what was being done and why it failed; where the cause is known, that and the mend first.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Diagnosed>() {
        Some(diagnosed) => {
            let chain: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
            format!("{}\n  ({})", diagnosed.0, chain.join(": "))
        }
        None => format!("{error:#}"),
    }
}

/// A failure whose cause is known, with its mend.
#[derive(Debug)]
struct Diagnosed(String);

impl std::fmt::Display for Diagnosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints to stdout; whatever is in it, it is harmless then.
pub(crate) fn print(format: Choice, text: &str) -> Result<u8> {
    let text = match format {
        Choice::Text => escape::clean(text),
        Choice::Json => escape::clean_json(text),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("writing to stdout"),
        _ => Ok(0),
    }
}

/// A note to the user. A closed stderr is no reason to end.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "coretrace: {}", escape::clean(text));
}

fn trace(tracer: &dyn Tracer, common: &Common) -> Result<u8> {
    let host = Host::read(Path::new("/"));
    let output = &common.output;
    let with_command = !common.command.is_empty();
    session::capture_log(output.verbose > 1);
    let user = common.limits.user.as_deref().map(|name| users::user(Path::new("/"), name)).transpose()?;
    let signals = Signals::block(with_command)?;
    // libbpf raises it for itself, where BPF memory counts against it.
    let memlock = getrlimit(Resource::RLIMIT_MEMLOCK).context("reading the limit of locked memory")?;
    let inherited = Inherited { blocked: signals.before, memlock };
    let filter = setup::filter(&common.filters)?;
    if let Some(program) = common.command.first() {
        launch::find(program)?;
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
    let mut pipeline = setup::pipeline(tracer, ledger, filter, output, with_command, common.labels.labels.is_some())?;
    if setup::details(common) {
        pipeline.enrich(Names::new(Path::new("/"), host.cgroup2.as_deref()));
    }
    if let Some(path) = &common.limits.record {
        let file = File::create(path).with_context(|| format!("creating the recording {}", path.display()))?;
        let header = Header {
            tracer: tracer.name().to_owned(),
            layout: tracer.layout(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: host.release.clone(),
        };
        pipeline.record(Recorder::new(BufWriter::new(file), &header).context("writing the recording")?);
    }
    if let Some(count) = common.limits.count {
        pipeline.limit(count);
    }

    let limits = live::Limits {
        duration: common.limits.duration,
        stats: common.limits.stats,
        detach: common.limits.detach,
        to_stdout: setup::to_stdout(output, with_command),
    };
    pipeline.heartbeat = common.limits.heartbeat.map(|every| Heartbeat::new(every, tracer.beat(&session)));
    let (mut ran, mut command) = (false, None);
    let started = tracer.start(&session, &mut |attached| {
        ran = true;
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
                heart.command = Some((launched.pid(), crate::enrich::boot_now()));
            }
            command = Some(launched);
        }
        live::run(&session, attached, &mut pipeline, &limits, &signals, &mut command)
    });
    let (log, failed) = session::take_log();
    if output.verbose > 1 {
        let _ = log.iter().try_for_each(|line| io::stderr().write_all(escape::clean(line).as_bytes()));
    }
    if let Err(error) = started {
        return Err(if ran { error } else { diagnosed(error, log.get(failed).unwrap_or_default(), &host) });
    }
    finish(pipeline, common, command)
}

fn finish(pipeline: Pipeline<'_>, common: &Common, command: Option<Launched>) -> Result<u8> {
    let quiet = common.output.quiet;
    let heartbeats = pipeline.heartbeat.as_ref().map(|heart| (heart.to_string(), heart.unheard()));
    let ledger = pipeline.finish()?;
    let unheard = heartbeats.as_ref().map_or(0, |(_, unheard)| *unheard);
    if let Some((heartbeats, _)) = heartbeats.filter(|_| !quiet || unheard > 0) {
        note(&heartbeats);
    }
    if !quiet {
        note(&ledger.to_string());
    }
    if !ledger.balances() {
        note("the counters do not balance: this is a fault in coretrace, please report it");
    }
    let lost = common.limits.strict && ledger.lost() + unheard > 0;
    match command {
        _ if lost => Ok(EVENTS_LOST),
        Some(mut command) => match command.ended()? {
            Some(status) => Ok(launch::exit_code(status)),
            None => {
                if !quiet {
                    note(&format!("the command still runs, as process {}", command.pid()));
                }
                Ok(0)
            }
        },
        None => Ok(0),
    }
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

pub(crate) fn diagnosed(error: anyhow::Error, log: &[String], host: &Host) -> anyhow::Error {
    match diagnose::explain(&error, log, host) {
        Some(diagnosis) => error.context(Diagnosed(diagnosis.to_string())),
        None => error,
    }
}
