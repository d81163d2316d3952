//! Both formats on the same events: golden lines.

mod columns;
mod hostile;
mod schema;

use super::tables::Table;
use std::borrow::Cow;

use super::spelling::SignalName;
use super::{Format, Look, Output};
use crate::event::{Event, Field, Flags, Head, Kind, List, Lost, Names, Path, Shape, Value};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, false, "A sample.")
}

/// A kind that has every shape; the name of a field tells its shape.
static SAMPLE: Kind = Kind::new(
    1,
    "sample",
    "Every kind of value.",
    const {
        &[
            field("uint", Shape::Uint),
            field("child", Shape::Pid),
            field("code", Shape::Code),
            field("signal", Shape::Signal),
            field("core", Shape::Bool),
            field("rss", Shape::Size),
            field("lifetime", Shape::Span),
            field("str", Shape::Str),
            field("exe", Shape::Path),
            field("argv", Shape::List),
            field("flags", Shape::Flags),
            field("ret", Shape::Ret),
            field("mode", Shape::Mode),
        ]
    },
);

/// Another one, with a field that is always there.
static OTHER: Kind =
    Kind::new(2, "other", "Something else.", const { &[Field::new("code", Shape::Code, true, "A sample.")] });

const UTC: Look = Look { width: None, colour: false, wide: false, utc: true, labels: false };
const NAMES: &[(u64, &str)] = &[(1, "VM"), (2, "FS")];
const LOST: Lost = Lost { unix_ns: T, class: Cow::Borrowed("exec"), cause: "buffer_full", count: 12, cpu: 1 };
const T: i64 = 1_700_000_000_123_456_789;

fn head(comm: &[u8]) -> Head {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    Head {
        boot_ns: 5,
        unix_ns: T,
        seq: 7,
        cgroup_id: u64::MAX,
        cpu: 3,
        pid: 100,
        tid: 101,
        ppid: 1,
        uid: 1000,
        gid: 100,
        comm: name,
        heartbeat: false,
    }
}

fn sample<'a>(fields: &[(&'a str, Value<'a>)]) -> Event<'a> {
    let mut event = Event::new(&SAMPLE, head(b"sh"));
    event.fields.extend(fields.iter().copied());
    event
}

fn path(names: &[u8]) -> Path<'_> {
    Path { names, ..Path::default() }
}

fn list(bytes: &[u8]) -> Value<'_> {
    Value::List(List { bytes, total: bytes.len() as u64 })
}

fn bits(bits: u64) -> Value<'static> {
    Value::Flags(Flags { bits, names: NAMES })
}

fn build(format: Format, look: Look) -> Box<dyn Output> {
    format.build(look, Table::general(look.room()))
}

fn line(format: Format, look: Look, event: &Event<'_>) -> String {
    let mut out = Vec::new();
    build(format, look).event(&mut out, event).unwrap();
    String::from_utf8(out).expect("output is UTF-8")
}

/// What text says after the name of one detail, and what JSON says in its place.
fn shown(name: &'static str, value: Value<'_>) -> (String, String) {
    let event = sample(&[(name, value)]);
    let text = line(Format::Text, UTC, &event);
    let (_, text) = text.trim_end_matches('\n').split_once(&format!(" {name}=")).unwrap();
    let json = line(Format::Json, UTC, &event);
    let (_, json) = json.trim_end_matches("}\n").split_once("\"cgroup_id\":18446744073709551615,").unwrap();
    (text.to_owned(), json.to_owned())
}

#[test]
fn a_line_of_each_format() {
    let event = sample(&[("uint", Value::Uint(7)), ("argv", list(b"ls\0-l\0"))]);
    assert_eq!(
        line(Format::Text, UTC, &event),
        "22:13:20.123456 sample      100       1     101  1000   100 sh              uint=7 argv=ls -l\n"
    );
    assert_eq!(
        line(Format::Json, UTC, &event),
        concat!(
            r#"{"kind":"sample","time":"2023-11-14T22:13:20.123456789Z","boot_ns":5,"cpu":3,"seq":7,"pid":100,"tid":101,"#,
            r#""ppid":1,"uid":1000,"gid":100,"comm":"sh","cgroup_id":18446744073709551615,"uint":7,"#,
            r#""argv":["ls","-l"],"argv_bytes":6}"#,
            "\n"
        )
    );
}

