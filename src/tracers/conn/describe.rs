//! The events of connections: their kinds, and what their fields say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};

use super::address::{AF_INET, AF_INET6, Protocol};
use super::wire::types::{conn_event, conn_kind, conn_place, conn_there, conn_via};
use crate::event::{Endpoint, Event, Field, Flags, Icmp, Kind, Nat, Shape, Traffic, Value};

/// The fields of a kind: those that all have, and more.
macro_rules! fields {
    ($($more:expr),*) => {
        const {
            &[
                Field::new("proto", Shape::Str, true, "the protocol, by its name or number"),
                Field::new("src", Shape::Endpoint, true, "who sent the first packet, before any translation"),
                Field::new("dst", Shape::Endpoint, true, "to whom, before any translation"),
                Field::new("nat", Shape::Nat, false, "what address translation makes of them; there where it does"),
                Field::new(
                    "state",
                    Shape::Str,
                    true,
                    "of TCP and SCTP, the tracker's state; of others UNREPLIED, REPLIED or ASSURED",
                ),
                Field::new(
                    "via",
                    Shape::Str,
                    true,
                    "how the process was found: socket (it sends or receives by it), accept (it has accepted the \
                     connection), existing (the connection was there before coretrace), forwarded (no process of this \
                     host has a part in it), unknown",
                ),
                Field::new("status", Shape::Flags, true, "the tracker's status bits (enum ip_conntrack_status)"),
                Field::new("icmp", Shape::Icmp, false, "of ICMP and ICMPv6, the first message"),
                Field::new("netns", Shape::Uint, true, "inode number of the network namespace (/proc/PID/ns/net)"),
                Field::new("zone", Shape::Uint, false, "the tracker's zone (CONFIG_NF_CONNTRACK_ZONES)"),
                Field::new("mark", Shape::Uint, false, "the connection's mark (CONFIG_NF_CONNTRACK_MARK)"),
                Field::new(
                    "orig",
                    Shape::Traffic,
                    false,
                    "what src has sent; there where the kernel counts it (net.netfilter.nf_conntrack_acct)",
                ),
                Field::new("reply", Shape::Traffic, false, "what came back, likewise"),
                $($more,)*
                Field::PARENT_COMM
            ]
        }
    };
}

/// What the connection tracker reports.
pub(super) static KINDS: [Kind; 4] = [
    Kind::new(conn_kind::KIND_CONN_NEW.0, "new", "a connection began", fields!()).some_without_process(),
    Kind::new(conn_kind::KIND_CONN_UPDATE.0, "update", "the state or the status of a connection changed", fields!())
        .some_without_process(),
    Kind::new(
        conn_kind::KIND_CONN_END.0,
        "end",
        "a connection is forgotten: it was closed, or nothing came for too long",
        fields!(Field::new("duration", Shape::Span, false, "how long it was known; there where its begin was seen")),
    )
    .some_without_process(),
    Kind::new(conn_kind::KIND_CONN_OLD.0, "old", "a connection that was there before", fields!())
        .some_without_process(),
];

/// What programs may fail to read or keep, in the order of `enum conn_place`.
pub(super) const FAILURES: [&str; 13] = [
    "reading the addresses of a connection",
    "reading the status of a connection",
    "reading the state of a connection",
    "reading the network namespace of a connection",
    "reading the zone of a connection",
    "reading the mark of a connection",
    "reading the counters of a connection",
    "reading a packet",
    "reading a socket",
    "reading the address of a message",
    "keeping one more connection",
    "keeping one more incoming connection",
    "keeping the process of one more socket",
];
const _: () = assert!(FAILURES.len() == conn_place::CONN_PLACES.0 as usize);

/// include/uapi/linux/netfilter/nf_conntrack_tcp.h: enum tcp_conntrack
const TCP: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];
/// include/uapi/linux/netfilter/nf_conntrack_sctp.h: enum sctp_conntrack
const SCTP: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];

const SEEN_REPLY: u64 = 0x2;
const ASSURED: u64 = 0x4;

/// include/uapi/linux/netfilter/nf_conntrack_common.h: enum ip_conntrack_status
static STATUS: [(u64, &str); 16] = [
    (0x1, "EXPECTED"),
    (SEEN_REPLY, "SEEN_REPLY"),
    (ASSURED, "ASSURED"),
    (0x8, "CONFIRMED"),
    (0x10, "SNAT"),
    (0x20, "DNAT"),
    (0x40, "SEQ_ADJUST"),
    (0x80, "SNAT_DONE"),
    (0x100, "DNAT_DONE"),
    (0x200, "DYING"),
    (0x400, "FIXED_TIMEOUT"),
    (0x800, "TEMPLATE"),
    (0x1000, "NAT_CLASH"),
    (0x2000, "HELPER"),
    (0x4000, "OFFLOAD"),
    (0x8000, "HW_OFFLOAD"),
];

