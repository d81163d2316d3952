//! No loss is silent: bursts, a reader that is too slow, more processes than can be followed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::host::{Peer, Scratch, text, until};
use crate::support::{DEADLINE, Ended, Trace, coretrace, in_vm, run, skip, targets};

pub const TRANSPORTS: [&str; 2] = ["ring", "perf"];

/// The lost records, summed by class and CPU.
fn lost(ended: &Ended) -> BTreeMap<(String, u64), u64> {
    let mut lost = BTreeMap::new();
    for record in ended.kind("lost") {
        assert_eq!(record["cause"], "buffer_full", "{record}");
        let class = record["class"].as_str().unwrap().to_owned();
        *lost.entry((class, record["cpu"].as_u64().unwrap())).or_default() += record["count"].as_u64().unwrap();
    }
    lost
}

/// On every CPU, the sequence numbers of a kind grow, and no more of them are missing than are reported as lost.
fn assert_gaps_are_reported(ended: &Ended) {
    let reported = lost(ended);
    let mut next: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for event in ended.events.iter().filter(|e| e["kind"] != "lost") {
        let key = (event["kind"].as_str().unwrap().to_owned(), event["cpu"].as_u64().unwrap());
        let (expected, missing) = next.entry(key).or_default();
        let seq = event["seq"].as_u64().unwrap();
        assert!(seq >= *expected, "out of order: {event}");
        *missing += seq - *expected;
        *expected = seq + 1;
    }
    for (key, (_, missing)) in next {
        let reported = reported.get(&key).copied().unwrap_or(0);
        assert!(missing <= reported, "{key:?}: {missing} are missing, {reported} reported");
    }
}

#[test]
fn a_burst_of_forks_is_delivered_or_counted() {
    for transport in TRANSPORTS {
        for buffer in ["16M", "8K"] {
            let targets = targets();
            let args = ["--transport", transport, "--buffer", buffer, "--", text(&targets), "burst", "600"];
            let ended = Trace::proc(args).end();
            assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.stderr);
            let totals = ended.totals();
            assert_eq!(totals.delivered + totals.dropped, 1 + 600 + 601, "{transport} {buffer}: {totals:?}");
            assert_eq!(lost(&ended).values().sum::<u64>(), totals.dropped, "{transport} {buffer}");
            assert_gaps_are_reported(&ended);
            assert!(buffer == "8K" || totals.dropped == 0, "{transport}: 16M hold it all: {totals:?}");
        }
    }
}

#[test]
fn a_storm_that_is_filtered_out_is_counted_exactly() {
    if !in_vm() {
        return skip("losses::a_storm_that_is_filtered_out_is_counted_exactly", "would watch all of the host");
    }
    // Processes and threads ever created; here nothing else creates any.
    let created = || -> u64 {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        stat.lines().find_map(|line| line.strip_prefix("processes ")).unwrap().trim().parse().unwrap()
    };
    let mut peer = Peer::obedient();
    let before = created();
    let trace = Trace::proc(["-u", "54321", "--events", "fork"]);
    peer.order("burst 20");
    for _ in 0..3 {
        peer.order("forks 500");
    }
    let ended = trace.stop();
    let totals = ended.assert_clean();
    assert_eq!((totals.delivered, totals.seen), (0, totals.filtered));
    let most = created() - before;
    assert!((1_520..=most).contains(&totals.filtered) && most < 1_700, "{totals:?}, {most} were created");
}

