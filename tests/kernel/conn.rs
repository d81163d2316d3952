//! `conn`: real traffic between namespaces, with the right process at each end, compared with what conntrack(8) says.

use std::process::Command;

use serde_json::{Value, json};

use crate::network::{ALL, CLIENT, Program, ROUTER, SERVER, forget, inode, listed, network, possible, set, shell};
use crate::support::{Ended, Trace, coretrace, kernel, lacks_fentry, targets};

/// A run of `conn` as JSON, attached when this returns.
pub fn traced(args: &[&str]) -> Trace {
    let mut command = Command::new(coretrace());
    let mut trace = Trace::raw(command.args(["conn", "-v", "-o", "json", "-O", "-"]).args(args));
    trace.ready();
    trace
}

/// Ends a run when it has seen so many events of a kind.
pub fn ended_after(mut trace: Trace, kind: &str, count: usize) -> Ended {
    let mut left = count;
    trace.wait_for(&format!("{count} of {kind}"), |event| {
        left -= usize::from(event["kind"] == kind && left > 0);
        left == 0
    });
    let ended = trace.stop();
    ended.assert_clean();
    assert!(!ended.stderr.iter().any(|line| line.contains("failed: ")), "{:#?}", ended.stderr);
    ended
}

/// The only event of a kind in a namespace, of a protocol.
fn only<'e>(ended: &'e Ended, kind: &str, namespace: &Value, proto: &str) -> &'e Value {
    let is_it = |e: &&&Value| e["netns"] == *namespace && e["proto"] == proto;
    let all = ended.kind(kind);
    let found: Vec<_> = all.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{kind} {namespace} {proto}: {:#?} {:#?}", ended.events, ended.stderr);
    found[0]
}

/// Each way to hook in that this kernel has for the tracker: before 5.11, its types are unknown.
fn ways() -> &'static [&'static str] {
    if kernel() < (5, 11) || lacks_fentry() { &["kprobe"] } else { &["kprobe", "fentry"] }
}

/// That an event has what conntrack has listed.
fn assert_same(event: &Value, namespace: &str, listed: &[crate::network::Listed]) {
    let listed = listed.iter().find(|l| l.proto == event["proto"] && l.src == event["src"] && l.dst == event["dst"]);
    let listed = listed.unwrap_or_else(|| panic!("{namespace}: not listed: {event}"));
    let has = |bit: &str| event["status"].as_array().unwrap().contains(&json!(bit));
    assert_eq!(event["nat"], listed.nat, "{namespace} {event}");
    assert_eq!((&event["orig"], &event["reply"]), (&listed.orig, &listed.reply), "{namespace} {event} {listed:?}");
    assert_eq!((has("ASSURED"), &event["mark"]), (listed.assured, &listed.mark), "{namespace} {event}");
    assert!(has("CONFIRMED") && has("DYING"), "{event}");
    if let Some(state) = &listed.state {
        assert_eq!(event["state"], *state, "{namespace} {event}");
    }
}

