//! The command line from outside: help, versions, and messages about mistakes. Needs neither root nor any kernel.
//!
//! None of these commands may watch anything. If a mistake of theirs passes unnoticed, no types of a kernel are found,
//! or they watch a name that does not exist, for a moment.

use std::fs::{self, File};
use std::io::{PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

fn coretrace(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
    command.args(args).env("CORETRACE_BTF", "/no/such/file").stdin(Stdio::null()).output().expect("coretrace starts")
}

/// `coretrace proc ARGS`, which must be refused.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let harmless = ["proc", "-n", "nobody-has-this", "-d", "0.1"];
    let output = coretrace(&[&harmless, args].concat());
    assert!(output.stdout.is_empty(), "{args:?} printed something");
    (output.status.code(), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A directory that is removed after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("coretrace-cli-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn help_lists_what_there_is() {
    for args in [["--help"], ["-h"]] {
        let output = coretrace(&args);
        let printed = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty());
        for word in ["proc", "replay", "check", "schema", "completions", "sudo coretrace proc -- make", "Exit status:"]
        {
            assert!(printed.contains(word), "{word}: {printed}");
        }
        assert!(!printed.contains("__child") && !printed.contains("man  "), "what nobody types by hand: {printed}");
    }
    for (subcommand, options) in [
        ("proc", &["--follow", "--detach", "--threads", "--cwd", "--strict", "--record", "[CMD]", "-o, --output"][..]),
        ("replay", &["<FILE>", "--events", "--args", "--path", "-o, --output"]),
        ("check", &["--btf", "--kernel", "--btf-dir"]),
        ("btf", &["ls", "show", "diff", "min", "embed", "dump"]),
    ] {
        let output = coretrace(&[subcommand, "--help"]);
        let printed = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty());
        for option in options {
            assert!(printed.contains(option) || printed.contains(&option.replace(']', ">...")), "{option}: {printed}");
        }
        assert!(printed.lines().all(|line| line.chars().count() <= 120), "{subcommand}: too wide");
    }
}

