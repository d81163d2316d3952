//! From the options and the host to what a run is made of: the session, the filter, the pipeline.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

use crate::bpf::signals;
use crate::cli::{Common, Filters, Kernel, Labelling, Output, Usage};
use crate::filter::{self, CommGlobs, Filter};
use crate::kernel::{Host, btf, shown};
use crate::labels::{self, Labels};
use crate::ledger::Ledger;
use crate::output::{Choice, Look};
use crate::pipeline::Pipeline;
use crate::session::{CGROUPS_MAX, Hook, Session, Settings, Transport, UIDS_MAX};
use crate::sink::Target;
use crate::tracers::Tracer;
use crate::users;

/// What is to be loaded, from the options and from what the host has.
pub(crate) fn session(tracer: &dyn Tracer, common: &Common, host: &Host) -> Result<Session> {
    let filters = &common.filters;
    // What was typed comes first: it is wrong on every host.
    let kinds = match filters.events.as_slice() {
        [] => None,
        names => Some(filter::kinds_mask(names, tracer.kinds()).context(Usage)?),
    };
    let uids = uids(filters)?;
    if uids.len() > UIDS_MAX {
        return Err(anyhow!("-u: at most {UIDS_MAX} users can be given").context(Usage));
    }
    if filters.cgroup.len() > CGROUPS_MAX {
        return Err(anyhow!("-c: at most {CGROUPS_MAX} cgroups can be given").context(Usage));
    }
    let comm = CommGlobs::compile(&filters.comm).context(Usage)?;
    for pid in &filters.pid {
        crate::procfs::check(*pid)?;
    }
    let labels = labels(&common.labels)?;
    let mut session = base_session(tracer, &common.kernel, host)?;
    session.settings.labels = labels;
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
        // Now, while they can be told from others; after the hooks are there, for those that came meanwhile.
        session.pids.extend(crate::procfs::descendants(&filters.pid)?);
    }
    session.settings.filter_pids = !filters.pid.is_empty();
    session.settings.follow = filters.follow;
    session.settings.uids = uids;
    session.settings.comm = comm;
    session.cgroups = filters.cgroup.iter().map(|path| open_cgroup(path, host)).collect::<Result<_>>()?;
    session.settings.cgroups = u32::try_from(session.cgroups.len())?;
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
    common.output.wide || matches!(common.output.format, Choice::Json) || common.limits.record.is_some()
}

pub(crate) fn base_session(tracer: &dyn Tracer, kernel: &Kernel, host: &Host) -> Result<Session> {
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
        btf: btf.source,
        btf_passed_over: btf.passed_over,
        kernel_btf: host.has_btf,
        hook: kernel.hooking.attach.0,
        preempted: Hook::ALL.into_iter().filter(|hook| host.preempts(*hook)).collect(),
        uncounted: !host.at_least((6, 7)),
        buffer,
        pids: Vec::new(),
        followed_max: pid_max.unwrap_or(32768).clamp(1024, 65536),
        cgroups: Vec::new(),
        details: false,
        path_prefixes: Vec::new(),
        verifier_stats: false,
    })
}

fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
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

/// Whether events go to stdout.
pub(crate) fn to_stdout(output: &Output, with_command: bool) -> bool {
    match &output.output_file {
        Some(path) => path.as_os_str() == "-",
        None => !with_command,
    }
}

/// Where events are written to, as the options say.
pub(crate) struct Outlet {
    stream: Stream,
    /// None: it was closed when coretrace was started.
    file: Option<File>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
    File,
}

/// Opens what events are written to; a file is not emptied yet.
pub(crate) fn outlet(output: &Output, with_command: bool, patience: Option<Duration>) -> Result<Outlet> {
    let closed = |fd: u8| signals::inherited().closed & 1 << fd != 0;
    // A descriptor of the same stream, without the buffer that the library has for it.
    let same = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).context("opening the output once more");
    let (stream, file) = match &output.output_file {
        _ if to_stdout(output, with_command) => {
            (Stream::Stdout, (!closed(1)).then(|| same(io::stdout().as_fd())).transpose()?)
        }
        Some(path) => (Stream::File, Some(open(path, patience).with_context(|| format!("creating {}", shown(path)))?)),
        None => (Stream::Stderr, (!closed(2)).then(|| same(io::stderr().as_fd())).transpose()?),
    };
    Ok(Outlet { stream, file })
}

impl Outlet {
    /// Whether that is the same file. All are in a terminal, or /dev/null.
    pub(crate) fn is_same(&self, file: &File) -> bool {
        self.file.as_ref().is_some_and(|own| is_same(own, file))
    }

