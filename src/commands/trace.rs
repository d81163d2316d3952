//! A tracer's subcommand: from the options to a live run, and to its exit code.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::{outlet, setup};
use crate::error::{EVENTS_LOST, Usage};
use crate::escape::{self, shown};
use crate::event::{Kind, Shape};
use crate::ffi::log;
use crate::flow::enrich::{Environs, Resolver, Stacks};
use crate::flow::filter::Filter;
use crate::flow::heartbeat::Heartbeat;
use crate::flow::ledger::Ledger;
use crate::flow::pipeline::Pipeline;
use crate::flow::record::{Header, Made, Recorder};
use crate::flow::{files, sink};
use crate::host::clock::boot_now;
use crate::host::users::User;
use crate::host::{Host, users};
use crate::load::attached::{Attached, Part};
use crate::load::diagnose::diagnosed;
use crate::load::kin;
use crate::load::session::Session;
use crate::load::source::Source;
use crate::load::start::start;
use crate::options::{Common, Filters};
use crate::report::{Notes, note};
use crate::run::control::Control;
use crate::run::interrupt::Interrupt;
use crate::run::launch::{self, Inherited, Launched};
use crate::run::live;
use crate::run::rights::Doings;
use crate::run::signals::Signals;
use crate::tracers::decoders::Decoders;
use crate::tracers::{Opening, Tracer, extra};

/// Runs a tracer, and those beside it (`--with`); returns the exit code.
pub(crate) fn trace(tracer: &dyn Tracer, common: &Common) -> Result<u8> {
    let extras = extra::extras(tracer, &common.with)?;
    let given = std::iter::once(tracer).chain(extras.iter().map(AsRef::as_ref));
    setup::check_format(&common.output, !common.command.is_empty())?;
    log::capture_log(common.output.verbose > 1);
    let mut control: Box<dyn Control> = match common.command.is_empty() {
        true => Box::new(Interrupt::new(common.output.output_file.is_some())?),
        false => Box::new(Signals::new()?),
    };
    let starter = Starter::new(common)?;
    let host = Host::read(Path::new("/"));
    let mut opening = Opening::new(&host, common.kernel.wanted(), common.filters.pid.first().copied());
    if let Some(lines) = tracer.list(&opening)? {
        return listed(&lines);
    }
    let opened = given.clone().map(|tracer| tracer.open(&mut opening)).collect::<Result<Vec<_>>>()?;
    let all = opened.iter().zip(given).flat_map(|(opened, given)| match opened {
        Some(opened) => opened.iter().map(AsRef::as_ref).collect(),
        None => vec![given],
    });
    let all: Vec<&dyn Tracer> = all.collect();
    check_totals(&all, common)?;
    let filter = setup::filter(&common.filters)?;
    let mut session = setup::session(&all, common, &host)?;
    if !common.command.is_empty() {
        session.settings.filter_pids = true;
        session.settings.follow = true;
    }
    let kinds = all.iter().flat_map(|tracer| tracer.kinds());
    let wanted = kinds.filter(|kind| session.settings.kinds & 1_u64.checked_shl(kind.id).unwrap_or(0) != 0);
    let wanted: Vec<&Kind> = wanted.collect();
    setup::check_fields(&common.output, all.iter().flat_map(|tracer| tracer.kinds()))?;
    setup::check_filters(&common.filters, all.iter().flat_map(|tracer| tracer.kinds()))?;
    setup::check_view(common.output.view(), wanted.iter().copied(), &common.filters)?;
    setup::check_added(&all, wanted, common)?;
    let beatless = check_heartbeat(&session, &all, common)?;
    say_before(&session, common, &host, &opening.notes);
    beatless.iter().filter(|_| !common.output.quiet).for_each(|text| note(text));

    let decoders = Decoders::new(all.clone());
    let mut pipeline = pipeline(&all, &decoders, &session, common, filter, &host)?;
    if !awaited(tracer, common, &host)? {
        return Ok(0);
    }
    let attached = attach(&session, &all, common, &host)?;
    control.start(pipeline.reopenable)?;
    if common.filters.follow {
        live::follow_existing(&session, &attached)?;
    }
    if !common.output.quiet {
        let notes = attached.parts.iter().flat_map(|part| &part.notes);
        notes.for_each(|text| note(&escape::line(text.as_bytes())));
    }
    if common.output.verbose > 0 {
        say_hooks(&session, &attached);
    }
    pipeline.heartbeats = heartbeats(&session, &all, &attached, common);
    // Last of all, so that its life is not longer than it need be.
    let mut command = starter.start(&attached, &mut pipeline)?;
    let doings = Doings { hooks: attached.hooks_late(), ..doings(common, &session, &all, pipeline.reopenable) };
    let limits = live::Limits { keeps: doings.need(&host), ..limits(common, &pipeline, &all) };
    let ran = live::run(&session, &attached, &mut pipeline, &limits, control.as_mut(), &mut command);
    drop(attached);
    say_log(common, &log::take_log().0);
    ran?;
    finish(pipeline, common, command)
}

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(250);