#[test]
fn no_command_at_all_is_help_and_wrong_usage() {
    let output = coretrace(&[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(text(&output.stderr).contains("Usage: coretrace"));
}

#[test]
fn the_version_says_what_it_is_built_from() {
    let output = coretrace(&["--version"]);
    let printed = text(&output.stdout);
    let rest = printed.strip_prefix(concat!("coretrace ", env!("CARGO_PKG_VERSION"), " (commit ")).expect(&printed);
    let [commit, libbpf, arch] = rest.trim_end().split(", ").collect::<Vec<_>>()[..] else { panic!("{printed}") };
    let hash = commit.strip_suffix("-changed").unwrap_or(commit);
    let is_hash = hash.len() >= 7 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(output.status.success() && (is_hash || commit == "unknown" || option_env!("CORETRACE_COMMIT").is_some()));
    assert!(libbpf.strip_prefix("libbpf 1.").is_some_and(|minor| minor.starts_with(|c: char| c.is_ascii_digit())));
    assert_eq!(arch, concat!(env!("CORETRACE_ARCH"), ")"));
}

/// What a shell says of its completions' script; none where there is no such shell.
fn parsed_by(shell: &str, script: &str) -> Option<Output> {
    let mut command = Command::new(shell);
    let child = command.args(["-n", script]).env("LC_ALL", "C").stdin(Stdio::null()).output();
    match child {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{shell} is missing: scripts/deps test installs it");
            eprintln!("skipped: {shell} is not installed");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn each_shell_can_read_its_completions() {
    let scratch = Scratch::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        let output = coretrace(&["completions", shell]);
        let script = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        for word in ["proc", "replay", "completions", "--follow", "follow", "perfetto", "--count-by"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(script.contains(word), "{shell}: {word}");
        }
        let file = scratch.file(shell, script.as_bytes());
        if let Some(parsed) = parsed_by(shell, &file) {
            assert!(parsed.status.success() && parsed.stderr.is_empty(), "{shell}: {}", text(&parsed.stderr));
        }
    }
    let output = coretrace(&["completions", "tcsh"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("bash, zsh, fish"));
}

#[test]
fn a_view_that_cannot_be_is_refused() {
    let sample = |tracer: &str| format!("{}/tests/samples/{tracer}.rec", env!("CARGO_MANIFEST_DIR"));
    let cases: [(&str, &[&str], &str); 15] = [
        ("open", &["--lives"], "--lives needs to see processes end: the exit events of proc (--with proc)"),
        ("open", &["--tree"], "--tree needs to see processes end"),
        ("proc", &["--tree", "--events", "exec,fork"], "--tree needs to see processes end"),
        ("proc", &["--lives", "--args", "x"], "--args: it is about single events, and --lives is about processes"),
        ("proc", &["--summary=exe", "--lives"], "--summary"),
        ("open", &["--summary=exe"], "--summary=exe is about processes that end, and needs the exit events of proc"),
        (
            "conn",
            &["--summary"],
            "--summary: these events come to nothing; of processes, it needs the exit events of proc",
        ),
        ("proc", &["--summary=comm", "--events", "exec"], "--summary=comm is about processes that end"),
        ("conn", &["--args", "x"], "--args is about arguments of programs: no event of this run has any"),
        ("proc", &["-o", "perfetto", "--lives"], "--lives is of lines (-o text, -o json)"),
        ("proc", &["-o", "perfetto", "--fields", "pid"], "--fields is of lines"),
        (
            "open",
            &["--fields", "path,code"],
            "--fields code: there is no such field\n  closest: mode\n  there are kind, time, ",
        ),
        ("proc", &["--fields", "pid,codes"], "--fields codes: there is no such field\n  closest: code\n"),
        ("proc", &["--fields", "pid,argv,pid"], "--fields pid: it is there twice"),
        ("proc", &["--fields", "argv_bytes"], "--fields argv_bytes: that is of JSON alone, beside argv"),
    ];
    for (tracer, args, words) in cases {
        let output = coretrace(&[&["replay", &sample(tracer)], args].concat());
        let printed = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {printed}");
        assert!(printed.contains(words), "{args:?}: {printed}");
    }
}

#[test]
fn wrong_usage_is_2_and_names_what_is_wrong() {
    for (args, words) in [
        (&["--no-such-option"][..], "--no-such-option"),
        (&["stray"], "stray"),
        (&["-d", "0"], "the argument '--duration <SECONDS>' cannot be used multiple times"),
        (&["--stats", "x"], "not a number of seconds"),
        (&["--stats", "0"], "must be more than 0"),
        (&["--stats=-1"], "must be more than 0"),
        (&["--stats", "inf"], "must be more than 0"),
        (&["--count", "0"], "0 is not in 1.."),
        (&["--buffer", "1"], "must be from 4K to 1G"),
        (&["--buffer", "2G"], "must be from 4K to 1G"),
        (&["--buffer", "much"], "not a size: write 65536, 512K or 16M"),
        (&["--transport", "pigeon"], "possible values: ring, perf"),
        (
            &["--attach", "glue"],
            "possible values: auto, fentry, btf, raw, kprobe_multi, kprobe, uprobe_multi, uprobe, ksyscall, tracepoint",
        ),
        (&["-o", "xml"], "possible values: "),
        (&["-o", "perfetto", "--tree"], "--tree is of lines (-o text, -o json)"),
        (&["-o", "perfetto", "--", "true"], "CMD writes there, too: name a file with -O FILE"),
        (&["-o", "perfetto", "-O", "-", "--", "true"], "name a file with -O FILE"),
        (&["-p", "abc"], "abc"),
        (&["-p", "-5"], "-5"),
        (&["--follow"], "--pid"),
        (&["--detach"], "CMD"),
        (&["--user", "root"], "CMD"),
        (&["-p", "1", "--", "true"], "--pid"),
        (&["--"], "no CMD follows --"),
        (&["-n", "[a"], "not closed"),
        (&["-n", ""], "empty"),
        (&["--args", "("], "unclosed group"),
        (&["-u", "no-such-user"], "there is no user \"no-such-user\""),
        (&["-u", "4294967295"], "4294967295 is no user id"),
        (
            &["-c", "1", "-c", "2", "-c", "3", "-c", "4", "-c", "5", "-c", "6", "-c", "7", "-c", "8", "-c", "9"],
            "at most 8",
        ),
    ] {
        let (code, printed) = refused(args);
        assert_eq!(code, Some(2), "{args:?}: {printed}");
        assert!(printed.contains(words), "{args:?}: {printed}");
    }
}

#[test]
fn a_bad_duration_is_refused() {
    for (value, words) in
        [("0", "more than 0"), ("-1", "more than 0"), ("nan", "more than 0"), ("soon", "not a number")]
    {
        let output = coretrace(&["proc", "-n", "nobody-has-this", &format!("-d={value}")]);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{value}: {printed}");
        assert!(printed.contains(words) && printed.contains("--duration"), "{value}: {printed}");
    }
}

#[test]
fn an_unknown_kind_lists_the_known_ones() {
    for args in [&["--events", "exec,open"][..], &["--events", ""]] {
        let (code, printed) = refused(args);
        assert_eq!(code, Some(2), "{args:?}: {printed}");
        assert!(printed.contains("exec, exit, fork, clone, thread_exit"), "{args:?}: {printed}");
    }
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let scratch = Scratch::new("output");
    for option in ["-O", "--record"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
        command.args(["proc", "-n", "nobody-has-this", "-d", "0.1", option, "/no/such/dir/x"]);
        // Whatever types the kernel has: nothing is loaded.
        let output =
            command.env("CORETRACE_BTF", scratch.file("types", &types())).stdin(Stdio::null()).output().unwrap();
        let printed = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{printed}");
        assert!(printed.contains("/no/such/dir/x: No such file or directory"), "{printed}");
    }
}

/// The smallest file of types that passes for one: it describes an int.
fn types() -> Vec<u8> {
    let mut bytes = [0xeb9f_u16.to_ne_bytes(), [1, 0]].concat();
    for number in [24_u32, 0, 16, 16, 5, 1, 1 << 24, 4, 0x0100_0020] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(b"\0int\0");
    bytes
}

#[test]
fn a_missing_command_is_reported_before_the_kernel_is_looked_at() {
    for (command, code) in [("coretrace-has-no-such-command", 127), ("/no/such/program", 127), ("/", 126)] {
        let (exit, printed) = refused(&["--", command]);
        assert!(exit == Some(code) && printed.contains(command), "{exit:?}: {printed}");
    }
}

#[test]
fn a_recording_that_is_missing_or_foreign_is_named() {
    let scratch = Scratch::new("foreign");
    let missing = scratch.0.join("missing");
    let header = b"CORETRC\x03\x02\x00\x00\x00{}";
    for (file, words) in [
        (missing.to_str().unwrap().to_owned(), "No such file or directory"),
        (scratch.0.to_str().unwrap().to_owned(), "Is a directory"),
        (scratch.file("empty", b""), "not a recording"),
        (scratch.file("script", b"#!/bin/sh\n"), "not a recording"),
        (scratch.file("newer", b"CORETRC\x01....................."), "another version"),
        (scratch.file("cut", &header[..10]), "ends in its header"),
        (scratch.file("no-tracers", header), "has no tracers"),
        (scratch.file("huge", b"CORETRC\x03\xff\xff\xff\xff"), "damaged"),
        (
            scratch.file(
                "other",
                b"CORETRC\x03\x50\x00\x00\x00{\"tracers\":[{\"name\":\"x\\u001b[31m\",\"layout\":\"0x1\"}],\"version\":\"9\",\"kernel\":\"6.1\"}",
            ),
            "this version does not have",
        ),
    ] {
        let output = coretrace(&["replay", &file]);
        let printed = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{file}: {printed}");
        assert!(printed.contains(&file) && printed.contains(words) && !printed.contains('\x1b'), "{file}: {printed}");
    }
}

#[test]
fn the_schema_is_json_and_knows_every_kind() {
    let output = coretrace(&["schema"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    let all = schema.to_string();
    for kind in ["exec", "exit", "fork", "clone", "thread_exit", "lost"] {
        assert!(all.contains(&format!("\"const\":\"{kind}\"")), "{kind}");
    }
}

#[test]
fn a_closed_output_is_no_panic() {
    let file = test_objects::path("layout");
    let file = file.to_str().unwrap();
    for args in [
        &["schema"][..],
        &["--help"],
        &["check"],
        &["btf", "show", "shapes", "--btf", file],
        &["btf", "dump", "--btf", file],
        &["btf", "dump", "-o", "raw", "--btf", file],
        &["btf", "diff", file, file, "shapes"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
        let output = command.args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let printed = text(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code <= 1), "{args:?}: {:?} {printed}", output.status);
        assert!(!printed.contains("panicked"), "{args:?}: {printed}");
    }
}

#[test]
fn other_kernels_are_checked_by_their_types() {
    let scratch = Scratch::new("check-btf");
    let types = test_objects::bytes("kernel");
    let file = scratch.file("kernel", types);
    let dir = scratch.0.to_str().unwrap().to_owned();
    scratch.file("readme", b"no types\n");
    // A directory contains files that may be types; the next argument is the name of a command, and taken as that.
    for args in [&["check", "--btf", &file, "open"][..], &["check", "open", "--btf", &dir]] {
        let output = coretrace(args);
        let printed = text(&output.stdout);
        assert_eq!(
            (output.status.code(), printed.lines().filter(|l| l.contains(": open ")).count()),
            (Some(1), 1),
            "{printed}"
        );
        for words in [
            "does not work",
            "not fentry: the kernel has no BTF of its own",
            "not tracepoint: the kernel has no struct",
        ] {
            assert!(printed.contains(words), "{words}: {printed}");
        }
        assert!(!printed.contains("readme") && printed.contains("not known"), "{printed}");
    }
    let output = coretrace(&["check", "-o", "json", "--btf", &file, &scratch.file("none", b"\n")]);
    let rows: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().filter(|row| row["name"] == "proc" && row["verdict"] == "fails").count(), 2, "{rows:#?}");
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "x86_64" };
    let output = coretrace(&["check", "--btf", &file, "--arch", other]);
    assert!(!output.status.success() && text(&output.stderr).contains("architecture"));
    let output = coretrace(&["check", "--btf", "/no/such/file"]);
    assert!(output.status.code() == Some(1) && text(&output.stdout).contains("there is no such file"));
}

#[test]
fn of_an_unpacked_package_the_kernel_is_checked_and_not_its_modules() {
    let scratch = Scratch::new("check-dir");
    for dir in ["boot", "lib", "usr"] {
        fs::create_dir(scratch.0.join(dir)).unwrap();
    }
    let kernel = scratch.0.join("boot/vmlinuz-6.1").to_str().unwrap().to_owned();
    let made = coretrace(&["btf", "min", &kernel, concat!(env!("OUT_DIR"), "/proc.bpf.o")]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    // A module's types, without a base here; others that are packed, and a file that is not a kernel.
    let mut module = fs::read(&kernel).unwrap();
    let strings = u32::from_ne_bytes(module[16..20].try_into().unwrap()) as usize;
    module[24 + strings] = b'x';
    for name in ["lib/a.ko", "lib/module", "lib/vmlinux-of-a-module"] {
        scratch.file(name, &module);
    }
    scratch.file("lib/b.ko.xz", b"\xfd7zXZ\0 and no more");
    scratch.file("usr/changelog.gz", b"\x1f\x8b\x08 and no more");
    scratch.file("boot/System.map-6.1", b"0 T _text\n");
    let output = coretrace(&["check", "proc", "--kernel", scratch.0.to_str().unwrap()]);
    let printed = text(&output.stdout);
    assert_eq!(
        (output.status.code(), printed.lines().filter(|l| l.contains(": proc ")).count()),
        (Some(0), 1),
        "{printed}"
    );
    // An invalid kernel is reported nevertheless.
    scratch.file("boot/vmlinuz-6.2", b"\x1f\x8b\x08 and no more");
    let output = coretrace(&["check", "proc", "--kernel", scratch.0.to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && text(&output.stdout).contains("vmlinuz-6.2: proc"));
}

/// An RPM package of a file.
fn package(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xed\xab\xee\xdb".to_vec();
    bytes.resize(96, 0);
    for _ in 0..2 {
        bytes.extend(b"\x8e\xad\xe8\x01\0\0\0\0\0\0\0\0\0\0\0\0");
    }
    let file = cpio::NewcBuilder::new(name).mode(0o100_644);
    let files = vec![(file, std::io::Cursor::new(content.to_vec()))];
    cpio::write_cpio(files.into_iter(), &mut bytes).unwrap();
    bytes
}

#[test]
fn kernels_are_looked_into_as_they_are_shipped() {
    let scratch = Scratch::new("check-kernel");
    let types = test_objects::bytes("kernel");
    let file = scratch.file("named-by-chance.txt", &package("lib/modules/6.1/vmlinuz", types));
    scratch.file("other.rpm", &package("usr/bin/true", types));
    let dir = scratch.0.to_str().unwrap().to_owned();
    for args in [&["check", "--kernel", &file][..], &["check", "proc", "--kernel", &dir], &["check", "--btf", &file]] {
        let printed = text(&coretrace(args).stdout);
        assert!(
            printed.contains("not tracepoint: the kernel has no struct") && !printed.contains("other.rpm"),
            "{printed}"
        );
    }
    let printed = text(&coretrace(&["relocs", "--diff", &file, &file, "proc"]).stdout);
    assert!(printed.contains("proc: 0 of "), "{printed}");
    let cut = scratch.file("cut", &package("boot/vmlinuz", types)[..500]);
    for (file, words) in [
        (cut.as_str(), "is cut: what is packed in it ends early"),
        (&scratch.file("none", &package("boot/config", types)), "is a package without a kernel image"),
        (&scratch.file("old", &package("boot/vmlinuz", b"BZh91AY&SY")), "is compressed with bzip2"),
        (
            &scratch.file("arm", b"\x7fELF\x01\x01                    ".repeat(9).as_slice()),
            "is of another architecture",
        ),
    ] {
        let output = coretrace(&["check", "--kernel", file]);
        let printed = text(&output.stdout);
        assert!(output.status.code() == Some(1) && printed.contains(words), "{words}: {printed}");
    }
}

#[test]
fn what_cannot_be_embedded_leaves_no_program() {
    let scratch = Scratch::new("embed");
    let out = scratch.0.join("out").to_str().unwrap().to_owned();
    let types = test_objects::bytes("kernel");
    let empty = scratch.0.join("empty");
    fs::create_dir(&empty).unwrap();
    for (file, words) in [
        ("/no/such/file", "there is no such file"),
        (&scratch.file("1.2.3.btf", b"no types"), "is not BTF"),
        (&scratch.file("nameless", types), "call it RELEASE.btf"),
        (empty.to_str().unwrap(), "there are no types of kernels"),
    ] {
        let output = coretrace(&["btf", "embed", &out, file]);
        let printed = text(&output.stderr);
        assert!(output.status.code() == Some(1) && printed.contains(words), "{words}: {printed}");
        assert!(!PathBuf::from(&out).exists());
    }
    // Not even where it cannot be written.
    let output = coretrace(&["btf", "embed", "/no/such/dir/out"]);
    assert!(output.status.code() == Some(1) && !output.stderr.is_empty());
    let listed = coretrace(&["btf", "ls", "--embedded"]);
    assert!(listed.status.success() && text(&listed.stdout).lines().count() == 1);
}

#[test]
fn relocations_need_types() {
    let scratch = Scratch::new("relocs");
    let types = scratch.file("kernel", test_objects::bytes("kernel"));
    let object = scratch.file("all", test_objects::bytes("all"));
    let output = coretrace(&["relocs", "--btf", &types, "--object", &object]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && printed.contains("handle_all (raw_tp/sys_enter)"), "{printed}");
    assert!(printed.contains("struct thing.inners[1].b") && printed.contains("enum color::RED"), "{printed}");
    for args in [&["relocs"][..], &["relocs", "--btf", &object, "--object", "/no/such/file"], &["relocs", "nothing"]] {
        let output = coretrace(args);
        assert!(!output.status.success() && output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    let output = coretrace(&["relocs", "--diff", &types, &types, "proc"]);
    assert!(output.status.success() && text(&output.stdout).lines().count() == 1);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "it is of this architecture")]
fn of_a_kernel_of_another_architecture_it_says_what_to_ask() {
    let scratch = Scratch::new("arm64");
    let file = scratch.file("arm64.btf", test_objects::bytes("arm64"));
    const ASK: &str = "the programs in this coretrace are for the architecture x86_64: ask the coretrace for aarch64";
    for args in [&["relocs", "--btf", &file][..], &["relocs", "proc", "--diff", &file, &file]] {
        let output = coretrace(args);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(ASK) && said.contains("arm64.btf"), "{said}");
    }
    for arch in ["aarch64", "arm64"] {
        let output = coretrace(&["check", "--btf", &file, "--arch", arch]);
        assert!(output.status.code() == Some(1) && text(&output.stderr).contains(ASK), "{}", text(&output.stderr));
    }
    let output = coretrace(&["check", "--btf", &file]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("of another architecture: aarch64"), "{said}");
}

#[test]
fn types_are_shown_from_any_file() {
    let scratch = Scratch::new("btf-show");
    let file = scratch.file("layout", test_objects::bytes("layout"));
    let output = coretrace(&["btf", "show", "shapes.leaf.b", "enum sign", "--btf", &file]);
    let expected = "/* struct shapes.leaf.b: offset 52, size 4 */\nu32 b;\n\nenum sign {\n\tZERO = 0,";
    assert!(output.status.success() && text(&output.stdout).starts_with(expected), "{}", text(&output.stdout));
    let output = coretrace(&["btf", "show", "-o", "json", "leaf", "--btf", &file]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["kind"], &shown["members"][1]["offset"]), (&"struct".into(), &4.into()));
    for (args, message) in [
        (&["show", "Leaf", "--btf", &file][..], "there is no Leaf; there is: leaf"),
        (&["show", "leaf"], "/no/such/file: there is no such file"),
        (&["show"], "required"),
        (&["dump", "-o", "xml"], "possible values: c, raw"),
    ] {
        let output = coretrace(&[&["btf"], args].concat());
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        assert!(text(&output.stderr).contains(message), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn types_of_two_kernels_are_compared() {
    let scratch = Scratch::new("btf-diff");
    let [a, b] = [("a", test_objects::bytes("kernel")), ("b", test_objects::bytes("layout"))]
        .map(|(name, bytes)| scratch.file(name, bytes));
    let output = coretrace(&["btf", "diff", &a, &b, "u32", "u64", "thing", "leaf"]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && printed.starts_with("3 of 5 types changed, "), "{printed}");
    for words in ["typedef u32: the same\n", "struct thing: removed\n", "struct leaf: added\n"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let output = coretrace(&["btf", "diff", "-o", "json", &a, &b, "u32"]);
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&row["type"], &row["change"]), (&"typedef u32".into(), &"none".into()));
    // Neither has types that coretrace uses.
    let output = coretrace(&["btf", "diff", &a, &b]);
    assert!(output.status.success() && text(&output.stdout).starts_with("0 of 0 "), "{}", text(&output.stdout));
    let output = coretrace(&["btf", "diff", &a, &b, "nothing"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(text(&output.stderr).matches("there is no nothing").count() == 2);
}

#[test]
fn types_are_made_few_and_serve_as_before() {
    let scratch = Scratch::new("btf-min");
    // For coretrace, the types of a tracer's object can stand in for a kernel's.
    let proc = scratch.file("proc.o", include_bytes!(concat!(env!("OUT_DIR"), "/proc.bpf.o")));
    let open = scratch.file("open-5.10.0", include_bytes!(concat!(env!("OUT_DIR"), "/opens.bpf.o")));
    let path = |name: &str| scratch.0.join(name).to_str().unwrap().to_owned();
    let one = path("one.btf");
    let output = coretrace(&["btf", "min", &one, &proc]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&format!("{one}: ")) && text(&output.stdout).contains(" bytes, of "));
    let output = coretrace(&["btf", "min", &path("all"), &proc, &open]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(&one).unwrap(), fs::read(path("all/proc.btf")).unwrap());
    assert!(fs::read(path("all/open-5.10.0.btf")).unwrap().len() < 10_000);
    let output = coretrace(&["relocs", "--diff", &proc, &one, "proc"]);
    assert!(text(&output.stdout).starts_with("proc: 0 of "), "{}", text(&output.stdout));
    let output = coretrace(&["check", "--btf", &one]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && printed.contains("types without functions"), "{printed}");
    for (args, message) in [
        (&[&one[..], "/no/such/kernel"][..], "/no/such/kernel: there is no such file"),
        (&[&path("all"), &proc, &proc], "would both become"),
        (&["/no/such/dir/min", &proc], "/no/such/dir/min: No such file or directory"),
        (&[&one], "/no/such/file: there is no such file"),
    ] {
        let output = coretrace(&[&["btf", "min"], args].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}");
        assert!(text(&output.stderr).contains(message), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn types_are_written_as_c_that_compiles_and_as_they_are() {
    let scratch = Scratch::new("btf-dump");
    let file = scratch.file("layout", test_objects::bytes("layout"));
    let raw = scratch.0.join("raw").to_str().unwrap().to_owned();
    assert!(coretrace(&["btf", "dump", "-o", "raw", "--btf", &file, "-O", &raw]).status.success());
    let output = coretrace(&["btf", "dump", "-o", "raw", "--btf", &raw]);
    assert_eq!(output.stdout, fs::read(&raw).unwrap());
    let output = coretrace(&["btf", "dump", "--btf", &raw]);
    assert!(output.status.success() && text(&output.stdout).contains("preserve_access_index"));
    let source = scratch.file("again.c", &[&output.stdout[..], b"struct shapes *shapes;\n"].concat());
    let object = scratch.0.join("again.o").to_str().unwrap().to_owned();
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(clang);
    command.args(["-g", "-O2", "-target", "bpf", "-c", "-Werror", "-o"]).args([&object, &source]);
    assert!(command.status().unwrap().success());
    let shown = |file: &str| text(&coretrace(&["btf", "show", "struct shapes", "--btf", file]).stdout);
    assert_eq!(shown(&object), shown(&file));
}

#[test]
fn the_childs_part_is_not_for_use_by_hand() {
    for args in [&["__child"][..], &["__child", "1", "2", "3", "true"], &["__child", "", "", "", ""]] {
        let output = coretrace(args);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        assert!(!text(&output.stderr).contains("panicked"), "{args:?}");
    }
}

/// What was typed may come from anywhere, and is quoted in messages.
#[test]
fn messages_about_hostile_words_are_harmless() {
    const HOSTILE: &str = "x\x1b[31m\u{9b}1m\u{202e}\u{3164}\u{200b}\rcoretrace: all is well";
    let scratch = Scratch::new("hostile-words");
    let file = scratch.file(HOSTILE, b"#!/bin/sh\n");
    let option = format!("--{HOSTILE}");
    let class = format!("[{HOSTILE}");
    for args in [
        &[HOSTILE][..],
        &[&option],
        &["proc", &option],
        &["proc", "-o", HOSTILE],
        &["proc", "-p", HOSTILE],
        &["proc", "--args", &class],
        &["proc", "-n", &class],
        &["proc", "-u", HOSTILE],
        &["proc", "--events", HOSTILE],
        &["proc", "--btf", &file],
        &["proc", "--labels", HOSTILE],
        &["proc", "--", &file],
        &["proc", "-c", HOSTILE],
        &["open", "--flags", HOSTILE],
        &["replay", &file],
        &["check", "--btf", &file],
        &["check", "--btf", &file, "-o", "json"],
        &["relocs", "--object", &file],
        &["relocs", "--btf", &file, "-o", "json"],
        &["btf", "show", "--btf", &file, HOSTILE],
        &["btf", "diff", &file, &file],
        &["btf", "embed", &file, &file],
        &["label", "set", HOSTILE, "uid", "0", HOSTILE],
        &["label", "ls", HOSTILE],
    ] {
        let output = coretrace(args);
        assert!(!output.status.success(), "{args:?}");
        for printed in [text(&output.stdout), text(&output.stderr)] {
            let harmful = |c: char| {
                (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202e}' | '\u{3164}' | '\u{200b}')
            };
            assert!(!printed.contains(harmful), "{args:?}: {printed:?}");
        }
    }
    let forged = format!("{}/x\ncoretrace: all is well", scratch.0.display());
    let printed = text(&coretrace(&["replay", &forged]).stderr);
    assert!(printed.lines().count() == 1 && printed.contains("x\\ncoretrace: all is well"), "{printed}");
}

/// As in a script whose variable is empty.
#[test]
fn a_variable_that_is_empty_is_not_set() {
    for (name, args) in [
        ("CORETRACE_BTF", &["check"][..]),
        ("CORETRACE_BTF", &["relocs", "proc"]),
        ("CORETRACE_BTF", &["btf", "show", "u64"]),
        ("CORETRACE_BTF", &["btf", "min", "/no/such/directory/x"]),
        ("CORETRACE_BTF_DIR", &["check"]),
        ("CORETRACE_BTF_DIR", &["relocs", "proc"]),
        ("CORETRACE_BTF_DIR", &["btf", "show", "u64"]),
    ] {
        let run = |set: bool| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
            command.args(args).env_remove("CORETRACE_BTF").env_remove("CORETRACE_BTF_DIR").stdin(Stdio::null());
            if set {
                command.env(name, "");
            }
            let output = command.output().unwrap();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        assert_eq!(run(true), run(false), "{name} {args:?}");
    }
    // What is typed counts.
    let (code, printed) = refused(&["--btf", ""]);
    assert!(code == Some(2) && printed.contains("--btf"), "{printed}");
}

#[test]
fn a_file_whose_name_is_not_utf8_is_read_and_named() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new("not-utf8");
    let file = scratch.0.join(std::ffi::OsStr::from_bytes(b"\xff.btf"));
    fs::write(&file, types()).unwrap();
    let run = |args: &[&str], option: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
        let output = command.args(args).arg(option).arg(&file).stdin(Stdio::null()).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let printed = run(&["btf", "show", "int"], "--btf");
    assert!(printed.starts_with("int;"), "{printed}");
    fs::write(&file, "none").unwrap();
    for (args, option) in
        [(&["check"][..], "--btf"), (&["btf", "show", "int"], "--btf"), (&["proc", "-d", "1"], "--btf")]
    {
        let printed = run(args, option);
        assert!(printed.contains("/\\xff.btf"), "{args:?}: {printed}");
    }
}

/// `coretrace replay FILE -o json`, whose output nobody reads yet.
fn replay_into_a_pipe(file: &Path) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    // Less than is printed.
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coretrace"));
    command.arg("replay").arg(file).args(["-o", "json"]).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    (command.spawn().unwrap(), reader)
}

/// Waits until a process has this many threads: that of Ctrl-C, and once that has come the one that sets it a limit.
fn until_threads(child: &mut Child, count: usize) {
    let threads = |pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    until(child, &format!("it has no {count} threads"), |pid| threads(pid) >= count);
}

/// Waits until a process has read all that is in a FIFO, and waits for more there.
fn until_it_waits_for_input(child: &mut Child) {
    let is_reading = |pid| fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("pipe_read"));
    until(child, "it does not read", is_reading);
}

fn until(child: &mut Child, otherwise: &str, is_so: impl Fn(u32) -> bool) {
    let begin = Instant::now();
    while !is_so(child.id()) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended, and {otherwise}");
        assert!(begin.elapsed() < Duration::from_secs(60), "{otherwise}");
        std::thread::yield_now();
    }
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
}

#[test]
fn a_replay_that_is_interrupted_while_its_output_stalls_ends() {
    let (mut child, mut reader) = replay_into_a_pipe(Path::new("tests/samples/proc.rec"));
    // All is written at once, and there is no room for it.
    reader.read_exact(&mut [0]).unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed).unwrap();
    assert!(printed.len() <= 2 * 4096, "{}", printed.len());
}

#[test]
fn a_replay_that_is_interrupted_prints_what_it_has_read() {
    let scratch = Scratch::new("interrupted");
    let fifo = scratch.0.join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let (mut child, mut reader) = replay_into_a_pipe(&fifo);
    let recording = fs::read("tests/samples/proc.rec").unwrap();
    let mut input = File::options().write(true).open(&fifo).unwrap();
    // It waits in the middle of an event.
    let (first, rest) = recording.split_at(recording.len() / 2);
    input.write_all(first).unwrap();
    until_threads(&mut child, 2);
    until_it_waits_for_input(&mut child);
    interrupt(&child);
    until_threads(&mut child, 3);
    input.write_all(rest).unwrap();
    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted before the end of the recording"));
    let whole = fs::read_to_string("tests/golden/proc.json").unwrap();
    assert!(!printed.is_empty() && whole.starts_with(&printed) && printed.ends_with('\n'), "{printed}");
}
