//! Both formats on the same events: golden lines.

mod columns;
mod hostile;
mod lives;
mod schema;
mod summary;
mod totals;
mod tree;
mod values;
mod views;

use super::tables::Table;
use std::borrow::Cow;

use super::{Format, Lines, Look, Output, Time};
use crate::event::{Ancestors, Env, Event, Field, Flags, Head, Kind, List, Lost, Names, Path, Shape, Value};
use crate::host::containers::Container;

const fn field(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, false, "A sample.")
}

/// A kind that has every shape; a field is named after its shape.
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
            field("env", Shape::Env),
            field("env_diff", Shape::EnvDiff),
            field("above", Shape::Ancestors),
        ]
    },
);

/// Another one, with a field that is always there.
static OTHER: Kind =
    Kind::new(2, "other", "Something else.", const { &[Field::new("code", Shape::Code, true, "A sample.")] });

const UTC: Look = Look { width: None, colour: false, wide: false, time: Time::Utc, labels: false, containers: false };
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
fn what_is_of_no_process_says_so() {
    let mut event = sample(&[("uint", Value::Uint(7))]);
    let Head { boot_ns, unix_ns, seq, cpu, .. } = event.head;
    let none = Head::NO_PROCESS;
    event.head =
        Head { boot_ns, unix_ns, seq, cpu, pid: none, tid: none, ppid: none, uid: none, gid: none, ..Head::default() };
    let text = line(Format::Text, UTC, &event);
    assert_eq!(text, "22:13:20.123456 sample        -       -       -     -     - -               uint=7\n");
    let json = line(Format::Json, UTC, &event);
    let nulls = r#""pid":null,"tid":null,"ppid":null,"uid":null,"gid":null,"comm":null,"cgroup_id":null,"uint":7"#;
    assert!(json.contains(nulls), "{json}");
}

#[test]
fn values_too_long_push_the_rest_to_the_right() {
    let mut event = sample(&[("uint", Value::Uint(7))]);
    (event.head.pid, event.head.uid) = (u32::MAX - 1, u32::MAX - 1);
    event.head.comm = *b"\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\0";
    let comm = r"\x1b".repeat(15);
    assert_eq!(
        line(Format::Text, UTC, &event),
        format!("22:13:20.123456 sample 4294967294     1     101 4294967294 100 {comm} uint=7\n")
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
