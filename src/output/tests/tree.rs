//! Trees, also of processes of which not all was seen.

use super::views::{end, exec, exit, fork, objects, open, shown, shown_of_run};
use super::*;
use crate::output::TreeMode;
use crate::output::processes::Bounds;
use crate::output::tree::{BOUNDS, Tree};

const WIDE: Look = Look { wide: true, ..UTC };

fn tree(mode: TreeMode, lines: Lines, look: Look, bounds: Bounds) -> Box<dyn Output> {
    Box::new(Tree::new(mode, lines, look, Table::general(look.room()), bounds))
}

/// The lines of the whole tree, without its header.
fn text(look: Look, events: &[Event<'_>]) -> Vec<String> {
    let printed = shown(tree(TreeMode::End, Lines::Text, look, BOUNDS), events);
    printed.lines().skip(1).map(str::to_owned).collect()
}

/// What stands behind the numbers.
fn branches(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.get(47..).unwrap_or(line)).collect()
}

fn build() -> Vec<Event<'static>> {
    let mut events = vec![exec(1, 2, 1, "/bin/make\0-j\0"), fork(2, 2, 3), exec(3, 3, 2, "cc\0a b\0")];
    for (n, args) in ["/lib/cc1\0a\0", "/lib/cc1\0b\0", "/lib/cc1\0c\0"].into_iter().enumerate() {
        let (n, pid) = (n as u64, 10 + n as u32);
        events.extend([fork(4 + n, 3, pid), exec(5 + n, pid, 3, args), exit(20 + 10 * n, pid, 3, 16 + 9 * n)]);
    }
    events.extend([fork(50, 3, 20), end(51, 20, 3, 1, ("signal", Value::Signal(9))), exit(52, 3, 2, 50)]);
    events.extend([fork(53, 2, 30), exec(54, 30, 2, "true\0"), exit(55, 30, 2, 2), exit(60, 2, 1, 60)]);
    events
}

#[test]
fn the_tree_has_what_ended_alike_in_one_line_and_marks_failures_and_the_longest_chain() {
    assert_eq!(
        text(UTC, &build()),
        [
            "*    60.0ms  30.0ms    1.0MiB        0       2 make -j",
            "*    50.0ms  25.0ms    1.0MiB        0       3 ├ cc 'a b'",
            "     25.0ms  20.5ms    1.0MiB        0       - │ ├ × 2 cc1 …",
            "*    34.0ms  17.0ms    1.0MiB        0      12 │ ├ cc1 c",
            " !   1.00ms   500us    1.0MiB  SIGKILL      20 │ └ cc (fork)",
            "     2.00ms  1.00ms    1.0MiB        0      30 └ true",
            "* longest chain of waiting: make 60.0ms > cc 50.0ms > cc1 34.0ms",
        ]
    );
    let wide = text(WIDE, &build());
    assert_eq!(branches(&wide)[2..5], ["│ ├ cc1 a", "│ ├ cc1 b", "│ ├ cc1 c"], "with -w, nothing is folded");
}

#[test]
fn live_lines_are_indented_by_how_deep_their_process_is() {
    let printed = shown(tree(TreeMode::Live, Lines::Text, UTC, BOUNDS), &build()[..5]);
    let lines: Vec<&str> = printed.lines().map(|line| line.get(16..).unwrap_or(line)).collect();
    assert_eq!(lines[0], "exec          2 make argv=/bin/make -j exe=/bin/prog");
    assert_eq!(lines[2], "exec          3   cc argv=cc 'a b' exe=/bin/prog");
    assert_eq!(lines[4], "exec         10     cc1 argv=/lib/cc1 a exe=/bin/prog");
    assert_eq!(lines.len(), 5 + 6, "the whole tree follows: {printed}");
}

#[test]
fn json_has_parents_before_their_children_and_keeps_to_the_schema() {
    let nodes = objects(tree(TreeMode::Live, Lines::Json, UTC, BOUNDS), &build());
    let about = |node: &serde_json::Value| (node["pid"].as_u64().unwrap(), node["depth"].as_u64().unwrap());
    let shape: Vec<_> = nodes.iter().map(about).collect();
    assert_eq!(shape, [(2, 0), (3, 1), (10, 2), (11, 2), (12, 2), (20, 2), (30, 1)]);
    assert_eq!(nodes[1]["parent"], nodes[0]["id"]);
    let chain: Vec<_> = nodes.iter().filter(|node| node["longest_chain"] == true).map(|node| about(node).0).collect();
    assert_eq!(chain, [2, 3, 12]);
}

#[test]
fn what_was_not_seen_is_a_hole() {
    // The first was there before; the parent of 7 and 8 was not seen, nor were their forks.
    let events =
        [exec(10, 2, 1, "a\0"), exec(11, 7, 6, "b\0"), exit(12, 7, 6, 1), exec(13, 8, 6, "c\0"), exit(14, 8, 6, 1)];
    let lines = text(UTC, &events);
    let want = ["a (not ended)", "? (not seen, but by its children)", "├ b", "└ c"];
    assert_eq!(branches(&lines)[..4], want);
    assert!(lines[1].ends_with("       6 ? (not seen, but by its children)"), "{lines:#?}");
    let mut output = tree(TreeMode::End, Lines::Text, UTC, BOUNDS);
    let mut out = Vec::new();
    output.lost(&mut out, &LOST).unwrap();
    output.end(&mut out, &Default::default()).unwrap();
    assert!(String::from_utf8(out).unwrap().ends_with("-- events lost: the tree may have holes: 12\n"));
}

