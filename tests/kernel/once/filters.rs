//! Filters of user space, and invalid filters.

use crate::filters::refused;
use crate::host::{Peer, Scratch, text};
use crate::support::{Trace, targets};

#[test]
fn a_number_that_is_no_process_is_refused() {
    let mut peer = Peer::obedient();
    let thread = peer.order("thread");
    let printed = refused(1, &["-p", &thread]);
    assert!(
        printed.contains(&format!("-p {thread}")) && printed.contains(&format!("give -p {}", peer.pid())),
        "{printed}"
    );
    let gone = Peer::obedient();
    let pid = gone.pid().to_string();
    gone.end();
    let printed = refused(1, &["-p", &pid]);
    assert!(printed.contains(&format!("-p {pid}")) && printed.contains("no such process"), "{printed}");
}

#[test]
fn arguments_and_paths() {
    let script =
        "targets=$1; shift; \"$targets\" exit 0; \"$targets\" forks 1; \"$targets\" exit 1; \"$targets\" exit 22";
    let targets = targets();
    let traced = |filter: [&str; 2]| {
        let command = ["--", "/bin/sh", "-c", script, "sh", text(&targets)];
        Trace::proc(filter.into_iter().chain(command)).end()
    };
    let all = traced(["--events", "exec"]);
    assert_eq!(all.kind("exec").len(), 5, "sh, and four programs");
    for (filter, words) in [
        (["--args", "exit [0-9]$"], vec!["exit 0", "exit 1"]),
        (["--args", "forks"], vec!["-c", "forks 1"]),
        (["--path", text(&targets)], vec!["exit 0", "forks 1", "exit 1", "exit 22"]),
        (["--path", "/no/such/*"], vec![]),
    ] {
        let ended = traced(filter);
        let totals = ended.totals();
        assert_eq!((totals.dropped, ended.status.code()), (0, Some(22)), "{filter:?}");
        let shown: Vec<String> = ended
            .events
            .iter()
            .map(|e| {
                let argv: Vec<&str> = e["argv"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
                argv[1..].join(" ")
            })
            .collect();
        assert_eq!(shown.len(), words.len(), "{filter:?}: {shown:#?}");
        assert!(shown.iter().zip(words).all(|(shown, word)| shown.starts_with(word)), "{filter:?}: {shown:#?}");
        // Five programs; four or five forks, as the shell may not fork for its last command; as many exits and its own.
        assert!(totals.filtered + totals.delivered >= 5 + 4 + 5, "{totals:?}");
    }
}

#[test]
fn bad_patterns_are_refused() {
    for (code, args, words) in [
        (2, ["-n", "[a"], "not closed"),
        (2, ["--args", "("], "unclosed group"),
        (2, ["--path", "etc"], "paths are absolute"),
        (2, ["--path", "."], "paths are absolute"),
        (2, ["--path", ""], "matches nothing"),
        (1, ["-c", "/no/such/cgroup"], "there is no cgroup at"),
        (2, ["-u", "no-such-user"], "no-such-user"),
    ] {
        let printed = refused(code, &args);
        assert!(printed.contains(words), "{args:?}: {printed}");
    }
    let scratch = Scratch::new("no-cgroup");
    let printed = refused(1, &["-c", text(&scratch.path("x"))]);
    assert!(printed.contains("there is no cgroup at"), "{printed}");
}
