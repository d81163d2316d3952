//! Malicious names and arguments: in JSON they lose no byte, in text they stay one harmless line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::known::{Dir, traced, uint, words};
use crate::support::{run, targets};

/// Arguments that a terminal would obey, that would forge a line, or that are not text.
const HOSTILE: [&[u8]; 12] = [
    b"\x1b[2J\x1b[31mred",
    b"\x1b]0;title\x07",
    b"two\nlines\r\n12:00:00 exec",
    b"tab\tand\x08\x08back",
    "bidi \u{202e}gnp.exe\u{202c} \u{2066}x\u{2069}".as_bytes(),
    "invisible \u{200b}\u{feff}\u{e0041}\u{3164}".as_bytes(),
    "C1 \u{9b}31m \u{85}".as_bytes(),
    b"not UTF-8 \xff\xfe\xc0\x80 \xed\xa0\x80",
    b"a byte too few \xe2\x82",
    b"quote \" backslash \\ \\u001b 'single' $(reboot)",
    b"\x7f",
    b"",
];

fn os(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a string")).expect("base64")
}

/// The bytes of a field, from its readable form or, if that is incomplete, from its `_b64`.
fn bytes(event: &Value, field: &str) -> Vec<u8> {
    let readable = event[field].as_str().expect("a string");
    match event.get(format!("{field}_b64")) {
        Some(all) => {
            let all = decoded(all);
            assert!(std::str::from_utf8(&all).is_err(), "only where it is needed");
            assert_eq!(readable, String::from_utf8_lossy(&all), "{field}");
            all
        }
        None => readable.as_bytes().to_vec(),
    }
}

/// What no line of text may contain, other than its end.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{3164}' | '\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

/// Traces a target in text: a line for the header and one for each event, all harmless.
fn lines(args: &[OsString]) -> Vec<String> {
    let mut line = words!["proc", "--wide", "-O", "-", "--", targets()].to_vec();
    line.extend_from_slice(args);
    let output = run(&line);
    let text = String::from_utf8(output.stdout).expect("text is UTF-8");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    let lines: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
    for line in &lines {
        assert!(!line.chars().any(is_harmful), "{line:?}");
    }
    let header = lines[0].split_whitespace().take(3).collect::<Vec<_>>();
    assert_eq!(header, ["TIME", "EVENT", "PID"]);
    for line in &lines[1..] {
        let kind = line.split_whitespace().nth(1);
        assert!(["exec", "exit", "fork"].map(Some).contains(&kind), "{line}");
    }
    lines
}

#[test]
fn hostile_arguments_lose_no_byte_in_json() {
    let mut args = words!["arg0", "a name", targets(), "who"].to_vec();
    args.extend(HOSTILE.map(os));
    let ended = traced(&[], &args);
    let exec = ended.kind("exec")[1];
    let all: Vec<_> = exec["argv_b64"].as_array().expect("not all are UTF-8").iter().map(decoded).collect();
    let known: Vec<&[u8]> = [&b"a name"[..], b"who"].into_iter().chain(HOSTILE).collect();
    assert_eq!(all, known);
    let readable: Vec<String> = known.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    assert_eq!(exec["argv"], json!(readable));
    assert_eq!(uint(&exec["argv_bytes"]), known.iter().map(|arg| arg.len() as u64 + 1).sum::<u64>());

    // The raw line is harmless, too, as people look at it.
    for line in &ended.stdout {
        let harmful = |c: char| is_harmful(c) && c != '\u{fffd}';
        assert!(!line.chars().any(harmful), "{line:?}");
    }
}

#[test]
fn hostile_arguments_that_are_utf8_are_just_strings() {
    let utf8: Vec<&str> = HOSTILE.iter().filter_map(|arg| std::str::from_utf8(arg).ok()).collect();
    assert_eq!(utf8.len(), 10);
    let args: Vec<&str> = ["who"].into_iter().chain(utf8).collect();
    let ended = traced(&[], &args);
    let exec = ended.kind("exec")[0];
    assert_eq!(exec["argv"].as_array().unwrap()[1..], args.iter().map(|arg| json!(arg)).collect::<Vec<_>>());
    assert_eq!(exec.get("argv_b64"), None);
}

