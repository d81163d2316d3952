//! `-- CMD`: starts the command so that not one event of it is missed.
//!
//! coretrace starts itself again as the child, which puts back what coretrace changed, and forks; the fork, which is
//! coretrace's child as well, waits for it to attach its programs, then takes on the user's identity and runs CMD in
//! its own place. Its process id is known before CMD's first instruction.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{AccessFlags, Gid, Uid, access, execv, setgid, setgroups, setuid};

use crate::error::NotRun;
use crate::ffi::signals;
use crate::host::users::User;

/// The first argument by which coretrace knows that it is the child.
pub const CHILD: &str = "__child";

/// What CMD inherits as coretrace did, although coretrace, or the runtime of Rust, has changed it since.
#[derive(Debug, Clone, Copy)]
pub struct Inherited {
    /// Signals, and closed streams.
    pub signals: signals::Inherited,
    /// `RLIMIT_MEMLOCK` in bytes, soft and hard.
    pub memlock: (u64, u64),
    /// `RLIMIT_NOFILE`, soft and hard.
    pub files: (u64, u64),
}

/// Lets this process open more files, where a run hooks many functions: before 5.18 and 6.6, each takes two of them. Where
/// that is refused, it goes on with what it may.
pub fn raise_limit_of_files() {
    /// More than any run hooks; without the right to that, as many as the hard limit allows.
    const FILES: u64 = 1 << 16;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < FILES && (hard >= FILES || setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES).is_err()) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES), hard);
    }
}

impl Inherited {
    /// As coretrace has it now, before libbpf raises the limit for itself, where BPF memory counts against it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read() -> Result<Self> {
        let memlock = getrlimit(Resource::RLIMIT_MEMLOCK).context("reading the limit of locked memory")?;
        let files = getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
        Ok(Inherited { signals: signals::inherited(), memlock, files })
    }

    fn to_arg(self) -> String {
        let signals::Inherited { blocked, ignored, closed } = self.signals;
        let (memlock, files) = (self.memlock, self.files);
        format!("{blocked}:{ignored}:{closed}:{}:{}:{}:{}", memlock.0, memlock.1, files.0, files.1)
    }

    fn of_arg(arg: &OsStr) -> Option<Self> {
        let mut numbers = arg.to_str()?.split(':').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next()?;
        let (blocked, ignored, closed) = (next()?, next()?, u8::try_from(next()?).ok()?);
        let signals = signals::Inherited { blocked, ignored, closed };
        Some(Inherited { signals, memlock: (next()?, next()?), files: (next()?, next()?) })
    }
}

/// The command's process, which waits to be released or runs.
#[derive(Debug)]
pub struct Launched {
    pid: u32,
    release: Option<PipeWriter>,
    status: Option<ExitStatus>,
}

impl Launched {
    /// Starts the child, which waits.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn new(command: &[OsString], user: Option<&User>, inherited: &Inherited) -> Result<Self> {
        let (wait, release) = io::pipe().context("making a pipe")?;
        let (mut reader, writer) = io::pipe().context("making a pipe")?;
        // The child, and it alone, inherits its two ends.
        for end in [wait.as_fd(), writer.as_fd()] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::empty())).context("preparing a pipe")?;
        }
        let mut child = Command::new("/proc/self/exe");
        child.arg0("coretrace").arg(CHILD).arg(format!("{},{}", wait.as_raw_fd(), writer.as_raw_fd()));
        match user {
            Some(user) => {
                let groups: Vec<_> = user.groups.iter().map(u32::to_string).collect();
                child.arg(format!("{}:{}:{}", user.uid, user.gid, groups.join(",")));
                child.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
            }
            None => {
                child.arg("-");
            }
        }
        child.arg(inherited.to_arg()).args(command);
        let mut child = child.spawn().context("starting the command's process (is /proc mounted?)")?;
        drop((wait, writer));
        let mut pid = [0; 4];
        let read = reader.read_exact(&mut pid);
        // It has forked, and ends.
        let _ = child.wait();
        read.context("the command's process ended before it could run")?;
        Ok(Launched { pid: u32::from_ne_bytes(pid), release: Some(release), status: None })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the command run.
    ///
    /// # Errors
    /// When it runs already.
    pub fn release(&mut self) -> Result<()> {
        let mut release = self.release.take().context("the command already runs")?;
        // Where a signal has ended it, that is how the command ended.
        let _ = release.write_all(b"!");
        Ok(())
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = signals::wait(self.pid, false).context("waiting for the command")?;
        }
        Ok(self.status)
    }

    /// Hands a signal on to it.
    pub fn signal(&self, number: i32, value: Option<usize>) {
        if self.status.is_none() {
            let _ = signals::send(self.pid, number, value);
        }
    }

    /// Whether it has not ended, as far as is known.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        matches!(self.ended(), Ok(None))
    }
}

