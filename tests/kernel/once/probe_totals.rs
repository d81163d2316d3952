//! What is done with totals in user space: how they are printed, and when.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Scratch, text};
use crate::probe_totals::*;
use crate::support::Trace;

#[test]
fn sums_have_the_least_and_the_greatest() {
    let ended = totalled(&["--sum", "n=count", "--by", "fd, count", WRITTEN], WRITES);
    let sums: Vec<_> = ended
        .kind("total")
        .iter()
        .map(|t| [&t["by"]["count"], &t["sum"], &t["min"], &t["max"], &t["mean"]].map(Value::as_f64))
        .collect();
    let row = |size: f64, count: f64| [size, size * count, size, size, size].map(Some);
    assert_eq!(sums, [row(70000.0, 20.0), row(4007.0, 300.0)], "{:#?}", ended.stderr);
    let ended = totalled(&["--sum", "count", WRITTEN], WRITES);
    let total = ended.kind("total")[0];
    let numbers = ["sum", "min", "max", "unread"].map(|name| total[name].as_u64().unwrap());
    assert_eq!(numbers, [4007 * 300 + 70000 * 20, 4007, 70000, 0], "{total}");
}

#[test]
fn negative_numbers_are_distinguished_from_large_ones() {
    let script = "i=0; while [ $i -lt 50 ]; do kill -0 99999999 2>&-; i=$((i+1)); done; kill -0 $$";
    let spec = "tracepoint:syscalls:sys_exit_kill";
    let ended = totalled(&["--hist", "ret", spec], script);
    let ranges = json!([{ "from": -3, "to": -2, "count": 50 }, { "from": 0, "to": 0, "count": 1 }]);
    assert_eq!(ended.kind("total")[0]["histogram"], ranges, "{:#?}", ended.events);
    let ended = totalled(&["--sum", "ret", spec], script);
    let total = ended.kind("total")[0];
    assert_eq!(["sum", "min", "max"].map(|name| total[name].as_i64().unwrap()), [-150, -3, 0], "{total}");
}

#[test]
fn what_could_not_be_read_is_a_row_of_its_own() {
    // Nobody waits for the exec of a process that ends.
    let spec = "raw_tracepoint:sched_process_exit";
    let ended = totalled(&["--count-by", "p->vfork_done->done", spec], "/bin/true; /bin/true; :");
    let rows = of(&ended, "p->vfork_done->done");
    assert!(matches!(rows[..], [(Value::Null, 3..)]), "{:#?}", ended.events);
    let ended = totalled(&["--sum", "p->vfork_done->done", "--by", "func", spec], "/bin/true; :");
    let total = ended.kind("total")[0];
    assert_eq!((&total["unread"], &total["sum"], &total["min"]), (&total["count"], &json!(0), &Value::Null), "{total}");
    assert_eq!(total["func"], "sched_process_exit");
}

#[test]
fn totals_are_printed_meanwhile() {
    let scratch = Scratch::new("totals-stats");
    let done = scratch.path("done");
    let script =
        format!("i=0; while [ $i -lt 7 ]; do kill -0 $$; i=$((i+1)); done; while [ ! -e {} ]; do :; done", text(&done));
    let args = [
        "probe",
        "-v",
        "-o",
        "json",
        "-O",
        "-",
        "--stats",
        "0.2",
        "--count-by",
        "sig",
        "tracepoint:syscalls:sys_enter_kill",
    ];
    let mut trace = Trace::raw(&mut command(&args, &script));
    trace.wait_for("totals of all seven", |total| total["count"] == 7);
    trace.note("totals on standard error", |line| line.contains(" s: ") && line.contains("7 aggregated"));
    fs::write(&done, "").unwrap();
    let ended = trace.end();
    assert!(ended.events.len() >= 2, "once more at the end: {:#?}", ended.events);
    assert!(ended.events.iter().all(|total| total["kind"] == "total" && total["count"].as_u64() <= Some(7)));
    assert_eq!((ended.events.last().unwrap()["count"].as_u64(), ended.balance().aggregated), (Some(7), 7));
}

