//! What each subcommand does, from its options to its exit code.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cli::{Check, Cli, Command, Common, Filters, Kernel, Output, Replay};
use crate::event::{Kind, Lost};
use crate::filter::{self, CommGlobs, Filter};
use crate::kernel::check::{Row, Table, Verdict};
use crate::kernel::{Host, btf, btf::BtfSource, diagnose};
use crate::launch::{self, Launched, NotRun};
use crate::ledger::{CAUSES, Ledger};
use crate::live::{self, Signals};
use crate::output::{self, Choice, Look};
use crate::pipeline::Pipeline;
use crate::record::{Entry, Header, Reader, Recorder};
use crate::session::{self, Session, Settings, Transport};
use crate::tracers::{self, Tracer};
use crate::users;

/// Exit code of `--strict` when events were lost.
const EVENTS_LOST: u8 = 3;

/// Does what the command line says; tells the exit code.
///
/// # Errors
/// When it cannot be done; see [`describe`].
pub fn run(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::Trace(tracer) => {
            let (tracer, common) = tracer.parts();
            trace(tracer, common)
        }
        Command::Replay(options) => replay(options),
        Command::Check(options) => check(options),
        Command::Schema => {
            let kinds: Vec<&'static Kind> = tracers::all().iter().flat_map(|t| t.kinds()).collect();
            let text = serde_json::to_string_pretty(&output::schema::schema(&kinds))?;
            print(&format!("{text}\n"))
        }
        Command::Man { dir } => {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
            let written = clap_mangen::generate_to(Cli::grammar(), dir);
            written.with_context(|| format!("writing manual pages to {}", dir.display())).map(|()| 0)
        }
    }
}

/// The exit code for an error: CMD's own where it could not be run, else 1.
#[must_use]
pub fn failure_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<NotRun>().map_or(1, |not_run| not_run.code)
}

/// An error in full: what was being done and why it failed, then, where the cause is known, the mend.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    if let Some(diagnosed) = error.downcast_ref::<Diagnosed>() {
        text = format!("{}\n  ({:#})", diagnosed.0, error.root_cause());
    }
    text
}

/// A failure whose cause is known, with its mend.
#[derive(Debug)]
struct Diagnosed(String);

impl std::fmt::Display for Diagnosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn print(text: &str) -> Result<u8> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("writing to stdout"),
        _ => Ok(0),
    }
}

/// A note to the user. A closed stderr is no reason to end.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "coretrace: {text}");
}

fn trace(tracer: &dyn Tracer, common: &Common) -> Result<u8> {
    let host = Host::read(Path::new("/"));
    let output = &common.output;
    let with_command = !common.command.is_empty();
    ensure!(
        !with_command || common.filters.pid.is_empty(),
        "-p and -- CMD exclude each other: with -- CMD only that command is shown"
    );
    session::capture_log(output.verbose > 1);
    let user = common.limits.user.as_deref().map(|name| users::user(Path::new("/"), name)).transpose()?;
    let signals = Signals::block(with_command)?;
    let mut session = make_session(tracer, common, &host)?;
    if let Some(program) = common.command.first() {
        launch::find(program)?;
        session.settings.filter_pids = true;
        session.settings.follow = true;
        if user.is_none() && !output.quiet && host.euid == 0 && std::env::var_os("SUDO_USER").is_some() {
            note("CMD runs as root; --user NAME runs it as another user");
        }
    }
    if !output.quiet && session.settings.pidns != 0 {
        note("in a PID namespace: only its processes are shown, by their numbers in it");
    }

    let filter = Filter {
        args: common.filters.args.as_deref().map(filter::regex).transpose()?,
        paths: common.filters.path.iter().map(|glob| filter::path_glob(glob)).collect::<Result<_>>()?,
        ..Filter::default()
    };
    // All kinds, also those that are not wanted: a fork that could not be followed counts all the same.
    let ledger = Ledger::new(tracer.kinds().iter());
    let mut pipeline = make_pipeline(tracer, ledger, filter, output, with_command)?;
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
        to_stdout: to_stdout(output, with_command),
    };
    let (mut ran, mut command) = (false, None);
    let started = tracer.start(&session, &mut |attached| {
        ran = true;
        if output.verbose > 0 {
            tell_hooks(&session, &attached);
        }
        if with_command {
            // Last of all, so that its life is not longer than it need be.
            let launched = Launched::new(&common.command, user.as_ref(), &signals.before)?;
            attached.follow(launched.pid())?;
            command = Some(launched);
        }
        live::run(&session, attached, &mut pipeline, &limits, &signals, &mut command)
    });
    let (log, last) = session::take_log();
    if output.verbose > 1 {
        let _ = log.iter().try_for_each(|line| write!(io::stderr(), "{line}"));
    }
    if let Err(error) = started {
        return Err(if ran { error } else { diagnosed(error, log.get(last..).unwrap_or_default(), &host) });
    }
    finish(pipeline, common, command)
}