    /// Whether it is a file that may be opened again, for its name may mean another one by now.
    pub(crate) fn is_renewable(&self) -> bool {
        let is_file = |file: &File| file.metadata().is_ok_and(|about| about.is_file());
        self.stream == Stream::File && self.file.as_ref().is_some_and(is_file)
    }

    pub(crate) fn is_stderr(&self) -> bool {
        self.stream == Stream::Stderr
    }

    pub(crate) fn look(&self, output: &Output, labels: bool) -> Look {
        let terminal = self.stream != Stream::File && self.file.as_ref().is_some_and(IsTerminal::is_terminal);
        let colour = terminal && colours(|name| std::env::var_os(name));
        let width = if terminal { terminal_width() } else { None };
        Look { width, colour, wide: output.wide, utc: output.utc, labels }
    }

    /// To be written to; a file is empty from here on.
    pub(crate) fn target(self) -> Result<Target> {
        Ok(match self.file {
            Some(file) => {
                if self.stream == Stream::File {
                    empty(&file).context("emptying the file for the output")?;
                }
                Box::new(Patient(file))
            }
            None => Box::new(Closed),
        })
    }
}

/// Whether both are the same file, by whatever names. Terminals, /dev/null and their like take from everybody.
pub(crate) fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    let about = |file: &dyn AsFd| fstat(file.as_fd()).ok().map(|about| (about.st_dev, about.st_ino, about.st_mode));
    let (one, other) = (about(&one), about(&other));
    let takes_all = |mode: u32| SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR;
    one == other && one.is_some_and(|(_, _, mode)| !takes_all(mode))
}

/// Opens a file for events: for its owner alone where it is made here. Each write goes to the end, wherever that is by
/// then (logrotate's copytruncate moves it). For a FIFO, waits until somebody reads it, as long as the run may be.
pub(crate) fn open(path: &Path, patience: Option<Duration>) -> Result<File> {
    const LOOK: Duration = Duration::from_millis(20);
    let begin = Instant::now();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits());
    loop {
        match options.open(path) {
            // fifo(7): there is no reader.
            Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) && is_fifo(path) => {
                if patience.is_some_and(|patience| begin.elapsed() >= patience) {
                    return Err(e).context("nobody has opened the FIFO for reading in the time of the run (-d)");
                }
                std::thread::sleep(LOOK);
            }
            Err(e) => return Err(e.into()),
            Ok(file) => {
                let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
                fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
                return Ok(file);
            }
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.file_type().is_fifo())
}

/// Empties a file that was opened; others have nothing to empty.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

pub(crate) fn pipeline<'a>(
    tracer: &'a dyn Tracer,
    ledger: Ledger,
    filter: Filter,
    output: &Output,
    look: Look,
    sink: Box<dyn Write>,
) -> Pipeline<'a> {
    let losses_aside = matches!(output.format, Choice::Text);
    // Of a terminal, which may be resized.
    let width = look.width.map(|_| terminal_width as fn() -> Option<usize>);
    let format = output.format.build(look, tracer.table(look.room()));
    let mut pipeline = Pipeline::new(tracer, ledger, filter, format, sink, losses_aside);
    pipeline.width = width;
    pipeline
}

/// Whether a terminal is to be painted: no-color.org, and terminfo's name of those that cannot be.
fn colours(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Columns of the terminal that any of the three standard streams is.
fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// The filters on what only user space can test.
pub(crate) fn filter(filters: &Filters) -> Result<Filter> {
    Ok(Filter {
        args: filters.args.as_deref().map(filter::regex).transpose().context(Usage)?,
        paths: filters.path.iter().map(|glob| filter::path_glob(glob)).collect::<Result<_>>().context(Usage)?,
        ..Filter::default()
    })
}

/// Writes all, also where somebody made the descriptor non-blocking: CMD may, as it shares the terminal.
struct Patient<W>(W);

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            match self.0.flush() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                other => return other,
            }
        }
    }
}

/// A stream that was closed when coretrace was started: the runtime put /dev/null there, but nothing is written.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(nix::errno::Errno::EBADF.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: AsFd> Patient<W> {
    fn wait(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_painted_is_not() {
        let colours = |env: &[(&str, &str)]| {
            super::colours(|name| env.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
        };
        assert!(colours(&[("TERM", "xterm-256color")]) && colours(&[("TERM", "linux"), ("NO_COLOR", "")]));
        assert!(!colours(&[("TERM", "dumb")]) && !colours(&[]) && !colours(&[("TERM", "")]));
        assert!(!colours(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    }
}
