//! open: every way to hook in shows the same, and reports what it does not see.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use libc::{O_CREAT, O_RDONLY, O_RDWR};
use serde_json::{Value, json};

use crate::known::{Dir, words};
use crate::opened::{Script, WAYS, knowing_ways, open_command, opened, traced_opens, works};
use crate::small::{Calls, program};
use crate::support::{Ended, Trace, coretrace, in_vm, kernel, skip, target, targets};

/// A series of opens, by each call.
fn series(dir: &Dir) -> Script {
    let file = dir.join("file");
    Script::default()
        .dir(dir.path())
        .open(&file, O_CREAT | O_RDWR)
        .openat(3, "file", O_RDONLY)
        .openat(77, "file", O_RDONLY)
        .openat2(3, "/file", O_RDONLY, 0, 0x10)
        .creat(&file)
        .open("/no/such", O_RDONLY)
        .then(words!["open-nowhere"])
        .cd(dir.path())
        .open(format!("./{}", "x".repeat(5000)), O_RDONLY)
}

#[test]
fn all_ways_and_transports_show_the_same_opens() {
    let dir = Dir::new();
    let script = series(&dir);
    let mut first: Option<Vec<Value>> = None;
    for way in WAYS.iter().filter(|way| works(way)) {
        for transport in ["ring", "perf"] {
            let _ = fs::remove_file(dir.join("file"));
            let mut events = opened(&["--attach", way, "--transport", transport], &script);
            for event in &mut events {
                for name in ["time", "boot_ns", "cpu", "seq", "pid", "tid", "ppid"] {
                    event.as_object_mut().unwrap().remove(name);
                }
            }
            let first = first.get_or_insert_with(|| events.clone());
            assert_eq!(*first, events, "{way}, {transport}");
        }
    }
    assert_eq!(first.expect("a way that works").len(), 9);
}

#[test]
fn what_system_calls_alone_do_not_show_is_reported() {
    let options = ["--attach", "tracepoint"];
    let ended = traced_opens(&options, ["opens", "open", "/dev/null", "0", "0"]);
    let not_seen = "not seen by tracepoint: opens by 32-bit programs, by io_uring and by exec";
    assert!(ended.stderr.iter().any(|line| line.contains(not_seen)), "{:#?}", ended.stderr);
    assert!(ended.events.iter().all(|event| event.get("by").is_none()));
    for way in knowing_ways() {
        let ended = traced_opens(&["--attach", way], ["exit", "0"]);
        assert!(!ended.stderr.iter().any(|line| line.contains("32-bit programs")), "{:#?}", ended.stderr);
    }
}

