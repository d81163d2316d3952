//! Summaries.

use super::views::{end, exec, exit, fork, objects, open, shown};
use super::*;
use crate::output::By;
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
fn so_far_is_what_was_until_then() {
    let (mut output, mut out) = (summary(By::Program, Lines::Text, 100), Vec::new());
    events()[..7].iter().for_each(|event| output.event(&mut out, event).unwrap());
    output.stats(&mut out, T).unwrap();
    let printed = String::from_utf8(out).unwrap();
    assert!(printed.starts_with("22:13:20.123456 programs that ended") && printed.contains(" cc1\n"), "{printed}");
}
