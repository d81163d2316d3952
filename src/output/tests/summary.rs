//! Summaries.

use super::views::{end, exec, exit, fork, objects, open, shown};
use super::*;
use crate::output::By;
use crate::output::processes::Bounds;
use crate::output::summary::{BOUNDS, Summary};

fn summary(by: By, lines: Lines, rows: usize) -> Box<dyn Output> {
    Box::new(Summary::new(by, lines, UTC, Table::general(UTC.room()), BOUNDS, rows))
}

fn events() -> Vec<Event<'static>> {
    vec![
        exec(1, 2, 1, "/bin/make\0"),
        fork(2, 2, 3),
        exec(3, 3, 2, "/lib/cc1\0a\0"),
        open(4, 3, 3, b"/tmp/a.c"),
        open(5, 3, -2, b"/tmp/b.h"),
        open(6, 3, -2, b"/usr/b.h"),
        exit(12, 3, 2, 10),
        fork(13, 2, 4),
        exec(14, 4, 2, "/lib/cc1\0b\0"),
        open(15, 4, -13, b"/tmp/b.h"),
        end(33, 4, 2, 20, ("code", Value::Code(1))),
        exit(40, 2, 1, 40),
        exec(41, 9, 1, "sleep\0"),
    ]
}

#[test]
fn programs_files_and_failures_are_added_up() {
    assert_eq!(
        shown(summary(By::Program, Lines::Text, 100), &events()),
        "00:00:00.041000 programs that ended, by how long they took in all (a process counts for the last one that it ran)\n \
         RUNS FAILED  TOTAL   MEAN    P95    MAX    CPU    RSS PROGRAM\n    \
         1      0 40.0ms 40.0ms 40.0ms 40.0ms 20.0ms 1.0MiB make\n    \
         2      1 30.0ms 15.0ms 20.0ms 20.0ms 15.0ms 1.0MiB cc1\n\
         00:00:00.041000 paths, most first\n \
         COUNT FAILED PATH\n     \
         2      2 open /tmp/b.h\n     \
         1      0 open /tmp/a.c\n     \
         1      1 open /usr/b.h\n\
         00:00:00.041000 paths that failed, most first\n \
         FAILED COUNT PATH\n      \
         2     2 open /tmp/b.h\n      \
         1     1 open /usr/b.h\n\
         00:00:00.041000 by directory\n \
         COUNT FAILED DIRECTORY\n     \
         3      2 open /tmp\n     \
         1      1 open /usr\n\
         00:00:00.041000 failures by reason\n \
         COUNT ERROR\n     \
         2 open ENOENT\n     \
         1 open EACCES\n\
         -- processes that have not ended (or whose end was not seen): 1\n"
    );
}

#[test]
fn json_has_every_row_and_keeps_to_the_schema() {
    let rows = objects(summary(By::Exe, Lines::Json, 100), &events());
    assert_eq!(
        rows[0].to_string(),
        serde_json::json!({
            "kind": "summary", "time": "2000-01-01T00:00:00.041000000Z", "of": "process", "by": "exe",
            "key": "/bin/prog", "count": 3, "failed": 1,
            "lifetime_ns": { "known": 3, "sum": 70_000_000, "mean": 23_333_333, "p95": 40_000_000, "max": 40_000_000 },
            "cpu_ns": { "known": 3, "sum": 35_000_000, "mean": 11_666_666, "p95": 20_000_000, "max": 20_000_000 },
            "max_rss_bytes": { "known": 3, "sum": 3 << 20, "mean": 1 << 20, "p95": 1 << 20, "max": 1 << 20 },
        })
        .to_string()
    );
    let of = |name: &str| rows.iter().filter(|row| row["of"] == name).count();
    assert_eq!(["process", "path", "directory", "error", "call"].map(of), [1, 3, 2, 2, 0]);
}