#[test]
fn each_end_has_its_process_and_the_middle_has_none() {
    if !possible("conn::each_end_has_its_process_and_the_middle_has_none") {
        return;
    }
    network();
    for way in ways() {
        let trace = traced(&["--attach", way, "--no-existing"]);
        let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
        let client = Program::start(CLIENT, &["ask-tcp", "10.1.0.1:8080", "100000"]).end();
        let server = server.end();
        let known: Vec<_> = ALL.iter().map(|name| listed(name)).collect();
        forget();
        let ended = ended_after(trace, "end", 3);
        let at = |name: &str| inode(name);
        for (kind, n) in [("new", 0), ("end", 1)] {
            let [c, r, s] = [CLIENT, ROUTER, SERVER].map(|name| only(&ended, kind, &at(name), "tcp"));
            assert_eq!((&c["pid"], &c["via"], &c["comm"]), (&client, &json!("socket"), &json!("targets")), "{c}");
            let own = std::fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!((&c["parent_comm"], &s["parent_comm"]), (&json!(own.trim_end()), &json!(own.trim_end())), "{c}");
            assert_eq!(r.get("parent_comm"), None, "{r}");
            assert_eq!((&r["pid"], &r["via"], &r["comm"]), (&Value::Null, &json!("forwarded"), &Value::Null), "{r}");
            assert_eq!((&s["pid"], &s["via"], &s["uid"]), (&server, &json!("accept"), &json!(0)), "{s}");
            // Who talks to whom: the client sees the router, the server the router's other end.
            assert_eq!((&c["nat"], &s["nat"]), (&Value::Null, &Value::Null));
            assert_eq!(r["nat"]["dst"], json!({"address": "10.2.0.2", "port": 80}), "{r}");
            assert_eq!((&r["nat"]["src"], &s["src"]["address"]), (&s["src"], &json!("10.2.0.1")), "{r} {s}");
            assert_eq!((&c["src"], &c["dst"]), (&r["src"], &r["dst"]));
            for (event, (name, known)) in [c, r, s].into_iter().zip(ALL.iter().zip(&known)) {
                if n == 1 {
                    assert_same(event, name, known);
                    assert!(
                        event["duration_ns"].as_u64().unwrap() > 0 && event["orig"]["bytes"].as_u64() > Some(100_000)
                    );
                }
            }
        }
    }
}

#[test]
fn datagrams_and_messages_have_their_processes() {
    if !possible("conn::datagrams_and_messages_have_their_processes") {
        return;
    }
    network();
    for way in ways() {
        let trace = traced(&["--attach", way, "--no-existing"]);
        // One that waits in recvfrom(2), and one of which nothing is known before the datagram has come.
        let receives = Program::ready(SERVER, &["serve-udp", "0.0.0.0:53", "1"]);
        let polls = Program::ready(SERVER, &["poll-udp", "[fd02::2]:54", "1"]);
        let asks = Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
        let asks6 = Program::start(CLIENT, &["ask-udp", "[fd02::2]:54", "1"]).end();
        let (receives, polls) = (receives.end(), polls.end());
        shell("ip netns exec client ping -c 1 10.2.0.2 && ip netns exec client ping -6 -c 1 fd02::2");
        let known: Vec<_> = ALL.iter().map(|name| listed(name)).collect();
        forget();
        let ended = ended_after(trace, "end", 12);
        let [client, router, server] = ALL.map(inode);
        let udp = |kind: &str, namespace: &Value, port: u32| -> Value {
            let all = ended.kind(kind);
            let is_it = |e: &&&Value| e["netns"] == *namespace && e["dst"]["port"] == port && e["proto"] == "udp";
            let found: Vec<_> = all.iter().filter(is_it).collect();
            assert_eq!(found.len(), 1, "{kind} {port}: {:#?}", ended.events);
            (**found[0]).clone()
        };
        for (port, asking, answering) in [(53, &asks, &receives), (54, &asks6, &polls)] {
            for kind in ["new", "end"] {
                assert_eq!(udp(kind, &client, port)["pid"], *asking, "{kind} {port} {:#?}", ended.events);
                assert_eq!(udp(kind, &router, port)["via"], "forwarded");
                let at = udp(kind, &server, port);
                assert_eq!((&at["pid"], &at["via"]), (answering, &json!("socket")), "{kind} {way} {at}");
            }
        }
        for proto in ["icmp", "icmpv6"] {
            let [c, r, s] = [&client, &router, &server].map(|at| only(&ended, "new", at, proto));
            assert_eq!(
                (&c["comm"], &c["via"], &c["state"]),
                (&json!("ping"), &json!("socket"), &json!("UNREPLIED")),
                "{c}"
            );
            // The kernel answers.
            assert_eq!((&r["via"], &s["via"], &s["pid"]), (&json!("forwarded"), &json!("unknown"), &Value::Null));
            let echo = if proto == "icmp" { 8 } else { 128 };
            assert_eq!((&c["icmp"]["type"], &c["icmp"]["code"]), (&json!(echo), &json!(0)), "{c}");
            assert_eq!(c["icmp"]["id"], s["icmp"]["id"]);
            assert_eq!(c["src"].get("port"), None);
        }
        for (name, known) in ALL.iter().zip(&known) {
            let at = inode(name);
            let ends = ended.kind("end");
            ends.iter().filter(|event| event["netns"] == at).for_each(|event| assert_same(event, name, known));
        }
    }
}

