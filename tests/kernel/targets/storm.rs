//! For the benchmarks: many short-lived processes in a row, or opens, or failing execs, and nothing else, so that the
//! cost of tracing can be measured.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::io::{Write as _, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{setsockopt, sockopt::Linger};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, execv, fork};

/// What each turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A child that execs this program, which ends at once.
    Execs,
    /// A child that ends.
    Ends,
    /// A file is opened and closed.
    Opens,
    /// An exec of a missing program.
    Fails,
    /// A call of `func_uprobe1`.
    Calls,
    /// A pass over the static probe `groupa:probe1`.
    Marks,
    /// A system call: getppid.
    Asks,
    /// A connection to a socket of its own, which is accepted, and reset.
    Connects,
    /// A datagram from one socket of its own to another.
    Sends,
}

/// What some turns need.
struct Sockets {
    listener: TcpListener,
    from: UdpSocket,
    to: UdpSocket,
}

impl Sockets {
    fn new() -> Self {
        const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
        let [from, to] = [(); 2].map(|()| UdpSocket::bind(ANY).expect("a socket"));
        from.connect(to.local_addr().expect("an address")).expect("connected");
        Sockets { listener: TcpListener::bind(ANY).expect("a socket"), from, to }
    }

    /// Nothing is left behind: no socket that waits for its last packets.
    fn connect(&self) {
        let stream = TcpStream::connect(self.listener.local_addr().expect("an address")).expect("connected");
        let accepted = self.listener.accept().expect("accepted");
        setsockopt(&stream, Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).expect("an option");
        drop((stream, accepted));
    }

    fn send(&self) {
        self.from.send(b"x").expect("sent");
        assert_eq!(self.to.recv(&mut [0; 4]).expect("received"), 1);
    }
}

/// How many of them are timed together: few enough that most batches are not disturbed.
pub const BATCH: u32 = 50;

/// This many turns, one after the other.
///
/// Prints `ready` first and waits for a line; prints `done CPU_NS WALL_NS …` afterwards (CPU: its own and its
/// children's; wall: of each batch) and waits for another, so that the tracer can be inspected at both times.
pub fn storm(turn: Turn, count: u32) {
    let args = ["targets", "exit", "0"].map(|arg| CString::new(arg).expect("no NUL"));
    let sockets = Sockets::new();
    let mut walls = String::new();
    keep_to_last_cpu();
    say("ready");
    let cpu = cpu_ns();
    for _ in 0..count / BATCH {
        let begin = Instant::now();
        for _ in 0..BATCH {
            one(turn, &args, &sockets);
        }
        let _ = write!(walls, " {}", begin.elapsed().as_nanos());
    }
    say(&format!("done {}{walls}", cpu_ns() - cpu));
}

/// A child that starts on another CPU than its parent may take twice as long, at random.
fn keep_to_last_cpu() {
    use nix::libc::{CPU_ISSET, CPU_SET, CPU_SETSIZE, CPU_ZERO, cpu_set_t, sched_getaffinity, sched_setaffinity};
    // SAFETY: the set is plain data of that size; CPU_SET and CPU_ISSET stay within it, below CPU_SETSIZE.
    unsafe {
        let mut set: cpu_set_t = std::mem::zeroed();
        assert_eq!(sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        if let Some(last) = (0..CPU_SETSIZE as usize).rev().find(|cpu| CPU_ISSET(*cpu, &set)) {
            CPU_ZERO(&mut set);
            CPU_SET(last, &mut set);
            assert_eq!(sched_setaffinity(0, size_of_val(&set), &set), 0);
        }
    }
}

fn one(turn: Turn, args: &[CString], sockets: &Sockets) {
    match turn {
        Turn::Execs | Turn::Ends => child(turn, args),
        Turn::Fails => assert_eq!(execv(c"/no/such/program", args), Err(nix::errno::Errno::ENOENT)),
        // SAFETY: the path ends with NUL, and the descriptor is ours.
        Turn::Opens => unsafe {
            let fd = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
            assert_eq!(libc::close(fd), 0);
        },
        Turn::Calls => crate::umark::call(),
        Turn::Marks => crate::umark::mark(),
        Turn::Connects => sockets.connect(),
        Turn::Sends => sockets.send(),
        Turn::Asks => assert!(nix::unistd::getppid().as_raw() >= 0),
    }
}

fn child(turn: Turn, args: &[CString]) {
    const SELF: &CStr = c"/proc/self/exe";
    // SAFETY: there is one thread, so the child may do anything; it does next to nothing.
    let forked = unsafe { fork() }.expect("fork");
    match (forked, turn) {
        (ForkResult::Parent { child }, _) => {
            let status = waitpid(child, None).expect("wait");
            assert_eq!(status, WaitStatus::Exited(child, 0));
        }
        (ForkResult::Child, Turn::Execs) => {
            let _ = execv(SELF, args);
            quit(127);
        }
        (ForkResult::Child, _) => quit(0),
    }
}

/// Ends without the C library's cleanup: its buffers are the parent's.
fn quit(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { nix::libc::_exit(code) }
}

fn say(what: &str) {
    let mut out = stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).expect("a reader");
    stdin().read_line(&mut String::new()).expect("a writer");
}

fn cpu_ns() -> i64 {
    let of = |who| {
        let usage = getrusage(who).expect("getrusage");
        usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds()
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}