#[test]
fn processes_are_put_together_by_what_is_asked_for() {
    let keys = |by| {
        let rows = objects(summary(by, Lines::Json, 100), &events());
        let processes = rows.iter().filter(|row| row["of"] == "process");
        processes.map(|row| row["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(By::Args), ["/bin/make", "/lib/cc1 b", "/lib/cc1 a"]);
    assert_eq!(
        (keys(By::Comm), keys(By::Uid), keys(By::Cgroup)),
        (vec!["last".into()], vec!["1000".into()], vec!["0".into()])
    );
    assert_eq!((keys(By::Container), keys(By::Unit)), (vec!["-".to_owned()], vec!["-".to_owned()]), "in none");
}

#[test]
fn rows_that_are_too_many_are_counted() {
    let printed = shown(summary(By::Program, Lines::Text, 1), &events());
    assert!(printed.contains("-- what would have been rows of their own, being too many: "), "{printed}");
    assert!(printed.contains(" cc1\n") && !printed.contains(" make\n"), "the first that came: {printed}");
}

#[test]
fn a_summary_of_nothing_says_so() {
    let of = |lines, events: &[Event<'_>]| shown(summary(By::Program, lines, 100), events);
    assert_eq!(of(Lines::Text, &[]), "-- no events\n");
    let fork = of(Lines::Text, &[fork(1, 2, 3)]);
    assert_eq!(
        fork,
        "-- nothing in the events to add up\n-- processes that have not ended (or whose end was not seen): 2\n"
    );
    assert_eq!(of(Lines::Json, &[]), "");
}

#[test]
fn so_far_is_what_was_until_then() {
    let (mut output, mut out) = (summary(By::Program, Lines::Text, 100), Vec::new());
    events()[..7].iter().for_each(|event| output.event(&mut out, event).unwrap());
    output.stats(&mut out, T).unwrap();
    let printed = String::from_utf8(out).unwrap();
    assert!(printed.starts_with("22:13:20.123456 programs that ended") && printed.contains(" cc1\n"), "{printed}");
}

/// Programs with these arguments, one after the other.
fn runs(args: &[&'static str]) -> Vec<Event<'static>> {
    let each = |(pid, args): (u32, &&'static str)| {
        let at = u64::from(pid) * 10;
        [exec(at, pid, 1, args), exit(at + 5, pid, 1, 5)]
    };
    (2..).zip(args).flat_map(each).collect()
}

#[test]
fn arguments_with_blanks_are_not_several_arguments() {
    let events = runs(&["a b\0", "a\0b\0", "a\0b\0\0"]);
    let printed = shown(summary(By::Args, Lines::Text, 100), &events);
    for row in ["a b", "'a b'", "a b ''"] {
        assert_eq!(printed.matches(&format!(" {row}\n")).count(), 1, "{row}: {printed}");
    }
    let rows = objects(summary(By::Args, Lines::Json, 100), &events);
    let keys: Vec<_> =
        rows.iter().map(|row| (row["key"].as_str().unwrap(), row["key_bytes"].as_u64().unwrap())).collect();
    assert_eq!(keys, [("a b", 4), ("a b ''", 5), ("'a b'", 4)]);
}

#[test]
fn arguments_that_are_cut_are_marked_and_counted() {
    let of = |letter: &str, more: usize| -> &'static str {
        let (first, rest) = ("x".repeat(BOUNDS.list - 2), letter.repeat(more));
        format!("a\0{first}{rest}\0").leak()
    };
    let events = runs(&[of("y", 5), of("z", 5), of("y", 9), "a\0"]);
    let printed = shown(summary(By::Args, Lines::Text, 100), &events);
    assert_eq!(printed.matches(&format!("x …[cut: {} of {} bytes]\n", BOUNDS.list, BOUNDS.list + 6)).count(), 1);
    assert_eq!(printed.matches(&format!("x …[cut: {} of {} bytes]\n", BOUNDS.list, BOUNDS.list + 10)).count(), 1);
    let counted = "-- processes whose arguments are cut: a row has all that begin alike and are as long: 3\n";
    assert!(printed.ends_with(counted), "{printed}");
    let rows = objects(summary(By::Args, Lines::Json, 100), &events);
    let of_row =
        |row: &serde_json::Value| (row["count"].as_u64(), row["key_bytes"].as_u64(), row["key_truncated"].as_bool());
    let long = BOUNDS.list as u64;
    assert_eq!(
        rows[..3].iter().map(of_row).collect::<Vec<_>>(),
        [(Some(2), Some(long + 6), Some(true)), (Some(1), Some(2), None), (Some(1), Some(long + 10), Some(true))]
    );
    assert_eq!(rows[3]["kind"], "missing");
}

#[test]
fn programs_whose_arguments_found_no_room_are_counted() {
    let bounds = Bounds { bytes: 0, ..BOUNDS };
    let full = Summary::new(By::Program, Lines::Text, UTC, Table::general(UTC.room()), bounds, 100);
    let long: &'static str = format!("/{}/make\0", "x".repeat(100)).leak();
    let printed = shown(Box::new(full), &runs(&[long]));
    assert!(printed.contains(&format!(" {}…\n", "x".repeat(63))), "{printed}");
    assert!(printed.ends_with("-- programs whose arguments are cut, being too many at once: 1\n"), "{printed}");
}

#[test]
fn paths_that_are_spelled_in_several_ways_are_one_row() {
    let events: Vec<_> = [&b"/tmp//a b"[..], b"/tmp/./a b", b"/../tmp/a b", b"/tmp/x/../a b"]
        .into_iter()
        .map(|path| open(1, 2, 3, path))
        .collect();
    let printed = shown(summary(By::Program, Lines::Text, 100), &events);
    assert!(printed.contains("     3      0 open /tmp/a\\ b\n     1      0 open /tmp/x/../a\\ b\n"), "{printed}");
    assert!(printed.contains("     3      0 open /tmp\n     1      0 open /tmp/x/..\n"), "{printed}");
}

#[test]
fn paths_that_are_cut_are_marked() {
    let of = |path| {
        let mut event = open(1, 2, 3, b"");
        event.fields.retain(|(name, _)| *name != "path");
        event.push("path", Value::Path(path));
        event
    };
    let begin = Path { called: b"b", truncated: true, ..Path::default() };
    let end = Path { called: b"/b", end_truncated: true, ..Path::default() };
    let events = [of(begin), of(end), of(Path { called: b"pipe:[1]", as_it_is: true, ..Path::default() })];
    let printed = shown(summary(By::Program, Lines::Text, 100), &events);
    for row in ["open …/b\n", "open /b…\n", "open pipe:[1]\n", "open …\n", "open /…\n"] {
        assert_eq!(printed.matches(row).count(), 1, "{row}: {printed}");
    }
    let rows = objects(summary(By::Program, Lines::Json, 100), &events);
    let cut = rows.iter().filter(|row| row["key_truncated"] == true).count();
    assert_eq!((rows.len(), cut), (5, 4));
}
