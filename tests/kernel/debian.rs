//! Programs and libraries as Debian has them: the static probes of python3 and of its newest C library, and a function of
//! a library that is found by its short name.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::debug_info::program;
use crate::host::{Scratch, text};
use crate::support::{Ended, Trace, coretrace, kernel};
use crate::uprobe::{WAYS, calls};

const PYTHON: &str = "/usr/bin/python3";

/// `coretrace TRACER SPECS… -- CMD…`, to its end; what CMD printed is in `stdout`.
fn traced(tracer: &str, way: &str, specs: &[String], cmd: &[&str]) -> Ended {
    traced_with(tracer, way, &[], specs, cmd)
}

fn traced_with(tracer: &str, way: &str, options: &[&str], specs: &[String], cmd: &[&str]) -> Ended {
    let mut command = Command::new(coretrace());
    command.args([tracer, "-v", "-o", "json", "--attach", way]).args(options).args(specs).arg("--").args(cmd);
    command.env("GLIBC_TUNABLES", "glibc.malloc.arena_max=7:glibc.malloc.trim_threshold=70000");
    let mut ended = Trace::raw(&mut command).output();
    ended.events =
        ended.stderr.iter().filter(|line| line.starts_with('{')).map(|line| crate::support::parse(line)).collect();
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

/// An argument of each hit.
fn args<'e>(ended: &'e Ended, func: &str, name: &str) -> Vec<&'e Value> {
    calls(ended, func).into_iter().map(|event| &event["args"][name]).collect()
}

#[test]
fn static_probes_of_python3_show_what_it_does() {
    let script = "import sys, gc, _string\n\
        gc.disable(); gc.collect()\n\
        for n in range(5): knot = []; knot.append(knot)\n\
        del knot\n\
        sys.audit('coretrace.before'); print(gc.collect(1)); sys.audit('coretrace.after')\n";
    for way in WAYS {
        let specs = [
            "import__find__load__start(name:str)",
            "import__find__load__done(name:str, found:i32)",
            "gc__start(generation:i32)",
            "gc__done(collected:i64)",
            "audit(event:str) if event ^= \"coretrace.\"",
        ];
        let specs = specs.map(|spec| format!("{PYTHON}:python:{spec}"));
        let ended = traced("usdt", way, &specs, &[PYTHON, "-ISBc", script]);
        assert_eq!(ended.stdout, ["5"], "{way}: what it collected");

        let imported = args(&ended, "python:import__find__load__start", "name");
        assert!(imported.contains(&&json!("_string")), "{way}: {imported:?}");
        let done = calls(&ended, "python:import__find__load__done");
        assert!(done.iter().any(|event| event["args"] == json!({ "name": "_string", "found": 1 })), "{way}: {done:#?}");

        let audited = args(&ended, "python:audit", "event");
        assert_eq!(audited, [&json!("coretrace.before"), &json!("coretrace.after")], "{way}");
        let mut all: Vec<&Value> = ended.events.iter().collect();
        all.sort_by_key(|event| event["boot_ns"].as_u64());
        let is_audit = |event: &&Value| event["func"] == "python:audit";
        let (first, last) = (all.iter().position(is_audit).unwrap(), all.iter().rposition(is_audit).unwrap());
        let between: Vec<_> = all[first + 1..last].iter().map(|event| (&event["func"], &event["args"])).collect();
        let expected = [
            (json!("python:gc__start"), json!({ "generation": 1 })),
            (json!("python:gc__done"), json!({ "collected": 5 })),
        ];
        assert_eq!(between, expected.each_ref().map(|(func, args)| (func, args)), "{way}");
    }
}

#[test]
fn a_negative_result_of_a_programs_function_is_no_error_of_the_kernels() {
    for way in WAYS {
        let script = "import posix; posix.access('/not/there', 0)";
        let spec = "libc:access(pathname, ret) if pathname == \"/not/there\"".to_owned();
        let ended = traced("uprobe", way, &[spec], &[PYTHON, "-ISBc", script]);
        let event = calls(&ended, "access")[0];
        assert_eq!((&event["ret"], &event["errno"]), (&json!(-1), &Value::Null), "{way}: {event}");
    }
}

#[test]
fn callers_of_a_process_that_has_ended_are_in_the_libraries_that_it_had() {
    for way in WAYS {
        let ended = traced_with("uprobe", way, &["--stack=2"], &["libc:malloc".to_owned()], &[PYTHON, "--version"]);
        let callers: Vec<_> = calls(&ended, "malloc").iter().map(|event| event["user_stack"][1].clone()).collect();
        let is_of = |caller: &Value, name: &str| caller["file"].as_str().is_some_and(|file| file.contains(name));
        assert!(callers.iter().any(|caller| is_of(caller, "python3")), "{way}: {callers:#?}");
        // Before 5.17, what is mapped cannot be asked for.
        if kernel() >= (5, 17) {
            assert!(callers.iter().any(|caller| is_of(caller, "libc.so")), "{way}: {callers:#?}");
            assert!(callers.iter().all(|caller| caller["file"].is_string()), "{way}: {callers:#?}");
        }
    }
}