#[test]
fn changes_of_the_state_are_shown_in_their_order() {
    if !possible("conn::changes_of_the_state_are_shown_in_their_order") {
        return;
    }
    network();
    for way in ways() {
        let trace = traced(&["--attach", way, "--updates", "--no-existing"]);
        let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
        Program::start(CLIENT, &["ask-tcp", "10.1.0.1:8080", "1"]).end();
        server.end();
        forget();
        let ended = ended_after(trace, "end", 3);
        let of = |name: &str| -> Vec<&str> {
            let at = inode(name);
            let all = ended.events.iter().filter(|e| e["netns"] == at && e["kind"] != "end");
            all.map(|e| e["state"].as_str().unwrap()).collect()
        };
        let expected = ["SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"];
        let mut client = of(CLIENT);
        client.dedup();
        // The server may close before the client's FIN was acknowledged.
        client.retain(|state| *state != "CLOSE_WAIT");
        let expected: Vec<_> = expected.into_iter().filter(|state| *state != "CLOSE_WAIT").collect();
        assert_eq!(client, expected, "{way} {:#?}", ended.events);
        // What came before the process was known is in the first event.
        assert_eq!(of(SERVER).last(), Some(&"TIME_WAIT"));
        assert_eq!(ended.events.iter().find(|e| e["netns"] == inode(SERVER)).unwrap()["kind"], "new");
    }
}

#[test]
fn connections_that_are_there_already_are_shown_with_their_processes() {
    if !possible("conn::connections_that_are_there_already_are_shown_with_their_processes") {
        return;
    }
    network();
    let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
    let client = Program::ready(CLIENT, &["hold-tcp", "10.1.0.1:8080"]);
    let idle = Program::ready(SERVER, &["serve-udp", "0.0.0.0:53", "2"]);
    Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
    for way in ways() {
        let mut trace = traced(&["--attach", way]);
        let mut left = 6;
        trace.wait_for("six old connections", |event| {
            left -= usize::from(event["kind"] == "old");
            left == 0
        });
        let ended = trace.stop();
        ended.assert_clean();
        let [c, r, s] = ALL.map(|name| only(&ended, "old", &inode(name), "tcp"));
        assert_eq!((&c["pid"], &c["via"], &c["comm"]), (&client.pid(), &json!("existing"), &json!("targets")), "{c}");
        assert_eq!((&s["pid"], &s["via"]), (&server.pid(), &json!("existing")), "{s}");
        assert_eq!((&r["pid"], &r["state"]), (&Value::Null, &json!("ESTABLISHED")), "{r}");
        assert_eq!(only(&ended, "old", &inode(SERVER), "udp")["pid"], idle.pid());
        assert_eq!(ended.events.len(), 6, "{:#?}", ended.events);
    }
    // Their ends are seen, too, and a new connection by an old socket has its process at once.
    let trace = traced(&[]);
    client.end();
    server.end();
    forget();
    Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
    let idle = idle.end();
    forget();
    let ended = ended_after(trace, "end", 9);
    let ends = ended.kind("end").into_iter().filter(|e| e["via"] == "existing").count();
    assert_eq!(ends, 6, "{:#?}", ended.events);
    let fresh = only(&ended, "new", &inode(SERVER), "udp");
    assert_eq!((&fresh["pid"], &fresh["via"]), (&idle, &json!("socket")), "{fresh}");
}