fn finish(pipeline: Pipeline<'_>, common: &Common, command: Option<Launched>) -> Result<u8> {
    let quiet = common.output.quiet;
    let ledger = pipeline.finish()?;
    if !quiet {
        note(&ledger.to_string());
    }
    if !ledger.balances() {
        note("the counters do not balance: this is a fault in coretrace, please report it");
    }
    let lost = common.limits.strict && ledger.lost() > 0;
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
    let transport = if session.settings.perf { "perf buffer" } else { "ring buffer" };
    let size = session.buffer >> 10;
    let types = match &session.btf {
        BtfSource::Kernel => "the kernel".to_owned(),
        BtfSource::File(path) => path.display().to_string(),
    };
    note(&format!("attached to {} ({transport} of {size} KiB, types from {types})", attached.hooks.join(", ")));
}

fn diagnosed(error: anyhow::Error, log: &[String], host: &Host) -> anyhow::Error {
    match diagnose::explain(&error, log, host) {
        Some(diagnosis) => error.context(Diagnosed(diagnosis.to_string())),
        None => error,
    }
}

/// What is to be loaded, from the options and from what the host has.
fn make_session(tracer: &dyn Tracer, common: &Common, host: &Host) -> Result<Session> {
    let filters = &common.filters;
    let mut session = base_session(tracer, &common.kernel, host)?;
    session.verifier_stats = common.output.verbose > 1;
    if !filters.events.is_empty() {
        session.settings.kinds = filter::kinds_mask(&filters.events, tracer.kinds())?;
    }
    for pid in &filters.pid {
        crate::procfs::check(*pid)?;
    }
    session.pids.clone_from(&filters.pid);
    session.settings.filter_pids = !filters.pid.is_empty();
    session.settings.follow = filters.follow;
    session.settings.uids = uids(filters)?;
    ensure!(session.settings.uids.len() <= 16, "-u: at most 16 users can be given");
    session.settings.comm = CommGlobs::compile(&filters.comm)?;
    ensure!(filters.cgroup.len() <= 8, "-c: at most 8 cgroups can be given");
    session.cgroups = filters.cgroup.iter().map(|path| open_cgroup(path, host)).collect::<Result<_>>()?;
    session.settings.cgroups = u32::try_from(session.cgroups.len())?;
    Ok(session)
}

fn base_session(tracer: &dyn Tracer, kernel: &Kernel, host: &Host) -> Result<Session> {
    let btf = btf::find(kernel.btf.as_deref(), host)?;
    let perf = match kernel.transport {
        Some(transport) => transport == Transport::Perf,
        // Where it is older, a distribution may have it all the same. (The probe also says no where the
        // right to try is missing.)
        None => !host.at_least((5, 8)) && !libbpf_rs::MapType::RingBuf.is_supported().unwrap_or(true),
    };
    let cpus = u64::try_from(libbpf_rs::num_possible_cpus().unwrap_or(1))?;
    let buffer = kernel.buffer.unwrap_or((cpus << 19).clamp(2 << 20, 64 << 20));
    let page_size = page_size();
    // The kernel wants a power of two, in whole pages.
    let buffer = u32::try_from(buffer.next_power_of_two())?.max(page_size);
    let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|n| n.trim().parse().ok());
    Ok(Session {
        settings: Settings {
            kinds: filter::kinds_mask(&tracer.default_kinds(), tracer.kinds())?,
            // A quarter full: time enough to read the rest before it is full.
            wake: u64::from(buffer) / 4..u64::from(buffer) / 2,
            perf,
            pidns: match host.pid_namespace.filter(|_| host.in_pid_namespace()) {
                Some(inode) => u32::try_from(inode)?,
                None => 0,
            },
            page_size,
            ..Settings::default()
        },
        btf,
        kernel_btf: host.has_btf,
        hook: kernel.attach,
        buffer,
        pids: Vec::new(),
        followed_max: pid_max.unwrap_or(32768).clamp(1024, 65536),
        cgroups: Vec::new(),
        verifier_stats: false,
    })
}

fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
}

fn uids(filters: &Filters) -> Result<Vec<u32>> {
    filters.uid.iter().map(|user| users::uid_of(Path::new("/"), user).context("-u")).collect()
}

/// A cgroup by its path: as it is, or below where cgroup v2 is mounted.
fn open_cgroup(path: &Path, host: &Host) -> Result<File> {
    let mount = host.cgroup2.as_deref().context("-c needs cgroup v2, and it is not mounted")?;
    let below = path.strip_prefix("/").unwrap_or(path);
    let full = if path.starts_with(mount) { path.to_owned() } else { mount.join(below) };
    ensure!(full.join("cgroup.procs").exists(), "-c {}: there is no cgroup at {}", path.display(), full.display());
    File::open(&full).with_context(|| format!("-c: opening {}", full.display()))
}

