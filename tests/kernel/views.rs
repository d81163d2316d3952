//! Views put together what happened, live as from a recording: they agree with the events, and with the kernel's accounts.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::host::text as path;
use crate::known::{Dir, may_miss, strings, text, uint};
use crate::support::{Ended, Trace, coretrace, parse, targets};

#[path = "../trace/mod.rs"]
#[allow(dead_code)]
mod trace;

/// A run with a view: what it showed, and the events that it was made of.
struct Viewed {
    live: Ended,
    events: Ended,
}

impl Viewed {
    /// Runs `targets CMD…`. A replay shows the same as the run did, byte for byte.
    fn new(view: &[&str], cmd: &[&str]) -> Viewed {
        let dir = Dir::new();
        let file = dir.join("recording");
        let mut command = Command::new(coretrace());
        command.args(["proc", "-v", "--utc", "-O", "-", "--record", path(&file)]).args(view);
        let live = Trace::raw(command.arg("--").arg(targets()).args(cmd)).output();
        assert!(live.status.success(), "{:#?}", live.stderr);
        assert_eq!(live.balance().dropped, 0, "{:#?}", live.stderr);
        let replay =
            |args: &[&str]| Trace::raw(Command::new(coretrace()).args(["replay", path(&file)]).args(args)).output();
        let again = replay(&[&["--utc"], view].concat());
        assert_eq!((again.status.code(), &again.stdout), (Some(0), &live.stdout), "{:#?}", again.stderr);
        let mut events = replay(&["-o", "json"]);
        events.events = events.stdout.iter().map(|line| parse(line)).collect();
        Viewed { live, events }
    }

    /// What a view showed as JSON.
    fn objects(&self, kind: &str) -> Vec<Value> {
        let objects: Vec<Value> = self.live.stdout.iter().map(|line| parse(line)).collect();
        assert!(objects.iter().all(|object| object["kind"] == kind), "{:#?}", self.live.stdout);
        objects
    }
}

#[test]
fn lives_agree_with_the_kernels_accounts_and_with_the_events() {
    let viewed = Viewed::new(&["--lives", "-o", "json"], &["burn", "alone", "200", "3"]);
    let lives = viewed.objects("life");
    assert_eq!(lives.len(), viewed.events.kind("exit").len());
    for life in &lives {
        let exit = viewed.events.one("exit", &life["pid"]);
        for member in ["time", "boot_ns", "code", "lifetime_ns", "cpu_ns", "max_rss_bytes", "comm"] {
            assert_eq!(life[member], exit[member], "{member}: {life}");
        }
        assert_eq!(uint(&life["start_boot_ns"]), uint(&exit["boot_ns"]) - uint(&exit["lifetime_ns"]));
        assert_eq!((text(&life["argv"][0]), text(&life["argv"][1])), (path(&targets()), "burn"), "{life}");
    }
    let reported = viewed.live.all_reported("burnt");
    assert_eq!((reported.len(), lives.len()), (3, 4));
    for reported in reported.iter().filter(|_| !may_miss("btf") || viewed.live.missed() == 0) {
        let life = lives.iter().find(|life| life["pid"] == reported["pid"]).expect("its life");
        let (shown, burnt) = (uint(&life["cpu_ns"]), uint(&reported["cpu_ns"]));
        assert!((burnt * 9 / 10..=burnt * 11 / 10 + 20_000_000).contains(&shown), "{shown} of {burnt}");
        assert_eq!((&life["begun"], &life["fork_of"]), (&"fork".into(), &lives[3]["pid"]), "{life}");
    }
    assert_eq!(lives[3]["begun"], "command", "it began with the run: {}", lives[3]);
}

#[test]
fn a_life_has_the_arguments_of_its_last_program() {
    let viewed = Viewed::new(&["--lives"], &["children", "spawn", "2"]);
    assert_eq!(viewed.live.stdout.len(), 1 + 3, "{:#?}", viewed.live.stdout);
    assert!(viewed.live.stdout[1].ends_with(" exit 0"), "{:#?}", viewed.live.stdout);
    assert!(viewed.live.stdout[3].ends_with(" children spawn 2"), "{:#?}", viewed.live.stdout);
}

