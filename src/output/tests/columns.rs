//! Tables of a tracer's own, and labels.

use super::*;
use crate::output::tables::{Column, Room, Show};

/// As of a tracer of one system call: narrow and wide.
const NARROW: Table = Table::plain(
    const {
        &[
            Column::Pid,
            Column::Comm,
            Column::part("ret", "FD", 4, Show::Number),
            Column::part("ret", "ERR", 8, Show::Error),
            Column::field("exe", "PATH", 0),
        ]
    },
);
const WIDE: Table = Table::detailed(
    const {
        &[
            Column::Pid,
            Column::Tid,
            Column::Ppid,
            Column::Uid,
            Column::field("str", "STR", 8),
            Column::Field {
                name: Cow::Borrowed("ret"),
                title: Cow::Borrowed("RET"),
                width: 4,
                right: true,
                show: Show::Whole,
            },
            Column::Comm,
            Column::field("argv", "ARGS", 0),
        ]
    },
);

fn drawn(look: Look, table: Table, event: &Event<'_>) -> String {
    let mut out = Vec::new();
    let mut text = Format::Text.build(look, table);
    text.header(&mut out).unwrap();
    text.event(&mut out, event).unwrap();
    String::from_utf8(out).unwrap()
}

/// The line of an event alone.
fn one(look: Look, table: Table, event: &Event<'_>) -> String {
    drawn(look, table, event).lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_table_says_which_columns_there_are() {
    let exe = ("exe", Value::Path(path(b"passwd\0etc\0")));
    assert_eq!(
        drawn(UTC, NARROW, &sample(&[("ret", Value::Ret(4)), exe, ("mode", Value::Mode(0))])),
        "TIME                PID COMM              FD ERR      PATH\n\
         22:13:20.123456     100 sh                 4 -        /etc/passwd\n",
        "what no column shows is left out"
    );
    assert_eq!(
        one(UTC, NARROW, &sample(&[("ret", Value::Ret(-2)), exe])),
        "22:13:20.123456     100 sh                 - ENOENT   /etc/passwd"
    );
    let fields = [
        ("argv", list(b"ls\0a b\0")),
        ("ret", Value::Ret(0)),
        ("str", Value::Str(b"anna")),
        exe,
        ("mode", Value::Mode(0o644)),
    ];
    assert_eq!(
        drawn(UTC, WIDE, &sample(&fields)),
        "TIME                PID     TID    PPID   UID STR       RET COMM            ARGS DETAILS\n\
         22:13:20.123456     100     101       1  1000 anna        0 sh              ls 'a b' exe=/etc/passwd mode=0644\n",
        "and what a column shows is no detail"
    );
}

#[test]
fn what_is_missing_or_unreadable_keeps_its_column() {
    assert_eq!(
        one(UTC, NARROW, &sample(&[])),
        "22:13:20.123456     100 sh                 - -        -",
        "the event has none of the fields"
    );
    let unread = [("ret", Value::Unreadable(Shape::Ret)), ("exe", Value::Unreadable(Shape::Path))];
    assert_eq!(one(UTC, NARROW, &sample(&unread)), "22:13:20.123456     100 sh                 ? ?        ?");
    let empty = [("argv", list(b"")), ("ret", Value::Ret(0)), ("str", Value::Str(b""))];
    let text = one(UTC, WIDE, &sample(&empty));
    assert!(text.ends_with(" ''          0 sh"), "no arguments, and no space at the end: {text:?}");
    let text = one(UTC, WIDE, &sample(&[empty[0], ("mode", Value::Mode(0))]));
    assert!(text.ends_with(" -           - sh              mode=0000"), "{text:?}");
}

#[test]
fn a_value_too_long_for_its_column_pushes_the_rest() {
    let fields = [("ret", Value::Ret(-131)), ("str", Value::Str(b"systemd\tnetwork")), ("argv", list(b"ls\0"))];
    assert_eq!(
        one(UTC, WIDE, &sample(&fields)),
        "22:13:20.123456     100     101       1  1000 systemd\\tnetwork ENOTRECOVERABLE sh ls"
    );
}

#[test]
fn an_error_in_a_column_is_red_and_cut_like_the_rest() {
    let event = sample(&[("ret", Value::Ret(-2)), ("exe", Value::Path(path(b"passwd\0etc\0")))]);
    let look = Look { colour: true, ..UTC };
    let text = one(look, WIDE, &event);
    assert!(text.contains(" -      \x1b[31mENOENT\x1b[0m \x1b[1msh\x1b[0m"), "{text:?}");
    let text = one(look, NARROW, &event);
    assert!(text.contains("   - \x1b[31mENOENT\x1b[0m   /etc/passwd"), "{text:?}");
    let text = one(Look { width: Some(54), ..UTC }, NARROW, &event);
    assert_eq!(text, "22:13:20.123     100 sh                 - ENOENT   /e…");
}

/// An event with names: of a user, and of a cgroup that the host does not have.
fn named() -> Event<'static> {
    let mut event = sample(&[("argv", list(b"ls\0")), ("ret", Value::Ret(0))]);
    event.names = Some(Names { user: Some(b"anna b\xff"), cgroup: None, unit: None, container: None });
    event
}