#[test]
fn filters_show_only_what_they_say() {
    if !possible("conn::filters_show_only_what_they_say") {
        return;
    }
    network();
    let server = inode(SERVER).to_string();
    let cases: [(&[&str], u64); 9] = [
        (&["--port", "8080"], 2),
        (&["--port", "53,80"], 5),
        (&["--net", "fd02::/16"], 0),
        (&["--net", "10.2.0.2"], 5),
        (&["--proto", "icmp,17"], 3),
        (&["--netns", &server], 2),
        (&["--nat"], 1),
        // Also one that is to be shown at once, before its process is known.
        (&["-n", "target*", "--netns", &server, "--wait", "0"], 2),
        (&["-u", "tester"], 0),
    ];
    // Several runs watch the same traffic: not all of them, for the memory of the guest.
    for cases in cases.chunks(3) {
        let start = |(options, _): &(&[&str], u64)| traced(&[*options, &["--no-existing", "--events", "new"]].concat());
        let traces: Vec<_> = cases.iter().map(start).collect();
        let tcp = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
        let udp = Program::ready(SERVER, &["serve-udp", "0.0.0.0:53", "1"]);
        Program::start(CLIENT, &["ask-tcp", "10.1.0.1:8080", "1"]).end();
        Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
        tcp.end();
        udp.end();
        for (trace, (options, expected)) in traces.into_iter().zip(cases) {
            let ended = trace.stop();
            let totals = ended.assert_clean();
            assert_eq!((totals.delivered, totals.seen), (*expected, 6), "{options:?} {:#?}", ended.events);
        }
    }
}

#[test]
fn a_command_is_shown_with_its_own_connections_alone() {
    if !possible("conn::a_command_is_shown_with_its_own_connections_alone") {
        return;
    }
    network();
    let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "2"]);
    let stranger = Program::start(CLIENT, &["ask-tcp", "10.2.0.2:80", "1"]).end();
    let mut command = Command::new("/usr/sbin/ip");
    command.args(["netns", "exec", CLIENT]).arg(coretrace());
    command.args(["conn", "-v", "-o", "json", "-O", "-", "--"]).arg(targets()).args([
        "net",
        "ask-tcp",
        "10.2.0.2:80",
        "1",
    ]);
    let ended = Trace::raw(&mut command).end();
    ended.assert_clean();
    server.end();
    // It is still known when the command ends.
    assert_eq!(ended.events.len(), 1, "{:#?} {:#?}", ended.events, ended.stderr);
    assert_eq!((&ended.events[0]["kind"], &ended.events[0]["via"]), (&json!("new"), &json!("socket")));
    assert_ne!(ended.events[0]["pid"], stranger);
}

#[test]
fn servers_of_both_families_at_one_port_are_told_apart() {
    if !possible("conn::servers_of_both_families_at_one_port_are_told_apart") {
        return;
    }
    network();
    shell("ip netns exec server sh -c 'echo 1 >/proc/sys/net/ipv6/bindv6only'");
    let ipv4 = Program::ready(SERVER, &["serve-udp", "0.0.0.0:53", "1"]);
    let ipv6 = Program::ready(SERVER, &["serve-udp", "[::]:53", "1"]);
    // What is known before they answer.
    let trace = traced(&["--events", "new,old", "--port", "53", "--wait", "0"]);
    Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
    Program::start(CLIENT, &["ask-udp", "[fd02::2]:53", "1"]).end();
    shell("ip netns exec server sh -c 'echo 0 >/proc/sys/net/ipv6/bindv6only'");
    let servers = [ipv4.end(), ipv6.end()];
    let ended = ended_after(trace, "new", 6);
    let at = inode(SERVER);
    for (address, server) in ["10.2.0.2", "fd02::2"].into_iter().zip(&servers) {
        let new = ended.kind("new").into_iter().find(|e| e["netns"] == at && e["dst"]["address"] == address).unwrap();
        assert_eq!((&new["pid"], &new["via"]), (server, &json!("socket")), "{new}");
    }
}

