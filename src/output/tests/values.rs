//! Each kind of value, in both formats.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::event::{Endpoint, Icmp, Nat, Traffic};
use crate::output::spelling::SignalName;

const V4: Endpoint = Endpoint { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), port: Some(80) };
const V6: Endpoint =
    Endpoint { address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), port: Some(65535) };

/// A member, its value, and how that is spelled in text and in JSON.
type Row<'a> = (&'static str, Value<'a>, &'a str, &'a str);

#[track_caller]
fn check(table: &[Row<'_>]) {
    for (name, value, text, json) in table {
        assert_eq!(shown(name, *value), ((*text).to_owned(), (*json).to_owned()));
    }
}

#[test]
fn numbers_names_and_strings_in_both_formats() {
    check(&[
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
        ("src", Value::Endpoint(V4), "192.0.2.7:80", r#""src":{"address":"192.0.2.7","port":80}"#),
        ("src", Value::Endpoint(Endpoint { port: None, ..V6 }), "2001:db8::1", r#""src":{"address":"2001:db8::1"}"#),
        (
            "nat",
            Value::Nat(Nat { src: Some(V6), dst: Some(V4) }),
            "src=[2001:db8::1]:65535,dst=192.0.2.7:80",
            r#""nat":{"src":{"address":"2001:db8::1","port":65535},"dst":{"address":"192.0.2.7","port":80}}"#,
        ),
        ("nat", Value::Nat(Nat { src: None, dst: None }), "-", r#""nat":{}"#),
        (
            "reply",
            Value::Traffic(Traffic { packets: 3, bytes: 2048 }),
            "3pkts/2.0KiB",
            r#""reply":{"packets":3,"bytes":2048}"#,
        ),
        (
            "icmp",
            Value::Icmp(Icmp { kind: 8, code: 0, id: 7 }),
            "type=8,code=0,id=7",
            r#""icmp":{"type":8,"code":0,"id":7}"#,
        ),
        ("str", Value::Str(b"a\xffb"), r"a\xffb", "\"str\":\"a\u{fffd}b\",\"str_b64\":\"Yf9i\""),
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
    ]);
}

#[test]
fn environments_and_ancestors_in_both_formats() {
    let env = |bytes, truncated| Value::Env(Env::all(bytes, 30, truncated));
    let diff = |bytes, truncated| Value::EnvDiff(Env::changes(bytes, truncated));
    let above = |bytes, truncated| Value::Ancestors(Ancestors { bytes, truncated });
    let chain = b"\x07\0\0\0sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a b\x1b\0\0\0\0\0\0\0\0\0\0\0\0";
    check(&[
        ("env", env(b"", false), "{}", r#""env":{},"env_bytes":30"#),
        ("env", env(b"A=1\0B=a b\0A=2\0", false), "{A=1 B='a b' A=2}", r#""env":{"A":"1","B":"a b"},"env_bytes":30"#),
        (
            "env",
            env(b"A}=}\0B=\xff\x1b", true),
            r"{'A}'='}' B=$'\xff\x1b'… …[cut: of 30 bytes]}",
            r#""env":{"A}":"}","B":"�\u001b"},"env_b64":["Qj3/Gw=="],"env_bytes":30,"env_truncated":true"#,
        ),
        ("env", env(b"", true), "{…[cut: of 30 bytes]}", r#""env":{},"env_bytes":30,"env_truncated":true"#),
        ("env_diff", diff(b"", false), "{}", r#""env_diff":{"new":{},"changed":{},"removed":{}}"#),
        (
            "env_diff",
            diff(b"+A=1\0~B=2 3\0-C=4\0", true),
            "{+A=1 ~B='2 3' -C …}",
            r#""env_diff":{"new":{"A":"1"},"changed":{"B":"2 3"},"removed":{"C":"4"}},"env_diff_truncated":true"#,
        ),
        (
            "env_diff",
            diff(b"+A=1\0~B=\xff\0-\xfe=4\0", false),
            r"{+A=1 ~B=$'\xff' -$'\xfe'}",
            "\"env_diff\":{\"new\":{\"A\":\"1\"},\"changed\":{\"B\":\"\u{fffd}\"},\"removed\":{\"\u{fffd}\":\"4\"}},\
             \"env_diff_b64\":{\"new\":[],\"changed\":[\"Qj3/\"],\"removed\":[\"/j00\"]}",
        ),
        ("above", above(b"", false), "-", r#""above":[]"#),
        (
            "above",
            above(chain, false),
            r"sh[7]<a\ b\x1b[1]",
            r#""above":[{"pid":7,"comm":"sh"},{"pid":1,"comm":"a b\u001b"}]"#,
        ),
        ("above", above(&chain[..20], true), "sh[7]<…", r#""above":[{"pid":7,"comm":"sh"}],"above_truncated":true"#),
    ]);
}

#[test]
fn names_of_variables_that_look_the_same_lose_nothing_in_json() {
    // Three names with one readable form, of which the last is that form; and as many of one name as there may be.
    let env = b"\xff=1\0\xfe=2\0\xef\xbf\xbd=3\0A=1\0A=2\0";
    check(&[(
        "env",
        Value::Env(Env::all(env, 23, false)),
        "{$'\\xff'=1 $'\\xfe'=2 '\u{fffd}'=3 A=1 A=2}",
        "\"env\":{\"\u{fffd}\":\"1\",\"A\":\"1\"},\"env_b64\":[\"/z0x\",\"/j0y\",\"77+9PTM=\"],\"env_bytes\":23",
    )]);
    let many: Vec<u8> = (0..1000).flat_map(|n| format!("V{}=1\0", n % 100).into_bytes()).collect();
    let (_, line) = shown("env", Value::Env(Env::all(&many, many.len() as u64, false)));
    assert_eq!(line.matches("\"V99\":").count() + line.matches("\"V0\":").count(), 2, "{line}");
}

#[test]
fn paths_in_both_formats() {
    let deleted = Path { names: b"ls\0bin\0", deleted: true, ..Path::default() };
    let part = Path { names: b"y\0x\0", truncated: true, ..Path::default() };
    check(&[
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
    ]);
}

#[test]
fn lists_in_both_formats() {
    let cut = Value::List(List { bytes: b"sh\0-c\0ec", total: 30_000 });
    check(&[
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
    ]);
}

#[test]
fn what_could_not_be_read_or_is_null_in_both_formats() {
    check(&[
        ("name", Value::Null, "NULL", r#""name":null,"name_null":true"#),
        ("name", Value::BehindNull, "?(NULL)", r#""name":null,"name_null":true"#),
        ("ret", Value::Unreadable(Shape::Ret), "?", r#""ret":null"#),
        ("mode", Value::Unreadable(Shape::Mode), "?", r#""mode":null"#),
        ("rss", Value::Unreadable(Shape::Size), "?", r#""rss_bytes":null"#),
        ("lifetime", Value::Unreadable(Shape::Span), "?", r#""lifetime_ns":null"#),
        ("argv", Value::Unreadable(Shape::List), "?", r#""argv":null"#),
    ]);
}

#[test]
fn signals_have_names() {
    let names = [9, 11, 0, 32, 34, 37, 64, 65, u32::MAX].map(|n| SignalName(n).to_string());
    let want =
        ["SIGKILL", "SIGSEGV", "SIG0", "SIG32", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMIN+30", "SIG65", "SIG4294967295"];
    assert_eq!(names, want);
}