/// Waits for what the kernel lacks as yet; returns whether there is time left to trace it. (Ctrl-C ends the process: there
/// is nothing to end cleanly.)
fn awaited(tracer: &dyn Tracer, common: &Common, host: &Host) -> Result<bool> {
    let Some(why) = tracer.awaits(host)? else { return Ok(true) };
    if !common.command.is_empty() {
        note(&format!("{why} (the command has to wait, too)"));
    } else if !common.output.quiet {
        note(&why);
    }
    let begin = Instant::now();
    while tracer.awaits(host)?.is_some() {
        let left = common.limits.duration.map(|duration| duration.saturating_sub(begin.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            note("it has not come: nothing was traced");
            return Ok(false);
        }
        std::thread::sleep(left.map_or(LOOK, |left| left.min(LOOK)));
    }
    Ok(true)
}

/// Prints what could be traced.
fn listed(lines: &[String]) -> Result<u8> {
    if lines.is_empty() {
        note("nothing that can be probed here matches");
    }
    let mut text = Vec::new();
    lines.iter().try_for_each(|line| writeln!(text, "{}", escape::line(line.as_bytes())))?;
    print(Choice::Text, &String::from_utf8_lossy(&text))?;
    Ok(u8::from(lines.is_empty()))
}

/// What starts the command, where there is one.
struct Starter<'a> {
    command: &'a [OsString],
    user: Option<User>,
    inherited: Inherited,
}

impl<'a> Starter<'a> {
    /// Looks whether it can be started: an error here is one before anything is loaded.
    fn new(common: &'a Common) -> Result<Self> {
        let user = common.limits.user.as_deref().map(|name| users::user(Path::new("/"), name)).transpose()?;
        let inherited = Inherited::read()?;
        launch::raise_limit_of_files();
        if let Some(program) = common.command.first() {
            launch::check(program)?;
        }
        Ok(Starter { command: &common.command, user, inherited })
    }

    /// Starts it, to wait until the run begins, and has it followed.
    fn start(&self, attached: &Attached, pipeline: &mut Pipeline<'_>) -> Result<Option<Launched>> {
        if self.command.is_empty() {
            return Ok(None);
        }
        let launched = Launched::new(self.command, self.user.as_ref(), &self.inherited)?;
        attached.follow(launched.pid())?;
        pipeline.command(launched.pid());
        pipeline.heartbeats.iter_mut().for_each(|heart| heart.command = Some((launched.pid(), boot_now())));
        Ok(Some(launched))
    }
}

