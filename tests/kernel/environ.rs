//! Environments of programs (--env, --env-diff), and the processes above them (--ancestors).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::text as path;
use crate::known::{Dir, flavours, strings, text, uint, words};
use crate::support::{Ended, Trace, coretrace, parse, targets};

/// Traces a command, with this environment alone; a replay shows the same.
fn run(options: &[&str], env: &[(&str, OsString)], cmd: &[OsString]) -> Ended {
    let dir = Dir::new();
    let file = dir.join("recording");
    let mut command = Command::new(coretrace());
    command.env_clear().env("PATH", "/bin:/usr/bin").envs(env.iter().cloned());
    command.args(["proc", "-o", "json", "-O", "-", "--record", path(&file)]).args(options).arg("--").args(cmd);
    let ended = Trace::raw(&mut command).end();
    ended.assert_clean();
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    let mut again = Command::new(coretrace());
    let again = Trace::raw(again.args(["replay", path(&file), "-o", "json"])).output();
    assert_eq!(again.stdout, ended.stdout, "{:#?}", again.stderr);
    ended
}

/// `sh -c SCRIPT`, in which `$0` is the targets.
fn shell(script: &str) -> [OsString; 4] {
    words!["sh", "-c", script, targets()]
}

/// The exec of the target of that name.
fn exec_of<'a>(ended: &'a Ended, name: &str) -> &'a Value {
    let found = ended.kind("exec").into_iter().find(|exec| strings(&exec["argv"])[1..].join(" ") == name);
    found.unwrap_or_else(|| panic!("no exec of {name}: {:#?}", ended.events))
}

#[test]
fn variables_are_those_of_the_program_that_starts() {
    for flavour in flavours() {
        let env = [("A", "it is".into()), ("EMPTY", "".into()), ("LD_A", OsString::from_vec(b"a\xff".into()))];
        let ended = run(
            &["--attach", flavour, "--env", "LD_*,A,EMPTY"],
            &env,
            &shell("A=2 B=3 \"$0\" exit 0; unset A; exec \"$0\" burst 0"),
        );
        let first = &ended.events[0];
        assert_eq!(first["env"], json!({ "A": "it is", "EMPTY": "", "LD_A": "a\u{fffd}" }), "{flavour}: {first}");
        assert_eq!(first["env_b64"], json!(["TERfQT1h/w=="]), "{flavour}: {first}");
        let whole: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert_eq!(uint(&first["env_bytes"]), (whole + "PATH=/bin:/usr/bin".len() + 1) as u64, "{flavour}: {first}");
        assert_eq!(first.get("env_truncated"), None);
        assert_eq!(
            exec_of(&ended, "exit 0")["env"],
            json!({ "A": "2", "EMPTY": "", "LD_A": "a\u{fffd}" }),
            "{flavour}"
        );
        assert_eq!(exec_of(&ended, "burst 0")["env"], json!({ "EMPTY": "", "LD_A": "a\u{fffd}" }), "{flavour}");
    }
    let ended = run(&[], &[], &words!["true"]);
    assert_eq!(ended.events[0].get("env"), None, "it was not asked for");
}

#[test]
fn an_environment_that_does_not_fit_is_cut_visibly() {
    let large = "x".repeat(60_000);
    let env = [("A", "1".into()), ("LARGE", large.clone().into()), ("Z", "1".into())];
    for transport in ["ring", "perf"] {
        let ended = run(&["--transport", transport, "--env", "*"], &env, &words!["true"]);
        let exec = &ended.events[0];
        let shown = text(&exec["env"]["LARGE"]);
        assert!(shown.len() > 20_000 && large.starts_with(shown), "{}", shown.len());
        assert_eq!(
            (&exec["env"]["A"], &exec["env_truncated"], exec["env"].get("Z")),
            (&json!("1"), &json!(true), None)
        );
        let whole = "A=1 LARGE= Z=1 PATH=/bin:/usr/bin ".len() + large.len();
        assert_eq!(uint(&exec["env_bytes"]), whole as u64);
        // Where the arguments take the room, less is left.
        let cmd = words!["sh", "-c", ":", "y".repeat(24_000)];
        let ended = run(&["--transport", transport, "--env", "*"], &env, &cmd);
        let exec = &ended.events[0];
        assert_eq!((exec.get("argv_truncated"), &exec["env_truncated"]), (None, &json!(true)));
        let shown = text(&exec["env"]["LARGE"]).len();
        assert!((1000..10_000).contains(&shown), "{shown}");
    }
}