/// Numbers of protocols that have no name here, as text.
static NUMBERS: [[u8; 3]; 256] = {
    let mut all = [[0; 3]; 256];
    let mut n = 0;
    while n < 256 {
        all[n] = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    all
};

fn protocol(number: u8) -> &'static [u8] {
    let digits = NUMBERS.get(usize::from(number)).map_or(&[][..], |digits| digits);
    let zeros = digits.iter().take(2).take_while(|digit| **digit == b'0').count();
    let number = Protocol(number);
    number.name().map_or(digits.get(zeros..).unwrap_or_default(), str::as_bytes)
}

fn via(number: u8) -> Result<&'static [u8]> {
    Ok(match conn_via(number.into()) {
        conn_via::VIA_UNKNOWN => b"unknown",
        conn_via::VIA_SOCKET => b"socket",
        conn_via::VIA_ACCEPT => b"accept",
        conn_via::VIA_EXISTING => b"existing",
        conn_via::VIA_FORWARDED => b"forwarded",
        conn_via(other) => bail!("a connection by the unknown way {other}"),
    })
}

/// One of the four ends in an event.
fn end(e: &conn_event, n: usize) -> Result<Endpoint> {
    let (Some(bytes), Some(port)) = (e.addresses.get(n), e.ports.get(n)) else { bail!("there is no end {n}") };
    let address = match e.family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>().context("an address is too short")?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes)),
        other => bail!("a connection of the unknown address family {other}"),
    };
    Ok(Endpoint { address, port: Protocol(e.proto).has_ports().then_some(*port) })
}

/// What differs in the replies.
fn nat(e: &conn_event) -> Result<Option<Nat>> {
    let (src, dst, reply_src, reply_dst) = (end(e, 0)?, end(e, 1)?, end(e, 2)?, end(e, 3)?);
    let nat = Nat { src: Some(reply_dst).filter(|to| *to != src), dst: Some(reply_src).filter(|to| *to != dst) };
    Ok(Some(nat).filter(|nat| nat.src.is_some() || nat.dst.is_some()))
}

fn state(e: &conn_event) -> &'static str {
    let of = |names: &[&'static str]| names.get(usize::from(e.state)).copied().unwrap_or("?");
    match Protocol(e.proto).name() {
        Some("tcp") => of(&TCP),
        Some("sctp") => of(&SCTP),
        _ if e.status & ASSURED != 0 => "ASSURED",
        _ if e.status & SEEN_REPLY != 0 => "REPLIED",
        _ => "UNREPLIED",
    }
}

