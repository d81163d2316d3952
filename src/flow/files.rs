//! Files that a run writes: how they are opened, and whether two are the same.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};

/// Opens a file for events: readable only by its owner if it is created here. Each write appends, even if the file was
/// truncated meanwhile (logrotate's copytruncate). For a FIFO, waits until it has a reader, for at most `timeout`.
pub(crate) fn open(path: &Path, timeout: Option<Duration>) -> Result<File> {
    const LOOK: Duration = Duration::from_millis(20);
    let begin = Instant::now();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits());
    loop {
        match options.open(path) {
            // fifo(7): there is no reader.
            Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) && is_fifo(path) => {
                if timeout.is_some_and(|timeout| begin.elapsed() >= timeout) {
                    return Err(e).context("no process opened the FIFO for reading before the end of the run (-d)");
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

/// Truncates a file that was opened; anything else has nothing to truncate.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// Whether both are the same file, whatever their names. Never for terminals, /dev/null and the like, which several may
/// share.
pub(crate) fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    let about = |file: &dyn AsFd| fstat(file.as_fd()).ok().map(|about| (about.st_dev, about.st_ino, about.st_mode));
    let (one, other) = (about(&one), about(&other));
    let takes_all = |mode: u32| SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR;
    one == other && one.is_some_and(|(_, _, mode)| !takes_all(mode))
}