#[test]
fn text_is_a_table_or_bars_without_a_header_of_events() {
    let run = |args: &[&str]| {
        let mut ended = Trace::raw(&mut command(&[&["probe", "-O", "-", "--utc"], args].concat(), WRITES)).output();
        ended.balance();
        ended.stdout.iter_mut().for_each(|line| *line = line.trim_end().to_owned());
        ended.stdout
    };
    let lines = run(&["--count-by", "comm, count", WRITTEN]);
    assert!(lines[0].ends_with(" hits by comm, count"), "{lines:#?}");
    let rest = [
        " COUNT FUNC                     COMM COUNT",
        "   300 syscalls:sys_enter_write dd   4007",
        "    20 syscalls:sys_enter_write dd   70000",
    ];
    assert_eq!(lines[1..], rest, "{lines:#?}");
    let lines = run(&["--hist", "count", "--by", "comm", WRITTEN]);
    assert!(lines[0].ends_with(" count by comm"), "{lines:#?}");
    assert_eq!(lines[1], "syscalls:sys_enter_write comm=dd: 320 hits");
    assert_eq!(lines[2], format!("     2048 .. 4095  300 |{}|", "@".repeat(40)));
    assert_eq!((lines[3].as_str(), lines.len()), (&*format!("     4096 .. 8191    0 |{:40}|", ""), 8));
}

#[test]
fn totals_beside_events_are_in_the_same_stream() {
    let probe = "probe tracepoint:syscalls:sys_enter_kill --count-by sig";
    let args = ["proc", "-v", "-o", "json", "-O", "-", "--with", probe];
    let ended = Trace::raw(&mut command(&args, "kill -0 $$; exit 3")).end();
    assert!(ended.kind("exit").iter().any(|event| event["code"] == 3), "{:#?}", ended.stderr);
    assert_eq!((ended.kind("total")[0]["count"].as_u64(), ended.totals().aggregated), (Some(1), 1));
}

#[test]
fn the_run_ends_with_its_totals_when_it_is_asked_to() {
    let args = ["probe", "-v", "-o", "json", "-O", "-", "--count-by", "sig", "tracepoint:syscalls:sys_enter_kill"];
    let mut trace = Trace::raw(&mut command(&args, "kill -0 $$; echo ready >&2; while :; do :; done"));
    trace.note("the script's word", |line| line == "ready");
    trace.signal(Signal::SIGTERM);
    trace.signal(Signal::SIGTERM);
    let ended = trace.end();
    assert_eq!(ended.kind("total").first().map(|total| &total["count"]), Some(&json!(1)), "{:#?}", ended.stderr);
}

#[test]
fn what_cannot_be_added_up_is_refused() {
    let spec = "tracepoint:syscalls:sys_enter_kill";
    for (args, message) in [
        (&["--count-by", "sig", "--record", "/dev/null"][..], "--record: it is about single events"),
        (&["--count-by", "sig", "--count", "3"], "--count: it is about single events"),
        (&["--count-by", "sig", "--args", "x"], "--args: it is about single events"),
        (&["--count-by", "pid,sig,uid,gid,cpu"], "totals are by at most 4 values"),
        (&["--count-by", "signal"], "no parameter signal"),
        (&["--count-by", "sig,"], "--count-by"),
        (&["--hist", "comm"], "comm: it is no number that can be added up"),
        (&["--hist", "sig, pid"], "--hist: one expression is added up"),
        (&["--hist", "func"], "--hist: one expression is added up"),
        (&["--hist", "sig", "--sum", "pid"], "cannot be used with"),
        (&["--by", "sig"], "required"),
    ] {
        let mut command = command(&[&["probe", spec], args].concat(), ":");
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{args:?}: {:?} {stderr}", output.status);
    }
}
