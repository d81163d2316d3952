//! Where events are written to, as the options say.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::Usage;
use crate::escape::shown;
use crate::ffi::signals;
use crate::flow::files::{empty, is_same, open};
use crate::flow::sink::Target;
use crate::options::{Filters, Output};
use crate::output::Look;

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
pub(crate) fn outlet(output: &Output, with_command: bool, timeout: Option<Duration>) -> Result<Outlet> {
    let closed = |fd: u8| signals::inherited().closed & 1 << fd != 0;
    // A descriptor of the same stream, without the buffer that the library has for it.
    let same = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).context("opening the output once more");
    let (stream, file) = match &output.output_file {
        _ if to_stdout(output, with_command) => {
            (Stream::Stdout, (!closed(1)).then(|| same(io::stdout().as_fd())).transpose()?)
        }
        Some(path) => (Stream::File, Some(open(path, timeout).with_context(|| format!("creating {}", shown(path)))?)),
        None => (Stream::Stderr, (!closed(2)).then(|| same(io::stderr().as_fd())).transpose()?),
    };
    let outlet = Outlet { stream, file };
    if output.format.lines().is_none() && outlet.is_terminal() {
        return Err(anyhow!("-o perfetto is binary, and this is a terminal: name a file with -O FILE").context(Usage));
    }
    Ok(outlet)
}

impl Outlet {
    /// Whether that is the same file. All are in a terminal, or /dev/null.
    pub(crate) fn is_same(&self, file: &File) -> bool {
        self.file.as_ref().is_some_and(|own| is_same(own, file))
    }

    fn is_terminal(&self) -> bool {
        self.file.as_ref().is_some_and(IsTerminal::is_terminal)
    }

    /// Whether it is a file that may be opened again, for its name may mean another one by now.
    pub(crate) fn is_reopenable(&self) -> bool {
        let is_file = |file: &File| file.metadata().is_ok_and(|about| about.is_file());
        self.stream == Stream::File && self.file.as_ref().is_some_and(is_file)
    }

    pub(crate) fn is_stderr(&self) -> bool {
        self.stream == Stream::Stderr
    }

    pub(crate) fn look(&self, output: &Output, labels: bool, filters: &Filters) -> Look {
        let terminal = self.stream != Stream::File && self.is_terminal();
        let colour = terminal && colours(|name| std::env::var_os(name));
        let width = if terminal { terminal_width() } else { None };
        let containers = !filters.container.is_empty();
        Look { width, colour, wide: output.wide, time: output.time(), labels, containers }
    }

    /// To be written to; a file is empty from here on.
    pub(crate) fn target(self) -> Result<Target> {
        Ok(match self.file {
            Some(file) => {
                if self.stream == Stream::File {
                    empty(&file).context("emptying the file for the output")?;
                }
                Box::new(Blocking(file))
            }
            None => Box::new(Closed),
        })
    }
}

/// Whether a terminal is to be painted: no-color.org, and terminfo's name of those that cannot be.
fn colours(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Columns of the terminal that any of the three standard streams is.
pub(crate) fn terminal_width() -> Option<usize> {
    let (stdout, stderr, stdin) = (io::stdout(), io::stderr(), io::stdin());
    [stdout.as_fd(), stderr.as_fd(), stdin.as_fd()].into_iter().find_map(width_of)
}

/// None: it is no terminal, or does not know. (A serial line may know its columns, and no rows.)
fn width_of(stream: BorrowedFd<'_>) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Writes all, also where somebody made the descriptor non-blocking: CMD may, as it shares the terminal.
struct Blocking<W>(W);

impl<W: Write + AsFd> Write for Blocking<W> {
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

impl<W: AsFd> Blocking<W> {
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
    fn a_terminal_without_rows_has_columns() {
        let of = |ws_row, ws_col| {
            let size = nix::pty::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            let pty = nix::pty::openpty(&size, None).unwrap();
            width_of(pty.slave.as_fd())
        };
        assert_eq!([of(24, 80), of(0, 80), of(24, 0), of(0, 0)], [Some(80), Some(80), None, None]);
        assert_eq!(width_of(File::open("/dev/null").unwrap().as_fd()), None);
    }

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
