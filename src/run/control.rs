//! How a run is stopped, as its loop sees it: by signals, which arrive differently with and without a command.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Result;

use crate::run::launch::Launched;

/// Two signals within this time are one request: timeout(1) sends its signal to the process, and then to its group.
pub const ONE_REQUEST: Duration = Duration::from_millis(300);

/// What a signal asks of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To end the run, with all that has happened so far.
    End,
    /// To open its output file again.
    Reopen,
}

/// Listens to signals while a run starts, loops and ends. While it starts, one that asks for the end ends the process
/// at once; so does a second one, whatever the run is waiting for.
pub trait Control {
    /// The programs are attached: from here on signals are requests. `reopens`: SIGHUP asks for [`Request::Reopen`].
    ///
    /// # Errors
    /// When the kernel refuses.
    fn start(&mut self, reopens: bool) -> Result<()>;

    /// The run has begun: what happens from here on is seen.
    fn running(&mut self) {}

    /// Readable when there may be a request.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// The longest time until [`Control::request`] should be called again.
    fn timeout(&self) -> Duration {
        Duration::MAX
    }

    /// The next request, if there is one. Passes signals on to the command.
    ///
    /// # Errors
    /// When signals cannot be read.
    fn request(&mut self, command: &mut Option<Launched>) -> Result<Option<Request>>;

    /// The loop is over, and [`Control::request`] is not called again: what is left is to write the output.
    fn ending(&mut self);

    /// Whether a signal has asked for the end, shortly before the loop was over or since then.
    fn asked_to_end(&self) -> bool;
}
