//! Escaping: traced text is hostile, so what a terminal obeys, hides or reorders is spelled out in ASCII.
//!
//! Text spells `\n \t \r \\`, `\xNN` for other ASCII controls and for bytes that are not UTF-8, and `\u{202e}` for other
//! characters. As a backslash is doubled and `\x80`-`\xff` are bytes only, no two strings look the same. (C1 controls are
//! therefore `\u{9b}`: `\x9b` is the stray byte.)

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use arrayvec::ArrayString;

/// A piece of a byte string: to be shown, or to be spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Visible ASCII and spaces, without backslashes.
    Ascii(&'a [u8]),
    /// A visible character outside ASCII.
    Char(char),
    /// A backslash, or a character that must not be shown.
    Hidden(char),
    /// A byte that is not UTF-8.
    Byte(u8),
}

/// The pieces of a string, in order.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let run = rest.iter().position(|b| !is_plain(*b)).unwrap_or(rest.len());
        if let Some((text, after)) = rest.split_at_checked(run).filter(|(text, _)| !text.is_empty()) {
            rest = after;
            return Some(Piece::Ascii(text));
        }
        let first = *rest.first()?;
        // Four bytes hold any character; a next one cut off by that does not matter.
        let window = rest.get(..4).unwrap_or(rest);
        let Some(c) = window.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) else {
            rest = rest.get(1..)?;
            return Some(Piece::Byte(first));
        };
        // A leading combining mark would change the character before the string.
        let alone = rest.len() == bytes.len();
        rest = rest.get(c.len_utf8()..)?;
        Some(if c != '\\' && is_visible(c) && !(alone && extends(c)) { Piece::Char(c) } else { Piece::Hidden(c) })
    })
}

/// ASCII that is shown as it is, in a run.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\\'
}

/// Bytes as shown in text, for what is not printed per event.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for piece in pieces(bytes) {
        match piece {
            Piece::Ascii(ascii) => text.push_str(&String::from_utf8_lossy(ascii)),
            Piece::Char(c) => text.push(c),
            Piece::Hidden(c) => text.push_str(&spell(c)),
            Piece::Byte(b) => text.push_str(&spell_byte(b)),
        }
    }
    text
}

/// Text without anything that a terminal obeys, hides or reorders: everything printed other than events ends here.
/// Newlines and tabs stay; text from elsewhere was made one line before (`kernel::printable`). Quotes and backslashes
/// stay, so that doing it twice changes nothing.
#[must_use]
pub fn clean(text: &str) -> String {
    spelled_out(text, |c| matches!(c, '\n' | '\t') || is_visible(c), |c, to| to.push_str(&spell(c)))
}

/// The same for lines of JSON: in those, such characters are within strings.
#[must_use]
pub fn clean_json(text: &str) -> String {
    let as_units = |c: char, to: &mut String| {
        c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(to, "\\u{unit:04x}"));
    };
    spelled_out(text, |c| c == '\n' || is_visible(c), as_units)
}

fn spelled_out(text: &str, stays: impl Fn(char) -> bool, spell: impl Fn(char, &mut String)) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) { cleaned.push(c) } else { spell(c, &mut cleaned) }
    }
    cleaned
}

/// Any bytes as one harmless line; quotes and backslashes stay.
#[must_use]
pub fn line(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in pieces(bytes) {
        match piece {
            Piece::Ascii(ascii) => text.push_str(&String::from_utf8_lossy(ascii)),
            Piece::Char(c) | Piece::Hidden(c @ '\\') => text.push(c),
            Piece::Hidden(c) => text.push_str(&spell(c)),
            Piece::Byte(b) => text.push_str(&spell_byte(b)),
        }
    }
    text
}

/// Whether a character is visible in its place: not a control, not invisible, not a space other than the ASCII one.
/// (A backslash is visible.)
#[must_use]
pub fn is_visible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Invisible although Unicode calls them letters, marks and symbols.
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' => false,
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{16fe4}' | '\u{1d159}' => false,
        '\u{e0000}'..='\u{e0fff}' => false,
        // The fast path for most text; letters and digits are always assigned and visible.
        _ if c.is_alphanumeric() => true,
        // After another character, std escapes what is not printable (Cc, Cf, Cn, Co, Zl, Zp, Zs), but not combining
        // marks.
        _ => {
            let mut behind = ArrayString::<8>::new();
            behind.push('a');
            behind.push(c);
            behind.escape_debug().nth(1) == Some(c)
        }
    }
}

/// Whether a visible, non-ASCII character combines with the one before it: std escapes those at the start of a string.
fn extends(c: char) -> bool {
    c.escape_debug().next() != Some(c)
}

/// An escaped character or byte.
pub type Spelled = ArrayString<12>;

/// A hidden character, as text spells it.
#[must_use]
pub fn spell(c: char) -> Spelled {
    spell_common(c).unwrap_or_else(|| fill(format_args!("\\u{{{:x}}}", u32::from(c))))
}

/// A hidden character, as bash reads it within `$'…'`.
#[must_use]
pub fn spell_for_bash(c: char) -> Spelled {
    spell_common(c).unwrap_or_else(|| match u32::from(c) {
        n @ ..=0xffff => fill(format_args!("\\u{n:04x}")),
        n => fill(format_args!("\\U{n:08x}")),
    })
}

/// A byte that is not UTF-8, as both spell it.
#[must_use]
pub fn spell_byte(byte: u8) -> Spelled {
    fill(format_args!("\\x{byte:02x}"))
}