#[test]
fn every_value_in_both_formats() {
    let deleted = Path { names: b"ls\0bin\0", deleted: true, ..Path::default() };
    let part = Path { names: b"y\0x\0", truncated: true, ..Path::default() };
    let cut = Value::List(List { bytes: b"sh\0-c\0ec", total: 30_000 });
    let table: &[(&'static str, Value<'_>, &str, &str)] = &[
        ("uint", Value::Uint(u64::MAX), "18446744073709551615", r#""uint":18446744073709551615"#),
        ("child", Value::Pid(42), "42", r#""child":42"#),
        ("code", Value::Code(3), "3", r#""code":3"#),
        ("signal", Value::Signal(9), "SIGKILL", r#""signal":"SIGKILL""#),
        ("core", Value::Bool(true), "yes", r#""core":true"#),
        ("core", Value::Bool(false), "no", r#""core":false"#),
        ("rss", Value::Size(12 << 10), "12.0KiB", r#""rss_bytes":12288"#),
        ("lifetime", Value::Span(4_210), "4.21us", r#""lifetime_ns":4210"#),
        ("str", Value::Str(b"a \"b\"\n"), r#"a\ "b"\n"#, r#""str":"a \"b\"\n""#),
        ("str", Value::Str(b""), "''", r#""str":"""#),
        ("str", Value::Str(b"a\xffb"), r"a\xffb", "\"str\":\"a\u{fffd}b\",\"str_b64\":\"Yf9i\""),
        ("exe", Value::Path(path(b"ls\0bin\0")), "/bin/ls", r#""exe":"/bin/ls""#),
        ("exe", Value::Path(path(b"")), "/", r#""exe":"/""#),
        ("exe", Value::Path(deleted), "/bin/ls (deleted)", r#""exe":"/bin/ls","exe_deleted":true"#),
        ("exe", Value::Path(part), "…/x/y", r#""exe":"x/y","exe_truncated":true"#),
        (
            "exe",
            Value::Path(Path { names: b"sub\0tmp\0", called: b"../a b", ..Path::default() }),
            r"/tmp/sub/../a\ b",
            r#""exe":"/tmp/sub/../a b""#,
        ),
        ("exe", Value::Path(Path { called: b"/a//b/", ..Path::default() }), "/a//b/", r#""exe":"/a//b/""#),
        ("exe", Value::Path(Path { called: b"x", ..part }), "…/x/y/x", r#""exe":"x/y/x","exe_truncated":true"#),
        (
            "exe",
            Value::Path(Path { called: b"/a/b", end_truncated: true, ..Path::default() }),
            "/a/b…",
            r#""exe":"/a/b","exe_truncated":true"#,
        ),
        (
            "exe",
            Value::Path(Path { names: b"b\0a\0", outside: true, ..Path::default() }),
            "(unreachable)/a/b",
            r#""exe":"/a/b","exe_unreachable":true"#,
        ),
        ("exe", Value::Path(Path { as_it_is: true, ..Path::default() }), "''", r#""exe":"""#),
        (
            "exe",
            Value::Path(Path { called: b"pipe:[17]", as_it_is: true, ..Path::default() }),
            "pipe:[17]",
            r#""exe":"pipe:[17]""#,
        ),
        ("exe", Value::Path(path(b"\xff\0a\0")), r"/a/\xff", "\"exe\":\"/a/\u{fffd}\",\"exe_b64\":\"L2Ev/w==\""),
        ("argv", list(b""), "", r#""argv":[],"argv_bytes":0"#),
        ("argv", list(b"\0"), "''", r#""argv":[""],"argv_bytes":1"#),
        ("argv", list(b"a b\0it's\0"), r"'a b' $'it\'s'", r#""argv":["a b","it's"],"argv_bytes":9"#),
        (
            "argv",
            list(b"a\0\xff\0"),
            r"a $'\xff'",
            "\"argv\":[\"a\",\"\u{fffd}\"],\"argv_b64\":[\"YQ==\",\"/w==\"],\"argv_bytes\":4",
        ),
        (
            "argv",
            cut,
            "sh -c ec …[cut: 8 of 30000 bytes]",
            r#""argv":["sh","-c","ec"],"argv_bytes":30000,"argv_truncated":true"#,
        ),
        (
            "argv",
            Value::List(List { bytes: b"ls\0-l\0", total: List::UNKNOWN }),
            "ls -l …[cut: the first 6 bytes]",
            r#""argv":["ls","-l"],"argv_bytes":null,"argv_truncated":true"#,
        ),
        (
            "argv",
            Value::List(List { bytes: b"", total: List::UNKNOWN }),
            "…[cut: the first 0 bytes]",
            r#""argv":[],"argv_bytes":null,"argv_truncated":true"#,
        ),
        ("ret", Value::Ret(4), "4", r#""ret":4"#),
        ("ret", Value::Ret(-2), "ENOENT", r#""ret":-2,"errno":"ENOENT""#),
        ("ret", Value::Ret(-512), "-512", r#""ret":-512,"errno":"-512""#),
        (
            "ret",
            Value::Ret(i64::MIN),
            "-9223372036854775808",
            r#""ret":-9223372036854775808,"errno":"-9223372036854775808""#,
        ),
        ("mode", Value::Mode(0o644), "0644", r#""mode":"0644""#),
        ("mode", Value::Mode(0o4755), "04755", r#""mode":"04755""#),
        ("mode", Value::Mode(0), "0000", r#""mode":"0000""#),
        ("flags", bits(0), "0", r#""flags":[]"#),
        ("flags", bits(3), "VM|FS", r#""flags":["VM","FS"]"#),
        ("flags", bits(0x102), "FS|0x100", r#""flags":["FS","0x100"]"#),
        ("flags", bits(0x100), "0x100", r#""flags":["0x100"]"#),
        ("ret", Value::Unreadable(Shape::Ret), "?", r#""ret":null"#),
        ("mode", Value::Unreadable(Shape::Mode), "?", r#""mode":null"#),
        ("rss", Value::Unreadable(Shape::Size), "?", r#""rss_bytes":null"#),
        ("lifetime", Value::Unreadable(Shape::Span), "?", r#""lifetime_ns":null"#),
        ("argv", Value::Unreadable(Shape::List), "?", r#""argv":null"#),
    ];
    for (name, value, text, json) in table {
        assert_eq!(shown(name, *value), ((*text).to_owned(), (*json).to_owned()));
    }
}

#[test]
fn signals_have_names() {
    let names = [9, 11, 0, 32, 34, 37, 64, 65, u32::MAX].map(|n| SignalName(n).to_string());
    let want =
        ["SIGKILL", "SIGSEGV", "SIG0", "SIG32", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMIN+30", "SIG65", "SIG4294967295"];
    assert_eq!(names, want);
}

#[test]
fn the_header_stands_over_its_columns() {
    let header = |look: Look| {
        let mut out = Vec::new();
        build(Format::Text, look).header(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let full = "TIME            EVENT       PID    PPID     TID   UID   GID COMM            DETAILS\n";
    assert_eq!(header(UTC), full);
    assert_eq!(header(Look { width: Some(80), wide: true, ..UTC }), full);
    assert_eq!(header(Look { width: Some(110), ..UTC }), full.replacen("   ", "", 1), "milliseconds on a terminal");
    let narrow = "TIME         EVENT       PID    PPID   UID COMM            DETAILS\n";
    assert_eq!(header(Look { width: Some(109), ..UTC }), narrow);
    assert_eq!(header(Look { width: Some(20), ..UTC }), "TIME         EVENT …\n");
    assert_eq!(header(Look { width: Some(0), ..UTC }), full, "a terminal of unknown width");
    assert_eq!(header(Look { colour: true, ..UTC }), format!("\x1b[1m{}\x1b[0m\n", full.trim_end()));
}

#[test]
fn json_has_no_header() {
    let mut out = Vec::new();
    build(Format::Json, UTC).header(&mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn losses_in_both_formats() {
    let lost = |format: Format, look, lost: &Lost| {
        let mut out = Vec::new();
        build(format, look).lost(&mut out, lost).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = "-- lost 12 exec events on cpu 1: buffer_full\n";
    assert_eq!(lost(Format::Text, UTC, &LOST), text);
    assert_eq!(lost(Format::Text, Look { width: Some(9), ..UTC }, &LOST), text, "never cut");
    assert_eq!(lost(Format::Text, UTC, &Lost { count: 1, ..LOST }), text.replace("12 exec events", "1 exec event"));
    assert_eq!(
        lost(Format::Json, UTC, &LOST),
        concat!(
            r#"{"kind":"lost","time":"2023-11-14T22:13:20.123456789Z","class":"exec","cause":"buffer_full","#,
            r#""count":12,"cpu":1}"#,
            "\n"
        )
    );
}

#[test]
fn values_too_long_push_the_rest_to_the_right() {
    let mut event = sample(&[("uint", Value::Uint(7))]);
    (event.head.pid, event.head.uid) = (u32::MAX, u32::MAX);
    event.head.comm = *b"\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\0";
    let comm = r"\x1b".repeat(15);
    assert_eq!(
        line(Format::Text, UTC, &event),
        format!("22:13:20.123456 sample 4294967295     1     101 4294967295 100 {comm} uint=7\n")
    );
}

#[test]
fn an_empty_name_and_no_details_leave_no_doubt_and_no_trailing_space() {
    let event = Event::new(&SAMPLE, head(b""));
    let text = line(Format::Text, UTC, &event);
    assert!(text.ends_with("  1000   100 ''\n"), "{text:?}");
}

#[test]
fn colours_set_off_what_matters() {
    let look = Look { colour: true, ..UTC };
    let event = sample(&[("code", Value::Code(0)), ("code", Value::Code(1)), ("ret", Value::Ret(-2))]);
    let text = line(Format::Text, look, &event);
    let want = "\x1b[1msh\x1b[0m              \x1b[2mcode=\x1b[0m0 \x1b[2mcode=\x1b[0m\x1b[31m1\x1b[0m \
                \x1b[2mret=\x1b[0m\x1b[31mENOENT\x1b[0m\n";
    assert!(text.starts_with("\x1b[2m22:13:20.123456\x1b[0m sample ") && text.ends_with(want), "{text:?}");
}
