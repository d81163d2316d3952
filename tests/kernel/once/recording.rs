//! `--record FILE` and `coretrace replay FILE`: the same events again, and what is left of a damaged file.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::{Peer, Scratch, text, until};
use crate::support::{Ended, Trace, coretrace, parse, targets};

/// Replays a recording.
fn replay(file: &Path, args: &[&str]) -> Ended {
    Trace::raw(Command::new(coretrace()).args(["replay", text(file)]).args(args)).output()
}

/// The target `family`, recorded, as JSON.
fn recorded(scratch: &Scratch, args: &[&str]) -> (std::path::PathBuf, Ended) {
    let (file, targets) = (scratch.path("recording"), targets());
    let args = args.iter().copied().chain(["--threads", "--record", text(&file), "--", text(&targets), "family"]);
    let ended = Trace::proc(args).end();
    assert_eq!(ended.status.code(), Some(11), "{:#?}", ended.stderr);
    assert_eq!(ended.totals().dropped, 0);
    (file, ended)
}

#[test]
fn a_replay_prints_what_the_run_printed() {
    let scratch = Scratch::new("replay");
    for args in [&["--cwd"][..], &["--transport", "perf"]] {
        let (file, live) = recorded(&scratch, args);
        let again = replay(&file, &["-o", "json"]);
        assert_eq!((again.status.code(), again.stderr.len()), (Some(0), 0), "{:#?}", again.stderr);
        assert!(live.events.iter().all(|event| event.get("user").is_some()), "{:#?}", live.stdout);
        assert!(again.stdout.len() > 15 && again.stdout == live.stdout, "{:#?}\n{:#?}", live.stdout, again.stdout);
        let again = replay(&file, &["-o", "text", "--utc"]);
        assert_eq!(again.stdout.len(), 1 + live.stdout.len(), "a header, and a line each");
        assert!(
            again.stdout[0].starts_with("TIME") && again.stdout[1].contains("targets family"),
            "{:#?}",
            again.stdout
        );
    }
}

#[test]
fn a_recording_of_text_is_the_same_as_one_of_json() {
    let scratch = Scratch::new("replay-text");
    let (file, targets) = (scratch.path("recording"), targets());
    let mut command = Command::new(coretrace());
    command.args(["proc", "-O", "-", "--utc", "-q", "--record", text(&file), "--", text(&targets), "forks", "3"]);
    let live = Trace::raw(&mut command).output();
    assert_eq!(live.stdout.len(), 1 + 8);
    assert_eq!(replay(&file, &["--utc"]).stdout, live.stdout);
    assert_eq!(replay(&file, &["-o", "json"]).stdout.len(), 8);
}

