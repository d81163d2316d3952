//! System calls in many threads, for the tests of probes.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::libc;

/// Each of so many threads calls getpgid(2) so often.
pub fn calls(threads: u32, count: u32) {
    in_threads(threads, |_| {
        for _ in 0..count {
            // SAFETY: it takes a number and returns one.
            unsafe { libc::syscall(libc::SYS_getpgid, 0) };
        }
    });
}

/// So many threads sleep at the same time, the n-th one for n more milliseconds than the first.
pub fn naps(threads: u32, ms: u32) {
    in_threads(threads, |n| thread::sleep(Duration::from_millis((ms + n).into())));
}

/// An epoll of a pipe, an epoll of that, and so on: what is written to the pipe wakes each of them by the one before.
pub fn epolls(depth: u32) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut inner = reader.as_raw_fd();
    for _ in 0..depth {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event lives until the call returns; file descriptors are numbers.
        let added = unsafe {
            let outer = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let before = std::mem::replace(&mut inner, outer);
            libc::epoll_ctl(outer, libc::EPOLL_CTL_ADD, before, &raw mut event)
        };
        assert_eq!(added, 0, "{}", std::io::Error::last_os_error());
    }
    nix::unistd::write(&writer, b"x").unwrap();
    // Nothing is closed before the end.
    std::process::exit(0);
}

fn in_threads(threads: u32, each: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        for n in 0..threads {
            let each = &each;
            scope.spawn(move || each(n));
        }
    });
}