/// A container, named or not.
fn container(name: Option<&str>) -> Container {
    Container {
        id: "0123456789abcdef".repeat(4),
        name: name.map(str::to_owned),
        runtime: Some("docker".into()),
        ..Container::default()
    }
}

#[test]
fn a_container_has_a_column_or_is_a_detail() {
    let (web, nameless) = (container(Some("web \u{202e}\x1b")), container(None));
    let of = |container| {
        let names = Names { user: Some(b"root"), cgroup: Some(b"/x"), unit: Some(b"a b.scope"), container };
        Event { names: Some(names), ..sample(&[("ret", Value::Ret(4)), ("exe", Value::Path(path(b"a\0")))]) }
    };
    let column = Look { containers: true, ..UTC };
    assert_eq!(
        drawn(column, NARROW, &of(Some(&nameless))),
        "TIME                PID COMM            CONTAINER         FD ERR      PATH\n\
         22:13:20.123456     100 sh              0123456789ab       4 -        /a\n"
    );
    assert!(one(column, NARROW, &of(None)).contains(" sh              -                  4 "));
    assert!(one(column, NARROW, &sample(&[])).contains(" sh              - "), "names were not asked for");
    let general = |look, container| one(look, Table::general(Room::Roomy), &of(container));
    let wide = Look { wide: true, ..UTC };
    let detail = r" user=root cgroup=/x unit=a\ b.scope container=web\ \u{202e}\x1b";
    assert!(general(wide, Some(&web)).ends_with(detail), "{}", general(wide, Some(&web)));
    assert!(general(wide, None).ends_with(r" unit=a\ b.scope"), "{}", general(wide, None));
    assert!(!general(Look { containers: true, ..wide }, Some(&nameless)).contains("container="), "it has a column");
}

