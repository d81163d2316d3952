//! `coretrace check` and `coretrace schema` on a real kernel.

use std::process::Command;

use crate::host::{Scratch, copy_of_coretrace};
use crate::support::{Ended, Trace, in_vm, run, targets};

/// `coretrace check` by way of `targets WRAP…`, in a locale of UTF-8 or not.
fn check(wrap: &[&str], locale: &str, args: &[&str]) -> Ended {
    let scratch = Scratch::new(&format!("check-{:?}", std::thread::current().id()));
    let mut command = Command::new(targets());
    command.env("LC_ALL", locale).args(wrap).arg(copy_of_coretrace(&scratch)).arg("check").args(args);
    Trace::raw(&mut command).output()
}

/// The line about one thing, and what is advised below it.
fn row(ended: &Ended, name: &str) -> (String, Vec<String>) {
    let lines = &ended.stdout;
    let about = |line: &&String| line.chars().skip(2).collect::<String>().starts_with(name);
    let at = lines.iter().position(|line| about(&line)).unwrap_or_else(|| panic!("{name}: {lines:#?}"));
    let advice = lines[at + 1..].iter().take_while(|line| line.starts_with("   "));
    (lines[at].clone(), advice.cloned().collect())
}

#[test]
fn root_is_told_what_works() {
    for (locale, works) in [("C.UTF-8", '✓'), ("C", '+')] {
        let ended = check(&["mounts", "+tracefs"], locale, &[]);
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
fn others_are_told_how_to_mend_it() {
    let ended = check(&["as", "uid=54321"], "C.UTF-8", &[]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    for name in ["capabilities", "proc"] {
        let (line, advice) = row(&ended, name);
        let advice = advice.join("\n");
        assert!(line.starts_with('✗') && line.contains("cap_bpf") && line.contains("cap_perfmon"), "{line}");
        assert!(advice.contains("→ sudo coretrace") && advice.contains("sudo setcap cap_bpf,cap_perfmon"), "{advice}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let ended = check(&["mounts", "-btf,-tracefs"], "C", &[]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let (line, advice) = row(&ended, "type information");
    assert!(line.starts_with('x') && advice.iter().any(|line| line.contains("--btf FILE")), "{line} {advice:#?}");
    assert!(row(&ended, "proc").0.starts_with('x'));
    let (line, advice) = row(&ended, "tracefs");
    assert!(line.starts_with('~') && advice[0].contains("mount -t tracefs"), "{line} {advice:#?}");
    // Without tracefs alone it works in the usual way.
    let ended = check(&["mounts", "-tracefs"], "C", &[]);
    assert_eq!((ended.status.code(), row(&ended, "proc").0.starts_with('+')), (Some(0), true), "{ended:#?}");
}

#[test]
fn a_way_to_hook_in_that_does_not_work_is_named() {
    let ended = check(&["mounts", "-tracefs"], "C", &["--btf", "/no/such/file"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(row(&ended, "type information").0.contains("/no/such/file: there is no such file"), "{ended:#?}");
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