fn spell_common(c: char) -> Option<Spelled> {
    Some(match c {
        '\n' => fill(format_args!("\\n")),
        '\t' => fill(format_args!("\\t")),
        '\r' => fill(format_args!("\\r")),
        '\\' => fill(format_args!("\\\\")),
        '\0'..='\x7f' => fill(format_args!("\\x{:02x}", u32::from(c))),
        _ => return None,
    })
}

fn fill(args: std::fmt::Arguments<'_>) -> Spelled {
    let mut spelled = Spelled::new();
    // The longest, `\U0010ffff` and `\u{10ffff}`, have ten bytes.
    let _ = spelled.write_fmt(args);
    spelled
}

/// Text of the host as one harmless line: control, bidirectional and invisible characters are escaped.
/// Quotes and backslashes stay, so that doing it twice changes nothing.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    line(text.trim().as_bytes())
}

/// A path in such a line; bytes that are not UTF-8 as `\xNN`.
#[must_use]
pub(crate) fn shown(path: &Path) -> String {
    line(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let one = |piece| match piece {
            Piece::Ascii(text) => String::from_utf8(text.to_vec()).unwrap(),
            Piece::Char(c) => c.to_string(),
            Piece::Hidden(c) => spell(c).to_string(),
            Piece::Byte(b) => spell_byte(b).to_string(),
        };
        pieces(bytes).map(one).collect()
    }

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(escaped(b"a\x1b[31m\n\t\r\0\x7f\\n"), r"a\x1b[31m\n\t\r\x00\x7f\\n");
        assert_eq!(escaped("\u{9b}31m \u{85}".as_bytes()), r"\u{9b}31m \u{85}");
        assert_eq!(escaped("\u{202e}gpj\u{2066}\u{200f}".as_bytes()), r"\u{202e}gpj\u{2066}\u{200f}");
        assert_eq!(escaped("\u{2028}\u{2029}\u{feff}\u{ad}".as_bytes()), r"\u{2028}\u{2029}\u{feff}\u{ad}");
    }

    #[test]
    fn what_hides_is_spelled_out() {
        for c in
            "\u{a0}\u{3000}\u{200b}\u{200d}\u{34f}\u{115f}\u{1160}\u{3164}\u{ffa0}\u{fe0f}\u{e0100}\u{e0041}\u{180b}\
                  \u{2800}\u{e000}\u{378}\u{10ffff}\u{17b4}\u{61c}\u{1d173}\u{206a}\u{fff9}"
                .chars()
        {
            assert_eq!(escaped(format!("a{c}").as_bytes()), format!("a\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn readable_text_passes() {
        for text in ["", "plain ~!'\"$", "Grüße", "日本語", "नमस्ते", "e\u{301}", "שלום", "→ ✓ 🎉", "\u{fffd}"]
        {
            assert_eq!(escaped(text.as_bytes()), text);
        }
        assert_eq!(
            escaped("\u{301}e".as_bytes()),
            r"\u{301}e",
            "a mark must not combine with what is before the string"
        );
    }

    #[test]
    fn invalid_utf8_is_spelled_byte_by_byte() {
        assert_eq!(escaped(b"\xff\xfea\xc3"), r"\xff\xfea\xc3");
        assert_eq!(escaped(b"\xf0\x9f\x8e\x89\xf0\x9f\x8e"), r"🎉\xf0\x9f\x8e", "cut inside a character");
        assert_eq!(escaped(b"\xed\xa0\x80\xc0\xaf"), r"\xed\xa0\x80\xc0\xaf", "surrogates and overlong forms");
    }

    #[test]
    fn what_is_printed_beside_events_is_clean() {
        let hostile = "a\x1b[31m\u{9b}1m\u{202e}\u{3164}\u{200b}\u{e0041}\r\\ \"é\"\n\tb\n";
        let cleaned = clean(hostile);
        assert_eq!(cleaned, "a\\x1b[31m\\u{9b}1m\\u{202e}\\u{3164}\\u{200b}\\u{e0041}\\r\\ \"é\"\n\tb\n");
        assert_eq!(clean(&cleaned), cleaned);
        let json = clean_json("\"a\u{9b}\u{202e}\u{3164}\u{e0041}é\\\\\"\n");
        assert_eq!(json, "\"a\\u009b\\u202e\\u3164\\udb40\\udc41é\\\\\"\n");
        let read: String = serde_json::from_str(&json).unwrap();
        assert_eq!(read, "a\u{9b}\u{202e}\u{3164}\u{e0041}é\\");
        assert_eq!(line(b"/a\n\xff\\'\xe3\x85\xa4 "), "/a\\n\\xff\\'\\u{3164} ");
    }

    #[test]
    fn the_quick_way_agrees_with_std() {
        let std = |c: char| format!("a{c}").escape_debug().nth(1) == Some(c);
        for c in (char::MIN..=char::MAX).filter(|c| c.is_alphanumeric() && is_visible(*c)) {
            assert!(std(c), "{:x}", u32::from(c));
        }
        assert!((char::MIN..' ').chain('\x7f'..='\u{a0}').all(|c| !is_visible(c)));
    }

    #[test]
    fn bash_gets_what_bash_reads() {
        let spelled = ['\x1b', '\u{9b}', '\u{202e}', '\u{e0041}', '\n', '\\'].map(|c| spell_for_bash(c).to_string());
        assert_eq!(spelled, ["\\x1b", "\\u009b", "\\u202e", "\\U000e0041", "\\n", "\\\\"]);
    }

    #[test]
    fn host_text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[31m 'b'\u{202e}ü\n"), "a\\x1b[31m 'b'\\u{202e}ü");
        assert_eq!(printable("\u{3164}a\u{200b}"), "\\u{3164}a\\u{200b}", "letters that nobody sees");
    }
}
