//! An output that fails: it is reported once, CMD is waited for and its exit code passed on, and the totals are
//! printed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::host::{Scratch, is_running, text};
use crate::support::{Ended, Trace, coretrace, targets};

/// The line that reports a failure must be there once.
fn assert_reported_once(ended: &Ended, words: &str) {
    let reported = ended.stderr.iter().filter(|line| line.contains(words)).count();
    assert_eq!(reported, 1, "{words}: {:#?}", ended.stderr);
}

#[test]
fn a_command_is_waited_for_when_its_events_cannot_be_written() {
    for (args, words) in [
        (&["-O", "/dev/full"][..], "writing the output: No space left"),
        (&["-O", "/dev/null", "--record", "/dev/full"], "writing the recording: No space left"),
    ] {
        for (own, code) in [(0, 1), (5, 5)] {
            let script = format!("{} forks 300; read line; exit {own}", text(&targets()));
            let mut command = Command::new(coretrace());
            command.args(["proc", "-o", "json"]).args(args).args(["--", "/bin/sh", "-c", &script]);
            let mut trace = Trace::with_stdin(command.stdin(Stdio::piped()));
            // Only then does the command continue.
            trace.note("the failure", |line| line.contains(words));
            writeln!(trace.child.stdin.as_mut().unwrap()).expect("the command is there");
            let ended = trace.output();
            assert_eq!(ended.status.code(), Some(code), "{:#?}", ended.stderr);
            assert_reported_once(&ended, words);
            let lost = args[1] == "/dev/full";
            assert_eq!(ended.balance().dropped > 0, lost, "{:#?}", ended.stderr);
        }
    }
}

#[test]
fn with_detach_a_run_whose_output_failed_leaves_the_command() {
    let mut command = Command::new(coretrace());
    command.args(["proc", "-O", "/dev/full", "--detach", "--"]).arg(targets()).arg("obey").stdin(Stdio::piped());
    let mut trace = Trace::with_stdin(&mut command);
    let input = trace.child.stdin.take();
    let note = trace.note("that it goes on", |line| line.contains("still runs"));
    let pid: u32 = note.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(is_running(pid), "its input is still open");
    drop(input);
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
    assert_reported_once(&ended, "writing the output: No space left");
}

#[test]
fn without_a_command_the_totals_are_printed_all_the_same() {
    let mut peer = crate::host::Peer::obedient();
    let mut command = Command::new(coretrace());
    command.args(["proc", "-v", "-O", "/dev/full", "-p", &peer.pid().to_string()]);
    let mut trace = Trace::raw(&mut command);
    trace.note("the failure", |line| line.contains("writing the output: No space left"));
    let ended = trace.output();
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
    ended.balance();
    peer.close();
}

#[test]
fn a_limit_of_file_sizes_is_a_failure_and_no_end() {
    let scratch = Scratch::new("limit");
    for option in ["-O", "--record"] {
        let file = scratch.path(option);
        let traced = format!("{} proc -o json {option} {}", text(&coretrace()), text(&file));
        // Blocks of 512 bytes.
        let script = format!("ulimit -f 8; exec {traced} -- {} forks 300", text(&targets()));
        let ended = Trace::raw(Command::new("/bin/sh").args(["-c", &script])).output();
        assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.stderr);
        assert!(ended.stderr.iter().any(|line| line.contains("File too large")), "{:#?}", ended.stderr);
        ended.balance();
    }
}

#[test]
fn a_command_is_waited_for_when_nobody_reads_standard_error() {
    let scratch = Scratch::new("unread");
    for (own, code) in [(0, 1), (5, 5)] {
        let marker = scratch.path(&format!("marker-{own}"));
        let script = format!("read line; {} forks 300; touch {}; exit {own}", text(&targets()), text(&marker));
        let mut command = Command::new(coretrace());
        command.args(["proc", "--", "/bin/sh", "-c", &script]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut String::new()).unwrap();
        drop(errors);
        writeln!(child.stdin.as_mut().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(marker.exists(), "the command was waited for");
    }
}

#[test]
fn a_stream_that_is_closed_from_the_start_is_a_failure() {
    for (streams, args, code) in [
        ("2>&-", "proc -- sh -c 'exit 0'", 1),
        ("2>&-", "proc -- sh -c 'exit 5'", 5),
        (">&-", "proc -d 9 -O - -- true", 1),
    ] {
        let script = format!("exec {} {args} {streams}", text(&coretrace()));
        let ended = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}
