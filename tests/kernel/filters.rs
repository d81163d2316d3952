//! Filters: who is shown, and that the rest is counted.

use std::collections::BTreeSet;
use std::process::Command;

use libbpf_rs::{MapCore, MapFlags};
use serde_json::Value;

use crate::attempts::map_of;
use crate::host::{Peer, text};
use crate::support::{Ended, Trace, coretrace, in_vm, run, skip, targets};

/// coretrace's exit code and messages when it ends with an error: 2 is wrong usage, 1 another.
pub fn refused(code: i32, args: &[&str]) -> String {
    // If it were not refused, it would run, but not forever.
    let output = run(["proc", "-d", "1"].into_iter().chain(args.iter().copied()));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn pids(ended: &Ended) -> BTreeSet<u32> {
    ended.events.iter().map(|e| e["pid"].as_u64().unwrap() as u32).collect()
}

#[test]
fn one_process_alone() {
    let (mut watched, mut other) = (Peer::obedient(), Peer::obedient());
    let trace = Trace::proc(["-p", &watched.pid().to_string()]);
    other.order("forks 3");
    watched.order("forks 2");
    let program = watched.order(&format!("run {} exit 0", text(&targets())));
    watched.send("exit 7");
    // Nothing is left to show, so it ends by itself.
    let ended = trace.end();
    let totals = ended.assert_clean();
    assert_eq!(pids(&ended), [watched.pid()].into());
    assert_eq!((ended.kind("fork").len(), ended.kind("exec").len()), (3, 0), "{:#?}", ended.events);
    assert_eq!(ended.events[2]["child_pid"].to_string(), program);
    assert_eq!(ended.events.last().unwrap()["code"], 7);
    // The other's forks and their exits, the own children's exits, the program and its exit.
    assert!(totals.delivered == 4 && totals.filtered >= 3 + 3 + 2 + 2, "{totals:?}");
}

#[test]
fn several_processes() {
    let mut peers = [(); 4].map(|()| Peer::obedient());
    let [a, b, c, _] = peers.each_ref().map(|peer| peer.pid().to_string());
    let trace = Trace::proc(["-p", &format!("{a},{b}"), "-p", &c]);
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.order(&format!("forks {}", n + 1));
    }
    peers.iter_mut().rev().for_each(|peer| peer.send("exit 0"));
    let ended = trace.end();
    ended.assert_clean();
    for (n, peer) in peers.iter().enumerate() {
        let forks = if n < 3 { n + 1 } else { 0 };
        assert_eq!(ended.of("fork", peer.pid()).len(), forks, "{:#?}", ended.events);
    }
    assert_eq!(ended.events.len(), 1 + 2 + 3 + 3);
}

#[test]
fn a_process_and_its_descendants() {
    let mut watched = Peer::start(["nest"]);
    let mut other = Peer::obedient();
    let trace = Trace::proc(["-p", &watched.pid().to_string(), "--follow"]);
    other.order("forks 3");
    // Its grandchild, which existed before coretrace, continues and runs a program.
    watched.close();
    let ended = trace.end();
    ended.assert_clean();
    let grandchild: u32 = watched.ready.parse().unwrap();
    let [fork] = ended.of("fork", grandchild)[..] else { panic!("{:#?}", ended.events) };
    let program = fork["child_pid"].as_u64().unwrap() as u32;
    assert_eq!(ended.of("exec", program)[0]["argv"][1], "exit");
    let exits: Vec<(u32, &Value)> =
        ended.kind("exit").iter().map(|e| (e["pid"].as_u64().unwrap() as u32, &e["code"])).collect();
    assert_eq!((exits[0], exits[1]), ((program, &4.into()), (grandchild, &2.into())));
    assert_eq!((exits[2].1, exits[3]), (&1.into(), (watched.pid(), &0.into())));
    assert_eq!(ended.events.len(), 6, "{:#?}", ended.events);
}

