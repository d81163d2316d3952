//! `coretrace check` and `coretrace schema` on a real kernel.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use coretrace::host::Host;
use coretrace::host::preempt::Preemption;
use serde_json::Value;

use crate::host::{Scratch, copy_of_coretrace};
use crate::support::{Ended, Trace, in_vm, kernel, parse, run, skip, targets};

/// `coretrace check` run by `targets WRAP…`, in a locale of UTF-8 or not.
pub fn check(wrap: &[&str], locale: &str, args: &[&str]) -> Ended {
    let scratch = Scratch::new(&format!("check-{:?}", std::thread::current().id()));
    let mut command = Command::new(targets());
    command.env("LC_ALL", locale).args(wrap).arg(copy_of_coretrace(&scratch)).arg("check").args(args);
    Trace::raw(&mut command).output()
}

/// The line about one thing, and the hints below it.
pub fn row(ended: &Ended, name: &str) -> (String, Vec<String>) {
    let lines = &ended.stdout;
    let about = |line: &&String| line.chars().skip(2).collect::<String>().starts_with(name);
    let at = lines.iter().position(|line| about(&line)).unwrap_or_else(|| panic!("{name}: {lines:#?}"));
    let advice = lines[at + 1..].iter().take_while(|line| line.starts_with("   "));
    (lines[at].clone(), advice.cloned().collect())
}

