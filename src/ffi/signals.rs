//! Signals by number, as the kernel has them: including real-time signals, which no safe function supports.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

/// A bit for each signal: number 1 is the lowest.
pub(crate) type Mask = u64;

/// The kernel's signals: _NSIG in include/uapi/asm-generic/signal.h.
const LAST: i32 = 64;

/// What this process was started with, before anything was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Signals that were blocked.
    pub blocked: Mask,
    /// Signals that were ignored.
    pub ignored: Mask,
    /// Which of the three standard streams are closed, a bit each.
    pub closed: u8,
}

impl Inherited {
    /// Whether a signal was ignored, as nohup does.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        self.ignored & bit(signal as i32) != 0
    }
}

/// The bit of a signal.
pub(crate) fn bit(number: i32) -> Mask {
    1 << (number - 1).clamp(0, 63)
}

static BLOCKED: AtomicU64 = AtomicU64::new(0);
static IGNORED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Called by the C library before `main`: Rust's runtime ignores SIGPIPE and opens closed streams before any of our
/// code runs (library/std/src/sys/pal/unix/mod.rs: init), and what it found cannot be determined afterwards.
#[used]
#[unsafe(link_section = ".init_array")]
static READ_INHERITED: extern "C" fn() = read_inherited;

extern "C" fn read_inherited() {
    let mut blocked: Mask = 0;
    // SAFETY: the kernel writes a mask of eight bytes. Nothing is changed.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, std::ptr::null::<Mask>(), &raw mut blocked, 8) };
    BLOCKED.store(blocked, Relaxed);
    let ignored = (1..=LAST).filter(|number| handler(*number) == libc::SIG_IGN);
    IGNORED.store(ignored.fold(0, |mask, number| mask | bit(number)), Relaxed);
    // SAFETY: only queries.
    let closed = (0..3).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } == -1);
    CLOSED.store(closed.fold(0, |mask, fd| mask | 1 << fd), Relaxed);
}

/// What this process was started with.
pub(crate) fn inherited() -> Inherited {
    Inherited { blocked: BLOCKED.load(Relaxed), ignored: IGNORED.load(Relaxed), closed: CLOSED.load(Relaxed) }
}

/// The kernel's `struct sigaction` begins with the handler; it is no longer than this on any architecture.
type Action = [usize; 8];

/// A signal's handler; 0 (the default) if there is no such signal.
fn handler(number: i32) -> usize {
    let mut action: Action = [0; 8];
    // SAFETY: the kernel writes its structure, which is shorter. Nothing is changed.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, number, std::ptr::null::<Action>(), &raw mut action, size_of::<Mask>())
    };
    action[0]
}

/// Restores the disposition of every signal and the mask that this process was started with. By system call: the C
/// library reserves two signals, and would refuse them.
pub(crate) fn restore(inherited: &Inherited) {
    for number in 1..=LAST {
        let ignored = inherited.ignored & bit(number) != 0;
        let action: Action = [if ignored { libc::SIG_IGN } else { libc::SIG_DFL }, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: no handler, no flags: nothing of ours runs in a signal's context. What is refused (SIGKILL, SIGSTOP)
        //         cannot have been changed either.
        unsafe {
            let none = std::ptr::null_mut::<Action>();
            libc::syscall(libc::SYS_rt_sigaction, number, &raw const action, none, size_of::<Mask>())
        };
    }
    let none = std::ptr::null_mut::<Mask>();
    // SAFETY: the kernel reads a mask of eight bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const inherited.blocked, none, 8) };
}

/// What coretrace needs of signals, whatever it was started with: a file that exceeds the size limit is an error, not
/// the end, and the ends of children are reported (while SIGCHLD is ignored, the kernel keeps no status of them).
pub fn prepare() {
    // SAFETY: no handler: nothing of ours runs in a signal's context.
    unsafe {
        let _ = signal(Signal::SIGXFSZ, SigHandler::SigIgn);
        let _ = signal(Signal::SIGCHLD, SigHandler::SigDfl);
    }
}

/// Ignores a signal. What is pending of it is gone.
pub(crate) fn ignore(number: Signal) {
    // SAFETY: no handler: nothing of ours runs in a signal's context.
    let _ = unsafe { signal(number, SigHandler::SigIgn) };
}

/// Sends a signal by its number, with the value that came with it.
pub(crate) fn send(pid: u32, number: i32, value: Option<usize>) -> nix::Result<()> {
    let pid = pid.cast_signed();
    let ret = match value {
        // SAFETY: the value is passed on, never used as a pointer.
        Some(value) => unsafe { libc::sigqueue(pid, number, libc::sigval { sival_ptr: value as *mut libc::c_void }) },
        // SAFETY: touches no memory.
        None => unsafe { libc::kill(pid, number) },
    };
    Errno::result(ret).map(drop)
}

/// Takes one pending signal of that number; returns whether there was one.
pub(crate) fn take_pending(number: i32) -> bool {
    let mask = bit(number);
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let none = std::ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: the kernel reads a mask of eight bytes and a time.
    let taken =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const mask, none, &raw const now, size_of::<Mask>()) };
    taken == libc::c_long::from(number)
}

/// Forks; the new process is a child of this one's parent. Returns its id, and none in the new process. The caller must
/// have only one thread.
pub(crate) fn fork_sibling() -> nix::Result<Option<u32>> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: with one thread the new process may do whatever this one may; it has a copy of the memory and the stack.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid > 0))
}

/// How a child ended, if it has; with `block`, waits for that.
pub(crate) fn wait(pid: u32, block: bool) -> nix::Result<Option<ExitStatus>> {
    let mut status = 0;
    let flags = if block { 0 } else { libc::WNOHANG };
    // SAFETY: the kernel writes a number.
    let found = Errno::result(unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, flags) })?;
    Ok((found > 0).then(|| ExitStatus::from_raw(status)))
}

/// Reaps one child, if one has ended: its id, and how it ended.
pub(crate) fn reap() -> Option<(u32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the kernel writes a number.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    u32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| (pid, ExitStatus::from_raw(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inherited_is_known_though_the_runtime_changed_it() {
        // Tests are started with the default SIGPIPE, and the runtime ignores it.
        assert_eq!(handler(libc::SIGPIPE), libc::SIG_IGN);
        assert!(!inherited().ignores(Signal::SIGPIPE), "{:x?}", inherited());
        assert_eq!((bit(1), bit(64), handler(65)), (1, 1 << 63, 0));
    }
}