#[test]
fn the_tree_is_what_was_started() {
    let viewed = Viewed::new(&["--tree", "-o", "json"], &["children", "spawn", "5"]);
    let nodes = viewed.objects("node");
    let started: Vec<Value> = viewed.live.all_reported("forked").iter().map(|child| child["pid"].clone()).collect();
    assert_eq!((nodes.len(), started.len()), (6, 5));
    assert_eq!(strings(&nodes[0]["argv"])[1..], ["children", "spawn", "5"]);
    assert_eq!((&nodes[0]["depth"], &nodes[0]["parent"]), (&0.into(), &Value::Null));
    for (node, pid) in nodes[1..].iter().zip(&started) {
        assert_eq!((&node["pid"], &node["parent"], &node["depth"]), (pid, &nodes[0]["id"], &1.into()), "{node}");
        assert_eq!((strings(&node["argv"])[1..].join(" "), &node["code"]), ("exit 0".to_owned(), &0.into()), "{node}");
    }
    assert_eq!(nodes.iter().filter(|node| node["longest_chain"] == true).count(), 2);
}

#[test]
fn what_is_alike_in_a_tree_is_one_line() {
    let viewed = Viewed::new(&["--tree=end"], &["children", "fork", "30"]);
    let lines = &viewed.live.stdout;
    assert_eq!(lines.len(), 1 + 3 + 1, "a header, the parent, the longest, the others, the chain: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("× 29 targets")), "{lines:#?}");
    let viewed = Viewed::new(&["--tree"], &["children", "fork", "30"]);
    assert_eq!(viewed.live.stdout.len(), 2 + viewed.events.stdout.len() + 4, "a line for each event before");
}

#[test]
fn a_summary_comes_to_what_the_events_do() {
    let viewed = Viewed::new(&["--summary", "-o", "json"], &["children", "spawn", "5"]);
    let rows = viewed.objects("summary");
    let count = |rows: &[Value], name: &str| rows.iter().map(|row| uint(&row[name])).sum::<u64>();
    let exits = viewed.events.kind("exit");
    assert_eq!((rows.len(), count(&rows, "count"), count(&rows, "failed")), (2, 6, 0), "{rows:#?}");
    for (of, name) in [("lifetime_ns", "lifetime_ns"), ("cpu_ns", "cpu_ns"), ("max_rss_bytes", "max_rss_bytes")] {
        let sum: u64 = rows.iter().map(|row| row[of]["sum"].as_u64().unwrap_or(0)).sum();
        assert_eq!(sum, exits.iter().map(|exit| exit[name].as_u64().unwrap_or(0)).sum::<u64>(), "{name}");
    }
    let longest = exits.iter().map(|exit| uint(&exit["lifetime_ns"])).max();
    assert_eq!(rows.iter().map(|row| uint(&row["lifetime_ns"]["max"])).max(), longest);
    let viewed = Viewed::new(&["--summary=args"], &["ends", "3", "2"]);
    assert!(viewed.live.stdout[1].trim_start().starts_with("RUNS FAILED"), "{:#?}", viewed.live.stdout);
}

/// A shell that ends when its input does: `$0` is the targets.
fn waiting(options: &[&str], script: &str) -> Trace {
    let mut command = Command::new(coretrace());
    command.args(["proc", "-O", "-"]).args(options).args(["--", "sh", "-c", script]).arg(targets());
    Trace::with_stdin(command.stdin(Stdio::piped()))
}

#[test]
fn a_summary_shows_what_there_is_so_far_and_at_the_end_with_times_as_asked_for() {
    let mut trace = waiting(&["--summary", "--stats", "1", "--time", "mono"], "\"$0\" exit 3; cat; exec \"$0\" exit 0");
    let input = trace.child.stdin.take();
    let uptime = || std::fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse::<f64>().unwrap();
    let table = trace.line("what there is so far", |line| line.contains(" programs that ended"));
    let seconds: f64 = table.split_whitespace().next().unwrap().parse().unwrap();
    assert!((seconds - uptime()).abs() < 100.0, "seconds since boot: {table}");
    let row = trace.line("the program that ended", |line| line.split_whitespace().next() == Some("1"));
    assert!(row.split_whitespace().nth(1) == Some("1") && row.ends_with(" targets"), "one run, one failed: {row}");
    drop(input);
    let ended = trace.output();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    let tables = ended.stdout.iter().filter(|line| line.contains(" programs that ended")).count();
    let last = ended.stdout.iter().rposition(|line| line.contains(" programs that ended")).unwrap();
    let rows: Vec<Vec<&str>> = ended.stdout[last + 2..].iter().map(|line| line.split_whitespace().collect()).collect();
    let targets = rows.iter().find(|row| row.last() == Some(&"targets")).unwrap_or_else(|| panic!("{rows:#?}"));
    assert_eq!((tables >= 2, targets[0], targets[1]), (true, "2", "1"), "{:#?}", ended.stdout);
    assert!(ended.stderr.iter().filter(|line| line.contains(" seen = ")).count() >= 2, "{:#?}", ended.stderr);
    // Fields are of events, of which a summary shows none.
    let refused = waiting(&["--summary", "--fields", "pid"], "true").output();
    assert_eq!(refused.status.code(), Some(2), "{:#?}", refused.stderr);
    assert!(refused.stderr.iter().any(|line| line.contains("cannot be used with")), "{:#?}", refused.stderr);
}

#[test]
fn fields_and_times_are_those_that_were_asked_for() {
    let shown = |options: &[&str]| {
        let ended = waiting(&[options, &["--stats", "1"]].concat(), "\"$0\" forks 3; :").output();
        assert!(ended.status.success(), "{:#?}", ended.stderr);
        ended.stdout
    };
    let mono = shown(&["--time", "mono", "--fields", "time,boot_ns,kind"]);
    assert!(mono.len() > 6, "{mono:#?}");
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let numbers: Vec<(f64, f64)> = mono[1..]
        .iter()
        .map(|line| (columns(line)[0].parse().unwrap(), columns(line)[1].parse::<f64>().unwrap() / 1e9))
        .collect();
    assert!(numbers.iter().all(|(time, boot)| (time - boot).abs() < 0.000_002), "{mono:#?}");
    let delta = shown(&["--time", "delta", "--fields", "time,boot_ns"]);
    let steps: Vec<(f64, f64)> = delta[1..]
        .iter()
        .map(|line| (columns(line)[0].parse().unwrap(), columns(line)[1].parse::<f64>().unwrap() / 1e9))
        .collect();
    for pair in steps.windows(2) {
        assert!((pair[1].0 - (pair[1].1 - pair[0].1)).abs() < 0.000_003, "{delta:#?}");
    }
    let none = shown(&["--time", "none", "--fields", "kind,pid"]);
    assert!(none[0].starts_with("EVENT ") && none[1].starts_with("exec "), "{none:#?}");
    let json = shown(&["-o", "json", "--fields", "pid,kind,comm"]);
    for line in &json {
        let names: Vec<String> = parse(line).as_object().unwrap().keys().cloned().collect();
        assert!(names.len() == 3 && line.starts_with("{\"pid\":") && line.contains("\"comm\":"), "{line}");
    }
}

#[test]
fn a_trace_is_of_what_was_started_and_is_the_same_from_a_recording() {
    let dir = Dir::new();
    let (file, recording) = (dir.join("trace"), dir.join("recording"));
    let mut command = Command::new(coretrace());
    command.args(["proc", "--threads", "-v", "-o", "perfetto", "-O", path(&file)]);
    command.args(["--record", path(&recording), "--"]).arg(targets()).args(["children", "spawn", "5"]);
    let live = Trace::raw(&mut command).output();
    assert!(live.status.success(), "{:#?}", live.stderr);
    assert_eq!(live.balance().dropped, 0, "{:#?}", live.stderr);
    let read = |bytes: &[u8]| {
        let mut trace = trace::Trace::whole(bytes);
        // Names of this host, which a recording does not have.
        trace.marks.iter_mut().for_each(|mark| mark.said.retain(|(name, _)| name != "user" && name != "cgroup"));
        trace
    };
    let trace = read(&std::fs::read(&file).unwrap());
    let again = Command::new(coretrace()).args(["replay", path(&recording), "-o", "perfetto"]).output().unwrap();
    assert!(again.status.success(), "{:?}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(read(&again.stdout).dump(), trace.dump());

    let program = targets().file_name().unwrap().to_string_lossy().into_owned();
    let begun = |name: &str| trace.marks.iter().filter(|mark| mark.end.is_some() && mark.name == name).count();
    let (own, forks, children) = (begun(&program), begun(&format!("fork of {program}")), begun("exe"));
    assert_eq!((own, forks, children), (1, 5, 5), "{}", trace.dump());
    for child in live.all_reported("forked") {
        let track = format!("exe {}", child["pid"]);
        let marks = trace.on(&track);
        let slices: Vec<_> = marks.iter().filter(|mark| mark.end.is_some()).collect();
        assert_eq!((slices[0].category.as_str(), slices[1].get("code")), ("fork", Some("0")), "{marks:#?}");
        assert!(slices[0].end == Some(slices[1].begin) && slices[1].get("cpu_ns").is_some(), "{marks:#?}");
        assert!(trace.parent(&track).starts_with(&program), "{}", trace.dump());
    }
}
