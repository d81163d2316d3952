//! `probe`, added up in the kernel: what it comes to is what the targets did, and the account balances.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::{Scratch, text};
use crate::known::again_if_missed;
use crate::support::{Ended, Trace, coretrace, in_vm, kernel, parse, targets};

/// A tracer with these arguments, and what is traced: `sh -c SCRIPT`, with tracefs mounted.
pub(crate) fn command(args: &[&str], script: &str) -> Command {
    let mut command = Command::new(targets());
    command.args(["mounts", "+tracefs"]).arg(coretrace()).args(args).args(["--", "/bin/sh", "-c", script]);
    command
}

/// `coretrace probe ARGS…` to its end; its events are the totals, which the account agrees with.
pub(crate) fn totalled(args: &[&str], script: &str) -> Ended {
    let scratch = Scratch::new(&format!("totals-{:?}", std::thread::current().id()));
    let file = scratch.path("totals");
    let options = ["probe", "-v", "-o", "json", "-O", text(&file)];
    let run = || Trace::raw(&mut command(&[&options, args].concat(), script)).output();
    let mut ended = again_if_missed(kernel() >= (7, 0), run);
    let written = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {:#?}", ended.stderr));
    ended.events = written.lines().map(parse).collect();
    let counted: u64 = ended.kind("total").iter().map(|total| total["count"].as_u64().unwrap()).sum();
    let totals = ended.balance();
    assert_eq!((counted, totals.delivered), (totals.aggregated, 0), "{:#?}", ended.stderr);
    ended
}

/// Of rows, what a member of them is.
pub(crate) fn of<'e>(ended: &'e Ended, by: &str) -> Vec<(&'e Value, u64)> {
    ended.kind("total").iter().map(|total| (&total["by"][by], total["count"].as_u64().unwrap())).collect()
}

/// Writes of so many bytes each, and no other ones of these sizes.
pub(crate) const WRITES: &str =
    "dd if=/dev/zero of=/dev/null bs=4007 count=300 2>&-; dd if=/dev/zero of=/dev/null bs=70000 count=20 2>&-; :";
pub(crate) const WRITTEN: &str = "tracepoint:syscalls:sys_enter_write if count == 4007 || count == 70000";

#[test]
fn a_histograms_sum_is_the_number_of_hits() {
    let ended = totalled(&["--hist", "count", WRITTEN], WRITES);
    let [total] = ended.kind("total")[..] else { panic!("{:#?} {:#?}", ended.events, ended.stderr) };
    let ranges = json!([{ "from": 2048, "to": 4095, "count": 300 }, { "from": 65536, "to": 131_071, "count": 20 }]);
    assert_eq!((&total["histogram"], &total["count"], &total["by"]), (&ranges, &json!(320), &json!({})), "{total}");
    assert_eq!((&total["func"], &total["of"]), (&json!("syscalls:sys_enter_write"), &json!("count")), "{total}");
}

#[test]
fn counts_are_by_what_the_target_is_and_passes() {
    let ended = totalled(&["--count-by", "comm,count", WRITTEN], WRITES);
    let rows: Vec<_> = ended.kind("total").iter().map(|total| (total["by"].clone(), total["count"].clone())).collect();
    let row = |size: u32, count: u32| (json!({ "comm": "dd", "count": size }), json!(count));
    assert_eq!(rows, [row(4007, 300), row(70000, 20)], "{:#?}", ended.stderr);

    let script = "cd /; ( echo $$ >&2 ); kill -0 $$; kill -0 $$; /bin/sh -c 'echo $$ >&2; kill -0 $$; :'; :";
    let ended = totalled(&["--count-by", "pid=task->tgid, uid, sig", "tracepoint:syscalls:sys_enter_kill"], script);
    let pids: Vec<u64> = ended.stderr.iter().filter_map(|line| line.parse().ok()).collect();
    let rows: Vec<_> = of(&ended, "pid").into_iter().map(|(pid, count)| (pid.as_u64().unwrap(), count)).collect();
    assert_eq!(rows, [(pids[0], 2), (pids[1], 1)], "{:#?}", ended.stderr);
    assert_eq!(ended.events[0]["by"]["sig"], 0);
}

#[test]
fn a_map_that_is_full_reports_what_it_has_no_row_for() {
    let script = "i=0; while [ $i -lt 9000 ]; do kill -0 $((i+10000000)) 2>&-; i=$((i+1)); done";
    let ended = totalled(&["--count-by", "pid", "tracepoint:syscalls:sys_enter_kill"], script);
    let (rows, totals) = (ended.kind("total"), ended.balance());
    assert_eq!((totals.seen, totals.filtered), (9000, 0), "{:#?}", ended.stderr);
    assert!(totals.dropped > 0 && rows.len() as u64 == totals.aggregated, "{:#?}", ended.stderr);
    assert!(rows.iter().all(|row| row["count"] == 1), "each is there once");
    let lost: u64 = ended
        .kind("lost")
        .iter()
        .filter(|lost| lost["cause"] == "map_full")
        .map(|l| l["count"].as_u64().unwrap())
        .sum();
    assert_eq!(lost, totals.dropped, "{:#?}", ended.stderr);
}

