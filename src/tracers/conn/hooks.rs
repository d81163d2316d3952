//! Where `conn` hooks into the kernel, and how large its maps are.

use std::borrow::Cow;
use std::fs;

use super::wire::types::conn_kind;
use crate::load::plan::{Hook, Needed, Plan, Program, Target};

/// Errnos that are counted apart: `ERRNOS` in flow.bpf.h.
pub(super) const ERRNOS: u32 = 64;

/// The maps that have an entry for each connection or socket.
pub(super) const SIZED: [&str; 2] = ["flows", "owners"];

/// How many that is: what the kernel itself keeps at most, within reason (20 MiB for both maps). What finds no room is shown
/// without its process, and counted.
pub(super) fn entries() -> u32 {
    let most = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max");
    let most = most.ok().and_then(|text| text.trim_end().parse::<u32>().ok()).unwrap_or(1 << 16);
    most.clamp(1 << 12, 1 << 16)
}

/// In which module (or in none: then it is built in) functions of the tracker are.
const TRACKER: &str = "nf_conntrack";

/// What is hooked: the program by its types and that by kprobe, the functions, and the kinds that need it.
struct Place {
    typed: &'static [(&'static str, &'static str)],
    probe: &'static str,
    /// Functions of the tracker (net/netfilter/nf_conntrack_core.c and others), not of the kernel's core.
    tracker: bool,
    needed: &'static [conn_kind],
    optional: bool,
}

const ALL: &[conn_kind] =
    &[conn_kind::KIND_CONN_NEW, conn_kind::KIND_CONN_UPDATE, conn_kind::KIND_CONN_END, conn_kind::KIND_CONN_OLD];

const fn tracker(typed: &'static [(&'static str, &'static str)], probe: &'static str) -> Place {
    Place { typed, probe, tracker: true, needed: ALL, optional: false }
}

const fn sockets(typed: &'static [(&'static str, &'static str)], probe: &'static str) -> Place {
    Place { typed, probe, tracker: false, needed: ALL, optional: true }
}

/// Their order is that in which they are attached: whose sockets are is known before what they send is seen.
static PLACES: [Place; 10] = [
    // net/ipv4/af_inet.c: where every socket of IPv4 and IPv6 ends.
    sockets(&[("conn_socket_end_fentry", "inet_sock_destruct")], "conn_socket_end"),
    sockets(
        &[
            ("conn_tcp4_fentry", "tcp_v4_connect"),
            ("conn_tcp6_fentry", "tcp_v6_connect"),
            // net/sctp/socket.c: sctp_connect, which calls it, is inlined.
            ("conn_sctp_fentry", "sctp:__sctp_connect"),
        ],
        "conn_connect",
    ),
    // include/net/sock.h: sock_graft, which accept(2) calls for the new socket.
    sockets(&[("conn_accept_fentry", "security_sock_graft")], "conn_accept"),
    sockets(
        &[
            ("conn_udp4_fentry", "udp_sendmsg"),
            ("conn_udp6_fentry", "udpv6_sendmsg"),
            ("conn_raw4_fentry", "raw_sendmsg"),
            ("conn_raw6_fentry", "rawv6_sendmsg"),
            ("conn_ping4_fentry", "ping_v4_sendmsg"),
            ("conn_ping6_fentry", "ping_v6_sendmsg"),
            ("conn_sctp_send_fentry", "sctp:sctp_sendmsg"),
        ],
        "conn_send",
    ),
    sockets(&[("conn_recv4_fentry", "udp_recvmsg"), ("conn_recv6_fentry", "udpv6_recvmsg")], "conn_receive"),
    // nf_ct_destroy since 5.19 (6ae7989c9af0: netfilter: conntrack: avoid useless indirection during conntrack
    // destruction); destroy_conntrack before.
    tracker(&[("conn_destroy_fentry", "nf_ct_destroy"), ("conn_destroy_fentry", "destroy_conntrack")], "conn_destroy"),
    Place {
        needed: &[conn_kind::KIND_CONN_UPDATE],
        ..tracker(&[("conn_packet_fentry", "__nf_ct_refresh_acct")], "conn_packet")
    },
    tracker(&[("conn_insert_fentry", "__nf_conntrack_hash_insert")], "conn_insert"),
    tracker(&[("conn_confirm_fentry", "__nf_conntrack_confirm")], "conn_confirm"),
    // net/netfilter/nf_conntrack_standalone.c, with CONFIG_NF_CONNTRACK_PROCFS.
    Place {
        needed: &[conn_kind::KIND_CONN_OLD],
        optional: true,
        ..tracker(&[("conn_listed_fentry", "ct_seq_show")], "conn_listed")
    },
];

