//! A network inside the guest: a client, a router and a server, each in a namespace of its own, joined by veth; with
//! connection tracking in each of them, and address translation in the middle.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{in_vm, skip, targets};

/// Where the VM runner puts modules, and their names in the order in which they are loaded.
const MODULES: &str = "/lib/modules";
/// Of busybox there is an `ip`, too, which has no namespaces.
const IP: &str = "/usr/sbin/ip";

pub const CLIENT: &str = "client";
pub const ROUTER: &str = "router";
pub const SERVER: &str = "server";
pub const ALL: [&str; 3] = [CLIENT, ROUTER, SERVER];

/// What the router translates: connections to its port 8080 go to the server's port 80, and seem to come from it.
const SET_UP: &str = "
    for n in client router server; do ip netns add $n; ip -n $n link set lo up; done
    ip link add c0 netns client type veth peer name r0 netns router
    ip link add s0 netns server type veth peer name r1 netns router
    add() { ip -n $1 addr add $3 dev $2; ip -n $1 addr add $4 dev $2 nodad; ip -n $1 link set $2 up; }
    add client c0 10.1.0.2/24 fd01::2/64
    add router r0 10.1.0.1/24 fd01::1/64
    add router r1 10.2.0.1/24 fd02::1/64
    add server s0 10.2.0.2/24 fd02::2/64
    for v in '' -6; do
        case $v in '') g=10.1.0.1 h=10.2.0.1 ;; *) g=fd01::1 h=fd02::1 ;; esac
        ip -n client $v route add default via $g
        ip -n server $v route add default via $h
    done
    ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
    for n in client router server; do
        ip netns exec $n nft -f /tmp/track.nft
    done
    ip netns exec router nft -f /tmp/nat.nft
    echo 65536 >/proc/sys/net/netfilter/nf_conntrack_max
";

/// A rule that looks at the state of connections turns their tracking on.
const TRACK: &str = "table inet track {
  chain i { type filter hook input priority 0; ct state new accept
  }
  chain o { type filter hook output priority 0; ct state new accept
  }
  chain f { type filter hook forward priority 0; ct state new accept
  }
}
";
const NAT: &str = "table ip nat {
  chain pre { type nat hook prerouting priority -100; ip daddr 10.1.0.1 tcp dport 8080 dnat to 10.2.0.2:80
  }
  chain post { type nat hook postrouting priority 100; oifname r1 tcp dport 80 masquerade
  }
}
";

/// For the tracker: count packets and bytes.
pub const ACCOUNT: &str = "acct=1";

/// Whether there is what the tests of this file need.
pub fn is_possible() -> bool {
    in_vm() && Path::new(MODULES).join("nf_conntrack.ko").exists()
}

/// The same; if not, the test is skipped.
pub fn possible(test: &str) -> bool {
    let possible = is_possible();
    if !possible {
        skip(test, "it loads modules, and makes networks");
    }
    possible
}

/// Runs a shell script that must succeed; what it prints.
pub fn shell(script: &str) -> String {
    let script = format!("set -e; ip() {{ {IP} \"$@\"; }}\n{script}");
    let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Loads the modules that are not there yet, the tracker with these options.
pub fn load(options: &str) {
    for name in fs::read_to_string(Path::new(MODULES).join("order")).unwrap().lines().filter(|name| *name != "dummy") {
        if !Path::new("/sys/module").join(name).exists() {
            let options = if name == "nf_conntrack" { options } else { "" };
            shell(&format!("insmod {MODULES}/{name}.ko {options}"));
        }
    }
}

/// Unloads the tracker, and what uses it.
pub fn unload() {
    let order = fs::read_to_string(Path::new(MODULES).join("order")).unwrap();
    let is_of_it =
        |name: &&str| name.starts_with("nf") && Path::new("/sys/module").join(name).join("initstate").exists();
    order.lines().rev().filter(is_of_it).for_each(|name| _ = shell(&format!("rmmod {name}")));
}

/// Makes the network, once, and forgets all connections.
pub fn network() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        load(ACCOUNT);
        fs::write("/tmp/track.nft", TRACK).unwrap();
        fs::write("/tmp/nat.nft", NAT).unwrap();
        shell(SET_UP);
    });
    forget();
}