/// Takes the ends of all children, also of those that became this process's: the first process of a PID namespace gets
/// every orphan.
pub fn reap(command: &mut Option<Launched>) {
    while let Some((pid, status)) = signals::reap() {
        if let Some(command) = command.as_mut().filter(|command| command.pid() == pid) {
            command.status.get_or_insert(status);
        }
    }
}

impl Drop for Launched {
    /// A child that was never released sees the pipe end, and ends; here it is waited for.
    fn drop(&mut self) {
        if self.release.take().is_some() {
            let _ = signals::wait(self.pid, true);
        }
    }
}

/// The exit code that shells have for how a command ended: its own, or 128 + the signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Refuses what cannot be run, so that a mistyped command ends before anything is loaded.
///
/// # Errors
/// [`crate::NotRun`] when there is no such command, or it is a script without its interpreter.
pub fn check(program: &OsStr) -> Result<()> {
    check_interpreter(&find(program)?, &program.to_string_lossy())
}

/// Looks a command up as a POSIX shell does: a name with a slash is a path; else the first executable file of PATH, in
/// which an empty entry is the current directory, and a usual PATH where none is set.
///
/// Not by the crate `which`: it takes no usual PATH, and does not say whether a file is missing (127) or cannot be run
/// (126).
fn find(program: &OsStr) -> Result<PathBuf> {
    let executable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let shown = program.to_string_lossy();
    let shown = shown.escape_debug();
    if program.as_encoded_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                bail!(NotRun { code: 127, message: format!("{shown}: no such file or directory") })
            }
            _ if executable(&path) => Ok(path),
            _ => bail!(NotRun { code: 126, message: format!("{shown}: permission denied (not an executable file)") }),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/bin:/usr/bin".into());
    let mut candidates = std::env::split_paths(&path).map(|dir| match dir.as_os_str().is_empty() {
        true => Path::new(".").join(program),
        false => dir.join(program),
    });
    match candidates.find(|path| executable(path)) {
        Some(found) => Ok(found),
        None => bail!(NotRun { code: 127, message: format!("{shown}: command not found") }),
    }
}

/// One byte from the process at the other end.
fn read_byte(from: &mut impl Read) -> io::Result<()> {
    from.read_exact(&mut [0])
}

/// What the child does: waits, takes on the identity, becomes the command. Returns the exit code only
/// when it cannot.
#[must_use]
pub fn child(args: &[OsString]) -> u8 {
    match become_command(args) {
        Ok(never) => match never {},
        Err(e) => {
            crate::report::note(&format!("{e:#}"));
            e.downcast_ref::<NotRun>().map_or(1, |e| e.code)
        }
    }
}