#[test]
fn a_process_whose_parent_came_after_it_is_below_that() {
    // Of both, only the ends were seen: the child's first.
    let ends = [exit(20, 3, 2, 10), exit(25, 4, 3, 2), exit(30, 2, 1, 25)];
    let of = |events: &[Event<'_>]| {
        objects(tree(TreeMode::End, Lines::Json, UTC, BOUNDS), events)
            .iter()
            .filter(|object| object["kind"] == "node")
            .map(|node| (node["pid"].as_u64().unwrap(), node["depth"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    // The third one's parent had ended by then, so that its number is another one's: it was not seen.
    assert_eq!(of(&ends), [(4, 1), (2, 0), (3, 1)]);
    let lines = text(UTC, &ends);
    let want = ["? (not seen, but by its children)", "└ last", "last (before the run)", "└ last (before the run)"];
    assert_eq!(branches(&lines)[..4], want);
    // Nothing but a program of the child was seen before its parent did something.
    assert_eq!(of(&[exec(1, 3, 2, "a\0"), exec(2, 2, 1, "b\0")]), [(2, 0), (3, 1)]);
    // A number is used again: the parent is the one that was there then.
    let twice = [exit(10, 2, 1, 8), exit(20, 3, 2, 1), exit(30, 2, 1, 15), exit(40, 2, 1, 8)];
    assert_eq!(of(&twice), [(2, 0), (2, 1), (3, 2), (2, 1)], "below the second one");
    // What makes no sense is no endless tree.
    assert_eq!(of(&[exec(1, 3, 2, "a\0"), exec(2, 2, 3, "b\0"), exec(3, 4, 4, "c\0")]).len(), 3);
}

#[test]
fn what_has_not_ended_runs_until_the_end_of_the_run() {
    let events = [exec(1, 2, 1, "make\0"), fork(2, 2, 3), exec(3, 3, 2, "sleep\0"), fork(4, 2, 4), exit(9, 4, 2, 5)];
    let lines = |over| {
        let printed = shown_of_run(tree(TreeMode::End, Lines::Text, UTC, BOUNDS), &events, over);
        printed.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(Some(1002)),
        [
            "*    >1.00s       ?         ?        ?       2 make (not ended)",
            "*    >1.00s       ?         ?        ?       3 ├ sleep (not ended)",
            "     5.00ms  2.50ms    1.0MiB        0       4 └ make (fork)",
            "* longest chain of waiting: make >1.00s > sleep >1.00s",
            "-- processes that have not ended (or whose end was not seen): 2",
        ]
    );
    let unknown = lines(None);
    assert!(unknown[0].contains(" >8.00ms "), "until the last event: {unknown:#?}");
    assert!(unknown.last().unwrap().contains("shown up to the last event"), "{unknown:#?}");
    let late = lines(Some(3));
    assert!(late[0].contains(" >8.00ms "), "events come until the hooks are gone: {late:#?}");
}

#[test]
fn the_longest_chain_may_begin_below_what_did_not_wait() {
    // What started a daemon has ended; another one lived longer than that, and not as long as the daemon.
    let events = [
        exec(1, 2, 1, "start\0"),
        fork(2, 2, 3),
        exec(3, 3, 2, "daemon\0"),
        exit(4, 2, 1, 3),
        fork(5, 3, 4),
        exec(6, 4, 3, "work\0"),
        exec(10, 9, 1, "other\0"),
        exit(50, 9, 1, 49),
        exit(900, 4, 3, 895),
        exit(1000, 3, 1, 998),
    ];
    let lines = text(UTC, &events);
    assert_eq!(lines.last().unwrap(), "* longest chain of waiting: daemon 998ms > work 895ms");
    assert_eq!(branches(&lines)[..4], ["start", "└ daemon", "  └ work", "other"]);
}

#[test]
fn a_process_that_ran_several_programs_says_so() {
    let mut events = vec![exec(1, 2, 1, "sh\0-c\0x\0"), exec(2, 2, 1, "env\0"), exec(3, 2, 1, "python3\0x.py\0")];
    events.push(exit(9, 2, 1, 8));
    assert_eq!(branches(&text(UTC, &events))[0], "sh → env → python3 x.py");
    events.insert(3, exec(4, 2, 1, "nice\0"));
    events.insert(4, exec(5, 2, 1, "true\0"));
    assert_eq!(branches(&text(UTC, &events))[0], "sh → env → … → nice → true");
    // Alike, but for what they ran before.
    let mut two = vec![exec(1, 2, 1, "make\0"), fork(2, 2, 3), exec(3, 3, 2, "env\0"), exec(4, 3, 2, "cc\0")];
    two.extend([exit(5, 3, 2, 3), fork(6, 2, 4), exec(7, 4, 2, "cc\0"), exit(8, 4, 2, 2)]);
    two.extend([fork(10, 2, 5), exec(11, 5, 2, "ld\0"), exit(30, 5, 2, 20)]);
    assert_eq!(branches(&text(UTC, &two))[1], "├ × 2 cc …");
}

#[test]
fn sums_of_which_not_all_is_known_are_more_than_that() {
    let mut events = vec![exec(1, 2, 1, "make\0"), fork(1, 2, 9), exec(1, 9, 2, "ld\0"), exit(90, 9, 2, 89)];
    for pid in 3..6 {
        let mut end = exit(10, pid, 2, 6);
        end.fields.retain(|(name, _)| *name != "cpu" || pid > 3);
        events.extend([fork(4, 2, pid), exec(5, pid, 2, "cc\0"), end]);
    }
    let lines = text(UTC, &events);
    assert_eq!(lines[2], "     6.00ms >6.00ms    1.0MiB        0       - └ × 3 cc");
}

#[test]
fn long_names_of_signals_stay_in_their_column() {
    let events = [9, 26, 34, 64].map(|signal| end(5, signal, 1, 9, ("signal", Value::Signal(signal))));
    let lines = text(UTC, &events);
    let codes: Vec<&str> = lines.iter().filter_map(|line| line.get(30..46)).take(4).collect();
    assert_eq!(codes, [" SIGKILL       9", "  VTALRM      26", "SIGRTMIN      34", "RTMIN+30      64"]);
}

#[test]
fn threads_are_told_apart_and_wide_lines_have_all_columns() {
    let mut event = open(3, 2, 3, b"/a");
    event.head.tid = 7;
    let live = |look| shown(tree(TreeMode::Live, Lines::Text, look, BOUNDS), std::slice::from_ref(&event));
    assert!(live(UTC).starts_with("00:00:00.003000 open          2 sh tid=7 ret=3 path=/a"), "{}", live(UTC));
    let wide = live(WIDE);
    assert!(wide.starts_with("00:00:00.003000 open          2       1       7  1000   100 sh ret=3 path=/a"), "{wide}");
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    let events = [fork(1, 2, 3), exec(2, 3, 2, "one\0"), fork(20, 2, 3), exec(21, 3, 2, "two\0"), exit(22, 3, 2, 2)];
    assert_eq!(branches(&text(UTC, &events))[..3], ["parent (not ended)", "├ one (not ended)", "└ two"]);
}

#[test]
fn a_tree_that_is_too_large_counts_what_it_leaves_out() {
    let few = Bounds { processes: 4, ..BOUNDS };
    let mut events = vec![exec(1, 2, 1, "top\0"), fork(2, 2, 3)];
    for n in 0..20 {
        events.extend([fork(3 + n, 3, 10 + n as u32), exit(4 + n, 10 + n as u32, 3, 1)]);
    }
    events.extend([exit(40, 3, 2, 38), exit(41, 2, 1, 40)]);
    let printed = shown(tree(TreeMode::End, Lines::Text, UTC, few), &events);
    let lines: Vec<String> = printed.lines().skip(1).map(str::to_owned).collect();
    assert_eq!(branches(&lines)[..3], ["top", "└ top (fork)", "  └ … 20 more"]);
    assert!(lines.iter().any(|line| line == "-- processes not shown, being too many: 20"), "{lines:#?}");
}

#[test]
fn a_chain_of_any_length_is_drawn_within_limits() {
    let mut events = vec![exec(1, 2, 1, "top\0")];
    events.extend((2..5000).map(|pid| fork(u64::from(pid), pid, pid + 1)));
    let lines = text(UTC, &events);
    assert!(lines.len() > 4999 && lines.iter().all(|line| line.chars().count() < 600), "{}", lines.len());
    assert!(lines[4999].ends_with(" > … 4975 more"), "{}", lines[4999]);
    assert!(lines[4000].contains("└ +3983 top (fork)"), "{}", lines[4000]);
}

#[test]
fn what_is_above_ended_processes_counts_for_the_bound() {
    let ended = |ms, pid| {
        let mut event = exit(ms, pid, 2, 1);
        event.push("ancestors", Value::Ancestors(Ancestors { bytes: &[1; 400], truncated: false }));
        event
    };
    let little = tree(TreeMode::End, Lines::Json, UTC, Bounds { bytes: 100, ..BOUNDS });
    let events = [exec(1, 2, 1, "top\0"), fork(2, 2, 3), ended(3, 3), fork(4, 2, 4), ended(5, 4), exit(9, 2, 1, 8)];
    let all = objects(little, &events);
    let long = all.iter().filter(|object| object["ancestors"].as_array().is_some_and(|all| all.len() == 20)).count();
    let cut = all.iter().filter(|object| object["ancestors_truncated"] == true).count();
    assert_eq!((long, cut), (1, 1), "{all:#?}");
}