/// Has the tracker forget all connections.
pub fn forget() {
    for name in ALL {
        shell(&format!("ip netns exec {name} conntrack -F 2>/dev/null"));
    }
}

/// Sets a limit or a time of the tracker in a namespace.
pub fn set(namespace: &str, name: &str, value: u32) {
    shell(&format!("ip netns exec {namespace} sh -c 'echo {value} >/proc/sys/net/netfilter/nf_conntrack_{name}'"));
}

/// The inode number of a namespace.
pub fn inode(namespace: &str) -> Value {
    let text = shell(&format!("ip netns exec {namespace} readlink /proc/self/ns/net"));
    json!(text.trim_end().trim_start_matches("net:[").trim_end_matches(']').parse::<u64>().unwrap())
}

/// A program in a namespace, `targets net ARGS…`. (`ip` becomes it: the process id is its own.)
pub struct Program {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Program {
    pub fn start(namespace: &str, args: &[&str]) -> Program {
        let mut command = Command::new(IP);
        command.args(["netns", "exec", namespace]).arg(targets()).arg("net").args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Program { child, lines }
    }

    /// One that says when it is ready.
    pub fn ready(namespace: &str, args: &[&str]) -> Program {
        let mut program = Program::start(namespace, args);
        assert_eq!(program.line(), "ready");
        program
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> Value {
        json!(self.child.id())
    }

    /// Ends its standard input, and waits until it has done all; returns its process id.
    pub fn end(mut self) -> Value {
        let mut input = self.child.stdin.take().unwrap();
        input.flush().unwrap();
        drop(input);
        let pid = self.pid();
        assert!(self.child.wait().unwrap().success());
        pid
    }
}

/// A failed test leaves nothing behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `conntrack -L` knows of a connection, in the form of JSON events.
#[derive(Debug)]
pub struct Listed {
    pub proto: String,
    pub state: Option<String>,
    pub src: Value,
    pub dst: Value,
    pub nat: Value,
    pub orig: Value,
    pub reply: Value,
    pub assured: bool,
    pub mark: Value,
}

/// `tcp 6 431999 ESTABLISHED src=10.1.0.2 dst=… sport=… dport=… packets=… bytes=… src=… … [ASSURED] mark=0 use=1`
pub fn listed(namespace: &str) -> Vec<Listed> {
    let mut lines = shell(&format!("ip netns exec {namespace} conntrack -L 2>/dev/null"));
    lines += &shell(&format!("ip netns exec {namespace} conntrack -L -f ipv6 2>/dev/null"));
    lines.lines().map(one).collect()
}

fn one(line: &str) -> Listed {
    let words: Vec<&str> = line.split_whitespace().collect();
    let all = |name: &str| -> Vec<&str> {
        words.iter().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).collect()
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let end = |address: &str, port: Option<&&str>| match port {
        Some(port) => json!({"address": address, "port": number(port)}),
        None => json!({"address": address}),
    };
    let (src, dst, sport, dport) = (all("src"), all("dst"), all("sport"), all("dport"));
    let ends =
        [end(src[0], sport.first()), end(dst[0], dport.first()), end(src[1], sport.get(1)), end(dst[1], dport.get(1))];
    let mut nat = json!({});
    if ends[3] != ends[0] {
        nat["src"] = ends[3].clone();
    }
    if ends[2] != ends[1] {
        nat["dst"] = ends[2].clone();
    }
    let traffic = |n: usize| json!({"packets": number(all("packets")[n]), "bytes": number(all("bytes")[n])});
    let is_state =
        |word: &&&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c == '2') && word.len() > 3;
    Listed {
        proto: words[0].to_owned(),
        state: words.iter().find(is_state).map(|word| (*word).to_owned()),
        src: ends[0].clone(),
        dst: ends[1].clone(),
        nat: if nat == json!({}) { Value::Null } else { nat },
        orig: traffic(0),
        reply: traffic(1),
        assured: words.contains(&"[ASSURED]"),
        mark: json!(all("mark").first().map_or(0, |mark| number(mark))),
    }
}
