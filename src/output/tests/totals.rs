//! What was added up: tables, bars and JSON, byte for byte.

use super::*;
use crate::event::total::{Amount, Keys, Measure, Measured, Power, Total, Totals, Unit};
use crate::event::{Shown, ShownKind};

/// A row by a string and a number.
fn row(text: &[u8], number: u64, amount: Amount) -> Total {
    let shown = |name: &str, kind| Shown { name: name.to_owned(), kind };
    let kinds = [shown("comm", ShownKind::Str { slot: 0 }), shown("ret", ShownKind::Ret { slot: 1 })];
    let mut record = (16 | (text.len() as u64) << 16).to_ne_bytes().to_vec();
    record.extend(number.to_ne_bytes());
    record.extend(text);
    Total { func: "vfs_read".to_owned(), by: Keys::new(kinds.into(), record, 0, None), amount }
}

/// A row by nothing.
fn alone(amount: Amount) -> Total {
    Total { func: "vfs_read".to_owned(), by: Keys::new([].into(), Vec::new(), 0, None), amount }
}

fn count(count: u64) -> Amount {
    Amount { count, ..Amount::default() }
}

fn of(name: &str, unit: Unit) -> Measured {
    Measured { name: name.to_owned(), unit }
}

fn print(format: Format, look: Look, measure: Measure, names: &[&str], rows: Vec<Total>) -> String {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let mut out = Vec::new();
    build(format, look)
        .totals(&mut out, &Totals { boot_ns: 5_000_000_000, kind: 1, measure, names, rows, in_ledger: false }, T)
        .unwrap();
    String::from_utf8(out).expect("output is UTF-8")
}

#[test]
fn counts_are_a_table() {
    let rows = || vec![row(b"dd\0", 4096, count(1_234_567)), row(b"sh\0", (-2_i64).cast_unsigned(), count(1))];
    assert_eq!(
        print(Format::Text, UTC, Measure::Count, &["comm", "ret"], rows()),
        concat!(
            "22:13:20.123456 hits by comm, ret\n",
            "   COUNT FUNC     COMM RET\n",
            " 1234567 vfs_read dd   4096\n",
            "       1 vfs_read sh   ENOENT\n",
        )
    );
    assert_eq!(
        print(Format::Json, UTC, Measure::Count, &["comm", "ret"], rows()),
        concat!(
            r#"{"kind":"total","time":"2023-11-14T22:13:20.123456789Z","func":"vfs_read","by":{"comm":"dd","ret":4096},"count":1234567}"#,
            "\n",
            r#"{"kind":"total","time":"2023-11-14T22:13:20.123456789Z","func":"vfs_read","by":{"comm":"sh","ret":-2,"errno":"ENOENT"},"count":1}"#,
            "\n",
        )
    );
}

#[test]
fn functions_have_the_names_that_they_have_in_events() {
    let named = |count| Total { func: "<A as B>::f".to_owned(), ..alone(count) };
    let table = print(Format::Text, UTC, Measure::Count, &["func"], vec![named(count(3))]);
    assert!(table.ends_with("\n     3 <A as B>::f\n"), "{table}");
    let powers = Amount { count: 1, powers: [(Power::at(1).unwrap(), 1)].into(), ..Amount::default() };
    let bars = print(Format::Text, UTC, Measure::Histogram(of("n", Unit::Plain)), &["func"], vec![named(powers)]);
    assert!(bars.contains("\n<A as B>::f: 1 hit\n"), "{bars}");
}

