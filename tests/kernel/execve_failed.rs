//! `coretrace exec`: attempts that fail, shown as they were made.

use serde_json::{Value, json};

use crate::attempts::{Tried, Zoo, flavours, start, tried};
use crate::host::Peer;
use crate::known::strings;

/// More than `MAX_ARG_STRLEN` (include/uapi/linux/binfmts.h): 32 pages (here of 4 KiB).
const TOO_LONG: usize = 32 * 4096;

fn in_every_flavour(attempts: &[Value], check: impl Fn(&str, &Tried)) {
    for flavour in flavours() {
        check(flavour, &tried(&["--attach", flavour], attempts));
    }
}

#[test]
fn a_failure_shows_its_cause_arguments_and_path() {
    let zoo = Zoo::new();
    let argv = json!(["as given", "", "\u{fc}"]);
    let attempts = [
        ("ENOENT", json!({"path": zoo.path("missing"), "argv": argv})),
        ("ENOENT", json!({"path": zoo.path("missing"), "argv": argv, "thread": true})),
        ("EACCES", json!({"path": zoo.path("text"), "argv": argv})),
        ("EACCES", json!({"path": zoo.path("sub"), "argv": argv})),
        ("ENOEXEC", json!({"path": zoo.path("garbage"), "argv": argv})),
        ("ENOTDIR", json!({"path": zoo.path("text/x"), "argv": argv})),
    ];
    let (errors, list): (Vec<_>, Vec<_>) = attempts.into_iter().unzip();
    in_every_flavour(&list, |flavour, tried| {
        for (n, event) in tried.events.iter().enumerate() {
            assert_eq!((&event["errno"], &event["argv"]), (&json!(errors[n]), &argv), "{flavour}: {event}");
            assert_eq!((&event["path"], &event["tid"]), (&list[n]["path"], &tried.tids[n]), "{flavour}: {event}");
            assert_eq!((&event["argv_bytes"], &event["comm"]), (&json!(13), &json!("targets")));
            assert!(event.get("exe").is_none() && event.get("argv_truncated").is_none(), "{event}");
            assert_eq!((&event["parent_comm"], &event["user"]), (&json!("targets"), &json!("root")));
        }
        assert_ne!(tried.events[1]["tid"], tried.events[1]["pid"], "by another thread");
    });
}

#[test]
fn a_relative_path_is_shown_from_the_root_on() {
    let zoo = Zoo::new();
    let cwd = std::env::current_dir().unwrap();
    let attempts = [
        json!({"path": "no-such-program", "argv": ["x"]}),
        json!({"path": "missing", "at": zoo.path("sub"), "argv": ["x"]}),
        json!({"path": "../text", "at": zoo.path("sub"), "argv": ["x"]}),
        json!({"path": "/no-such-program", "at": zoo.path("sub"), "argv": ["x"]}),
    ];
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let expected = [
        path(cwd.join("no-such-program")),
        path(zoo.path("sub/missing")),
        path(zoo.path("sub/../text")),
        "/no-such-program".to_owned(),
    ];
    in_every_flavour(&attempts, |flavour, tried| {
        let paths: Vec<_> = tried.events.iter().map(|event| event["path"].clone()).collect();
        assert_eq!(paths, expected, "{flavour}");
        assert!(tried.events.iter().all(|event| event["cwd"] == json!(cwd)), "{flavour}");
    });
}

#[test]
fn an_empty_path_is_no_directory() {
    let zoo = Zoo::new();
    let attempts = [
        json!({"path": "", "argv": ["x"]}),
        json!({"path": "", "at": zoo.path("sub"), "argv": ["x"]}),
        // Here it means the descriptor's file.
        json!({"path": "", "at": zoo.path("text"), "flags": libc::AT_EMPTY_PATH, "argv": ["x"]}),
    ];
    in_every_flavour(&attempts, |flavour, tried| {
        let paths: Vec<_> = tried.events.iter().map(|event| event["path"].clone()).collect();
        assert_eq!(json!(paths), json!(["", "", zoo.path("text")]), "{flavour}");
    });
}