#[test]
fn a_function_of_a_library_is_found_by_its_short_name() {
    let script = "import posix; posix.putenv(b'CORETRACE_WORD', b'its value'); posix.unsetenv(b'CORETRACE_WORD')";
    for way in WAYS {
        let specs = ["libc:setenv", "libc:unsetenv if name ^= \"CORE\""].map(str::to_owned);
        let ended = traced("uprobe", way, &specs, &[PYTHON, "-ISBc", script]);
        let [set] = calls(&ended, "setenv")[..] else { panic!("{way}: {:#?}", ended.events) };
        let (name, value) = (&set["args"]["name"], &set["args"]["value"]);
        assert_eq!(
            (name, value, &set["ret"]),
            (&json!("CORETRACE_WORD"), &json!("its value"), &json!(0)),
            "{way}: {set}"
        );
        let [unset] = calls(&ended, "unsetenv")[..] else { panic!("{way}: {:#?}", ended.events) };
        assert_eq!((&unset["args"]["name"], &unset["ret"]), (&json!("CORETRACE_WORD"), &json!(0)), "{way}: {unset}");
    }
}

/// Where the VM runner puts the C library of Debian's newest suite: those of the older ones have no static probes.
const NEWEST: &str = "/newest";

#[test]
fn static_probes_of_the_c_library_show_what_it_does() {
    let (libc, loader) = (format!("{NEWEST}/libc.so.6"), format!("{NEWEST}/ld.so"));
    if !Path::new(&libc).exists() {
        let name = "debian::static_probes_of_the_c_library_show_what_it_does";
        return crate::support::skip(name, "this host's C library has no static probes");
    }
    let scratch = Scratch::new("newest-libc");
    let program = program(&scratch, test_objects::PROGRAMS[0]);
    for way in WAYS {
        let specs = [
            format!("{libc}:libc:memory_mallopt_arena_max(to:u64)"),
            format!("{libc}:libc:memory_mallopt_trim_threshold(to:u64)"),
            format!("{libc}:libc:memory_sbrk_more(at:x, size:u64)"),
            format!("{loader}:rtld:init_*"),
        ];
        let ended = traced("usdt", way, &specs, &[&loader, "--library-path", NEWEST, text(&program)]);
        assert_eq!(args(&ended, "libc:memory_mallopt_arena_max", "to"), [7], "{way}");
        assert_eq!(args(&ended, "libc:memory_mallopt_trim_threshold", "to"), [70_000], "{way}");
        let sizes = args(&ended, "libc:memory_sbrk_more", "size");
        assert!(
            sizes.iter().all(|size| size.as_u64().is_some_and(|n| n >= 1 << 17 && n % 4096 == 0)),
            "{way}: {sizes:?}"
        );
        let (start, complete) = (calls(&ended, "rtld:init_start"), calls(&ended, "rtld:init_complete"));
        assert_eq!((start.len(), &start[0]["args"]["arg0"]), (1, &json!(0)), "{way}: the first namespace");
        assert_eq!((complete.len(), &complete[0]["args"]), (1, &start[0]["args"]), "{way}");
        assert!(start[0]["boot_ns"].as_u64() < complete[0]["boot_ns"].as_u64(), "{way}");
    }
}

#[test]
fn a_function_that_does_not_return_is_shown_when_it_is_called() {
    for way in WAYS {
        let ended = traced("uprobe", way, &["libc:exit(status:i32)".to_owned()], &[PYTHON, "-ISBc", "print('done')"]);
        assert_eq!(ended.stdout, ["done"], "{way}: {:#?}", ended.stderr);
        let [call] = calls(&ended, "exit")[..] else { panic!("{way}: {:#?}", ended.events) };
        assert_eq!(call["args"], json!({ "status": 0 }), "{way}");
        assert!(call.get("duration_ns").is_none() && call.get("ret").is_none(), "{way}: {call}");
        let said = "shown when they are called, not when they return: exit (it does not return)";
        assert!(ended.stderr.iter().any(|line| line.contains(said)), "{way}: {:#?}", ended.stderr);
        assert!(!ended.stderr.iter().any(|line| line.contains("unreturned")), "{way}: {:#?}", ended.stderr);
    }
}