/// Adds the fields.
///
/// # Errors
/// When a number in it has no meaning.
pub(super) fn fields(event: &mut Event<'_>, e: &conn_event) -> Result<()> {
    let unread = |place: conn_place| e.head.unread & 1 << place.0 != 0;
    let there = |what: conn_there| e.there & what.0 != 0;
    let or = |unread: bool, value: Value<'static>| if unread { Value::Unreadable(value.shape()) } else { value };
    let tuple = unread(conn_place::READ_TUPLE);
    if tuple {
        event.push("proto", Value::Unreadable(Shape::Str));
        event.push("src", Value::Unreadable(Shape::Endpoint));
        event.push("dst", Value::Unreadable(Shape::Endpoint));
    } else {
        event.push("proto", Value::Str(protocol(e.proto)));
        event.push("src", Value::Endpoint(end(e, 0)?));
        event.push("dst", Value::Endpoint(end(e, 1)?));
        if let Some(nat) = nat(e)? {
            event.push("nat", Value::Nat(nat));
        }
    }
    let status = unread(conn_place::READ_STATUS);
    let state_unread = tuple || unread(conn_place::READ_STATE) || status;
    event.push("state", or(state_unread, Value::Str(state(e).as_bytes())));
    event.push("via", Value::Str(via(e.via)?));
    event.push("status", or(status, Value::Flags(Flags { bits: e.status, names: &STATUS })));
    if !tuple && matches!(Protocol(e.proto).name(), Some("icmp" | "icmpv6")) {
        let id = e.ports.first().copied().unwrap_or_default();
        event.push("icmp", Value::Icmp(Icmp { kind: e.icmp_type, code: e.icmp_code, id }));
    }
    event.push("netns", or(unread(conn_place::READ_NETNS), Value::Uint(e.netns.into())));
    if there(conn_there::THERE_ZONE) {
        event.push("zone", or(unread(conn_place::READ_ZONE), Value::Uint(e.zone.into())));
    }
    if there(conn_there::THERE_MARK) {
        event.push("mark", or(unread(conn_place::READ_MARK), Value::Uint(e.mark.into())));
    }
    if there(conn_there::THERE_COUNTERS) {
        let [packets, bytes, reply_packets, reply_bytes] = e.counters;
        let counters = unread(conn_place::READ_COUNTERS);
        event.push("orig", or(counters, Value::Traffic(Traffic { packets, bytes })));
        event.push("reply", or(counters, Value::Traffic(Traffic { packets: reply_packets, bytes: reply_bytes })));
    }
    if e.head.kind == conn_kind::KIND_CONN_END.0 && e.duration_ns != u64::MAX {
        event.push("duration", Value::Span(e.duration_ns));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Head;

    fn sample() -> conn_event {
        let mut e = conn_event { family: AF_INET, proto: 6, state: 3, duration_ns: u64::MAX, ..conn_event::default() };
        for (to, from) in e.addresses.iter_mut().zip([[10, 0, 0, 1], [203, 0, 113, 5], [10, 2, 0, 2], [192, 0, 2, 9]]) {
            to[..4].copy_from_slice(&from);
        }
        e.ports = [40000, 80, 8080, 1024];
        e.head.kind = conn_kind::KIND_CONN_END.0;
        e
    }

    fn event(e: &conn_event) -> Event<'static> {
        let mut event = Event::new(&KINDS[2], Head::default());
        fields(&mut event, e).unwrap();
        event
    }

    #[test]
    fn translation_is_the_difference_of_the_two_directions() {
        let at = |address: [u8; 4], port| Some(Endpoint { address: IpAddr::from(address), port: Some(port) });
        let both = Nat { src: at([192, 0, 2, 9], 1024), dst: at([10, 2, 0, 2], 8080) };
        assert_eq!(event(&sample()).get("nat"), Some(&Value::Nat(both)));
        let mut source_alone = sample();
        (source_alone.addresses[2], source_alone.ports[2]) = (source_alone.addresses[1], 80);
        assert_eq!(event(&source_alone).get("nat"), Some(&Value::Nat(Nat { dst: None, ..both })));
        let mut none = source_alone;
        (none.addresses[3], none.ports[3]) = (none.addresses[0], 40000);
        assert_eq!(event(&none).get("nat"), None);
    }

    #[test]
    fn what_could_not_be_read_says_so() {
        let mut e = sample();
        e.head.unread = 1 << conn_place::READ_TUPLE.0 | 1 << conn_place::READ_NETNS.0;
        let event = event(&e);
        for name in ["proto", "src", "dst", "state", "netns"] {
            assert!(matches!(event.get(name), Some(Value::Unreadable(_))), "{name}");
        }
        assert_eq!(event.get("nat"), None);
        let shapes = KINDS[2].fields().iter().map(|field| (&*field.name, field.shape));
        for (name, shape) in shapes.filter(|(name, _)| event.get(name).is_some()) {
            assert_eq!(event.get(name).unwrap().shape(), shape, "{name}");
        }
    }

    #[test]
    fn states_are_those_of_the_protocol() {
        let mut e = sample();
        assert_eq!(state(&e), "ESTABLISHED");
        e.state = 77;
        assert_eq!(state(&e), "?");
        (e.proto, e.status) = (17, SEEN_REPLY);
        assert_eq!(state(&e), "REPLIED");
        (e.proto, e.state) = (132, 7);
        assert_eq!(state(&e), "SHUTDOWN_ACK_SENT");
        assert_eq!((protocol(253), protocol(9), protocol(47)), (&b"253"[..], &b"9"[..], &b"gre"[..]));
    }

    #[test]
    fn a_damaged_event_is_an_error() {
        let mut event = Event::new(&KINDS[0], Head::default());
        assert!(fields(&mut event, &conn_event { family: 3, ..sample() }).is_err());
        let mut event = Event::new(&KINDS[0], Head::default());
        assert!(fields(&mut event, &conn_event { via: 99, ..sample() }).is_err());
    }
}
