//! System calls that are unsafe in Rust. These programs have one thread when they fork.
#![allow(unsafe_code)]

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Forks; the child does `child` and ends with its exit code, without any clean-up. Returns the child's id.
pub fn spawn(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: there is one thread, so the child may do whatever this program may.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let code = child();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Forks; both continue, the child with `child` true.
pub fn spawn_in_place(child: &mut bool) {
    // SAFETY: there is one thread, so the child may do whatever this program may.
    *child = matches!(unsafe { fork() }.expect("fork"), ForkResult::Child);
}

/// Waits for a child's end.
pub fn wait(child: Pid) -> WaitStatus {
    waitpid(child, None).expect("waitpid")
}

/// Ends this process by a signal, without core dump.
pub fn kill_self(signal: i32) -> ! {
    no_core();
    // SAFETY: both only change how this process ends.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    unreachable!("signal {signal} does not end a process");
}

fn no_core() {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_CORE, 0, 0).expect("setrlimit");
}

/// The calling thread's id.
pub fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// The calling thread's name.
pub fn set_name(name: &str) {
    let name = std::ffi::CString::new(name).expect("a name without NUL");
    // SAFETY: the kernel copies a string that ends with NUL.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
}

/// A mount namespace of its own, for this process and what it starts.
pub fn own_mounts() {
    // SAFETY: changes this process alone.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "unshare: {}", std::io::Error::last_os_error());
}

/// Removes a capability from the bounding set.
pub fn drop_bounding(capability: u32) {
    // SAFETY: changes this process alone.
    let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    assert_eq!(done, 0, "PR_CAPBSET_DROP: {}", std::io::Error::last_os_error());
}

/// Keeps the capabilities over the next setuid().
pub fn keep_capabilities() {
    // SAFETY: changes this process alone.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }, 0);
}

/// Sets exactly these capabilities, also for the programs that it runs.
pub fn only_capabilities(mask: u64) {
    /// include/uapi/linux/capability.h: _LINUX_CAPABILITY_VERSION_3
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    // effective, permitted, inheritable; first the lower halves
    let data = [low, low, low, high, high, high];
    // SAFETY: both have the layout of that version.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    assert_eq!(done, 0, "capset: {}", std::io::Error::last_os_error());
    for capability in (0..64).filter(|n| mask >> n & 1 == 1) {
        // SAFETY: changes this process alone.
        let done =
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability as libc::c_ulong, 0, 0) };
        assert_eq!(done, 0, "PR_CAP_AMBIENT: {}", std::io::Error::last_os_error());
    }
}

/// Gives a file these capabilities, as `setcap …=ep` does.
pub fn file_capabilities(file: &str, mask: u64) {
    /// include/uapi/linux/capability.h: VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE
    const VERSION: u32 = 0x0200_0001;
    // permitted and inheritable; first the lower halves
    let value = [VERSION, mask as u32, 0, (mask >> 32) as u32, 0].map(u32::to_le);
    let file = std::ffi::CString::new(file).expect("a name without NUL");
    // SAFETY: both names end with NUL, and the value has the given length.
    let done = unsafe {
        let name = c"security.capability";
        libc::setxattr(file.as_ptr(), name.as_ptr(), value.as_ptr().cast(), size_of_val(&value), 0)
    };
    assert_eq!(done, 0, "setxattr: {}", std::io::Error::last_os_error());
}

/// Makes standard input the terminal of this process, which must lead a session.
pub fn take_terminal() {
    // SAFETY: an ioctl without an argument to write to.
    assert_eq!(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }, 0, "TIOCSCTTY: {}", std::io::Error::last_os_error());
}

/// A system call by its number; what it returns, or its error as a negative number.
pub fn call(number: libc::c_long, args: [i64; 4]) -> i64 {
    // SAFETY: for calls that at most read memory, which the caller holds; refused ones are part of the test.
    match unsafe { libc::syscall(number, args[0], args[1], args[2], args[3]) } {
        -1 => -i64::from(nix::errno::Errno::last_raw()),
        ret => ret,
    }
}

/// The number of the next blocked signal that arrives.
pub fn next_signal() -> i32 {
    let (mut all, mut number) = (std::mem::MaybeUninit::uninit(), 0);
    // SAFETY: the C library writes a set, then reads it, and writes a number.
    let error = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigwait(all.as_ptr(), &raw mut number)
    };
    assert_eq!(error, 0, "sigwait");
    number
}

/// A descriptor that the kernel has just made for this process.
pub fn own(fd: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    // SAFETY: nothing else has it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) }
}

/// A raw socket of IPv4, for packets of that protocol.
pub fn raw_socket(protocol: i32) -> std::os::fd::OwnedFd {
    // SAFETY: it takes numbers.
    own(unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })
}