#[test]
fn a_process_without_its_children_ends_the_run_though_they_go_on() {
    let mut watched = Peer::start(["nest"]);
    let pid = watched.pid();
    let mut trace = Trace::proc(["-p", &pid.to_string()]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let exit = trace.wait_for("its end", |e| e["kind"] == "exit");
    assert_eq!((&exit["pid"], &exit["signal"]), (&pid.into(), &"SIGKILL".into()));
    assert_eq!(trace.end().assert_clean().delivered, 1);
    watched.close();
}

#[test]
fn a_run_goes_on_while_processes_that_come_and_go_remain() {
    const PROCESSES: u32 = 600;
    for tracer in ["proc", "open"] {
        let mut watched = Peer::start(["relay", &PROCESSES.to_string()]);
        let mut command = Command::new(coretrace());
        command.args([tracer, "-o", "json", "-O", "-", "-v", "--buffer", "16M", "-p", &watched.ready, "--follow"]);
        let mut trace = Trace::raw(&mut command);
        trace.ready();
        watched.close();
        let ended = trace.end();
        let totals = ended.assert_clean();
        if tracer == "proc" {
            assert_eq!(ended.kind("fork").len(), PROCESSES as usize, "{totals:?}");
            assert_eq!(ended.kind("exit").len(), PROCESSES as usize + 1, "{totals:?}");
        }
        assert!(watched.end().success());
    }
}

#[test]
fn another_process_with_the_number_of_one_that_was_followed_is_not_shown() {
    for tracer in ["proc", "exec", "open"] {
        let (mut watched, mut stranger) = (Peer::obedient(), Peer::obedient());
        let mut command = Command::new(coretrace());
        command.args([tracer, "-o", "json", "-O", "-", "-v", "-p", &watched.pid().to_string(), "--follow"]);
        let mut trace = Trace::raw(&mut command);
        trace.ready();
        // As if the other process had the number of one that was followed since boot, and whose end was not seen.
        let followed = map_of(trace.child.id(), "followed").expect("its map");
        followed.update(&stranger.pid().to_ne_bytes(), &1_u64.to_ne_bytes(), MapFlags::NO_EXIST).unwrap();
        let program = format!("run {} exit 3", text(&targets()));
        let not_shown = [stranger.pid(), stranger.order(&program).parse().unwrap()];
        let shown = [watched.pid(), watched.order(&program).parse().unwrap()];
        watched.send("exit 0");
        // Nor does it keep the run from ending.
        let ended = trace.end();
        ended.assert_clean();
        let pids = pids(&ended);
        assert!(not_shown.iter().all(|pid| !pids.contains(pid)), "{tracer}: {:#?}", ended.events);
        assert!(shown.iter().any(|pid| pids.contains(pid)), "{tracer}: {:#?}", ended.events);
    }
}

#[test]
fn what_is_gone_unseen_does_not_keep_a_run_from_ending() {
    let (watched, gone) = (Peer::obedient(), Peer::obedient());
    let trace = Trace::proc(["-p", &watched.pid().to_string(), "--follow"]);
    let followed = map_of(trace.child.id(), "followed").expect("its map");
    let pid = gone.pid();
    gone.end();
    followed.update(&pid.to_ne_bytes(), &u64::MAX.to_ne_bytes(), MapFlags::NO_EXIST).unwrap();
    // Forgotten while the other is still followed.
    crate::host::until("it is forgotten", || followed.lookup(&pid.to_ne_bytes(), MapFlags::ANY).unwrap().is_none());
    assert!(followed.lookup(&watched.pid().to_ne_bytes(), MapFlags::ANY).unwrap().is_some());
    watched.end();
    trace.end().assert_clean();
}

#[test]
fn names() {
    let mut peers: Vec<Peer> =
        ["tb-exact", "tb-exact2", "tb-glob-a", "tb-glob-b", "tb-much-longer-than-it-fits", "tb-other"]
            .into_iter()
            .map(|name| {
                let mut peer = Peer::obedient();
                peer.order(&format!("name {name}"));
                peer
            })
            .collect();
    let trace = Trace::proc(["-n", "tb-exact", "-n", "tb-glob-*", "-n", "tb-much-longer-than-it-fits"]);
    peers.iter_mut().for_each(|peer| drop(peer.order("forks 2")));
    // Later than the others' events.
    peers[4].order("forks 1");
    let ended = trace.stop();
    let totals = ended.assert_clean();
    let shown = |peer: &Peer| ended.of("fork", peer.pid()).len();
    assert_eq!(peers.iter().map(shown).collect::<Vec<_>>(), [2, 0, 2, 2, 3, 0], "{:#?}", ended.events);
    let comms: BTreeSet<&str> = ended.events.iter().map(|e| e["comm"].as_str().unwrap()).collect();
    assert_eq!(comms, ["tb-exact", "tb-glob-a", "tb-glob-b", "tb-much-longer-"].into());
    // The children have their parents' names: 9 forks, 9 exits. Of the others 4 and 4.
    assert!(totals.delivered == 18 && totals.filtered >= 8, "{totals:?}");
}

#[test]
fn kinds() {
    for (wanted, shown) in [("exec", 1), ("exit", 4), ("fork", 3), ("fork,exec", 4), ("exit,fork,exec", 8)] {
        let targets = targets();
        let trace = Trace::proc(["--events", wanted, "--", text(&targets), "forks", "3"]);
        let ended = trace.end();
        let totals = ended.assert_clean();
        assert_eq!(totals.delivered, shown, "{wanted}: {:#?}", ended.events);
        assert!(ended.events.iter().all(|e| wanted.split(',').any(|kind| e["kind"] == kind)), "{wanted}");
        // Where exits are not wanted, the run still ends.
    }
}

#[test]
fn all_filters_together_must_agree() {
    let mut peers: Vec<Peer> = ["tb-all-1", "tb-all-1", "tb-all-2"]
        .into_iter()
        .map(|name| {
            let mut peer = Peer::obedient();
            peer.order(&format!("name {name}"));
            peer
        })
        .collect();
    let numbers = [peers[1].pid(), peers[2].pid()].map(|pid| pid.to_string()).join(",");
    // The name excludes 2, the number 0, the kind half of what they do.
    let trace = Trace::proc(["-n", "tb-all-1", "-p", &numbers, "-u", "0", "--events", "fork"]);
    peers.iter_mut().for_each(|peer| drop(peer.order("forks 2")));
    peers.iter_mut().for_each(|peer| peer.send("exit 0"));
    let ended = trace.end();
    assert_eq!((ended.assert_clean().delivered, pids(&ended)), (2, [peers[1].pid()].into()));
    let none = Trace::proc(["-u", "54321", "--", text(&targets()), "forks", "2"]).end();
    assert_eq!(none.assert_clean().delivered, 0);
}

#[test]
fn users_by_number_and_by_name() {
    if !in_vm() {
        return skip("filters::users_by_number_and_by_name", "would watch all of the host");
    }
    let mut peers = ["1000", "65534", "54321", "0"].map(|uid| {
        let targets = targets();
        if uid == "0" { Peer::obedient() } else { Peer::start(["as", &format!("uid={uid}"), text(&targets), "obey"]) }
    });
    for (users, counts) in [(["tester", "nobody"], [2, 2, 0, 0]), (["54321", "1000"], [2, 0, 2, 0])] {
        let trace = Trace::proc(["-u", users[0], "-u", users[1]]);
        peers.iter_mut().for_each(|peer| drop(peer.order("forks 2")));
        let ended = trace.stop();
        let totals = ended.assert_clean();
        let shown = |peer: &Peer| ended.of("fork", peer.pid()).len();
        assert_eq!(peers.each_ref().map(shown), counts, "{users:?}");
        assert!(totals.delivered == 8 && totals.filtered >= 8, "{totals:?}");
    }
}
