//! Lives, also of processes of which not all was seen.

use super::views::{MS, end, exec, exit, fork, objects, open, shown};
use super::*;
use crate::output::lives::Lives;
use crate::output::processes::Bounds;

fn lives(lines: Lines, bounds: Bounds) -> Box<dyn Output> {
    Box::new(Lives::new(lines, UTC, Table::general(UTC.room()), bounds))
}

fn text(events: &[Event<'_>]) -> String {
    shown(lives(Lines::Text, Bounds::default()), events)
}

#[test]
fn a_life_is_a_line_when_it_ends() {
    let mut out = Vec::new();
    lives(Lines::Text, Bounds::default()).header(&mut out).unwrap();
    let events = [
        fork(10, 5, 6),
        exec(11, 6, 5, "cc\0-c\0"),
        open(12, 6, 3, b"/a"),
        exec(13, 6, 5, "cc1\0a b\0"),
        exit(30, 6, 5, 20),
    ];
    assert_eq!(
        String::from_utf8(out).unwrap() + &text(&events),
        "START           DURATION    CPU       RSS     CODE     PID    PPID COMM            ARGS\n\
         00:00:00.010000   20.0ms 10.0ms    1.0MiB        0       6       5 last            cc → cc1 'a b'\n\
         -- processes that have not ended (or whose end was not seen): 1\n"
    );
}

#[test]
fn json_has_what_both_events_have_and_keeps_to_the_schema() {
    let events = [
        fork(10, 5, 6),
        exec(11, 6, 5, "cc\0"),
        open(12, 6, 3, b"/a"),
        exit(30, 6, 5, 20),
        end(40, 5, 1, 35, ("signal", Value::Signal(9))),
    ];
    let objects = objects(lives(Lines::Json, Bounds::default()), &events);
    assert_eq!(
        objects[0].to_string(),
        serde_json::json!({
            "kind": "life", "time": "2000-01-01T00:00:00.030000000Z", "boot_ns": 30_000_000, "pid": 6, "ppid": 5,
            "uid": 1000, "gid": 100, "comm": "last", "cgroup_id": 0, "begun": "fork", "creator_pid": 5,
            "start": "2000-01-01T00:00:00.010000000Z", "start_boot_ns": 10_000_000, "programs": 1,
            "exec_time": "2000-01-01T00:00:00.011000000Z", "exec_boot_ns": 11_000_000, "argv": ["cc"], "argv_bytes": 3,
            "exe": "/bin/prog", "code": 0, "lifetime_ns": 20_000_000, "cpu_ns": 10_000_000, "max_rss_bytes": 1 << 20,
            "end_seen": true, "events": { "open": 1 }
        })
        .to_string()
    );
    let second = (&objects[1]["begun"], &objects[1]["signal"], objects[1].get("argv"), objects.len());
    assert_eq!(second, (&"before".into(), &"SIGKILL".into(), None, 2));
}

#[test]
fn a_process_that_ran_no_program_says_whose_fork_it_is() {
    let printed =
        text(&[exec(1, 5, 1, "sh\0-c\0x\0"), fork(2, 5, 6), fork(3, 6, 7), exit(4, 7, 6, 1), exit(5, 6, 5, 3)]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].ends_with(" (fork of 6) sh -c x") && lines[1].ends_with(" (fork of 5) sh -c x"), "{printed}");
}

#[test]
fn what_was_not_seen_is_not_made_up() {
    // Two that were there before, one whose fork was not seen, one that runs a program without one.
    let printed =
        text(&[exit(10, 5, 1, 9), exit(11, 6, 1, 12), exit(20, 7, 1, 3), exec(30, 8, 1, "a\0"), exit(31, 8, 1, 2)]);
    let ends = printed.lines().map(|line| line.rsplit_once("last").unwrap().1.trim_start()).collect::<Vec<_>>();
    assert_eq!(ends, ["(before the run)", "(before the run)", "(its start was not seen)", "a"]);
}

#[test]
fn what_began_after_the_run_was_not_there_before_it_though_nothing_was_seen_before() {
    let mut lives = lives(Lines::Text, Bounds::default());
    lives.began(5 * MS);
    let printed = shown(lives, &[exit(100, 5, 1, 96), exit(101, 6, 1, 90), exit(102, 7, 1, 90)]);
    let ends = printed.lines().map(|line| line.rsplit_once("last").unwrap().1.trim_start()).collect::<Vec<_>>();
    assert_eq!(ends, ["(before the run)", "(its start was not seen)", "(its start was not seen)"]);
}

#[test]
fn a_parent_that_ended_is_no_parent_any_more() {
    let all = objects(lives(Lines::Json, Bounds::default()), &[fork(10, 5, 6), exit(20, 5, 1, 19), exit(30, 6, 1, 20)]);
    let about: Vec<_> = all.iter().map(|life| (&life["pid"], &life["ppid"], life.get("creator_pid"))).collect();
    assert_eq!(about, [(&5.into(), &1.into(), None), (&6.into(), &1.into(), Some(&5.into()))]);
    let printed = text(&[fork(10, 5, 6), exit(20, 5, 1, 19), exit(30, 6, 1, 20)]);
    assert!(printed.contains("       6       1 last            (fork of 5)"), "{printed}");
}

#[test]
fn time_does_not_go_backwards_from_line_to_line() {
    let look = Look { time: crate::output::Time::Delta, ..UTC };
    let delta = |events: &[Event<'_>]| {
        shown(Box::new(Lives::new(Lines::Text, look, Table::general(look.room()), Bounds::default())), events)
    };
    let printed = delta(&[exit(10, 5, 1, 9), exit(30, 6, 1, 29), exit(35, 7, 1, 1)]);
    let times: Vec<&str> = printed.lines().map(|line| &line[..14]).collect();
    assert_eq!(times, ["     +0.000000", "     +0.020000", "     +0.005000"]);
}

