//! `probe`: functions of a module, before and after it is loaded.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::probe::{probed, ways};
use crate::support::{Ended, coretrace, in_vm, kernel};

/// Put there by the VM runner.
const DUMMY: &str = "/lib/modules/dummy.ko";
/// One packet: `ping` puts so many bytes behind the headers of Ethernet, IP and ICMP.
const BYTES: u64 = 777;
const PACKET: u64 = BYTES + 14 + 20 + 8;

/// The network device of `dummy`, while it is loaded.
struct Dummy;

impl Dummy {
    fn load() -> Dummy {
        shell(&format!("insmod {DUMMY} && ip addr add 192.0.2.1/24 dev dummy0 && ip link set dummy0 up"));
        Dummy
    }
}

impl Drop for Dummy {
    fn drop(&mut self) {
        shell("rmmod dummy");
    }
}

fn shell(script: &str) {
    assert!(Command::new("/bin/sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

/// What a spec is refused with.
fn refused(spec: &str) -> String {
    let output = Command::new(coretrace()).args(["probe", spec, "-d", "1", "-n", "nobody-has-this"]).output().unwrap();
    assert!(!output.status.success(), "{spec}");
    String::from_utf8(output.stderr).unwrap()
}

/// Sends one packet to nobody.
fn sent(way: &str, spec: &str) -> Ended {
    probed(&["--attach", way], &[spec], &format!("ping -c 1 -W 1 -s {BYTES} 192.0.2.2 >/dev/null; :"))
}

/// NETDEV_TX_OK (include/linux/netdevice.h).
fn is_sent(event: &Value) -> bool {
    event["ret"] == 0 || event["ret"] == "NETDEV_TX_OK"
}

#[test]
fn functions_of_a_module_are_probed_once_it_is_loaded() {
    let name = "modules::functions_of_a_module_are_probed_once_it_is_loaded";
    if !in_vm() || !Path::new(DUMMY).exists() {
        return crate::support::skip(name, "it loads a module");
    }
    for spec in ["fn:dummy:dummy_xmit", "fn:dummy:dummy_*", "kprobe:dummy:dummy_xmit"] {
        let message = refused(spec);
        assert!(message.contains("the module dummy is not loaded") && message.contains("modprobe dummy"), "{message}");
    }
    let dummy = Dummy::load();
    let message = refused("fn:dummy:dummy_xmitt");
    assert!(message.contains("dummy_xmit"), "{message}");
    // Before 5.11 modules have no types (CONFIG_DEBUG_INFO_BTF_MODULES).
    let typed = kernel() >= (5, 11);
    for (way, function) in ways().iter().zip(["fn:dummy:dummy_xmit", "fn:dummy_xmit"]).filter(|_| typed) {
        let ended = sent(way, &format!("{function}(len=skb->len, name=dev->name:str)"));
        let args = json!({ "len": PACKET, "name": "dummy0" });
        let found = ended.events.iter().filter(|event| event["args"] == args && is_sent(event));
        assert_eq!(found.count(), 1, "{way} {function}: {:#?} {:#?}", ended.events, ended.stderr);
    }
    // One function, and several.
    for (glob, way) in [("dummy_x*", "auto"), ("dummy_*", "auto"), ("dummy_*", "kprobe")] {
        let ended = sent(way, &format!("fn:dummy:{glob}"));
        let found = ended.events.iter().filter(|event| event["func"] == "dummy:dummy_xmit" && event["comm"] == "ping");
        let found: Vec<_> = found.collect();
        let shown = format!("{way} {glob}: {:#?} {:#?}", ended.events, ended.stderr);
        assert!(found.len() == 1 && (!typed || is_sent(found[0])), "{shown}");
    }
    drop(dummy);
    assert!(refused("fn:dummy:dummy_xmit").contains("the module dummy is not loaded"));
}
