//! `uprobe`, by debug information: a program of C (tests/bpf/binaries/functions.c) whose functions and types it has.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use test_objects::{METHODS, PROGRAMS, SOURCE};

use crate::host::{Scratch, text};
use crate::support::{Ended, Trace, coretrace};
use crate::uprobe::{WAYS, calls};

/// The program as a compiler made it with these options (tests/bpf/build.rs), as a file here.
pub(crate) fn program(scratch: &Scratch, (name, bytes): (&str, &[u8])) -> PathBuf {
    let path = scratch.file(name, bytes);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// `coretrace uprobe SPECS… -- PROGRAM`, to its end. `{}` in a spec stands for the program.
fn traced(program: &str, way: &str, specs: &[&str]) -> Ended {
    let ended = run(program, way, specs);
    assert!(ended.status.success(), "{:#?}", ended.stderr);
    ended
}

fn run(program: &str, way: &str, specs: &[&str]) -> Ended {
    let mut command = Command::new(coretrace());
    command.args(["uprobe", "-v", "-o", "json", "--attach", way]);
    command.args(specs.iter().map(|spec| spec.replace("{}", program))).args(["--", program]);
    let mut ended = Trace::raw(&mut command).output();
    ended.events =
        ended.stderr.iter().filter(|line| line.starts_with('{')).map(|line| crate::support::parse(line)).collect();
    assert_eq!(ended.totals().dropped, 0, "{:#?}", ended.stderr);
    ended
}

/// The only call of a function.
fn call<'e>(ended: &'e Ended, func: &str) -> &'e Value {
    let [call] = calls(ended, func)[..] else { panic!("{func}: {:#?}", ended.events) };
    call
}

#[test]
fn functions_parameters_and_types_are_known_by_debug_information() {
    let scratch = Scratch::new("debug-info");
    for ((name, bytes), way) in PROGRAMS.into_iter().zip(WAYS) {
        let program = program(&scratch, (name, bytes));
        let program = text(&program);
        let values = "{}:of_thing(low=thing->low, wide=thing->wide, color, text=thing->text:str)";
        let specs = ["{}:simple", "{}:many", "{}:by_value", "{}:by_memory(large.words[3], after)", values];
        let ended = traced(program, way, &specs);

        let simple = call(&ended, "simple");
        assert_eq!(simple["args"], json!({ "fd": 1, "name": program, "count": 3 }), "{name}");
        // sink += fd + count + name[0]
        assert_eq!(simple["ret"], 1 + 3 + u32::from(b'/'), "{name}");

        let many = call(&ended, "many");
        let pair = json!({ "a": 1, "b": 2, "c": 3 });
        let args =
            json!({ "a": 1, "b": 2, "c": 3, "d": "\u{4}", "e": 5, "f": 6, "g": 7, "h": "eight", "i": pair, "j": 10 });
        assert_eq!(many["args"], args, "{name}: in registers and on the stack");

        let by_value = call(&ended, "by_value");
        let args = &by_value["args"];
        assert_eq!((&args["pair"], &args["mixed"]["n"], &args["last"]), (&pair, &json!(2), &json!(4)), "{name}");
        assert_eq!(by_value["ret"], json!({ "a": 7, "b": 2, "c": 3 }), "{name}: returned in two registers");

        let by_memory = &call(&ended, "by_memory")["args"];
        assert_eq!((&by_memory["large.words[3]"], &by_memory["after"]), (&json!(4), &json!(5)), "{name}: {by_memory}");

        let thing = &call(&ended, "of_thing");
        let args = json!({ "low": 5, "wide": -5, "color": "BLUE", "text": "" });
        assert_eq!((&thing["args"], &thing["ret"]), (&args, &json!(17)), "{name}: bit fields and enums");
    }
}

#[test]
fn an_array_of_characters_without_an_end_has_all_of_them() {
    let scratch = Scratch::new("full");
    for ((name, bytes), way) in PROGRAMS.into_iter().zip(WAYS) {
        let program = program(&scratch, (name, bytes));
        for condition in ["tag->text == \"full\"", "tag->text ~ \"*ull\"", "!(tag->text == \"ful\")"] {
            let ended = traced(text(&program), way, &[&format!("{{}}:full(text=tag->text) if {condition}")]);
            assert_eq!(call(&ended, "full")["args"], json!({ "text": "full" }), "{name} {condition}: and is not cut");
        }
    }
}