/// Whether events go to stdout.
fn to_stdout(output: &Output, with_command: bool) -> bool {
    match &output.output_file {
        Some(path) => path.as_os_str() == "-",
        None => !with_command,
    }
}

fn make_pipeline<'a>(
    tracer: &'a dyn Tracer,
    ledger: Ledger,
    filter: Filter,
    output: &Output,
    with_command: bool,
) -> Result<Pipeline<'a>> {
    enum Sink {
        Stdout,
        Stderr,
        File(PathBuf),
    }
    let sink = match &output.output_file {
        _ if to_stdout(output, with_command) => Sink::Stdout,
        Some(path) => Sink::File(path.clone()),
        None => Sink::Stderr,
    };
    let terminal = match &sink {
        Sink::Stdout => io::stdout().is_terminal(),
        Sink::Stderr => io::stderr().is_terminal(),
        Sink::File(_) => false,
    };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = if terminal { terminal_width() } else { None };
    let look = Look { width, colour, wide: output.wide, utc: output.utc };
    let sink: Box<dyn Write> = match sink {
        Sink::Stdout => Box::new(io::stdout()),
        Sink::Stderr => Box::new(io::stderr()),
        Sink::File(path) => Box::new(File::create(&path).with_context(|| format!("creating {}", path.display()))?),
    };
    let losses_aside = matches!(output.format, Choice::Text);
    Ok(Pipeline::new(tracer, ledger, filter, output.format.build(look), sink, losses_aside))
}

/// Columns of the terminal that any of the three standard streams is.
fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

fn replay(options: &Replay) -> Result<u8> {
    let shown = options.file.display();
    let file = File::open(&options.file).with_context(|| format!("opening the recording {shown}"))?;
    let mut reader = Reader::new(BufReader::new(file)).with_context(|| format!("reading {shown}"))?;
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
    ensure!(filters.cgroup.is_empty(), "-c needs the live kernel; a recording has only the cgroups' ids");
    ensure!(!filters.follow, "--follow needs the live kernel");
    let filter = Filter {
        args: filters.args.as_deref().map(filter::regex).transpose()?,
        paths: filters.path.iter().map(|glob| filter::path_glob(glob)).collect::<Result<_>>()?,
        pids: filters.pid.clone(),
        uids: uids(filters)?,
        comm: CommGlobs::compile(&filters.comm)?,
        kinds: filter::kinds_mask(&filters.events, tracer.kinds())?,
        ..Filter::default()
    };
    let kinds = tracer.kinds();
    let mut pipeline = make_pipeline(tracer.as_ref(), Ledger::new(kinds.iter()), filter, &options.output, false)?;
    pipeline.header();
    let mut clock = crate::enrich::WallClock::default();
    let ended = loop {
        match reader.entry() {
            Ok(Entry::Sample(sample)) => pipeline.sample(sample),
            Ok(Entry::Clock(now)) => {
                clock = now;
                pipeline.clock(now);
            }
            Ok(Entry::Lost { kind, cause, cpu, count }) => {
                let class = kinds.iter().find(|k| k.id == kind).map_or("unknown", |k| k.name);
                let cause = CAUSES.get(cause as usize).copied().unwrap_or("unknown");
                pipeline.lost(Lost { unix_ns: clock.unix_ns(pipeline.last_boot_ns()), class, cause, count, cpu });
            }
            Ok(Entry::End) => break Ok(()),
            Err(error) => break Err(error),
        }
        if pipeline.done() {
            break Ok(());
        }
    };
    pipeline.finish()?;
    ended.with_context(|| format!("reading {shown}")).map(|()| 0)
}

fn check(options: &Check) -> Result<u8> {
    session::capture_log(false);
    let host = Host::read(Path::new("/"));
    let source = btf::find(options.kernel.btf.as_deref(), &host);
    let mut table = Table::host(&host, source.as_ref());
    for tracer in tracers::all() {
        let mut row = Row::new(tracer.name(), Verdict::Yes, "");
        let started = base_session(tracer.as_ref(), &options.kernel, &host).and_then(|session| {
            tracer.start(&session, &mut |attached| {
                row.value = attached.hooks.join(", ");
                if !attached.refused.is_empty() {
                    row.verdict = Verdict::Fallback;
                    row.mend =
                        Some(attached.refused.iter().map(|why| format!("not {why}")).collect::<Vec<_>>().join("\n"));
                }
                Ok(())
            })
        });
        let (log, last) = session::take_log();
        if let Err(error) = started {
            row.verdict = Verdict::No;
            let told = describe(&diagnosed(error, log.get(last..).unwrap_or_default(), &host));
            let (cause, mend) = told.split_once('\n').unwrap_or((&told, ""));
            row.value = format!("does not work: {cause}");
            row.mend = Some(mend.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
        }
        table.push(row);
    }
    let works = table.works();
    let mut text = Vec::new();
    table.write(&mut text)?;
    print(&String::from_utf8_lossy(&text))?;
    Ok(u8::from(!works))
}
