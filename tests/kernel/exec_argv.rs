//! exec: the arguments, of any number and length.

use serde_json::{Value, json};

use crate::known::{strings, traced, uint, words};
use crate::support::{kernel, targets};

/// The exec of a target with these arguments after its name and `who`; and the whole list.
fn run(args: &[String]) -> (Value, Vec<String>) {
    run_over("ring", args)
}

fn run_over(transport: &str, args: &[String]) -> (Value, Vec<String>) {
    let argv: Vec<String> =
        [targets().to_str().unwrap().to_owned(), "who".to_owned()].iter().chain(args).cloned().collect();
    let ended = traced(&["--transport", transport], &argv[1..]);
    (ended.kind("exec")[0].clone(), argv)
}

/// How many bytes the kernel keeps for the list: a NUL after each.
fn bytes(argv: &[impl AsRef<str>]) -> u64 {
    argv.iter().map(|arg| arg.as_ref().len() as u64 + 1).sum()
}

fn assert_complete(exec: &Value, argv: &[String]) {
    assert_eq!(strings(&exec["argv"]), argv);
    assert_eq!(exec["argv_bytes"], bytes(argv));
    assert_eq!(exec.get("argv_truncated"), None);
}

/// The kept part is a prefix of the whole; how many bytes it has.
fn assert_cut(exec: &Value, argv: &[String]) -> u64 {
    assert_eq!(exec["argv_truncated"], true);
    assert_eq!(exec["argv_bytes"], bytes(argv), "the whole length");
    let kept = strings(&exec["argv"]);
    let (last, whole) = kept.split_last().expect("something is kept");
    assert_eq!(whole, &argv[..whole.len()]);
    assert!(argv[whole.len()].starts_with(last), "{last} {}", argv[whole.len()]);
    // The last one has no NUL, as it is cut.
    bytes(whole) + last.len() as u64
}

/// This many arguments of this many bytes, all different.
fn numbered(count: usize, len: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n}{}", "x".repeat(len - n.to_string().len()))).collect()
}

#[test]
fn empty_arguments_and_spaces_are_kept() {
    let args = ["", "two words", "", "a\tb", "--x=\u{fc}", ""].map(str::to_owned);
    let (exec, argv) = run(&args);
    assert_complete(&exec, &argv);
}

#[test]
fn the_name_that_a_program_is_called_by_is_shown() {
    let ended = traced(&[], words!["arg0", "-another name", targets(), "who"]);
    let exec = ended.kind("exec")[1];
    assert_eq!(exec["argv"], json!(["-another name", "who"]));
    assert_eq!(exec["exe"], json!(targets().canonicalize().unwrap()));
    assert_eq!(exec["comm"], targets().file_name().unwrap().to_str().unwrap());
}

#[test]
fn a_program_without_arguments_is_shown() {
    // It ends with an error: it has no target to run.
    let ended = crate::known::trace(&[], words!["no-args", targets()]);
    let exec = ended.kind("exec")[1];
    let reported = (exec["argv"].clone(), uint(&exec["argv_bytes"]));
    // The kernel adds an empty one, since 5.18 and in updates of older ones (fs/exec.c: do_execveat_common).
    let none = kernel() < (5, 18) && reported == (json!([]), 0);
    assert!(none || reported == (json!([""]), 1), "{exec}");
}

#[test]
fn twenty_kilobytes_of_arguments_are_complete() {
    for args in [numbered(1, 20_000), numbered(2000, 9)] {
        for transport in ["ring", "perf"] {
            let (exec, argv) = run_over(transport, &args);
            assert!(bytes(&argv) >= 20_000);
            assert_complete(&exec, &argv);
        }
    }
}

#[test]
fn a_hundred_kilobytes_of_arguments_are_cut_visibly() {
    for args in [numbered(5, 20_000), numbered(1, 100_000), numbered(10_000, 9)] {
        for transport in ["ring", "perf"] {
            let (exec, argv) = run_over(transport, &args);
            assert!(bytes(&argv) >= 100_000);
            assert!(assert_cut(&exec, &argv) >= 20_000);
        }
    }
}

#[test]
fn what_just_fits_is_complete_and_one_byte_more_is_cut() {
    let (exec, argv) = run(&numbered(1, 100_000));
    let room = assert_cut(&exec, &argv);
    let rest = room - bytes(&argv[..2]);
    let (exec, argv) = run(&numbered(1, rest as usize - 1));
    assert_eq!(uint(&exec["argv_bytes"]), room);
    assert_complete(&exec, &argv);
    // Now the NUL at the end does not fit.
    let (exec, argv) = run(&numbered(1, rest as usize));
    assert_eq!(assert_cut(&exec, &argv), room);
}