#[test]
fn what_exec_opens_is_shown() {
    if knowing_ways().is_empty() {
        return skip("open_attach::what_exec_opens_is_shown", "neither fentry nor kprobes here");
    }
    let dir = Dir::new();
    let script = dir.join("script");
    fs::write(&script, format!("#!{} who\n", targets().display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for way in knowing_ways() {
        let ended = traced_opens(&["--attach", way], words!["in-dir", dir.path(), "./script"]);
        let execs: Vec<_> = ended.events.iter().filter(|event| event["by"] == "exec").collect();
        // The first program, the script, what runs it.
        let paths: Vec<_> = execs.iter().map(|event| &event["path"]).collect();
        let spelled = format!("{}/./script", dir.path().display());
        assert_eq!(paths, [&json!(targets()), &json!(spelled), &json!(targets())], "{way}");
        assert_eq!((&execs[1]["file"], execs[1].get("ret")), (&json!(script), None), "{way}");
        assert_eq!(execs[1]["flags"], json!(["O_RDONLY"]), "{way}");
    }
}

#[test]
fn what_exec_fails_to_open_is_shown() {
    if knowing_ways().is_empty() {
        return skip("open_attach::what_exec_fails_to_open_is_shown", "neither fentry nor kprobes here");
    }
    for way in knowing_ways() {
        let ended = traced_opens(&["--attach", way, "-x"], ["no-exec", "/no/program"]);
        let event = ended.all("open", "path", &json!("/no/program"));
        assert_eq!(event.len(), 1, "{way}: {:#?}", ended.events);
        assert_eq!((&event[0]["by"], &event[0]["errno"]), (&json!("exec"), &json!("ENOENT")), "{way}");
    }
}

/// What io_uring opened below that directory. Its workers belong to the process since 5.12; before, to no process.
fn by_io_uring(way: &str, dir: &Dir, args: &[&str]) -> Ended {
    let below = dir.path().to_str().unwrap();
    let args = [&["uring"], args].concat();
    if kernel() >= (5, 12) {
        return traced_opens(&["--attach", way, "--path", below], args);
    }
    let mut trace = Trace::raw(&mut open_command(["--attach", way, "--path", below]));
    trace.ready();
    let (_, output) = target(&args);
    let mut ended = trace.stop();
    ended.assert_clean();
    ended.stderr.extend(String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned));
    ended
}

#[test]
fn what_io_uring_opens_is_shown_once() {
    if !in_vm() {
        return skip("open_attach::what_io_uring_opens_is_shown_once", "would watch all of the host on old kernels");
    }
    for way in knowing_ways() {
        let dir = Dir::new();
        let (file, missing) = (dir.join("file"), dir.join("missing"));
        fs::write(&file, "").unwrap();
        let (file, missing) = (file.to_str().unwrap(), missing.to_str().unwrap());
        // The missing one is not in the kernel's cache either: it is tried, and then left to a worker.
        let ended =
            by_io_uring(way, &dir, &["0", file, "inline", file, "worker", missing, "inline", missing, "worker"]);
        assert_eq!(ended.events.len(), 4, "{way}: {:#?}", ended.events);
        for (n, (event, reported)) in ended.events.iter().zip(ended.all_reported("open")).enumerate() {
            assert_eq!(event["by"], "io_uring", "{way}: {event}");
            assert_eq!(event["path"], if n < 2 { file } else { missing }, "{way}");
            assert_eq!(event["flags"], json!(["O_RDONLY"]), "{way}: {event}");
            let ret = if reported["ret"].as_i64() < Some(0) { reported["ret"].clone() } else { Value::Null };
            assert_eq!(event["ret"], ret, "{way}: {event}");
        }
    }
}

#[test]
fn what_32_bit_programs_open_is_shown() {
    const TEST: &str = "open_attach::what_32_bit_programs_open_is_shown";
    let dir = Dir::new();
    let small = dir.join("small");
    // By another process: one that a test forks meanwhile would have it open for writing, and then it cannot be run.
    let bytes = dir.join("bytes");
    fs::write(&bytes, program(Calls::Open)).unwrap();
    assert!(Command::new("cp").arg(&bytes).arg(&small).status().unwrap().success());
    fs::set_permissions(&small, fs::Permissions::from_mode(0o755)).unwrap();
    if let Err(error) = Command::new(&small).arg("/dev/null").status() {
        return skip(TEST, &format!("the kernel runs no 32-bit programs: {error}"));
    }
    if knowing_ways().is_empty() {
        return skip(TEST, "neither fentry nor kprobes here");
    }
    for way in knowing_ways() {
        for (path, ret) in [("/dev/null", 3), ("/no/such", -2)] {
            let mut command = open_command(["--attach", way, "-n", "small", "--"]);
            let ended = Trace::raw(command.arg(&small).arg(path)).end();
            assert_eq!(ended.status.code(), Some(ret & 0xff), "{way}: {:#?}", ended.stderr);
            let events = ended.all("open", "path", &json!(path));
            assert_eq!(events.len(), 1, "{way}: {:#?}", ended.events);
            assert_eq!((&events[0]["ret"], events[0].get("by")), (&json!(ret), None), "{way}");
        }
    }
}

#[test]
fn every_option_loads_in_every_way() {
    for way in WAYS.iter().filter(|way| works(way)) {
        for options in [&["-w", "-x", "--write"][..], &["-n", "x*", "-u", "0"], &["--path", "/x", "--flags", "O_CREAT"]]
        {
            // Text needs fewer fields than JSON, so it is another program to the verifier.
            let mut command = Command::new(coretrace());
            command.args(["open", "-O", "/dev/null", "--attach", way]).args(options);
            let ended = Trace::raw(command.arg("--").arg(targets()).args(["exit", "0"])).output();
            assert_eq!(ended.status.code(), Some(0), "{way} {options:?}: {:#?}", ended.stderr);
        }
    }
}