#[test]
fn a_recording_has_all_that_the_kernel_sent_and_filters_choose_from_it() {
    let scratch = Scratch::new("replay-filter");
    let (file, live) = recorded(&scratch, &["--args", "nothing has this", "--cwd"]);
    assert_eq!(live.events.len(), 0, "filters of user space do not shorten the recording");
    let all: Vec<Value> = replay(&file, &["-o", "json"]).stdout.iter().map(|line| parse(line)).collect();
    let first = all[0]["pid"].to_string();
    let program = all.iter().find(|e| e["argv"][2] == "5").unwrap()["pid"].to_string();
    let pids = format!("{first},{program}");
    let targets = targets();
    type Wanted<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let pid_in = |e: &Value, pids: &[&String]| pids.iter().any(|pid| e["pid"].to_string() == **pid);
    let filters: [(&[&str], Wanted); 10] = [
        (&["-n", "renamed"], Box::new(|e| e["comm"] == "renamed")),
        (&["-n", "a-*", "-n", "[r]enamed"], Box::new(|e| e["comm"] == "a-thread" || e["comm"] == "renamed")),
        (&["-p", &first], Box::new(|e| pid_in(e, &[&first]))),
        (&["-p", &pids], Box::new(|e| pid_in(e, &[&first, &program]))),
        (&["-u", "0"], Box::new(|_| true)),
        (&["-u", "54321"], Box::new(|_| false)),
        (&["--events", "exec,exit"], Box::new(|e| e["kind"] == "exec" || e["kind"] == "exit")),
        (&["--args", "exit [56]$"], Box::new(|e| e["argv"][1] == "exit")),
        (&["--path", text(&targets)], Box::new(|e| e["kind"] == "exec")),
        (
            &["--events", "exit", "-n", "targets", "-p", &program],
            Box::new(|e| e["kind"] == "exit" && pid_in(e, &[&program])),
        ),
    ];
    for (args, wanted) in &filters {
        let ended = replay(&file, &[&["-o", "json"], *args].concat());
        let shown: Vec<Value> = ended.stdout.iter().map(|line| parse(line)).collect();
        let expected: Vec<&Value> = all.iter().filter(|e| wanted(e)).collect();
        assert_eq!(shown.iter().collect::<Vec<_>>(), expected, "{args:?}");
        assert!(expected.len() < all.len() || *args == ["-u", "0"], "{args:?} chooses");
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn what_a_recording_cannot_answer_is_refused() {
    let scratch = Scratch::new("replay-refused");
    let (file, _) = recorded(&scratch, &[]);
    for (args, words) in [(&["-c", "/"][..], "-c needs the live kernel"), (&["-p", "1", "--follow"], "--follow needs")]
    {
        let ended = replay(&file, args);
        assert_ne!(ended.status.code(), Some(0), "{args:?}");
        assert!(ended.stdout.is_empty() && ended.stderr.join("\n").contains(words), "{args:?}: {:#?}", ended.stderr);
    }
}

#[test]
fn what_is_left_of_a_cut_recording_is_printed() {
    let scratch = Scratch::new("replay-cut");
    let (file, live) = recorded(&scratch, &[]);
    let live = live.stdout;
    let whole = fs::read(&file).unwrap();
    let cut = scratch.path("cut");
    let mut most = 0;
    // Every 97th place, the first and the last ones; each must be reported as cut.
    for length in (0..whole.len()).filter(|n| n % 97 == 0 || *n < 12 || *n > whole.len() - 12) {
        fs::write(&cut, &whole[..length]).unwrap();
        let ended = replay(&cut, &["-o", "json"]);
        let printed = ended.stderr.join("\n");
        assert_eq!(ended.status.code(), Some(1), "{length} bytes: {printed}");
        assert!(live.starts_with(&ended.stdout), "{length} bytes: not the first events");
        assert!(ended.stdout.len() >= most, "{length} bytes: fewer events than of fewer bytes");
        most = ended.stdout.len();
        let words = ["cut", "not a recording", "ends in its header"];
        assert!(
            printed.contains(text(&cut)) && words.iter().any(|word| printed.contains(word)),
            "{length} bytes: {printed}"
        );
    }
    assert_eq!(most, live.len(), "without its end mark alone, it has all events");
}

#[test]
fn a_recording_of_a_run_that_was_killed_has_what_was_printed() {
    let scratch = Scratch::new("replay-killed");
    let file = scratch.path("recording");
    let mut peer = Peer::obedient();
    let mut trace = Trace::proc(["-p", &peer.pid().to_string(), "--record", text(&file)]);
    let child = peer.order(&format!("run {} exit 0", text(&targets())));
    trace.wait_for("its fork", |e| e["child_pid"].to_string() == child);
    until("the event is in the recording", || !replay(&file, &["-o", "json"]).stdout.is_empty());
    trace.signal(Signal::SIGKILL);
    let live = trace.end();
    let ended = replay(&file, &["-o", "json"]);
    assert_eq!((ended.status.code(), &ended.stdout), (Some(1), &live.stdout));
    assert!(ended.stderr.join("\n").contains("the recording is cut"), "{:#?}", ended.stderr);
}

#[test]
fn a_recording_that_cannot_be_written_ends_the_run_with_an_error() {
    let ended = Trace::proc(["--record", "/dev/full", "--", text(&targets()), "forks", "1000"]).end();
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
    let printed = ended.stderr.join("\n");
    assert!(printed.contains("writing the recording") && printed.contains("No space left"), "{printed}");
}