#[test]
fn hostile_arguments_stay_on_their_line_in_text() {
    for arg in HOSTILE {
        let lines = lines(&[os(b"exit"), os(b"0"), os(arg)]);
        assert_eq!(lines.len(), 3, "{lines:#?}");
    }
    let mut all = words!["exit", "0"].to_vec();
    all.extend(HOSTILE.map(os));
    assert_eq!(lines(&all).len(), 3);
}

/// libbpf's log (-vv) contains names of files and whatever the kernel's types say.
#[test]
fn what_libbpf_says_stays_harmless() {
    let dir = Dir::new();
    let types = dir.join(os("\x1b[31m\u{9b}1m\u{202e}\u{3164}\n.btf".as_bytes()));
    std::fs::copy("/sys/kernel/btf/vmlinux", &types).unwrap();
    let output = run(words!["proc", "-vv", "--btf", &types, "-O", "/dev/null", "--", targets(), "exit", "0"]);
    let printed = String::from_utf8(output.stderr).expect("text is UTF-8");
    assert!(output.status.success() && printed.lines().count() > 100, "{printed}");
    for line in printed.lines() {
        assert!(!line.chars().any(|c| is_harmful(c) && c != '\t'), "{line:?}");
    }
    assert!(printed.contains("\\x1b[31m\\u{9b}1m\\u{202e}\\u{3164}\\n.btf"), "it is named");
}

#[test]
fn a_program_may_be_called_by_no_name() {
    let ended = traced(&[], words!["arg0", "", targets(), "who"]);
    assert_eq!(ended.kind("exec")[1]["argv"], json!(["", "who"]));
    let lines = lines(&words!["arg0", "", targets(), "who"]);
    assert!(lines[2].contains(" argv='' who "), "{lines:#?}");
}

#[test]
fn hostile_names_of_threads_lose_no_byte() {
    // The kernel keeps at most fifteen bytes.
    let names: [&[u8]; 6] =
        [b"\x1b[31m\n\r\t", b"12:00:00\nexec", b"\xff\xfename", "\u{202e}comm".as_bytes(), b"", b"exactly fifteen"];
    for name in names {
        let ended = traced(&[], [os(b"named"), os(name)]);
        let exit = ended.kind("exit")[0];
        assert_eq!(bytes(exit, "comm"), name, "{exit}");
        assert_eq!(lines(&[os(b"named"), os(name)]).len(), 3);
    }
}

#[test]
fn hostile_names_of_files_lose_no_byte() {
    let dir = Dir::new();
    let names: [&[u8]; 4] = [b"\x1b[31m\nexec", b"\xff\xfe", "\u{202e}exe".as_bytes(), b" \\ ' \" "];
    for name in names {
        let place = dir.join(os(name));
        std::fs::create_dir(&place).unwrap();
        let program = place.join(os(name));
        let args = words!["copied", &program, targets(), "in-dir", &place, &program, "who"];
        let ended = traced(&["--cwd"], &args);
        let exec = ended.kind("exec")[2];
        assert_eq!(Path::new(&os(&bytes(exec, "exe"))), program);
        assert_eq!(Path::new(&os(&bytes(exec, "cwd"))), place);
        assert_eq!(bytes(exec, "comm"), name);
        let known = [program.as_os_str().as_bytes(), b"who"];
        match exec.get("argv_b64") {
            Some(all) => assert_eq!(all.as_array().unwrap().iter().map(decoded).collect::<Vec<_>>(), known),
            None => assert_eq!(exec["argv"], json!([program, "who"])),
        }
        assert_eq!(lines(&args).len(), 5, "three execs and an exit");
    }
}
