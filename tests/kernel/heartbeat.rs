//! `--heartbeat`: what coretrace does itself arrives, and is reported if it does not.

use std::fs;
use std::process::Command;

use crate::host::{Peer, text};
use crate::support::{Ended, Trace, coretrace, in_vm, skip, targets};

/// How many were sent, and how many arrived.
pub fn beats(ended: &Ended) -> (u64, u64) {
    let line = ended.stderr.iter().find_map(|line| line.strip_prefix("coretrace: heartbeats: "));
    let line = line.unwrap_or_else(|| panic!("{:#?}", ended.stderr));
    let numbers: Vec<_> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

pub fn watching(command: &[&str], peer: &Peer) -> Command {
    let mut line = Command::new(targets());
    line.args(["mounts", "+tracefs"]).arg(coretrace()).args(command).args(["-v", "-o", "json", "-O", "-"]);
    line.args(["-p", &peer.pid().to_string()]);
    line
}

#[test]
fn heartbeats_pass_all_filters_and_are_not_shown() {
    for command in [
        &["proc"][..],
        &["proc", "--events", "exec", "-c", "/"],
        &["proc", "--events", "exit", "--transport", "perf"],
        &["proc", "--events", "thread_exit"],
        &["exec", "-x", "--args", "nothing"],
        &["open", "--path", "/etc/pass*", "--write", "--flags", "O_CREAT"],
    ] {
        let mut peer = Peer::obedient();
        let mut line = watching(command, &peer);
        let ended = Trace::raw(line.args(["-u", "54321", "-n", "nobody", "--heartbeat", "0.1", "-d", "1"])).end();
        peer.send("exit 0");
        let (sent, arrived) = beats(&ended);
        assert!(sent > 1 && arrived + 1 >= sent, "{command:?}: {:#?}", ended.stderr);
        assert_eq!(ended.assert_clean().delivered, 0, "{command:?}: {:#?}", ended.events);
    }
}

#[test]
fn the_commands_own_events_are_all_there_beside_them() {
    let ended = Trace::proc(["--heartbeat", "0.05", "--", text(&targets()), "forks", "50"]).end();
    let (sent, arrived) = beats(&ended);
    assert!(sent > 0 && arrived + 1 >= sent, "{:#?}", ended.stderr);
    let kinds = ["exec", "fork", "exit"].map(|kind| ended.kind(kind).len());
    assert_eq!((kinds, ended.assert_clean().delivered), ([1, 50, 51], 102), "{:#?}", ended.stderr);
}

#[test]
fn a_heartbeat_that_does_not_arrive_is_reported() {
    const NAME: &str = "heartbeat::a_heartbeat_that_does_not_arrive_is_reported";
    if !in_vm() {
        return skip(NAME, "takes all probes of the kernel away");
    }
    let debugfs = crate::host::Scratch::new("debugfs");
    nix::mount::mount(
        Some("debugfs"),
        debugfs.path(".").as_path(),
        Some("debugfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    /// Enables the probes again, whatever happens.
    struct Probes(std::path::PathBuf);
    impl Drop for Probes {
        fn drop(&mut self) {
            let _ = fs::write(self.0.join("kprobes/enabled"), "1");
            let _ = nix::mount::umount(&self.0);
        }
    }
    let probes = Probes(debugfs.path("."));
    let enabled = debugfs.path("kprobes/enabled");
    let mut peer = Peer::obedient();
    let mut line = watching(&["exec", "--attach", "kprobe", "--heartbeat", "0.2", "--strict", "-q"], &peer);
    let mut trace = Trace::raw(&mut line);
    trace.ready();
    fs::write(&enabled, "0").unwrap();
    let printed = trace.note("a heartbeat is missing", |line| line.contains("has not arrived"));
    fs::write(&enabled, "1").unwrap();
    peer.send("exit 0");
    let ended = trace.end();
    drop(probes);
    let (sent, arrived) = beats(&ended);
    assert!(sent > arrived, "{printed} {:#?}", ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{:#?}", ended.stderr);
}
