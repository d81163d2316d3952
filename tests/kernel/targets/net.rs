//! Connections: who serves, who asks, who holds one open, who hands a socket to another process.

use std::io::{IoSlice, IoSliceMut, Read, Write, stdin};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrIn, accept, bind, connect, listen, recvmsg, sendmsg, sendto, setsockopt, socket, socketpair,
    sockopt::Linger,
};

use crate::sys::{own, raw_socket, spawn, wait};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("not an address: {text}"))
}

fn ready() {
    println!("ready");
}

/// Serves so many connections, each until its client has sent all.
pub fn serve_tcp(at: &str, count: u32) {
    let listener = TcpListener::bind(address(at)).unwrap();
    ready();
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        // The client may have reset it.
        if stream.read_to_end(&mut all).is_ok() {
            let _ = stream.write_all(&all);
        }
    }
}

/// Connects so often, and closes each by a reset, which leaves nothing behind.
pub fn storm_tcp(to: &str, count: u32) {
    for _ in 0..count {
        let stream = TcpStream::connect(address(to)).unwrap();
        setsockopt(&stream, Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    }
}

/// Sends so many bytes, and reads them again.
pub fn ask_tcp(to: &str, bytes: u32) {
    exchange(TcpStream::connect(address(to)).unwrap(), bytes);
}

fn exchange(mut stream: TcpStream, bytes: u32) {
    stream.write_all(&vec![b'x'; bytes as usize]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), bytes as usize);
}

/// Connects, and keeps that open until its standard input ends.
pub fn hold_tcp(to: &str) {
    let stream = TcpStream::connect(address(to)).unwrap();
    ready();
    stdin().read_to_end(&mut Vec::new()).unwrap();
    exchange(stream, 1);
}

/// Answers so many datagrams by a socket that is not connected.
pub fn serve_udp(at: &str, count: u32) {
    let socket = UdpSocket::bind(address(at)).unwrap();
    ready();
    let mut buffer = [0; 2000];
    for _ in 0..count {
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..n], from).unwrap();
    }
}

/// Waits for a datagram without receiving it, and answers it then: until then nothing says whose the socket is.
pub fn poll_udp(at: &str, count: u32) {
    let socket = UdpSocket::bind(address(at)).unwrap();
    ready();
    let mut buffer = [0; 2000];
    for _ in 0..count {
        poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..n], from).unwrap();
    }
}

/// Sends a datagram, then receives one that it does not answer, and keeps the socket until its standard input ends.
pub fn send_receive(at: &str, to: &str) {
    let socket = UdpSocket::bind(address(at)).unwrap();
    socket.send_to(b"hello", address(to)).unwrap();
    ready();
    socket.recv_from(&mut [0; 100]).unwrap();
    stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Sends a datagram to which no answer is expected.
pub fn send_udp(to: &str) {
    UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"news", address(to)).unwrap();
}

/// Asks so often, each time by another socket.
pub fn ask_udp(to: &str, count: u32) {
    let to = address(to);
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    for _ in 0..count {
        let socket = UdpSocket::bind(any).unwrap();
        socket.send_to(b"question", to).unwrap();
        assert_eq!(socket.recv_from(&mut [0; 100]).unwrap().0, 8);
    }
}

fn sctp() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, SockProtocol::Sctp).unwrap()
}

fn ipv4(text: &str) -> SockaddrIn {
    let SocketAddr::V4(address) = address(text) else { panic!("an address of IPv4") };
    address.into()
}

/// Serves one association of SCTP, until its client has sent all.
pub fn serve_sctp(at: &str) {
    let listener = sctp();
    bind(listener.as_raw_fd(), &ipv4(at)).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    ready();
    let mut accepted = std::fs::File::from(own(accept(listener.as_raw_fd()).unwrap()));
    accepted.read_to_end(&mut Vec::new()).unwrap();
}

/// Makes an association of SCTP, and sends a byte.
pub fn ask_sctp(to: &str) {
    let socket = sctp();
    connect(socket.as_raw_fd(), &ipv4(to)).unwrap();
    std::fs::File::from(socket).write_all(b"x").unwrap();
}

/// Sends a packet of GRE (RFC 2784): no flags, of IPv4, and nothing in it.
pub fn send_gre(to: &str) {
    let socket = raw_socket(libc::IPPROTO_GRE);
    sendto(socket.as_raw_fd(), &[0, 0, 8, 0], &ipv4(to), MsgFlags::empty()).unwrap();
}

/// Tries a connection that is refused.
pub fn refused(to: &str) {
    assert_eq!(TcpStream::connect(address(to)).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

/// Makes a socket and hands it to another process, which connects it, and prints its process id. `passed`: by SCM_RIGHTS,
/// to a process that does not have it; otherwise to a child.
pub fn hand(to: &str, passed: bool) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let make = || socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let inherited = (!passed).then(make);
    let child = spawn(|| {
        let socket = inherited.unwrap_or_else(|| received(theirs.as_raw_fd()));
        println!("connected by {}", std::process::id());
        connect(socket.as_raw_fd(), &ipv4(to)).unwrap();
        exchange(TcpStream::from(socket), 1);
        0
    });
    let socket = passed.then(make);
    if let Some(socket) = &socket {
        let fds = [socket.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
    }
    wait(child);
}

fn received(from: RawFd) -> OwnedFd {
    let mut space = cmsg_space!([RawFd; 1]);
    let mut byte = [0; 1];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(from, &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let rights = message.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    own(rights.expect("a descriptor"))
}