#[test]
fn sctp_and_gre_have_their_processes() {
    if !possible("conn::sctp_and_gre_have_their_processes") {
        return;
    }
    network();
    for way in ways() {
        let trace = traced(&["--attach", way, "--no-existing", "--events", "new"]);
        let server = Program::ready(SERVER, &["serve-sctp", "10.2.0.2:99"]);
        let sctp = Program::start(CLIENT, &["ask-sctp", "10.2.0.2:99"]).end();
        let server = server.end();
        let gre = Program::start(CLIENT, &["send-gre", "10.2.0.2:0"]).end();
        let known: Vec<_> = ALL.iter().map(|name| listed(name)).collect();
        forget();
        let ended = ended_after(trace, "new", 6);
        let [client, router, at] = ALL.map(inode);
        let new = |namespace, proto| only(&ended, "new", namespace, proto);
        assert_eq!((&new(&client, "sctp")["pid"], &new(&client, "sctp")["via"]), (&sctp, &json!("socket")));
        assert_eq!((&new(&at, "sctp")["pid"], &new(&at, "sctp")["via"]), (&server, &json!("accept")));
        assert_eq!((&new(&client, "gre")["pid"], &new(&client, "gre")["via"]), (&gre, &json!("socket")));
        assert_eq!(new(&at, "gre")["via"], "unknown");
        for proto in ["sctp", "gre"] {
            assert_eq!(new(&router, proto)["via"], "forwarded");
            for (namespace, known) in [&client, &router, &at].into_iter().zip(&known) {
                let new = new(namespace, proto);
                assert!(
                    known.iter().any(|l| l.proto == proto && l.src == new["src"] && l.dst == new["dst"]),
                    "{new} {known:?}"
                );
            }
        }
    }
}

#[test]
fn a_socket_that_has_sent_before_it_receives_has_its_process() {
    if !possible("conn::a_socket_that_has_sent_before_it_receives_has_its_process") {
        return;
    }
    network();
    for way in ways() {
        let mut trace = traced(&["--attach", way, "--no-existing", "--events", "new", "--port", "55"]);
        let server = Program::ready(SERVER, &["send-receive", "10.2.0.2:55", "10.1.0.2:9"]);
        Program::start(CLIENT, &["send-udp", "10.2.0.2:55"]).end();
        let at = inode(SERVER);
        let is_it = |event: &Value| event["kind"] == "new" && event["netns"] == at && event["dst"]["port"] == 55;
        let new = trace.wait_for("what came in", is_it);
        assert_eq!((&new["pid"], &new["via"]), (&server.pid(), &json!("socket")), "{way} {new}");
        server.end();
        trace.stop().assert_clean();
        forget();
    }
}

#[test]
fn a_socket_is_of_the_process_that_connects_it() {
    if !possible("conn::a_socket_is_of_the_process_that_connects_it") {
        return;
    }
    network();
    let trace = traced(&["--no-existing", "--events", "new"]);
    let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "2"]);
    let mut pids = Vec::new();
    for how in ["hand", "inherit"] {
        let mut program = Program::start(CLIENT, &[how, "10.2.0.2:80"]);
        let line = program.line();
        pids.push(json!(line.strip_prefix("connected by ").expect(&line).parse::<u32>().unwrap()));
        assert_ne!(pids.last(), Some(&program.end()));
    }
    server.end();
    let ended = ended_after(trace, "new", 6);
    let at = inode(CLIENT);
    let seen: Vec<_> = ended.kind("new").into_iter().filter(|e| e["netns"] == at).map(|e| e["pid"].clone()).collect();
    assert_eq!(seen, pids, "{:#?}", ended.events);
}