fn become_command(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [fds, identity, inherited, program, args @ ..] = args else { bail!("{CHILD} is not for use by hand") };
    let inherited = Inherited::of_arg(inherited).context("what CMD inherits")?;
    // From here on, signals do to this process what they would to CMD.
    signals::restore(&inherited.signals);
    let (soft, hard) = inherited.memlock;
    setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard).context("restoring the limit of locked memory")?;
    let (soft, hard) = inherited.files;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).context("restoring the limit of open files")?;
    let (wait, report) = fds.to_str().and_then(|fds| fds.split_once(',')).context("the pipes' numbers")?;
    // Both are open before the parent goes on: afterwards, what this process opens counts as CMD's.
    let mut released = File::open(format!("/proc/self/fd/{wait}")).context("opening a pipe")?;
    let mut to_parent =
        File::options().write(true).open(format!("/proc/self/fd/{report}")).context("opening a pipe")?;
    // CMD is not to inherit them.
    for fd in [wait, report] {
        nix::unistd::close(fd.parse::<i32>().context("a pipe's number")?).context("closing a pipe")?;
    }
    // The most memory that a process ever had counts what it was before exec (fs/exec.c: exec_mmap), and this one has
    // all of coretrace. A fork of it has little: pages of files are not copied.
    if let Some(pid) = signals::fork_sibling().context("starting the command's process")? {
        to_parent.write_all(&pid.to_ne_bytes()).context("reporting the command's process id")?;
        std::process::exit(0);
    }
    drop(to_parent);
    // Where the parent ended without a word, it said why.
    if read_byte(&mut released).is_err() {
        std::process::exit(1);
    }
    drop(released);
    let identity = identity.to_str().context("the user's numbers")?;
    if let [uid, gid, groups] = identity.split(':').collect::<Vec<_>>().as_slice() {
        let groups: Vec<Gid> = groups.split(',').filter_map(|g| g.parse().ok()).map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(uid.parse()?), Gid::from_raw(gid.parse()?));
        setgroups(&groups).context("taking on the user's groups (this needs root)")?;
        setgid(gid).context("taking on the user's group (this needs root)")?;
        setuid(uid).context("taking on the user's identity (this needs root)")?;
    }
    // Found once more, as this user finds it; looking for it by exec would show as attempts of CMD.
    let path = find(program)?;
    let text = |text: &OsStr| CString::new(text.as_encoded_bytes()).context("an argument with a NUL");
    let args: Vec<CString> = [program].into_iter().chain(args).map(|arg| text(arg)).collect::<Result<_>>()?;
    let file = text(path.as_os_str())?;
    let closed = (0..3).filter(|fd| inherited.signals.closed & 1 << fd != 0);
    // The runtime opened them. (What could be said from here on goes nowhere, as without coretrace.)
    closed.for_each(|fd| {
        let _ = nix::unistd::close(fd);
    });
    // Not by `Command`, which would have SIGPIPE no longer ignored.
    let Err(error) = execv(&file, &args);
    let shown = program.to_string_lossy();
    // Another of its kind may have come in between; else it was found out before.
    check_interpreter(&path, &shown)?;
    let code = if error == Errno::ENOENT { 127 } else { 126 };
    bail!(NotRun { code, message: format!("{}: {}", shown.escape_debug(), io::Error::from(error)) })
}

/// Refuses a script whose interpreter cannot be run: the kernel's error does not say that it is not the script.
fn check_interpreter(path: &Path, shown: &str) -> Result<()> {
    // include/uapi/linux/binfmts.h: BINPRM_BUF_SIZE
    let mut first = [0; 256];
    let Ok(count) = File::open(path).and_then(|mut file| file.read(&mut first)) else { return Ok(()) };
    let Some(line) = first.get(..count).unwrap_or_default().strip_prefix(b"#!") else { return Ok(()) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).filter(|word| !word.is_empty());
    let Some(interpreter) = words.next().map(OsStr::from_bytes) else { return Ok(()) };
    let (code, why) = match access(interpreter, AccessFlags::X_OK) {
        Ok(()) if Path::new(interpreter).is_file() => return Ok(()),
        Err(Errno::ENOENT | Errno::ENOTDIR) => (127, "no such file or directory"),
        _ => (126, "permission denied (not an executable file)"),
    };
    let interpreter = interpreter.to_string_lossy();
    let (shown, interpreter) = (shown.escape_debug(), interpreter.escape_debug());
    bail!(NotRun { code, message: format!("{shown}: bad interpreter: {interpreter}: {why}") })
}