#[test]
fn totals_without_an_event_before_them_have_the_time_that_was_asked_for() {
    let title = |time| {
        let text = print(Format::Text, Look { time, ..UTC }, Measure::Count, &[], vec![alone(count(1))]);
        text.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(title(Time::Mono), "      5.000000 hits");
    assert_eq!((title(Time::Delta), title(Time::None)), ("     +0.000000 hits".to_owned(), "hits".to_owned()));
}

#[test]
fn sums_have_a_mean_and_a_range() {
    let of_ret = || Measure::Sum(of("ret", Unit::Plain));
    let sums = Amount { count: 4, unread: 1, sum: -7, range: Some((i64::MIN.into(), 5)), ..Amount::default() };
    let none = Amount { count: 2, unread: 2, ..Amount::default() };
    let rows = || vec![alone(sums.clone()), alone(none.clone())];
    assert_eq!(
        print(Format::Text, UTC, of_ret(), &[], rows()),
        concat!(
            "22:13:20.123456 ret\n",
            "   COUNT   SUM  MEAN                  MIN   MAX FUNC\n",
            " 4 (1 ?)    -7  -2.3 -9223372036854775808     5 vfs_read\n",
            " 2 (2 ?)     -     -                    -     - vfs_read\n",
        )
    );
    let json = print(Format::Json, UTC, of_ret(), &[], rows());
    let members = [
        r#""func":"vfs_read","by":{},"of":"ret","count":4,"unread":1,"sum":-7,"min":-9223372036854775808,"max":5,"mean":-2.3333333333333335}"#,
        r#""func":"vfs_read","by":{},"of":"ret","count":2,"unread":2,"sum":0,"min":null,"max":null,"mean":null}"#,
    ];
    assert!(json.lines().zip(members).all(|(line, members)| line.ends_with(members)), "{json}");
    let most = i128::from(u64::MAX);
    let large = Amount { count: 2, sum: 2 * most, range: Some((most, most)), ..Amount::default() };
    let json = print(Format::Json, UTC, of_ret(), &[], vec![alone(large)]);
    assert!(
        json.contains(r#""sum":36893488147419103230,"min":18446744073709551615,"max":18446744073709551615,"#),
        "{json}"
    );
    let spans = Amount { count: 2, sum: 5_000_000, range: Some((1_000_000, 4_000_000)), ..Amount::default() };
    let text = print(Format::Text, UTC, Measure::Sum(of("duration", Unit::Nanoseconds)), &[], vec![alone(spans)]);
    assert!(text.ends_with("     2 5.00ms 2.50ms 1.00ms 4.00ms vfs_read\n"), "{text}");
}

fn powers(all: &[(usize, u64)], unread: u64) -> Amount {
    let powers = all.iter().map(|(place, count)| (Power::at(*place).unwrap(), *count)).collect();
    Amount {
        count: all.iter().fold(unread, |sum, (_, count)| sum.saturating_add(*count)),
        unread,
        powers,
        ..Amount::default()
    }
}

#[test]
fn sizes_are_drawn_as_bars() {
    let narrow = Look { width: Some(40), ..UTC };
    let amount = powers(&[(65 + 2, 1), (0, 4), (2, 20)], 2);
    assert_eq!(
        print(
            Format::Text,
            narrow,
            Measure::Histogram(of("ret", Unit::Plain)),
            &["comm", "ret"],
            vec![row(b"dd\0", 1, amount)]
        ),
        concat!(
            "22:13:20.123 ret by comm, ret\n",
            "vfs_read comm=dd ret=1: 27 hits\n",
            "  -3 .. -2   1 |@@                     |\n",
            "        -1   0 |                       |\n",
            "         0   4 |@@@@@                  |\n",
            "         1   0 |                       |\n",
            "    2 .. 3  20 |@@@@@@@@@@@@@@@@@@@@@@@|\n",
            "         ?   2 |@@@                    |\n",
        )
    );
    let amount = powers(&[(11, 3), (12, 6)], 0);
    let text =
        print(Format::Text, UTC, Measure::Histogram(of("duration", Unit::Nanoseconds)), &[], vec![alone(amount)]);
    let bars = [20, 40].map(|long| format!("{:40}|", "@".repeat(long)));
    assert_eq!(
        text,
        format!(
            "22:13:20.123456 duration\nvfs_read: 9 hits\n  1.02us .. 2.05us  3 |{}\n  2.05us .. 4.10us  6 |{}\n",
            bars[0], bars[1]
        )
    );
}

#[test]
fn the_ends_of_all_numbers_have_a_range() {
    let amount = powers(&[(64, u64::MAX), (65 + 64, 1)], 0);
    let json = print(
        Format::Json,
        UTC,
        Measure::Histogram(of("duration", Unit::Nanoseconds)),
        &[],
        vec![alone(Amount { count: 1, ..amount.clone() })],
    );
    let ranges = concat!(
        r#""of":"duration","unit":"ns","count":1,"unread":0,"histogram":["#,
        r#"{"from":-18446744073709551615,"to":-9223372036854775808,"count":1},"#,
        r#"{"from":9223372036854775808,"to":18446744073709551615,"count":18446744073709551615}]}"#,
    );
    assert!(json.ends_with(&format!("{ranges}\n")), "{json}");
    let text = print(
        Format::Text,
        UTC,
        Measure::Histogram(of("x", Unit::Plain)),
        &[],
        vec![alone(Amount { count: 1, ..amount })],
    );
    assert_eq!(text.lines().count(), 2 + 129);
}

#[test]
fn hostile_strings_stay_in_their_cells() {
    let hostile = "\x1b[2J\u{202e}a b\n\u{65e5}\0".as_bytes();
    let text = print(
        Format::Text,
        UTC,
        Measure::Count,
        &["comm", "ret"],
        vec![row(hostile, 0, count(1)), row(b"x", 0, count(1))],
    );
    assert!(text.lines().count() == 4 && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.contains(" \\x1b[2J\\u{202e}a\\ b\\n\u{65e5} 0\n"), "{text}");
    assert!(text.contains(" x\u{2026}  ") && text.ends_with("  0\n"), "it was cut: {text}");
    for width in 1..80 {
        let look = Look { width: Some(width), colour: true, ..UTC };
        let text = print(
            Format::Text,
            look,
            Measure::Histogram(of("a\x1b", Unit::Plain)),
            &["c\n"],
            vec![row(hostile, 0, powers(&[(3, 1)], 0))],
        );
        assert_eq!(text.lines().count(), 3, "{width}: {text:?}");
    }
    let json = print(Format::Json, UTC, Measure::Count, &[], vec![row(b"a\xff\x1b\0", 0, count(1))]);
    assert!(json.contains(r#""by":{"comm":"a"#) && json.contains(r#"\u001b","comm_b64":"Yf8b","ret":0}"#), "{json}");
}