#[test]
fn refused_and_forgotten_connections_end() {
    if !possible("conn::refused_and_forgotten_connections_end") {
        return;
    }
    network();
    set(SERVER, "udp_timeout", 1);
    let trace = traced(&["--no-existing", "--wait", "0"]);
    let refused = Program::start(CLIENT, &["refused", "10.2.0.2:81"]).end();
    let udp = Program::ready(SERVER, &["serve-udp", "0.0.0.0:53", "1"]);
    Program::start(CLIENT, &["ask-udp", "10.2.0.2:53", "1"]).end();
    let udp = udp.end();
    // The server's end has timed out as soon as it is no longer listed.
    while listed(SERVER).iter().any(|known| known.proto == "udp") {
        std::thread::yield_now();
    }
    let ended = ended_after(trace, "end", 4);
    let [c, r, s] = ALL.map(|name| only(&ended, "end", &inode(name), "tcp"));
    assert_eq!((&c["pid"], &c["state"]), (&refused, &json!("CLOSE")), "{c}");
    assert_eq!((&r["via"], &s["via"], &s["state"]), (&json!("forwarded"), &json!("unknown"), &json!("CLOSE")), "{s}");
    let timed_out = only(&ended, "end", &inode(SERVER), "udp");
    assert_eq!(timed_out["pid"], udp, "{timed_out}");
    assert!(timed_out["duration_ns"].as_u64() > Some(900_000_000), "{timed_out}");
    set(SERVER, "udp_timeout", 30);
}

#[test]
fn connections_of_a_namespace_that_is_gone_end() {
    if !possible("conn::connections_of_a_namespace_that_is_gone_end") {
        return;
    }
    network();
    shell(
        "ip netns add brief; ip -n brief link set lo up; ip netns exec brief nft -f /tmp/track.nft; \
         ip netns exec brief ping -c 1 127.0.0.1",
    );
    let at = inode("brief");
    let trace = traced(&["--netns", "/run/netns/brief", "--events", "end"]);
    shell("ip netns del brief");
    let ended = ended_after(trace, "end", 1);
    assert_eq!((ended.events.len(), &ended.events[0]["netns"]), (1, &at), "{:#?}", ended.events);
    assert_eq!(ended.events[0]["proto"], "icmp");
}

#[test]
fn a_full_table_invents_nothing() {
    if !possible("conn::a_full_table_invents_nothing") {
        return;
    }
    network();
    let count = 50;
    let udp = Program::ready(SERVER, &["serve-udp", "127.0.0.1:53", "1000"]);
    let trace = traced(&["--no-existing", "--netns", &inode(SERVER).to_string()]);
    let full = Limit::of(20);
    let script = format!(
        "import _socket as s
for n in range({count}):
    k = s.socket(s.AF_INET, s.SOCK_DGRAM)
    try: k.sendto(b'x', ('127.0.0.1', 53))
    except OSError: pass
"
    );
    std::fs::write("/tmp/full.py", script).unwrap();
    shell("ip netns exec server python3 -IS /tmp/full.py");
    drop((udp, full));
    forget();
    let ended = trace.stop();
    ended.assert_clean();
    let (new, end) = (ended.kind("new").len(), ended.kind("end").len());
    assert!((10..count).contains(&new), "{new}");
    assert_eq!(new, end);
}

/// How many connections there may be. (Set in the initial namespace, it holds for all.)
struct Limit;

impl Limit {
    fn of(most: u32) -> Limit {
        shell(&format!("echo {most} >/proc/sys/net/netfilter/nf_conntrack_max"));
        Limit
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        std::fs::write("/proc/sys/net/netfilter/nf_conntrack_max", "65536").unwrap();
    }
}