#[test]
fn root_sees_what_works() {
    for (locale, works) in [("C.UTF-8", '✓'), ("C", '+')] {
        let ended = check(&["mounts", "+tracefs"], locale, &["--load"]);
        assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{ended:#?}");
        let (proc, advice) = row(&ended, "proc");
        assert!(proc.starts_with(works) && proc.contains("sched_process_exec") && advice.is_empty(), "{proc}");
        for name in ["kernel", "type information", "ring buffer", "capabilities", "tracefs", "locked memory"] {
            let (line, _) = row(&ended, name);
            assert!(line.starts_with(works) || !in_vm(), "{line}");
        }
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(row(&ended, "kernel").0.contains(release.trim()));
        assert!(locale != "C" || ended.stdout.iter().all(|line| line.is_ascii()), "{ended:#?}");
    }
}

#[test]
fn the_kinds_of_programs_maps_and_helpers_are_reported() {
    let ended = check(&["mounts", "+tracefs"], "C.UTF-8", &["proc", "exec", "open"]);
    for (name, words) in [
        ("program types", "tracing, raw_tracepoint, kprobe, tracepoint"),
        ("map types", "hash, array, perf_event_array, percpu_array, cgroup_array, lru_hash, ringbuf"),
        ("helpers", "that are called"),
    ] {
        let (line, _) = row(&ended, name);
        assert!(line.starts_with('✓') && line.contains(words), "{line}");
    }
}

#[test]
fn others_see_how_to_fix_it() {
    for args in [&["--load"][..], &[]] {
        let ended = check(&["as", "uid=54321"], "C.UTF-8", args);
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        for name in ["capabilities", "proc"] {
            let (line, advice) = row(&ended, name);
            let advice = advice.join("\n");
            assert!(line.starts_with('✗') && line.contains("cap_bpf") && line.contains("cap_perfmon"), "{line}");
            assert!(advice.contains("→ sudo coretrace"), "{advice}");
            assert!(advice.contains("sudo setcap cap_bpf,cap_perfmon"), "{advice}");
        }
    }
}

#[test]
fn what_is_missing_is_reported() {
    for args in [&["--load"][..], &[]] {
        let ended = check(&["mounts", "-btf,-tracefs"], "C", args);
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        let (line, advice) = row(&ended, "type information");
        assert!(line.starts_with('x') && advice.iter().any(|line| line.contains("--btf FILE")), "{line} {advice:#?}");
        assert!(row(&ended, "proc").0.starts_with('x'));
        let (line, advice) = row(&ended, "tracefs");
        assert!(line.starts_with('~') && advice[0].contains("mount -t tracefs"), "{line} {advice:#?}");
        // Without tracefs it works in the usual way; since 7.0 the usual way needs tracefs.
        let ended = check(&["mounts", "-tracefs"], "C", args);
        let mark = match args {
            _ if kernel() >= (7, 0) => '~',
            [] => '?',
            _ => '+',
        };
        assert_eq!((ended.status.code(), row(&ended, "proc").0.starts_with(mark)), (Some(0), true), "{ended:#?}");
    }
}

/// A kernel may refuse what its types allow: `check` once showed ✓ where a policy forbids fentry.
#[test]
fn without_loading_nothing_is_claimed_to_work() {
    let ended = check(&["mounts", "+tracefs"], "C.UTF-8", &["proc", "exec", "open"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    for command in ["proc", "exec", "open"] {
        let (line, _) = row(&ended, command);
        assert!(line.starts_with(['?', '~']), "{line}");
    }
    assert!(row(&ended, "not known").0.contains("--load"));
}

/// Verdict of a row that `-o json` printed, with the hooks.
fn verdict(ended: &Ended, command: &str) -> (String, Vec<String>) {
    let rows: Vec<Value> = ended.stdout.iter().map(|line| parse(line)).collect();
    let row = rows.iter().find(|row| row["command"] == true && row["name"] == command);
    let row = row.unwrap_or_else(|| panic!("no {command}: {rows:#?}"));
    let mut hooks: Vec<_> = row["value"].as_str().unwrap().split(", ").map(str::to_owned).collect();
    hooks.sort();
    (row["verdict"].as_str().unwrap().to_owned(), if row["verdict"] == "fails" { Vec::new() } else { hooks })
}

/// For every way to hook in, of every command.
#[test]
fn predictions_are_what_loading_does() {
    if !in_vm() {
        let why = "a host may have policies that types do not show";
        return skip("check_cmd::predictions_are_what_loading_does", why);
    }
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    const COMMANDS: [&str; 3] = ["proc", "exec", "open"];
    for attach in ["auto", "fentry", "btf", "raw", "kprobe", "ksyscall", "tracepoint"] {
        // Shows progress to whoever waits for this test.
        let _ = writeln!(std::io::stderr(), "check --attach {attach}");
        let printed = |args: &[&str]| {
            let all = [&COMMANDS[..], &["-o", "json", "--attach", attach], args].concat();
            let ended = check(&["mounts", "+tracefs"], "C", &all);
            let verdicts = COMMANDS.map(|command| verdict(&ended, command));
            let fails = verdicts.iter().any(|(verdict, _)| verdict == "fails");
            assert_eq!(ended.status.code(), Some(i32::from(fails)), "{ended:#?}");
            verdicts
        };
        let mut loaded = printed(&["--load"]);
        assert!(attach != "auto" || loaded.iter().all(|(verdict, _)| verdict != "fails"), "{loaded:?}");
        // Without loading, and from the kernel's types alone: neither claims that it works.
        for (verdict, _) in loaded.iter_mut().filter(|(verdict, _)| verdict == "works") {
            "untested".clone_into(verdict);
        }
        assert_eq!(printed(&[]), loaded, "{attach}");
        let mut offline = printed(&["--btf", BTF]);
        // Only symbols show what `open` hooks there: not all functions have types.
        if cfg!(target_arch = "aarch64") && kernel() < (5, 11) {
            offline[2] = loaded[2].clone();
        }
        // Types do not show which way is tried first.
        if attach == "auto" && Host::read(Path::new("/")).preemption != Preemption::None {
            assert_eq!(offline.map(|(verdict, _)| verdict), loaded.map(|(verdict, _)| verdict));
        } else {
            assert_eq!(offline, loaded, "{attach}");
        }
    }
}

#[test]
fn events_keep_to_the_schema() {
    let schema = run(["schema"]);
    assert!(schema.status.success());
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("coretrace.json", serde_json::from_slice(&schema.stdout).unwrap()).unwrap();
    let index = compiler.compile("coretrace.json", &mut schemas).unwrap();
    let family = [targets().into_os_string(), "family".into()];
    let args = ["--threads", "--cwd", "--"].map(Into::into);
    let ended = Trace::proc(args.into_iter().chain(family)).end();
    assert!(ended.events.len() > 15);
    for event in &ended.events {
        schemas.validate(event, index).unwrap_or_else(|error| panic!("{event}: {error:#}"));
    }
    let unknown = serde_json::json!({"kind": "no such kind"});
    assert!(schemas.validate(&unknown, index).is_err());
}