#[test]
fn what_differs_is_compared_with_what_the_parents_program_was_started_with() {
    // What the shell sets by itself.
    let own = |name: &String| ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str());
    let differs = |exec: &Value| {
        ["new", "changed", "removed"].map(|change| {
            let all = exec["env_diff"][change].as_object().unwrap_or_else(|| panic!("no {change}: {exec}"));
            let all = all.iter().filter(|(name, _)| !own(name));
            all.map(|(name, value)| format!("{name}={} ", text(value))).collect::<String>()
        })
    };
    let env = [("A", "1".into()), ("GONE", "1".into())];
    let script =
        "A=2 NEW=1 \"$0\" exit 0; export B=1; unset GONE; \"$0\" burst 0; (\"$0\" forks 0; :); exec \"$0\" forks 2";
    let by_hook = flavours().into_iter().map(|flavour| vec!["--env-diff", "--attach", flavour]);
    let more = [vec!["--env-diff", "--events", "exec"], vec!["--env-diff", "--env", "A", "--threads"]];
    for options in by_hook.chain(more) {
        let ended = run(&options, &env, &shell(script));
        assert_eq!(differs(&ended.events[0]), ["", "", ""], "coretrace is the parent: as /proc has it");
        assert_eq!(differs(exec_of(&ended, "exit 0")), ["NEW=1 ", "A=2 ", ""], "{options:?}");
        // Also of a fork that was not seen, and has ended.
        for name in ["burst 0", "forks 0"] {
            assert_eq!(differs(exec_of(&ended, name)), ["B=1 ", "", "GONE=1 "], "{name} {options:?}");
        }
        // Of what the shell becomes, the parent is coretrace.
        assert_eq!(differs(exec_of(&ended, "forks 2")), ["B=1 ", "", "GONE=1 "], "{options:?}");
    }
}

fn pids(event: &Value) -> Vec<u64> {
    event["ancestors"].as_array().unwrap_or_else(|| panic!("{event}")).iter().map(|one| uint(&one["pid"])).collect()
}

#[test]
fn ancestors_are_those_up_to_init() {
    for flavour in flavours() {
        let script = "sh -c '\"$0\" forks 1; :' \"$0\"; :";
        let ended = run(&["--attach", flavour, "--ancestors", "64"], &[], &shell(script));
        let exec = exec_of(&ended, "forks 1");
        let outer = uint(&ended.events[0]["pid"]);
        let chain = pids(exec);
        assert_eq!((chain[0], chain[1]), (uint(&exec["ppid"]), outer), "{flavour}: {exec}");
        assert_eq!(
            (chain[2], chain[3]),
            (uint(&ended.events[0]["ppid"]), u64::from(std::process::id())),
            "{flavour}: {exec}"
        );
        assert_eq!((chain.last(), exec.get("ancestors_truncated")), (Some(&1), None), "{flavour}: {exec}");
        let names: Vec<&str> = (0..3).map(|n| text(&exec["ancestors"][n]["comm"])).collect();
        assert_eq!(names, ["sh", "sh", "coretrace"], "{flavour}");
        for event in &ended.events {
            assert_eq!(pids(event)[0], uint(&event["ppid"]), "{flavour}: {event}");
            assert_eq!(event["parent_comm"], event["ancestors"][0]["comm"], "{flavour}: {event}");
        }
        let ended = run(&["--attach", flavour, "--ancestors", "2", "--threads"], &[], &shell(script));
        for event in &ended.events {
            assert_eq!((pids(event).len(), &event["ancestors_truncated"]), (2, &json!(true)), "{flavour}: {event}");
        }
    }
    let ended = run(&[], &[], &words!["true"]);
    let event = &ended.events[0];
    assert_eq!((event.get("ancestors"), &event["parent_comm"]), (None, &json!("coretrace")), "none were asked for");
}

#[test]
fn ancestors_end_at_the_first_process_of_coretraces_namespace() {
    for flavour in flavours() {
        let mut command = Command::new(targets());
        command.arg("pidns").arg(coretrace()).args(["proc", "-o", "json", "-O", "-", "--attach", flavour]);
        command.args(["--ancestors", "9", "--"]).args(shell("\"$0\" forks 1; :"));
        let ended = Trace::raw(&mut command).end();
        let exec = exec_of(&ended, "forks 1");
        assert_eq!(
            (pids(exec), exec.get("ancestors_truncated")),
            (vec![uint(&exec["ppid"]), 1], None),
            "{flavour}: {exec}"
        );
    }
}

#[test]
fn the_name_of_the_parent_is_shown_where_all_is() {
    let shown = |options: &[&str]| {
        let mut command = Command::new(coretrace());
        command.args(["proc", "-O", "-"]).args(options).arg("--").args(shell("\"$0\" exit 0; :"));
        Trace::raw(&mut command).output().stdout
    };
    let wide = shown(&["-w"]);
    assert!(wide.len() > 4 && wide[1..].iter().all(|line| line.contains(" parent_comm=")), "{wide:#?}");
    let plain = shown(&[]);
    assert!(plain.iter().all(|line| !line.contains("parent_comm")), "{plain:#?}");
    let fields = shown(&["--fields", "kind,parent_comm,ancestors", "--ancestors", "1"]);
    assert!(fields[1].starts_with("exec ") && fields[1].contains(" coretrace"), "{fields:#?}");
    let lives = shown(&["--lives", "-o", "json"]);
    assert_eq!(lives.iter().map(|line| parse(line)["parent_comm"].clone()).collect::<Vec<_>>(), ["sh", "coretrace"]);
}