/// When the run is to end, and what it does meanwhile.
fn limits<'a>(common: &Common, pipeline: &Pipeline<'_>, all: &[&'a dyn Tracer]) -> live::Limits<'a> {
    live::Limits {
        duration: common.limits.duration,
        stats: common.limits.stats,
        detach: common.limits.detach,
        to_stdout: outlet::to_stdout(&common.output, !common.command.is_empty()),
        reopen: common.output.output_file.clone().filter(|_| pipeline.reopenable),
        sources: all.iter().map(|tracer| *tracer as &dyn Source).collect(),
        keeps: None,
        verbose: common.output.verbose > 0,
    }
}

/// What it does meanwhile that needs rights.
fn doings<'a>(common: &'a Common, session: &Session, all: &[&dyn Tracer], reopens: bool) -> Doings<'a> {
    let fields = all.iter().flat_map(|tracer| tracer.kinds()).flat_map(Kind::fields);
    Doings {
        beats: common.limits.heartbeat.is_some(),
        hooks: false,
        signals: !common.command.is_empty(),
        perf_events: session.settings.perf || session.entry_on_one_cpu,
        names: setup::names(common) || all.iter().any(|tracer| tracer.asks_proc()),
        symbols: fields.into_iter().any(|field| field.shape == Shape::Stack),
        reopens: common.output.output_file.as_deref().filter(|_| reopens),
    }
}

/// What is added up in the kernel is no event: what is done with events in user space cannot be done with it.
fn check_totals(all: &[&dyn Tracer], common: &Common) -> Result<()> {
    let aggregates = |tracer: &&dyn Tracer| tracer.aggregates();
    let alone = all.iter().all(aggregates);
    let filters = &common.filters;
    let options = [
        ("--record", common.limits.record.is_some()),
        ("--args", filters.args.is_some()),
        ("--path", !filters.path.is_empty()),
        ("--container (-c takes a cgroup)", !filters.container.is_empty()),
        ("--unit (-c takes a cgroup)", !filters.unit.is_empty()),
        ("--ancestors", alone && common.limits.ancestors.is_some()),
        ("--count", alone && common.limits.count.is_some()),
        ("--fields", alone && !common.output.fields.is_empty()),
        ("--lives", alone && common.output.lives),
        ("--tree", alone && common.output.tree.is_some()),
        ("--summary", alone && common.output.summary.is_some()),
        ("-o perfetto", common.output.format.lines().is_none()),
    ];
    match options.iter().find(|(_, given)| *given).filter(|_| all.iter().any(aggregates)) {
        Some((option, _)) => {
            Err(anyhow!("{option}: it is about single events, and these are added up in the kernel").context(Usage))
        }
        None => Ok(()),
    }
}

/// Whether a heartbeat is seen by any of the tracers; returns what there is to say of those that see none.
fn check_heartbeat(session: &Session, all: &[&dyn Tracer], common: &Common) -> Result<Option<String>> {
    if common.limits.heartbeat.is_none() {
        return Ok(None);
    }
    let has_none = |tracer: &&&dyn Tracer| tracer.beat(session).is_none();
    let mut names: Vec<&str> = all.iter().filter(has_none).map(|tracer| tracer.name()).collect();
    let none_has = names.len() == all.len();
    names.dedup();
    let names = names.join(", ");
    match none_has {
        true => {
            Err(anyhow!("--heartbeat: there is none that {names} would see\n  --with proc adds one").context(Usage))
        }
        false => Ok((!names.is_empty()).then(|| format!("--heartbeat: there is none that {names} would see"))),
    }
}

/// What the user is to know before anything is loaded.
fn say_before(session: &Session, common: &Common, host: &Host, notes: &[String]) {
    if common.output.quiet {
        return;
    }
    notes.iter().for_each(|text| note(&escape::line(text.as_bytes())));
    let by_sudo = host.euid == 0 && std::env::var_os("SUDO_USER").is_some();
    if !common.command.is_empty() && common.limits.user.is_none() && by_sudo {
        note("CMD runs as root; --user NAME runs it as another user");
    }
    let Filters { container, unit, .. } = &common.filters;
    let by_name = !container.is_empty() || !unit.is_empty();
    if by_name && !session.settings.refuses {
        note(
            "cgroups of version 1 do not tell containers apart in the kernel: --container and --unit filter in user space",
        );
    }
    if session.settings.pidns != 0 {
        note("in a PID namespace: only its processes are shown, by their numbers in it");
    }
}

