//! Names that are written once, and referred to by a number from then on ("interned").

use std::collections::HashMap;
use std::fmt::{self, Display, Write as _};

use arrayvec::ArrayString;

use super::message::Message;
use crate::escape::{Piece, pieces, spell, spell_byte};

/// How many are known at once: with more, all are forgotten, and written again where they are needed.
const MAX: usize = 4096;
/// The longest name, in bytes.
const LONGEST: usize = 96;
/// The end of a name that is cut.
const MORE: &str = "…";
/// A name without a character, as text shows it.
const EMPTY: &str = "''";

/// What is named: the field of `InternedData` (interned_data.proto) that has such names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Category = 1,
    Event = 2,
    Annotation = 3,
}

/// The names of a trace.
#[derive(Debug, Default)]
pub struct Names {
    known: [HashMap<Box<str>, u64>; 3],
    /// Those that are to be written with the next packet: fields of `InternedData`.
    fresh: Message,
    /// A name that is being put together.
    scratch: String,
}

impl Names {
    /// Makes room for more before a packet; returns whether all were forgotten.
    pub fn make_room(&mut self) -> bool {
        let full = self.known.iter().any(|known| known.len() >= MAX);
        if full {
            self.forget();
        }
        full
    }

    /// They will be written again.
    pub fn forget(&mut self) {
        self.known.iter_mut().for_each(HashMap::clear);
        self.fresh.clear();
    }

    /// The number of a name.
    pub fn number(&mut self, what: Named, name: &str) -> u64 {
        let Names { known: [categories, events, annotations], fresh, .. } = self;
        let known = match what {
            Named::Category => categories,
            Named::Event => events,
            Named::Annotation => annotations,
        };
        if let Some(number) = known.get(name) {
            return *number;
        }
        // 0 stands for no name.
        let number = known.len() as u64 + 1;
        known.insert(name.into(), number);
        let entry = fresh.open(what as u32);
        fresh.uint(1, number);
        fresh.string(2, name);
        fresh.close(entry);
        number
    }

    /// The number of what is put together to a name.
    pub fn number_of(&mut self, what: Named, name: &dyn Display) -> u64 {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Strings take all.
        let _ = write!(scratch, "{name}");
        let number = self.number(what, &scratch);
        self.scratch = scratch;
        number
    }

    /// Adds the new ones to the packet.
    pub fn flush(&mut self, packet: &mut Message, field: u32) {
        if !self.fresh.bytes().is_empty() {
            packet.string(field, self.fresh.bytes());
            self.fresh.clear();
        }
    }
}

/// A name as it is shown, of any bytes: one harmless line, which is cut where it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown(ArrayString<LONGEST>);

impl Shown {
    pub fn new(bytes: &[u8]) -> Self {
        let mut shown = Shown::default();
        let whole = pieces(bytes).all(|piece| match piece {
            Piece::Ascii(ascii) => shown.add(str::from_utf8(ascii).unwrap_or_default()),
            Piece::Char(c) | Piece::Hidden(c @ '\\') => shown.add(c.encode_utf8(&mut [0; 4])),
            Piece::Hidden(c) => shown.add(&spell(c)),
            Piece::Byte(byte) => shown.add(&spell_byte(byte)),
        });
        if !whole {
            shown.0.push_str(MORE);
        } else if shown.0.is_empty() {
            shown.0.push_str(EMPTY);
        }
        shown
    }

    /// Adds a piece; returns whether there was room: else, of ASCII, what there was room for.
    fn add(&mut self, piece: &str) -> bool {
        let room = LONGEST - MORE.len() - self.0.len();
        let fits = piece.len() <= room;
        // What is spelled out is there as a whole, or not.
        let part = if fits || !piece.starts_with('\\') { piece.get(..room.min(piece.len())) } else { None };
        self.0.push_str(part.unwrap_or_default());
        fits
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_harmless_line_of_limited_length() {
        let shown = |bytes: &[u8]| Shown::new(bytes).to_string();
        assert_eq!(shown(b"cc1"), "cc1");
        assert_eq!(shown("日本\u{202e}\n\x1b[31m\\".as_bytes()), "日本\\u{202e}\\n\\x1b[31m\\");
        assert_eq!((shown(b"\xff"), shown(b"")), ("\\xff".to_owned(), "''".to_owned()));
        for bytes in [vec![b'a'; 500], vec![0x1b; 500], "ü".repeat(200).into_bytes(), b"aaaa\x1b".repeat(99)] {
            let name = shown(&bytes);
            assert!(name.ends_with('…') && (80..=LONGEST).contains(&name.len()), "{name}");
        }
        assert_eq!(shown(&[b'a'; LONGEST - 3]), "a".repeat(LONGEST - 3), "it fits");
    }

    #[test]
    fn names_are_written_once_and_forgotten_when_there_are_too_many() {
        let (mut names, mut packet) = (Names::default(), Message::default());
        assert_eq!((names.number(Named::Event, "a"), names.number(Named::Event, "b")), (1, 2));
        assert_eq!((names.number(Named::Category, "a"), names.number(Named::Event, "a")), (1, 1));
        names.flush(&mut packet, 12);
        let once = packet.bytes().len();
        names.flush(&mut packet, 12);
        assert_eq!(packet.bytes().len(), once);
        assert!(!names.make_room());
        (0..MAX).for_each(|n| _ = names.number_of(Named::Event, &n));
        assert!(names.make_room());
        assert_eq!(names.number(Named::Event, "b"), 1);
    }
}
