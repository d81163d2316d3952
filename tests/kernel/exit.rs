//! exit: how a process ended, and what it used up to then.

use serde_json::{Value, json};

use crate::known::{Dir, flavours, may_miss, traced, uint, words};
use crate::support::{Ended, targets};

/// The exit event of each process that the target reported, in agreement with waitpid().
pub fn exits(ended: &Ended) -> Vec<&Value> {
    let reported = ended.all_reported("ended");
    let same = |reported: &Value| {
        let exit = ended.one("exit", &reported["pid"]);
        for field in ["code", "signal", "core"] {
            assert_eq!(exit.get(field), reported.get(field), "{field}: {exit} {reported}");
        }
        exit
    };
    reported.iter().map(same).collect()
}

#[test]
fn exit_codes_are_shown() {
    for (how, code) in [("0", 0), ("1", 1), ("255", 255), ("256", 0), ("-1", 255)] {
        let ended = traced(&[], ["ends", how, "1"]);
        let exits = exits(&ended);
        assert_eq!((exits.len(), &exits[0]["code"]), (1, &json!(code)));
        assert_eq!(exits[0].get("signal"), None);
        assert_eq!(exits[0]["tid"], exits[0]["pid"]);
    }
}

#[test]
fn signals_that_end_a_process_are_shown_by_name() {
    for signal in ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGPIPE"] {
        let ended = traced(&[], ["ends", signal, "1"]);
        let exits = exits(&ended);
        assert_eq!((&exits[0]["signal"], &exits[0]["core"]), (&json!(signal), &json!(false)));
        assert_eq!(exits[0].get("code"), None);
    }
}

#[test]
fn a_core_dump_is_shown() {
    let dir = Dir::new();
    for flavour in flavours() {
        let line = words!["in-dir", dir.path(), targets(), "ends", "core", "1"];
        let ended = traced(&["--attach", flavour], line);
        let exits = exits(&ended);
        assert_eq!((&exits[0]["signal"], &exits[0]["core"]), (&json!("SIGSEGV"), &json!(true)), "{flavour}");
    }
}

#[test]
fn the_life_time_is_from_fork_to_exit() {
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], ["times", "5"]);
        let reported = ended.all_reported("times");
        assert_eq!(reported.len(), 5);
        for reported in reported {
            let exit = ended.one("exit", &reported["pid"]);
            let (end, lifetime) = (uint(&exit["boot_ns"]), uint(&exit["lifetime_ns"]));
            let [before, begun, last, after] = ["before", "begun", "ended", "after"].map(|name| uint(&reported[name]));
            assert!((before..=begun).contains(&(end - lifetime)), "{flavour}: start: {exit} {reported}");
            assert!((last..=after).contains(&end), "{flavour}: end: {exit} {reported}");
        }
    }
}

/// Compares the CPU time that coretrace shows for each process with the kernel's accounting: within a tenth and a few
/// ticks, as it is the time of the scheduler's last update.
fn assert_cpu_times(how: &str, ms: u64, times: usize) {
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], ["burn", how, &ms.to_string(), &times.to_string()]);
        let reported = ended.all_reported("burnt");
        assert_eq!(reported.len(), times);
        if may_miss(flavour) && ended.missed() > 0 {
            continue;
        }
        for reported in reported {
            let (shown, burnt) = (uint(&ended.one("exit", &reported["pid"])["cpu_ns"]), uint(&reported["cpu_ns"]));
            assert!(burnt >= ms * 1_000_000, "{reported}");
            let plausible = burnt * 9 / 10..=burnt * 11 / 10 + 20_000_000;
            assert!(plausible.contains(&shown), "{flavour}, {how}: {shown} of {burnt}");
        }
    }
}

#[test]
fn the_cpu_time_is_what_the_process_used() {
    assert_cpu_times("alone", 300, 1);
}

#[test]
fn the_cpu_time_is_that_of_all_threads_if_the_first_ended_first() {
    assert_cpu_times("leader-first", 300, 1);
}

#[test]
fn the_cpu_time_is_that_of_all_threads_if_they_end_at_once() {
    assert_cpu_times("together", 160, 10);
}

#[test]
fn the_most_memory_is_shown() {
    const MIB: u64 = 1 << 20;
    for flavour in flavours() {
        let ended = traced(&["--attach", flavour], ["memory", "32"]);
        let shown = uint(&ended.kind("exit")[0]["max_rss_bytes"]);
        assert!((32 * MIB..64 * MIB).contains(&shown), "{flavour}: {shown}");
        let reported = uint(&ended.reported("memory")["max_rss_bytes"]);
        assert!(shown.abs_diff(reported) < 2 * MIB, "{flavour}: {shown} {reported}");
    }
}

#[test]
fn the_name_at_the_end_is_shown() {
    let ended = traced(&[], ["named", "another name"]);
    assert_eq!(ended.kind("exec")[0]["comm"], "targets");
    assert_eq!(ended.kind("exit")[0]["comm"], "another name");
}