#[test]
fn a_line_of_the_source_is_a_place() {
    let line = |what: &str| 1 + SOURCE.lines().position(|line| line.ends_with(&format!("// line: {what}"))).unwrap();
    let scratch = Scratch::new("lines");
    let (after, inlined) = (line("after"), line("inlined"));
    let of_inlined = format!("inlined_one (functions.c:{inlined})");
    let (plain, _) = PROGRAMS[0];
    // For arm64, optimization moves instructions of one line between those of others.
    let kept = |name: &str| name == plain || cfg!(target_arch = "x86_64");
    for ((name, bytes), way) in PROGRAMS.into_iter().zip(WAYS).filter(|((name, _), _)| kept(name)) {
        let program = program(&scratch, (name, bytes));
        let specs = [after, inlined].map(|line| format!("{{}}:functions.c:{line}"));
        let ended = traced(text(&program), way, &specs.each_ref().map(String::as_str));
        let after = call(&ended, &format!("caller_one (functions.c:{after})"));
        assert_eq!((&after["args"], &after["ret"]), (&json!({ "number": 1 }), &Value::Null), "{name}: {after}");
        // In caller_one(1), where optimization does not keep the number, and in caller_two(2).
        let mut numbers: Vec<_> =
            calls(&ended, &of_inlined).iter().map(|event| event["args"]["number"].as_u64()).collect();
        numbers[0].get_or_insert(2);
        assert_eq!(numbers, [Some(2), Some(2), Some(7)], "{name}");
        if name == plain {
            let spec = format!("{{}}:functions.c:{inlined}(number:x) if number != 2");
            let ended = traced(text(&program), way, &[&spec]);
            assert_eq!(call(&ended, &of_inlined)["args"], json!({ "number": 7 }));
        }
    }
}

#[test]
fn a_glob_leaves_out_functions_without_what_is_asked_for() {
    let scratch = Scratch::new("left-out");
    let program = program(&scratch, PROGRAMS[0]);
    // simple(fd, name, count), variadic(format, …)
    let ended = traced(text(&program), "auto", &["{}:[sv][ia][mr]*(fd)"]);
    assert_eq!(call(&ended, "simple")["args"], json!({ "fd": 1 }));
    assert!(ended.events.iter().all(|event| event["func"] != "variadic"), "{:#?}", ended.events);
    let note = "not probed: 1 functions that match, but have no such values: variadic";
    assert!(ended.stderr.iter().any(|line| line.contains(note)), "{:#?}", ended.stderr);
}

#[test]
fn an_error_of_a_glob_names_a_function_that_it_is_about() {
    let scratch = Scratch::new("all-left-out");
    let program = program(&scratch, PROGRAMS[0]);
    let spec = format!("{}:[sv][ia][mr]*(nothing)", text(&program));
    let output = Command::new(coretrace()).args(["uprobe", &spec, "--"]).arg(&program).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && stderr.contains("simple has no parameter nothing"), "{stderr}");
}

#[test]
fn functions_of_namespaces_are_called_as_in_the_source() {
    let scratch = Scratch::new("methods");
    let program = program(&scratch, METHODS);
    for (specs, names) in [
        (&["{}:space::counter::add(more, how)", "{}:space::takes(after)"][..], ["space::counter::add", "space::takes"]),
        (&["{}:space::*"], ["space::counter::add", "space::takes"]),
        (&["{}:*::add", "{}:_ZN5space5takesE5owneri"], ["space::counter::add", "space::takes"]),
    ] {
        let ended = run(text(&program), "auto", specs);
        // It exits with add(1) + takes(owner(3), 4): sink is 3 + 200 by then, and 1 for the copy that is passed.
        let [add, takes] = names.map(|name| call(&ended, name));
        assert_eq!((&add["ret"], &takes["func"]), (&json!(1), &json!("space::takes")), "{specs:?}: {add}");
        if specs.iter().any(|spec| spec.contains("how")) {
            assert_eq!((&add["args"], &takes["args"]), (&json!({ "more": 1, "how": "some" }), &json!({ "after": 4 })));
        }
    }
}

#[test]
fn notes_name_their_function_and_lines_have_no_backslash() {
    let line = 1 + SOURCE.lines().position(|line| line.ends_with("// line: doubled")).unwrap();
    let scratch = Scratch::new("notes");
    let program = program(&scratch, PROGRAMS[0]);
    let specs = ["with_floats".to_owned(), format!("functions.c:{line}(number)")];
    let mut command = Command::new(coretrace());
    command.arg("uprobe").args(specs.map(|spec| format!("{}:{spec}", text(&program)))).arg("--").arg(&program);
    let stderr = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(stderr.contains("coretrace: with_floats: not shown: first, third"), "{stderr}");
    assert!(stderr.contains(&format!(" caller_one (functions.c:{line})(number=1)")), "{stderr}");
}

#[test]
fn calls_that_have_not_returned_are_named() {
    let scratch = Scratch::new("unreturned");
    let program = program(&scratch, PROGRAMS[0]);
    let ended = run(text(&program), "auto", &["{}:simple(fd)", "{}:ends"]);
    let said = |text: &&String| text.contains("unreturned: 1 (") && text.contains(": 1 of ends; --entry shows calls");
    assert!(ended.stderr.iter().any(|line| said(&line)), "{:#?}", ended.stderr);
}