/// Loads all tracers; one that cannot be attached beside the first is a warning, and with --strict an error.
fn attach(session: &Session, all: &[&dyn Tracer], common: &Common, host: &Host) -> Result<Attached> {
    let sources: Vec<&dyn Source> = all.iter().map(|tracer| *tracer as &dyn Source).collect();
    let mut warnings = Vec::new();
    let attached = start(session, &sources, &mut |name, error| {
        let error = error.context(format!("--with {name}"));
        if common.limits.strict {
            return Err(error);
        }
        warnings.push(format!("{error:#}; the run goes on without it"));
        Ok(())
    });
    attached
        .map_err(|error| {
            let (lines, failed) = log::take_log();
            say_log(common, &lines);
            diagnosed(error, lines.get(failed).unwrap_or_default(), host)
        })
        .inspect(|_| warnings.iter().for_each(|warning| note(warning)))
}

/// What libbpf said, with -vv.
fn say_log(common: &Common, lines: &[String]) {
    if common.output.verbose > 1 {
        let _ = lines.iter().try_for_each(|line| Notes.write_all(escape::clean(line).as_bytes()));
    }
}

/// Those of the tracers that run.
fn heartbeats(session: &Session, all: &[&dyn Tracer], attached: &Attached, common: &Common) -> Vec<Heartbeat> {
    let Some(every) = common.limits.heartbeat else { return Vec::new() };
    let runs = |tracer: &&&dyn Tracer| attached.parts.iter().any(|part| part.name == tracer.name());
    let heart = |tracer: &&dyn Tracer| {
        let kinds = tracer.kinds().iter().fold(0, |mask, kind| mask | 1 << kind.id) & session.settings.kinds;
        let heart = Heartbeat::new(every, kinds, tracer.beat(session)?);
        Some(if all.len() > 1 { heart.of(tracer.name()) } else { heart })
    };
    all.iter().filter(runs).filter_map(heart).collect()
}

/// From the options to what a run does with its events: the output, and the recording.
fn pipeline<'a>(
    all: &[&dyn Tracer],
    decoders: &'a Decoders<'_>,
    session: &Session,
    common: &Common,
    filter: Filter,
    host: &Host,
) -> Result<Pipeline<'a>> {
    // All kinds, also those that are not wanted.
    let mut ledger = Ledger::new(all.iter().flat_map(|tracer| tracer.kinds()).chain([&kin::FOLLOW]));
    ledger.partial = session.watches_some();
    for (tracer, kind) in all.iter().flat_map(|tracer| tracer.kinds().iter().map(move |kind| (tracer, kind))) {
        if let Some(account) = ledger.account(kind.id) {
            tracer.watched().clone_into(&mut account.of);
        }
    }
    let (output, with_command, timeout) = (&common.output, !common.command.is_empty(), common.limits.duration);
    let outlet = outlet::outlet(output, with_command, timeout)?;
    let record = common.limits.record.as_ref();
    let record = record.map(|path| {
        let file = files::open(path, timeout).with_context(|| format!("creating the recording {}", shown(path)))?;
        // CMD's output and the notes, too, would be in the middle of it.
        if outlet.is_same(&file) || files::is_same(&file, io::stdout()) || files::is_same(&file, io::stderr()) {
            let path = shown(path);
            return Err(anyhow!("--record {path}: this file is the output, too, or CMD's").context(Usage));
        }
        Ok(file)
    });
    let record = record.transpose()?;
    let (look, to_stderr) = (outlet.look(output, common.labels.labels.is_some(), &common.filters), outlet.is_stderr());
    let reopenable = !with_command && outlet.is_reopenable();
    let (sink, gauge) = sink::start(outlet.target()?)?;
    let table = setup::table(all, look.room());
    let mut pipeline = setup::pipeline(decoders, table, ledger, filter, output, look, Box::new(sink));
    pipeline.watch(gauge);
    (pipeline.to_stderr, pipeline.closing_fails, pipeline.reopenable) = (to_stderr, to_stderr, reopenable);
    if let Some(file) = record {
        files::empty(&file).context("emptying the file for the recording")?;
        let (sink, gauge) = sink::start(Box::new(file))?;
        let recorder = Recorder::new(BufWriter::with_capacity(1 << 16, sink), &header(all, host));
        pipeline.record(recorder.context("writing the recording")?, gauge);
    }
    pipeline.stacks = Stacks::of_host(Path::new("/"));
    pipeline.environs = Environs::of_host(Path::new("/"), !common.output.quiet);
    if setup::names(common) {
        let mut resolver = Resolver::new(Path::new("/"), host.cgroup2.as_deref());
        resolver.choose(setup::chosen(&common.filters)?);
        if session.settings.names {
            resolver.judge();
        }
        pipeline.enrich(resolver);
    }
    pipeline.no_events = all.iter().all(|tracer| tracer.aggregates());
    if let Some(count) = common.limits.count {
        pipeline.limit(count);
    }
    Ok(pipeline)
}

