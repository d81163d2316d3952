//! `coretrace exec`: attempts that succeed, and their events.

use serde_json::{Value, json};

use crate::attempts::{Zoo, exec, flavours, start, tried};
use crate::host::Peer;
use crate::known::{Dir, cgroup_root, words};
use crate::support::{Trace, coretrace, targets};

#[test]
fn a_success_shows_what_runs_now() {
    let zoo = Zoo::new();
    let program = zoo.path("program");
    let argv = json!(["by another name", "exit", "0"]);
    let attempts = [
        json!({"path": program, "argv": argv}),
        json!({"path": program, "argv": argv, "thread": true}),
        json!({"path": "program", "at": zoo.dir(), "argv": argv}),
        json!({"path": "", "at": program, "flags": libc::AT_EMPTY_PATH, "argv": argv}),
    ];
    for flavour in flavours() {
        {
            let tried = tried(&["--attach", flavour], &attempts);
            for event in &tried.events {
                assert_eq!((&event["argv"], &event["argv_bytes"]), (&argv, &json!(23)), "{event}");
                assert_eq!((&event["exe"], &event["parent_comm"]), (&json!(program), &json!("targets")));
                assert_eq!((&event["cwd"], &event["tid"]), (&json!(std::env::current_dir().unwrap()), &event["pid"]));
                assert!(event.get("errno").is_none() && event.get("interp").is_none(), "{event}");
            }
            assert_ne!(tried.tids[1], tried.events[1]["pid"], "it was another thread that tried");
            // For a descriptor, the kernel makes up a path (fs/exec.c: alloc_bprm).
            let paths: Vec<_> = tried.events.iter().map(|event| event["path"].as_str().unwrap()).collect();
            let program = program.to_str().unwrap();
            assert_eq!(paths, [program, program, "/dev/fd/3/program", "/dev/fd/3"], "{flavour}");
        }
    }
}

#[test]
fn a_path_filter_finds_what_text_does_not_show() {
    let zoo = Zoo::new();
    let program = zoo.path("program");
    for flavour in flavours() {
        let mut command = std::process::Command::new(targets());
        command.args(["mounts", "+tracefs"]).arg(coretrace()).args(["exec", "-O", "-", "--attach", flavour, "--path"]);
        command
            .arg(&program)
            .arg("--")
            .arg(targets())
            .args(["arg0", "by another name"])
            .arg(&program)
            .args(["exit", "0"]);
        let ended = Trace::raw(&mut command).output();
        let [_, line] = &ended.stdout[..] else { panic!("{flavour}: {:#?}", ended.stdout) };
        assert!(line.ends_with("'by another name' exit 0"), "{line}");
    }
}

#[test]
fn a_file_in_memory_is_shown_as_such() {
    let ended = exec(&[], ["memfd", "evil", "exit", "0"]);
    let event = &ended.kind("execve")[1];
    assert_eq!((&event["exe"], &event["ret"]), (&json!("/memfd:evil"), &json!(0)));
    assert_eq!(event["argv"], json!(["evil", "exit", "0"]));
}

#[test]
fn a_script_is_shown_with_its_interpreter() {
    let zoo = Zoo::new();
    let (script, program) = (zoo.path("script"), zoo.path("program"));
    for flavour in flavours() {
        let tried = tried(&["--attach", flavour], &[json!({"path": script, "argv": ["x", "0"]})]);
        let event = &tried.events[0];
        assert_eq!((&event["path"], &event["interp"]), (&json!(script), &json!(program)), "{flavour}");
        assert_eq!((&event["exe"], &event["comm"]), (&json!(program), &json!("script")));
        assert_eq!(event["argv"], json!([program, "who", script, "0"]), "as the interpreter has them");
    }
}

#[test]
fn the_user_and_the_cgroup_are_shown_by_name() {
    let cgroup = Dir::cgroup();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let user: Vec<_> = passwd.lines().find(|line| !line.starts_with("root:")).expect("a user").split(':').collect();
    let wrap = words!["in-cgroup", cgroup.path(), targets(), "as-user", user[2], user[3], targets(), "who"];
    let ended = exec(&[], wrap);
    let [_, as_root, event] = ended.kind("execve")[..] else { panic!("{:#?}", ended.events) };
    let below = cgroup.path().strip_prefix(cgroup_root()).unwrap();
    let path = json!(format!("/{}", below.display()));
    assert_eq!((&as_root["user"], &as_root["cgroup"]), (&json!("root"), &path));
    assert_eq!((&event["user"], &event["cgroup"]), (&json!(user[0]), &path));
    let who = ended.reported("who");
    for field in ["pid", "tid", "ppid", "uid", "gid", "comm", "exe", "cwd"] {
        assert_eq!(event[field], who[field], "{field}");
    }
}

#[test]
fn a_process_is_followed_to_what_it_starts() {
    let mut peer = Peer::obedient();
    for flavour in flavours() {
        let mut trace = start("exec", ["--attach", flavour, "-p", &peer.pid().to_string(), "--follow"]);
        trace.ready();
        let program = targets();
        let pid = peer.order(&format!("run {} exit 0", program.display()));
        trace.wait_for("its child", |event| event["pid"].to_string() == pid);
        let mut other = Peer::obedient();
        other.order(&format!("run {} exit 0", program.display()));
        let ended = trace.stop();
        let totals = ended.assert_clean();
        assert_eq!(totals.delivered, 1, "{flavour}: {:#?}", ended.events);
        assert!(totals.filtered >= 2, "the other two: {totals:?}");
    }
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let zoo = Zoo::new();
    let attempts = [
        json!({"path": zoo.path("program"), "argv": ["ok", "exit", "0"]}),
        json!({"path": zoo.path("missing"), "argv": ["missing"]}),
        json!({"path": zoo.path("text"), "argv": ["text"]}),
    ];
    let scratch = crate::host::Scratch::new("only-exec");
    let list = scratch.file("list", Value::from(attempts.to_vec()).to_string());
    let glob = format!("{}/*", zoo.dir().display());
    let exact = zoo.path("program");
    for flavour in flavours() {
        let shown = |options: &[&str]| {
            let options = [&["--attach", flavour], options].concat();
            let ended = exec(&options, words!["attempts", &list]);
            assert!(ended.balance().seen >= 4, "{:#?}", ended.stderr);
            ended.events.iter().map(|event| event["argv"][0].clone()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&["-x"]), ["missing", "text"], "{flavour}");
        // These filters are user space's, whatever the hook.
        if flavour != flavours()[0] {
            continue;
        }
        assert_eq!(shown(&["--path", &glob])[0], "ok", "{flavour}");
        assert_eq!(shown(&["--path", exact.to_str().unwrap()]), ["ok"], "{flavour}");
        assert_eq!(shown(&["--args", "^text$"]), ["text"], "{flavour}");
    }
}
