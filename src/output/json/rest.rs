//! Members that follow others in one object.

use std::io::{self, Write};

use crate::escape::is_visible;

/// The rest of an object that is begun by hand: compact JSON in which what a terminal obeys or hides is escaped. JSON itself
/// only asks for that below U+0020, but lines are also looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::output) struct Rest {
    /// How many objects are open.
    pub depth: u32,
}

impl serde_json::ser::Formatter for Rest {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.depth > 1 { out.write_all(b"{") } else { Ok(()) }
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first && self.depth > 1 { Ok(()) } else { out.write_all(b",") }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment.as_bytes()) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_visible(*c)) {
            let (shown, hidden) = rest.split_at(at);
            out.write_all(shown.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = hidden.get(c.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Whether all bytes are below DEL, eight at a time: adding one carries into the top bit from DEL on.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let (chunks, rest) = bytes.as_chunks();
    let words = chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk));
    let tops = words.fold(0, |tops, word| tops | word | word.wrapping_add(ONES));
    tops & TOPS == 0 && rest.iter().all(|b| *b < 0x7f)
}
