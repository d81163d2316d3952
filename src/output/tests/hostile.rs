//! Hostile bytes and every width: a line of text stays one harmless line, and JSON loses no byte.

use serde_json::Value as JsonValue;
use unicode_width::UnicodeWidthStr;

use super::*;

/// Removes the three sequences that we use ourselves, as a terminal would.
fn unpainted(text: &str) -> String {
    ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"].iter().fold(text.to_owned(), |text, code| text.replace(code, ""))
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut long = sample(&[
        ("str", Value::Str("日本語 e\u{301}\u{202e}🎉\x1b[31m".as_bytes())),
        ("code", Value::Code(1)),
        ("exe", Value::Path(path("ü\0日本\0".as_bytes()))),
        ("argv", list(b"sh\0-c\0echo \xff\n\0it's\0a very long one that goes on and on until the end of the line\0")),
        ("flags", bits(0x103)),
    ]);
    long.head.comm = *b"\x1b[31m\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\0\0";
    let short = sample(&[]);
    for (width, colour) in (1..=200).flat_map(|width| [(width, false), (width, true)]) {
        let look = Look { width: Some(width), colour, ..UTC };
        for event in [&long, &short] {
            let mut full = line(Format::Text, Look { width: Some(1000), ..UTC }, event);
            if width < 110 {
                full = full.replacen("    101  1000   100 ", " 1000 ", 1);
            }
            let text = line(Format::Text, look, event);
            if colour && text.contains('…') {
                assert!(text.ends_with("…\x1b[0m\n"), "{text:?}");
            }
            let text = unpainted(&text);
            let text = text.strip_suffix('\n').unwrap();
            assert!(text.width() <= width, "{width}: {text:?}");
            assert!(!text.chars().any(char::is_control), "{width}: {text:?}");
            match text.strip_suffix('…') {
                None => assert_eq!(text, full.trim_end_matches('\n')),
                Some(part) => {
                    assert!(full.starts_with(part), "what is kept is the beginning");
                    assert!(full.trim_end().width() > width, "{width}: cut although it fits");
                    let inside = [r"\", r"\x", r"\x1", r"\xf", r"\u", r"\u{", r"\u{2", r"\u{20", r"\u{202", r"\u{202e"];
                    assert!(!inside.iter().any(|end| part.ends_with(end)), "{width}: cut within an escape: {part:?}");
                }
            }
        }
    }
}

/// A small generator (xorshift), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes in which everything that is awkward is frequent.
    fn bytes(&mut self, most: u64) -> Vec<u8> {
        const AWKWARD: &[&[u8]] = &[
            b"\n",
            b"\x1b[2J",
            b"\0",
            b"\x7f",
            b"'",
            b"\\",
            b" ",
            b"\"",
            b"\xff",
            b"\xc2\x9b",
            b"\xe2\x80\xae",
            b"\xe2\x80",
            b"\xf3\xa0\x81\x81",
            b"\xe6\x97\xa5",
            b"\xcc\x81",
            b"\xed\xa0\x80",
            b"\xe3\x85\xa4",
            b"\xc2\xa0",
            b"/",
        ];
        let mut bytes = Vec::new();
        for _ in 0..self.next() % (most + 1) {
            match self.next() % 3 {
                0 => bytes.push(self.next() as u8),
                1 => bytes.extend_from_slice(AWKWARD[self.next() as usize % AWKWARD.len()]),
                _ => bytes.push(b'a' + (self.next() % 26) as u8),
            }
        }
        bytes
    }
}

/// The bytes of a JSON string: those beside it where there are any.
fn bytes_of(object: &JsonValue, name: &str) -> Vec<u8> {
    match object.get(format!("{name}_b64")) {
        Some(base64) => decode(base64),
        None => object[name].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn decode(base64: &JsonValue) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

#[test]
fn no_bytes_break_a_line_and_json_loses_none() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut text = build(Format::Text, UTC);
    let mut json = build(Format::Json, UTC);
    for _ in 0..20_000 {
        let (string, names, items) = (random.bytes(12), random.bytes(12), random.bytes(20));
        let mut event = sample(&[
            ("str", Value::Str(&string)),
            ("exe", Value::Path(path(&names))),
            ("argv", Value::List(List { bytes: &items, total: items.len() as u64 + random.next() % 2 })),
        ]);
        for byte in &mut event.head.comm {
            *byte = random.next() as u8;
        }

        let mut out = Vec::new();
        text.event(&mut out, &event).unwrap();
        let line = String::from_utf8(out).expect("text is UTF-8");
        let line = line.strip_suffix('\n').expect("a line ends");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{3164}', '\u{a0}', '\u{e0041}']), "{line:?}");

        let mut out = Vec::new();
        json.event(&mut out, &event).unwrap();
        let line = str::from_utf8(&out).expect("JSON is UTF-8").strip_suffix('\n').expect("a line ends");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let object: JsonValue = serde_json::from_str(line).unwrap();
        assert_eq!(bytes_of(&object, "str"), string);
        assert_eq!(bytes_of(&object, "comm"), event.head.comm());
        let whole: Vec<u8> = path(&names).parts().flat_map(|(slash, name)| [slash.as_bytes(), name].concat()).collect();
        assert_eq!(bytes_of(&object, "exe"), if names.is_empty() { b"/".to_vec() } else { whole });
        let shown: Vec<Vec<u8>> = match object.get("argv_b64") {
            Some(base64) => base64.as_array().unwrap().iter().map(decode).collect(),
            None => object["argv"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().into()).collect(),
        };
        let want: Vec<&[u8]> = List { bytes: &items, total: 0 }.iter().collect();
        assert_eq!(shown, want);
    }
}

#[test]
fn json_is_harmless_to_look_at() {
    let (_, json) = shown("str", Value::Str("\u{9b}2J\x7f \u{202e} \u{e0041} é".as_bytes()));
    assert_eq!(json, r#""str":"\u009b2J\u007f \u202e \udb40\udc41 é""#);
}