#[test]
fn functions_are_counted_by_their_names() {
    if !in_vm() {
        return crate::support::skip("functions_are_counted_by_their_names", "needs kprobes");
    }
    let scratch = Scratch::new("totals-glob");
    let script = format!("cd {}; mkdir a b c; touch d; rm d; rmdir a b c", text(&scratch.path("")));
    let glob = "fn:vfs_[mu][kn][dl]i[rn]*";
    for options in [&[][..], &["--attach", "kprobe"]] {
        let ended = totalled(&[options, &["--count-by", "func", glob]].concat(), &script);
        let rows: Vec<_> =
            ended.events.iter().map(|total| (total["func"].as_str().unwrap(), &total["count"])).collect();
        assert_eq!(rows, [("vfs_mkdir", &json!(3)), ("vfs_unlink", &json!(1))], "{options:?} {:#?}", ended.stderr);
        // All at once, where they are not distinguished; and with what is known at the return alone.
        let ended = totalled(&[options, &["--count-by", "uid", glob]].concat(), &script);
        let rows: Vec<_> =
            ended.events.iter().map(|total| (total["func"].as_str().unwrap(), &total["count"])).collect();
        assert_eq!(rows, [("vfs_[mu][kn][dl]i[rn]*", &json!(4))], "{options:?} {:#?}", ended.stderr);
        let ended = totalled(&[options, &["--hist", "duration", "--by", "func,uid", glob]].concat(), &script);
        assert_eq!(
            (ended.events.len(), &ended.events[0]["unit"]),
            (2, &json!("ns")),
            "{options:?} {:#?}",
            ended.events
        );
    }
}

#[test]
fn calls_are_added_up_at_their_returns() {
    if !in_vm() {
        return crate::support::skip("calls_are_added_up_at_their_returns", "needs fentry and kprobes");
    }
    let scratch = Scratch::new("totals-calls");
    let script = format!("cd {}; dd if=/dev/zero of=out bs=4007 count=300 2>&-; :", text(&scratch.path("")));
    for way in crate::probe::ways() {
        let spec = "fn:vfs_write if count == 4007";
        let ended = totalled(&["--attach", way, "--sum", "ret", "--by", "file->f_path, comm", spec], &script);
        let total = &ended.events[0];
        assert_eq!((&total["count"], &total["sum"]), (&json!(300), &json!(300 * 4007)), "{way}: {:#?}", ended.stderr);
        let path = total["by"]["file->f_path"].as_str().unwrap();
        assert!(path.ends_with("/out") && total["by"]["comm"] == "dd", "{way}: {total}");
        let ended = totalled(&["--attach", way, "--hist", "duration", spec], &script);
        let total = &ended.events[0];
        let counts = total["histogram"].as_array().unwrap().iter().map(|range| range["count"].as_u64().unwrap());
        assert_eq!((counts.sum::<u64>(), total["unit"].as_str()), (300, Some("ns")), "{way}: {total}");
    }
}

#[test]
fn specs_of_one_function_have_a_row_each() {
    if !in_vm() {
        return crate::support::skip("specs_of_one_function_have_a_row_each", "needs fentry and kprobes");
    }
    let scratch = Scratch::new("rows");
    let script =
        format!("cd {}; for n in 1 2 3; do touch a b; rm a; rm b; done; touch a; rm a", text(&scratch.path("")));
    let spec = |name: &str| format!("fn:vfs_unlink if dentry->d_name.name == \"{name}\"");
    for way in crate::probe::ways() {
        let ended = totalled(&["--attach", way, "--count-by", "func", &spec("a"), &spec("b")], &script);
        let mut rows: Vec<_> =
            ended.events.iter().map(|total| (total["func"].as_str().unwrap(), total["count"].as_u64())).collect();
        rows.sort_unstable();
        assert_eq!(rows, [(spec("a").as_str(), Some(4)), (spec("b").as_str(), Some(3))], "{way}: {:#?}", ended.stderr);
    }
}

#[test]
fn calls_of_many_threads_are_counted_once() {
    if !in_vm() {
        return crate::support::skip("calls_of_many_threads_are_counted_once", "needs fentry and kprobes");
    }
    let cmd = format!("{} calls 8 5000", text(&targets()));
    // By types, a kernel that may interrupt programs skips some, and counts them: auto takes another way then.
    for way in ["auto", "kprobe"] {
        let ended = totalled(&["--attach", way, "--count-by", "comm, tid, cpu", "ksyscall:getpgid"], &cmd);
        let calls: u64 = of(&ended, "comm").iter().filter(|(comm, _)| **comm != "sh").map(|(_, count)| count).sum();
        assert_eq!(calls, 40_000, "{way}: {:#?}", ended.stderr);
        let tids: std::collections::HashSet<_> = of(&ended, "tid").iter().map(|(tid, _)| tid.as_u64()).collect();
        assert!(tids.len() >= 8, "{way}: {tids:?}");
    }
}
