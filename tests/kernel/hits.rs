//! A hundred thousand hits at once: each is there, or counted with what became of it.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use crate::host::text;
use crate::known::may_miss;
use crate::probe::ways;
use crate::support::{Ended, Trace, coretrace, kernel, targets};

const HITS: u64 = 100_000;

/// What is hit.
struct Place {
    tracer: &'static str,
    way: &'static str,
    spec: String,
    /// The target's turn that hits it once.
    turn: &'static str,
}

fn places() -> Vec<Place> {
    let place = |tracer, way, spec: &str, turn| Place { tracer, way, spec: spec.to_owned(), turn };
    let me = targets();
    let function = format!("{}:func_uprobe1(x:u64)", text(&me));
    let mut all = vec![
        place("probe", "auto", "tracepoint:syscalls:sys_enter_getppid", "storm-ask"),
        place("uprobe", "auto", &function, "storm-call"),
        place("uprobe", "uprobe", &function, "storm-call"),
        place("usdt", "auto", &format!("{}:groupa:probe1", text(&me)), "storm-mark"),
    ];
    // A condition on what is a program's, and on nothing else that the targets do.
    let open = |way: &&str| format!(r#"{way}:do_sys_openat2(dfd) if filename == "/dev/null""#);
    all.extend(ways().iter().map(|way| place("probe", way, &open(way), "storm-open")));
    all
}

/// Two targets on one CPU, so that they interrupt each other, hit it. Their names alone: the shell asks, too.
fn stormed(place: &Place, options: &[&str]) -> Ended {
    let me = targets();
    let storm = format!("{} {} {}", text(&me), place.turn, HITS / 2);
    let mut command = Command::new(&me);
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args([place.tracer, "-v", "--entry-only", "-n", "targets"]);
    command.args(["--attach", place.way, "-O", "/dev/null"]).args(options).arg(&place.spec);
    let begin = Instant::now();
    let ended = Trace::raw(command.args(["--", "/bin/sh", "-c", &format!("{storm} & {storm} & wait")])).output();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    // Straight to fd 2: libtest would capture it.
    let (spec, way, took) = (&place.spec, place.way, begin.elapsed());
    let _ = writeln!(std::io::stderr(), "{} {spec} by {way}, {options:?}: {HITS} hits in {took:?}", place.tracer);
    ended
}

/// Hits are counted as missed only where the kernel may interrupt a program.
fn assert_missed(place: &Place, ended: &Ended) {
    let may = place.way == "fentry" && may_miss("fentry") || kernel() >= (7, 0);
    assert!(may || ended.missed() == 0, "{} by {}: {:#?}", place.spec, place.way, ended.stderr);
}

#[test]
fn a_hundred_thousand_hits_balance_exactly() {
    for place in places() {
        for options in [["--buffer", "64M"], ["--buffer", "64K"]] {
            let ended = stormed(&place, &options);
            let totals = ended.balance();
            let all = totals.delivered + totals.dropped + ended.missed();
            assert_eq!(all, HITS, "{} by {}: {:#?}", place.spec, place.way, ended.stderr);
            assert!(totals.delivered > HITS / 100, "{:#?}", ended.stderr);
            assert_missed(&place, &ended);
        }
    }
}

#[test]
fn a_hundred_thousand_hits_are_counted_exactly() {
    for place in places() {
        let ended = stormed(&place, &["--count-by", "func"]);
        let totals = ended.balance();
        assert_eq!((totals.aggregated + ended.missed(), totals.dropped), (HITS, 0), "{:#?}", ended.stderr);
        assert_missed(&place, &ended);
    }
}