/// Watches a process, is stopped while that makes far more events than the buffer holds, and continues.
pub fn starve(args: &[&str]) -> (Trace, Peer) {
    let mut peer = Peer::obedient();
    let pid = peer.pid().to_string();
    let mut command = Command::new(coretrace());
    command.args(["proc", "-v", "--buffer", "64K", "-p", &pid, "--follow"]).args(args);
    let mut trace = Trace::raw(&mut command);
    trace.ready();
    trace.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", trace.child.id());
    until("coretrace is stopped", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
    peer.order("forks 1000");
    trace.signal(Signal::SIGCONT);
    (trace, peer)
}

#[test]
fn a_starved_reader_reports_what_it_lost() {
    for transport in TRANSPORTS {
        let scratch = Scratch::new("starved");
        let file = scratch.path("recording");
        let args = ["-o", "json", "--transport", transport, "--strict", "--record", text(&file)];
        let (mut trace, mut peer) = starve(&args);
        trace.wait_for("a loss", |e| e["kind"] == "lost");
        // It has caught up: later events arrive.
        let child = peer.order(&format!("run {} exit 0", text(&targets())));
        trace.wait_for("a new fork", |e| e["child_pid"].to_string() == child);
        peer.send("exit 0");
        let ended = trace.end();
        assert_eq!(ended.status.code(), Some(3), "--strict: {:#?}", ended.stderr);
        let totals = ended.totals();
        assert_eq!(totals.delivered + totals.dropped, 2000 + 4, "{transport}: {totals:?}");
        assert!(totals.dropped > 500 && totals.delivered > 100, "{transport}: {totals:?}");
        assert_eq!(lost(&ended).values().sum::<u64>(), totals.dropped);
        assert_gaps_are_reported(&ended);
        let detail = ended.stderr.iter().filter(|line| line.contains("dropped: ") && line.contains("(buffer_full)"));
        assert_eq!(detail.count(), 2, "fork and exit: {:#?}", ended.stderr);
        // A recording has the losses where they were.
        let replay = run(["replay", text(&file), "-o", "json"]);
        assert!(replay.status.success());
        assert!(String::from_utf8(replay.stdout).unwrap().lines().eq(&ended.stdout));
    }
}

const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// A failed test does not leave the others without the CPU.
struct On;

impl Drop for On {
    fn drop(&mut self) {
        let _ = fs::write(ONLINE, "1");
    }
}

/// Runs programs on the CPU that is on again until the end of one arrives; so many losses were reported before.
fn seen_again(trace: &mut Trace, peer: &mut Peer, run: &str, mut reported: u32) {
    let again = Instant::now();
    loop {
        assert!(again.elapsed() < DEADLINE, "of the CPU that is on again, losses are all that is heard");
        let child = peer.order(run);
        // It arrives, or the next loss is reported.
        let (mut losses, want) = (0, reported + 1);
        let event = trace.wait_for("a word of it", |e| {
            losses = if e["kind"] == "lost" { losses + 1 } else { losses };
            losses >= want || (e["pid"].to_string() == child && e["kind"] == "exit")
        });
        if event["kind"] != "lost" {
            assert_eq!(event["cpu"], 1, "{event}");
            break;
        }
        reported += 1;
    }
}

#[test]
fn a_cpu_that_was_off_is_seen_again_and_what_it_lost_is_reported() {
    if !in_vm() {
        return skip("losses::a_cpu_that_was_off_is_seen_again_and_what_it_lost_is_reported", "turns a CPU off");
    }
    if !Path::new(ONLINE).exists() {
        return skip(
            "losses::a_cpu_that_was_off_is_seen_again_and_what_it_lost_is_reported",
            "no CPU can be turned off",
        );
    }
    let turn = |on: &str| fs::write(ONLINE, on).unwrap();
    let pin = |peer: &Peer| {
        let mut second = CpuSet::new();
        second.set(1).unwrap();
        sched_setaffinity(Pid::from_raw(peer.pid() as i32), &second).unwrap();
    };
    let _on = On;
    // Offline while it runs, or already when it starts.
    for off_before in [false, true] {
        let mut peer = Peer::obedient();
        let run = format!("run {} exit 0", text(&targets()));
        pin(&peer);
        if off_before {
            turn("0");
        }
        let mut trace = Trace::proc(["--transport", "perf", "-p", &peer.pid().to_string(), "--follow"]);
        for round in 0..2 {
            if round > 0 || !off_before {
                let before = peer.order(&run);
                trace.wait_for("it ran", |e| e["pid"].to_string() == before && e["kind"] == "exit" && e["cpu"] == 1);
                turn("0");
            }
            let elsewhere = peer.order(&run);
            trace.wait_for("it ran", |e| e["pid"].to_string() == elsewhere && e["kind"] == "exit" && e["cpu"] == 0);
            turn("1");
            pin(&peer);
            // Before the CPU is noticed to be online.
            peer.order("forks 20");
            seen_again(&mut trace, &mut peer, &run, round);
        }
        peer.send("exit 0");
        let ended = trace.end();
        let totals = ended.totals();
        let losses = ended.kind("lost");
        assert!(losses.iter().all(|e| e["cause"] == "cpu_offline" && e["cpu"] == 1), "{losses:#?}");
        assert_eq!(losses.iter().map(|e| e["count"].as_u64().unwrap()).sum::<u64>(), totals.dropped);
        // The buffers of the CPU that was offline are reopened when the first loss shows, or within a second.
        assert!(totals.delivered > 10, "{totals:?}");
    }
}

#[test]
fn more_processes_than_can_be_followed_are_reported() {
    if !in_vm() {
        return skip("losses::more_processes_than_can_be_followed_are_reported", "changes kernel.pid_max");
    }
    const PID_MAX: &str = "/proc/sys/kernel/pid_max";
    let usual = fs::read_to_string(PID_MAX).unwrap();
    for (kinds, shown) in [("fork", 1030), ("exec", 0)] {
        let mut peer = Peer::obedient();
        // The map of followed processes is made as large as this, but not smaller than 1024.
        fs::write(PID_MAX, "1000").unwrap();
        let trace = Trace::proc(["-p", &peer.pid().to_string(), "--follow", "--strict", "--events", kinds]);
        fs::write(PID_MAX, &usual).unwrap();
        peer.order("hold 1030");
        peer.send("exit 0");
        let ended = trace.end();
        let totals = ended.totals();
        assert_eq!(ended.status.code(), Some(3), "{kinds}: {totals:?} {:#?}", ended.stderr);
        // With itself, 1023 more fit. Their parent is followed, and all of its forks are shown.
        assert_eq!((totals.delivered, totals.dropped), (shown, 7), "{:#?}", ended.stderr);
        let is_reported = |e: &&serde_json::Value| e["cause"] == "map_full" && e["class"] == "follow";
        assert!(ended.kind("lost").iter().all(is_reported), "{:#?}", ended.kind("lost"));
    }
}