#[test]
fn a_check_of_whether_a_file_may_be_run_is_no_attempt() {
    const AT_EXECVE_CHECK: i32 = 0x10000;
    let zoo = Zoo::new();
    let check = |name: &str| json!({"path": zoo.path(name), "at": "/", "flags": AT_EXECVE_CHECK, "argv": ["x"]});
    let scratch = crate::host::Scratch::new("execve-check");
    let list = scratch.file("list", json!([check("program"), check("text")]).to_string());
    for flavour in flavours() {
        let ended = crate::attempts::exec(&["--attach", flavour], crate::known::words!["attempts", &list]);
        assert_eq!(ended.all_reported("tried").len(), 2, "{flavour}");
        // The target's own.
        assert_eq!(ended.events.len(), 1, "{flavour}: {:#?}", ended.events);
    }
}

#[test]
fn attempts_that_began_before_the_hooks_are_no_loss() {
    // It goes on while coretrace ends: of what a busy host keeps from being read, nothing may be lost.
    let peer = Peer::start(["fails"]);
    for flavour in flavours() {
        let pid = peer.pid().to_string();
        let args = ["--attach", flavour, "-p", &pid, "--count", "50", "--strict", "--buffer", "64M"];
        let totals = start("exec", args).end().assert_clean();
        assert!(totals.delivered >= 50, "{flavour}: {totals:?}");
    }
}

#[test]
fn no_arguments_are_none_and_bad_pointers_are_not_made_up_for() {
    let attempts = [
        ("ENOENT", json!({"path": "/no/such", "argv": []})),
        ("ENOENT", json!({"path": "/no/such"})),
        ("EFAULT", json!({"path": "/proc/self/exe", "argv": null})),
        ("EFAULT", json!({"path": "/proc/self/exe", "argv": ["one", "two", null, "four"]})),
        ("EFAULT", json!({"path": null, "argv": ["one"]})),
    ];
    let (errors, list): (Vec<_>, Vec<_>) = attempts.into_iter().unzip();
    in_every_flavour(&list, |flavour, tried| {
        let all = |field: &str| tried.events.iter().map(|e| e.get(field).cloned()).collect::<Option<Value>>().unwrap();
        assert_eq!(all("errno"), json!(errors), "{flavour}");
        assert_eq!(all("argv"), json!([[], [], null, ["one", "two"], ["one"]]), "{flavour}");
        let rest = |n: usize| (tried.events[n]["argv_bytes"].clone(), tried.events[n]["argv_truncated"].clone());
        assert_eq!([rest(0), rest(1)], [(json!(0), json!(null)), (json!(0), json!(null))], "{flavour}");
        assert_eq!((rest(3), rest(4)), ((json!(null), json!(true)), (json!(4), json!(null))), "{flavour}");
        assert_eq!((&tried.events[2]["path"], &tried.events[4]["path"]), (&json!("/proc/self/exe"), &json!(null)));
    });
}

#[test]
fn long_arguments_of_a_failure_are_cut_visibly() {
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let attempts = [
        json!({"path": "/no/such", "argv": many}),
        json!({"path": "/no/such", "argv": ["a", "x".repeat(5000), "b"]}),
        json!({"path": "/proc/self/exe", "argv": ["a", "x".repeat(TOO_LONG), "b"]}),
    ];
    in_every_flavour(&attempts, |flavour, tried| {
        let [count, length, too_big] = &tried.events[..] else { panic!("three") };
        assert_eq!(strings(&count["argv"]), many[..256], "{flavour}");
        for event in [length, too_big] {
            let argv = strings(&event["argv"]);
            assert_eq!((argv.len(), argv[0], argv[1]), (2, "a", &*"x".repeat(4095)), "{flavour}");
        }
        for event in &tried.events {
            assert_eq!((&event["argv_truncated"], &event["argv_bytes"]), (&json!(true), &json!(null)), "{flavour}");
        }
        assert_eq!((&count["errno"], &too_big["errno"]), (&json!("ENOENT"), &json!("E2BIG")), "{flavour}");
    });
}