#[test]
fn a_program_is_shown_behind_those_before() {
    let printed =
        text(&[exec(1, 5, 1, "sh\0-c\0"), exec(2, 5, 1, "env\0"), exec(3, 5, 1, "cc\0a\0"), exit(9, 5, 1, 9)]);
    assert!(printed.ends_with(" sh → env → cc a\n"), "{printed}");
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    // Its end was lost: the next one's fork shows that, or how long that one lived.
    let printed =
        text(&[fork(1, 5, 6), exec(2, 6, 5, "one\0"), fork(50, 5, 6), exec(51, 6, 5, "two\0"), exit(60, 6, 5, 10)]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].ends_with(" one (its end was not seen)") && lines[1].ends_with(" two"), "{printed}");
    assert!(lines[0].starts_with("00:00:00.001000        ?      ?         ?        ?       6"), "{printed}");
    let printed = text(&[fork(1, 5, 6), exec(2, 6, 5, "one\0"), exec(51, 6, 5, "two\0"), exit(60, 6, 5, 10)]);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].contains("(fork of 5) (its end was not seen)") && lines[1].ends_with(" two"), "{printed}");
}

#[test]
fn what_does_not_fit_is_counted() {
    let few = Bounds { processes: 2, ..Bounds::default() };
    let events =
        [fork(1, 5, 6), fork(2, 5, 7), exec(3, 7, 5, "x\0"), exit(4, 7, 5, 2), exit(5, 6, 5, 4), exit(9, 8, 5, 3)];
    let printed = shown(lives(Lines::Text, few), &events);
    assert!(
        printed.ends_with("\n-- processes not kept, being too many at once: 1\n-- processes that have not ended (or whose end was not seen): 1\n"),
        "{printed}"
    );
    let little = Bounds { bytes: 1, ..Bounds::default() };
    let long = concat!("long\0", "0123456789012345678901234567890123456789012345678901234567890123456789\0");
    let events = [exec(1, 5, 1, "x\0"), exec(2, 6, 1, long), exit(3, 6, 1, 1)];
    let objects = objects(lives(Lines::Json, little), &events);
    assert_eq!((&objects[0]["argv_truncated"], &objects[0]["argv_bytes"]), (&true.into(), &76.into()));
    assert_eq!((&objects[1]["kind"], &objects[1]["count"]), (&"missing".into(), &1.into()));
}

#[test]
fn what_is_above_a_process_is_let_go_of_when_it_ends() {
    let ended = |ms, pid| {
        let mut event = exit(ms, pid, 1, 1);
        event.push("ancestors", Value::Ancestors(Ancestors { bytes: &[1; 400], truncated: false }));
        event
    };
    let (mut output, mut out) = (lives(Lines::Json, Bounds { bytes: 100, ..Bounds::default() }), Vec::new());
    for n in 0..3 {
        output.event(&mut out, &ended(n, 5)).unwrap();
    }
    let printed = String::from_utf8(out).unwrap();
    assert!(printed.lines().count() == 3 && !printed.contains("truncated"), "{printed}");
}

#[test]
fn arguments_are_let_go_of_when_a_process_ends() {
    let little = Bounds { bytes: 64, ..Bounds::default() };
    let mut output = lives(Lines::Text, little);
    let mut out = Vec::new();
    for n in 0..100 {
        output.event(&mut out, &exec(2 * n, 5, 1, "one\0two\0three\0")).unwrap();
        output.event(&mut out, &exit(2 * n + 1, 5, 1, 1)).unwrap();
    }
    output.end(&mut out, &Default::default()).unwrap();
    let printed = String::from_utf8(out).unwrap();
    assert!(
        printed.lines().count() == 100 && printed.lines().all(|line| line.ends_with(" one two three")),
        "{printed}"
    );
}

#[test]
fn the_command_began_with_the_run() {
    let mut lives = lives(Lines::Json, Bounds::default());
    lives.command(5);
    let objects =
        objects(lives, &[exec(11, 5, 1, "make\0"), exit(30, 5, 1, 29), exec(40, 5, 1, "ls\0"), exit(41, 5, 1, 3)]);
    // The second one has its number again.
    assert_eq!(objects.iter().map(|life| &life["begun"]).collect::<Vec<_>>(), ["command", "unseen"]);
}

#[test]
fn a_life_says_where_it_was() {
    let container = Container { id: "ab".repeat(32), name: Some("web".to_owned()), ..Container::default() };
    let names = Names { unit: Some(b"a.scope"), container: Some(&container), ..Names::default() };
    let in_it = |event| Event { names: Some(names), ..event };
    let events = || [in_it(exit(10, 6, 5, 9)), Event { names: Some(Names::default()), ..exit(11, 7, 5, 9) }];
    let found = objects(lives(Lines::Json, Bounds::default()), &events());
    assert_eq!((&found[0]["unit"], &found[0]["container"]["name"]), (&"a.scope".into(), &"web".into()));
    assert_eq!((&found[1]["unit"], &found[1]["container"]), (&().into(), &().into()));
    let look = Look { wide: true, ..UTC };
    let wide =
        shown(Box::new(Lives::new(Lines::Text, look, Table::general(look.room()), Bounds::default())), &events());
    let ends: Vec<&str> = wide.lines().map(|line| line.split_once(" last ").unwrap().1.trim_start()).collect();
    assert_eq!(ends, ["web             (before the run)", "-               (before the run)"]);
}
