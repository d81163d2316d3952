//! `-- CMD`: starts the command so that not one event of it is missed.
//!
//! coretrace starts itself again as the child; the child waits for the parent to attach its programs,
//! then takes on the user's identity and runs CMD in its own place. Its process id is known before
//! CMD's first instruction.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Gid, Pid, Uid, access, setgid, setgroups, setuid};

use crate::users::User;

/// The first argument by which coretrace knows that it is the child.
pub const CHILD: &str = "__child";

/// A command that cannot be run, with the exit code that shells have for it.
#[derive(Debug)]
pub struct NotRun {
    /// 127: not found; 126: found, but not to be run.
    pub code: u8,
    message: String,
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotRun {}

/// What CMD is to start with as coretrace did, although coretrace changed it for itself.
#[derive(Debug, Clone, Copy)]
pub struct Inherited {
    /// The blocked signals.
    pub blocked: SigSet,
    /// `RLIMIT_MEMLOCK` in bytes, soft and hard.
    pub memlock: (u64, u64),
}

/// The command's process, which waits to be released or runs.
#[derive(Debug)]
pub struct Launched {
    child: Child,
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
        let (mut waits, tell) = io::pipe().context("making a pipe")?;
        // The child, and it alone, inherits its two ends.
        for end in [wait.as_fd(), tell.as_fd()] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::empty())).context("preparing a pipe")?;
        }
        let mut child = Command::new("/proc/self/exe");
        child.arg0("coretrace").arg(CHILD).arg(format!("{},{}", wait.as_raw_fd(), tell.as_raw_fd()));
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
        let blocked: Vec<_> = inherited.blocked.iter().map(|signal| (signal as i32).to_string()).collect();
        let (soft, hard) = inherited.memlock;
        child.arg(blocked.join(",")).arg(format!("{soft},{hard}")).args(command);
        let child = child.spawn().context("starting the command's process (is /proc mounted?)")?;
        drop((wait, tell));
        // The kernel lets this process go on before it tells of the child's own exec, which is not CMD's.
        read_byte(&mut waits).context("the command's process ended before it could run")?;
        Ok(Launched { child, release: Some(release), status: None })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the command run.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn release(&mut self) -> Result<()> {
        let mut release = self.release.take().context("the command already runs")?;
        release.write_all(b"!").context("releasing the command")
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("waiting for the command")?;
        }
        Ok(self.status)
    }

    /// Hands a signal on to it.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }
}

impl Drop for Launched {
    /// A child that was never released sees the pipe end, and ends; here it is waited for.
    fn drop(&mut self) {
        if self.release.take().is_some() {
            let _ = self.child.wait();
        }
    }
}

/// The exit code by which shells tell how a command ended: its own, or 128 + the signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Looks a command up as a shell does, so that a mistyped one ends before anything is loaded.
///
/// # Errors
/// [`NotRun`] when there is no such command.
pub fn find(program: &OsStr) -> Result<PathBuf> {
    let executable = |path: &Path| path.is_file() && access(path, nix::unistd::AccessFlags::X_OK).is_ok();
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
            crate::run::note(&format!("{e:#}"));
            e.downcast_ref::<NotRun>().map_or(1, |e| e.code)
        }
    }
}

fn become_command(args: &[OsString]) -> Result<std::convert::Infallible> {
    let [fds, identity, blocked, memlock, program, args @ ..] = args else { bail!("{CHILD} is not for use by hand") };
    // Those that the parent blocks, to read them from a descriptor, were inherited (std leaves that alone).
    let blocked = blocked.to_str().context("the blocked signals")?.split(',').filter_map(|n| n.parse::<i32>().ok());
    let blocked: SigSet = blocked.filter_map(|n| Signal::try_from(n).ok()).collect();
    blocked.thread_set_mask().context("unblocking signals")?;
    let memlock = memlock.to_str().and_then(|limits| limits.split_once(',')).context("the limits of locked memory")?;
    let (soft, hard) = (memlock.0.parse()?, memlock.1.parse()?);
    setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard).context("restoring the limit of locked memory")?;
    let (wait, tell) = fds.to_str().and_then(|fds| fds.split_once(',')).context("the pipes' numbers")?;
    // Both are open before the parent goes on: afterwards, what this process opens counts as CMD's.
    let mut released = File::open(format!("/proc/self/fd/{wait}")).context("opening a pipe")?;
    File::options().write(true).open(format!("/proc/self/fd/{tell}")).context("opening a pipe")?.write_all(b"!")?;
    // CMD is not to inherit them.
    for fd in [wait, tell] {
        nix::unistd::close(fd.parse::<i32>().context("a pipe's number")?).context("closing a pipe")?;
    }
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
    let error = Command::new(find(program)?).arg0(program).args(args).exec();
    let shown = program.to_string_lossy();
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    bail!(NotRun { code, message: format!("{}: {error}", shown.escape_debug()) })
}