#[test]
fn json_has_the_container_as_an_object() {
    let (web, mut event) = (container(Some("web")), sample(&[]));
    event.names = Some(Names { unit: Some(b"docker.service"), container: Some(&web), ..Names::default() });
    let json = line(Format::Json, UTC, &event);
    let names = r#""user":null,"cgroup":null,"unit":"docker.service","container":{"id":"ID","name":"web","image":null,"runtime":"docker","pod":null,"namespace":null}"#;
    assert!(json.contains(&names.replace("ID", &web.id)), "{json}");
    event.names = Some(Names::default());
    assert!(line(Format::Json, UTC, &event).contains(r#""unit":null,"container":null"#));
}

#[test]
fn names_follow_the_details_where_all_was_asked_for() {
    let (event, wide) = (named(), Look { wide: true, ..UTC });
    let general = |look: Look| one(look, Table::general(look.room()), &event);
    assert!(general(wide).ends_with(r" sh              argv=ls ret=0 user=anna\ b\xff cgroup=?"), "{}", general(wide));
    assert!(general(UTC).ends_with(" sh              argv=ls ret=0"), "{}", general(UTC));
    assert!(one(wide, NARROW, &event).ends_with(" 0 -        -"), "a table without details has no other columns");
}

#[test]
fn a_name_has_a_column_where_a_table_has_one() {
    let table = Table::detailed(&[Column::Pid, Column::User, Column::Comm]);
    let line = |event: &Event<'_>| one(Look { wide: true, ..UTC }, table.clone(), event);
    assert_eq!(line(&named()), r"22:13:20.123456     100 anna\ b\xff sh           argv=ls ret=0 cgroup=?");
    let nobody = Event { names: Some(Names::default()), ..sample(&[]) };
    assert_eq!(line(&nobody), "22:13:20.123456     100 ?        sh              cgroup=?");
    assert_eq!(line(&sample(&[])), "22:13:20.123456     100 -        sh", "names were not asked for");
}

#[test]
fn json_has_names_in_every_event_where_they_were_asked_for() {
    assert!(!line(Format::Json, UTC, &sample(&[])).contains("\"user\""));
    let json = line(Format::Json, UTC, &named());
    let names = "\"user\":\"anna b\u{fffd}\",\"user_b64\":\"YW5uYSBi/w==\",\"cgroup\":null,\"unit\":null,\"container\":null,\"argv\":[\"ls\"]";
    assert!(json.contains(&format!("\"cgroup_id\":18446744073709551615,{names}")), "{json}");
}

#[test]
fn labels_stand_behind_the_name() {
    let look = Look { labels: true, ..UTC };
    let mut event = sample(&[("ret", Value::Ret(4)), ("exe", Value::Path(path(b"a\0")))]);
    assert_eq!(
        drawn(look, NARROW, &event),
        "TIME                PID COMM            LABEL             FD ERR      PATH\n\
         22:13:20.123456     100 sh              -                  4 -        /a\n"
    );
    event.label = b"deploy bot\x1b";
    assert_eq!(one(look, NARROW, &event), r"22:13:20.123456     100 sh              deploy bot\x1b     4 -        /a");
    let text = one(look, Table::general(Room::Narrow), &event);
    assert!(text.ends_with(r" sh              deploy bot\x1b  ret=4 exe=/a"), "{text:?}");
}

#[test]
fn a_label_without_a_column_does_not_vanish() {
    let mut event = sample(&[("ret", Value::Ret(4)), ("exe", Value::Path(path(b"a\0")))]);
    event.label = b"deploy bot\xff";
    let text = one(UTC, NARROW, &event);
    assert!(text.ends_with(r"   4 -        label=deploy\ bot\xff /a"), "{text:?}");
    let text = one(UTC, Table::general(Room::Roomy), &event);
    assert!(text.ends_with(r" sh              label=deploy\ bot\xff ret=4 exe=/a"), "{text:?}");
    let nameless = Table::plain(&[Column::Pid]);
    let look = Look { labels: true, ..UTC };
    assert_eq!(
        one(look, nameless, &event),
        r"22:13:20.123456     100 label=deploy\ bot\xff",
        "no COMM to stand behind"
    );
}

#[test]
fn json_has_a_label_where_there_is_one() {
    let mut event = sample(&[]);
    assert!(!line(Format::Json, UTC, &event).contains("label"));
    event.label = b"deploy bot";
    assert!(line(Format::Json, UTC, &event).contains(r#""comm":"sh","label":"deploy bot","cgroup_id":"#));
    event.label = b"\xff";
    let json = line(Format::Json, UTC, &event);
    assert!(json.contains("\"comm\":\"sh\",\"label\":\"\u{fffd}\",\"label_b64\":\"/w==\",\"cgroup_id\":"), "{json}");
}

#[test]
fn room_is_what_the_terminal_has_or_what_was_asked_for() {
    let room = |width, wide| Look { width, wide, ..UTC }.room();
    assert_eq!(
        (room(None, false), room(Some(0), false), room(Some(110), false)),
        (Room::Roomy, Room::Roomy, Room::Roomy)
    );
    assert_eq!(
        (room(Some(109), false), room(Some(80), true), room(None, true)),
        (Room::Narrow, Room::Wide, Room::Wide)
    );
}

#[test]
fn a_terminal_that_was_resized_has_another_width() {
    let event = sample(&[("ret", Value::Ret(4)), ("exe", Value::Path(path(b"passwd\0etc\0")))]);
    let line = |look: Look, width| {
        let mut out = Vec::new();
        let mut text = Format::Text.build(look, NARROW);
        text.resize(width);
        text.event(&mut out, &event).unwrap();
        String::from_utf8(out).unwrap().trim_end().chars().count()
    };
    let narrow = Look { width: Some(60), ..UTC };
    let whole = line(UTC, None);
    assert_eq!((line(narrow, None), line(narrow, Some(50)), line(narrow, Some(200))), (60, 50, whole - 3));
    assert_eq!((line(narrow, Some(0)), line(UTC, Some(50))), (60, whole), "what is no terminal has no width");
    assert_eq!(line(Look { wide: true, ..narrow }, Some(50)), whole);
}