/// Who makes a recording.
fn header(all: &[&dyn Tracer], host: &Host) -> Header {
    let made = |tracer: &&dyn Tracer| Made {
        name: tracer.name().to_owned(),
        layout: tracer.info().layout,
        spec: tracer.recorded(),
    };
    Header {
        tracers: all.iter().map(made).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: host.release.clone(),
    }
}

/// Says what became of it all; returns the exit code.
fn finish(pipeline: Pipeline<'_>, common: &Common, command: Option<Launched>) -> Result<u8> {
    let quiet = common.output.quiet;
    let heartbeats: Vec<_> = pipeline.heartbeats.iter().map(|heart| (heart.to_string(), heart.missing())).collect();
    let mut failed = pipeline.failed;
    let (ledger, ended) = pipeline.finish();
    if let Err(error) = ended {
        note(&format!("{error:#}"));
        failed = true;
    }
    heartbeats.iter().filter(|(_, missing)| !quiet || *missing > 0).for_each(|(text, _)| note(text));
    let missing: u64 = heartbeats.iter().map(|(_, missing)| missing).sum();
    // What was not written is reported like every loss.
    if !quiet || ledger.unwritten() > 0 || !ledger.failures.is_empty() {
        note(&ledger.to_string());
    }
    if !ledger.balances() {
        note("the counters do not balance: this is a fault in coretrace, please report it");
    }
    if common.limits.strict && ledger.lost() + missing > 0 {
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

/// With -v: which hooks were taken, and what they do not see.
fn say_hooks(session: &Session, attached: &Attached) {
    let several = attached.parts.len() > 1;
    if let Some(kin) = &attached.kin {
        let said = |why: &&String| attached.parts.iter().any(|part| part.refused.contains(*why));
        let refused = kin.refused.iter().filter(|why| !said(why));
        refused.for_each(|why| note(&format!("not used to follow processes: {why}")));
        note(&format!("processes are followed by {}", kin.hooks().join(", ")));
    }
    session.btf_passed_over.iter().for_each(|why| note(&format!("types not from {why}")));
    for part in &attached.parts {
        say_part(session, part, &if several { format!("{}: ", part.name) } else { String::new() });
    }
}

fn say_part(session: &Session, part: &Part, of: &str) {
    part.refused.iter().for_each(|why| note(&format!("{of}not used: {why}")));
    if let Some(why) = &part.unproven {
        note(&format!("{of}not proven that the types are this kernel's: {why}"));
    }
    part.absent().iter().for_each(|what| note(&format!("{of}not watched: {what}")));
    let hook = part.plan.hook;
    if !part.plan.not_seen.is_empty() {
        note(&format!("{of}not seen by {}: {}", hook.name(), part.plan.not_seen));
    }
    if hook.is_probe() && session.uncounted {
        note(&format!("{of}not counted by {}: what the kernel skips there (it counts that since 6.7)", hook.name()));
    }
    let transport = if session.settings.perf { "perf buffer" } else { "ring buffer" };
    let (size, types, hooks) = (session.buffer >> 10, &session.btf, part.hooks().join(", "));
    note(&format!("{of}attached to {hooks} ({transport} of {size} KiB, types from {types})"));
}