#[test]
fn twenty_thousand_short_connections_balance() {
    if !possible("conn::twenty_thousand_short_connections_balance") {
        return;
    }
    network();
    set(SERVER, "tcp_timeout_close", 1);
    let count = 20_000;
    let at = inode(SERVER).to_string();
    // As JSON values, whole events of them all would not fit into a guest's memory.
    let few = ["--fields", "kind,pid,via"];
    let trace = traced(&[&["--no-existing", "--netns", &at, "--buffer", "8M"], &few[..]].concat());
    // A connection that is reset before the server has it in its queue is never accepted: it serves until it is killed.
    let server = Program::ready(SERVER, &["serve-tcp", "127.0.0.1:80", &u32::MAX.to_string()]);
    let client = Program::start(SERVER, &["storm-tcp", "127.0.0.1:80", &count.to_string()]).end();
    drop(server);
    forget();
    let ended = ended_after(trace, "end", count);
    let (new, end) = (ended.kind("new"), ended.kind("end"));
    assert_eq!((new.len(), end.len()), (count, count), "{:#?}", ended.stderr);
    // Both ends are in one namespace: it is the connection of the one that has opened it.
    assert!(new.iter().chain(&end).all(|event| event["pid"] == client && event["via"] == "socket"));
    set(SERVER, "tcp_timeout_close", 10);
}

#[test]
fn a_recording_shows_the_same_again() {
    if !possible("conn::a_recording_shows_the_same_again") {
        return;
    }
    network();
    let trace = traced(&["--no-existing", "--record", "/tmp/conn.rec"]);
    let server = Program::ready(SERVER, &["serve-tcp", "10.2.0.2:80", "1"]);
    Program::start(CLIENT, &["ask-tcp", "10.1.0.1:8080", "1"]).end();
    server.end();
    forget();
    let ended = ended_after(trace, "end", 3);
    let replay = Trace::raw(Command::new(coretrace()).args(["replay", "/tmp/conn.rec", "-o", "json"])).output();
    assert_eq!(replay.stdout, ended.stdout);
}

/// The kernel's types, but for the member of a struct that is where another one is.
fn misleading(of: &str, member: &str, other: &str) -> Vec<u8> {
    let mut btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let word = |btf: &[u8], at: usize| u32::from_ne_bytes(btf[at..at + 4].try_into().unwrap());
    let header = word(&btf, 4) as usize;
    let [types, types_len, strings] = [8, 12, 16].map(|at| word(&btf, at) as usize);
    let (mut at, end, strings) = (header + types, header + types + types_len, header + strings);
    let name = |btf: &[u8], at: usize| {
        let start = strings + word(btf, at) as usize;
        let len = btf[start..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(btf[start..start + len].to_vec()).unwrap()
    };
    let mut changed = 0;
    while at < end {
        let info = word(&btf, at + 4);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        // include/uapi/linux/btf.h
        let behind = match kind {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => count * 12,
            6 | 13 => count * 8,
            _ => 0,
        };
        if kind == 4 && name(&btf, at) == of {
            let members = || (0..count).map(|n| at + 12 + n * 12);
            let there = |name_of: &str| members().find(|member| name(&btf, *member) == name_of).unwrap();
            let (to, from) = (there(member), there(other));
            let offset = word(&btf, from + 8);
            btf[to + 8..to + 12].copy_from_slice(&offset.to_ne_bytes());
            changed += 1;
        }
        at += 12 + behind;
    }
    assert!(changed > 0, "there is no {of}");
    btf
}

#[test]
fn a_kernel_that_is_misread_shows_in_the_ledger() {
    if !possible("conn::a_kernel_that_is_misread_shows_in_the_ledger") {
        return;
    }
    network();
    std::fs::write("/tmp/misleading.btf", misleading("nf_conn", "ct_net", "status")).unwrap();
    let args = ["--btf", "/tmp/misleading.btf", "--attach", "kprobe", "--no-existing", "--events", "new"];
    let trace = traced(&args);
    shell("ip netns exec client ping -c 1 10.1.0.1");
    let ended = trace.stop();
    ended.assert_clean();
    assert_eq!(ended.events.len(), 2, "{:#?}", ended.events);
    assert!(
        ended.events.iter().all(|event| event["netns"].is_null() && event["proto"] == "icmp"),
        "{:#?}",
        ended.events
    );
    let line = ended.stderr.iter().find(|line| line.contains("failed: ")).expect("that reads failed");
    assert!(line.contains("reading the network namespace of a connection ("), "{line}");
}