fn kinds(of: &[conn_kind]) -> Needed {
    Needed::Kinds(of.iter().map(|kind| kind.0).collect())
}

impl Place {
    /// The name of a function, with its module where it is in one.
    fn named(&self, function: &'static str) -> Cow<'static, str> {
        if self.tracker { format!("{TRACKER}:{function}").into() } else { function.into() }
    }

    /// One program for each function; several functions of one program: the first that exists.
    fn typed(&self) -> Vec<Program> {
        let mut programs: Vec<Program> = Vec::new();
        for (name, function) in self.typed {
            // Where the tracker is built in, its functions are the kernel's own.
            let names = [self.named(function), (*function).into()];
            match programs.iter_mut().find(|program| program.name == *name) {
                Some(Program { target: Target::TypedEntry(all), .. }) => all.extend(names),
                _ => {
                    let names = if self.tracker { names.to_vec() } else { vec![self.named(function)] };
                    let program = Program::new(*name, kinds(self.needed)).on(Target::TypedEntry(names));
                    programs.push(if self.optional { program.optional() } else { program });
                }
            }
        }
        programs
    }

    /// One program for all functions.
    fn probed(&self) -> Program {
        let functions = self.typed.iter().map(|(_, function)| self.named(function)).collect();
        let program = Program::new(self.probe, kinds(self.needed)).on(Target::Entry(functions));
        if self.optional { program.optional() } else { program }
    }
}

/// Programs that are on no hook.
fn called() -> [Program; 2] {
    [
        Program::new("conn_waited", kinds(ALL)).on(Target::Called),
        Program::new("conn_sockets", kinds(&[conn_kind::KIND_CONN_OLD])).on(Target::Iterator).optional(),
    ]
}

const NOT_SEEN: &str =
    "the process of a connection that the kernel itself makes or answers (NFS, WireGuard, ping replies)";

/// The ways to hook in.
pub(super) fn plans() -> Vec<Plan> {
    let plan = |hook, programs: Vec<Program>| {
        let programs = programs.into_iter().chain(called()).collect();
        Plan { hook, programs, not_seen: NOT_SEEN.into() }
    };
    vec![
        plan(Hook::Fentry, PLACES.iter().flat_map(Place::typed).collect()),
        plan(Hook::Kprobe, PLACES.iter().map(Place::probed).collect()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_on_the_first_of_its_functions_that_exists() {
        let plans = plans();
        let of = |plan: usize, name: &str| {
            let program = plans[plan].programs.iter().find(|program| program.name == name).unwrap();
            match &program.target {
                Target::TypedEntry(names) | Target::Entry(names) => names.join(" "),
                other => panic!("{other:?}"),
            }
        };
        let destroy = "nf_conntrack:nf_ct_destroy nf_ct_destroy nf_conntrack:destroy_conntrack destroy_conntrack";
        assert_eq!(of(0, "conn_destroy_fentry"), destroy);
        assert_eq!(of(1, "conn_destroy"), "nf_conntrack:nf_ct_destroy nf_conntrack:destroy_conntrack");
        assert_eq!(of(0, "conn_tcp4_fentry"), "tcp_v4_connect");
        assert_eq!(of(1, "conn_connect"), "tcp_v4_connect tcp_v6_connect sctp:__sctp_connect");
    }
}
