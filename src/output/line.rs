//! A line of text that is being built: counts its columns and stops at the terminal's width.

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use crate::escape::{Piece, pieces, spell, spell_byte, spell_for_bash};

/// How a part of a line is set off. Takes no columns.
#[derive(Debug, Clone, Copy)]
pub enum Paint {
    Bold,
    Dim,
    Red,
    Off,
}

impl Paint {
    fn code(self) -> &'static [u8] {
        match self {
            Paint::Bold => b"\x1b[1m",
            Paint::Dim => b"\x1b[2m",
            Paint::Red => b"\x1b[31m",
            Paint::Off => b"\x1b[0m",
        }
    }
}

/// What bash needs no quotes for.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let (mut i, bytes) = (0, b"_@%+=:,./-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    while i < bytes.len() {
        plain[bytes[i] as usize] = true;
        i += 1;
    }
    plain
};

/// One line, in a buffer that is reused.
#[derive(Debug)]
pub struct Line {
    bytes: Vec<u8>,
    /// Columns so far.
    column: usize,
    /// Columns there are; `usize::MAX` where there is no end.
    limit: usize,
    /// How many of the bytes leave a column for the mark that the line was cut.
    keep: usize,
    full: bool,
    colour: bool,
}

const CUT: &str = "…";
const SPACES: &str = "                                ";

impl Line {
    /// A line of at most `limit` columns.
    pub fn new(limit: Option<usize>, colour: bool) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Line { bytes: Vec::with_capacity(512), column: 0, limit, keep: 0, full: false, colour }
    }

    /// Lines have at most this many columns from here on.
    pub fn limit(&mut self, limit: Option<usize>) {
        self.limit = limit.unwrap_or(usize::MAX);
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.column, self.keep, self.full) = (0, 0, false);
    }

    /// Ends the line and writes it.
    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.bytes.push(b'\n');
        out.write_all(&self.bytes)
    }

    /// How many columns are taken.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Nothing more fits: what is added is dropped.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Sets off what follows.
    pub fn paint(&mut self, paint: Paint) {
        if self.colour && !self.full {
            self.bytes.extend_from_slice(paint.code());
        }
    }

    /// Adds visible ASCII, which may be cut anywhere.
    #[inline]
    pub fn ascii(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if text.len() < self.limit.saturating_sub(self.column) && !self.full {
            self.bytes.extend_from_slice(text);
            self.column += text.len();
            self.keep = self.bytes.len();
        } else {
            self.ascii_at_end(text);
        }
    }

    /// The same where it may not fit.
    #[cold]
    fn ascii_at_end(&mut self, text: &[u8]) {
        if self.full {
            return;
        }
        let room = self.limit.saturating_sub(self.column);
        let fits = text.get(..room).unwrap_or(text);
        self.bytes.extend_from_slice(fits);
        self.column += fits.len();
        if !fits.is_empty() {
            // All columns are taken: the mark would replace the last one.
            self.keep = self.bytes.len() - 1;
        }
        if fits.len() < text.len() {
            self.cut();
        }
    }

    /// Adds what must not be cut within: a character or an escape.
    fn whole(&mut self, text: &str, width: usize) {
        if self.full {
            return;
        }
        if self.column + width > self.limit {
            return self.cut();
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.column += width;
        if self.column < self.limit {
            self.keep = self.bytes.len();
        }
    }

    fn cut(&mut self) {
        self.bytes.truncate(self.keep);
        self.bytes.extend_from_slice(CUT.as_bytes());
        self.paint(Paint::Off);
        self.full = true;
    }

    /// Adds a visible character.
    fn char(&mut self, c: char) {
        self.whole(c.encode_utf8(&mut [0; 4]), c.width().unwrap_or(0));
    }

    /// Adds our own text of visible characters.
    pub fn drawn(&mut self, text: &str) {
        text.chars().for_each(|c| self.char(c));
    }

    /// Adds what is cut already: `…`.
    pub fn ellipsis(&mut self) {
        self.whole(CUT, 1);
    }

    /// Adds spaces up to a column: at least one, so that a value that is too long pushes the rest to the right.
    pub fn pad_to(&mut self, column: usize) {
        // At the beginning of a line, there is nothing to keep apart.
        let mut missing = column.saturating_sub(self.column).max(usize::from(self.column > 0));
        while missing > 0 && !self.full {
            let some = SPACES.get(..missing).unwrap_or(SPACES);
            self.ascii(some);
            missing -= some.len();
        }
    }

    /// Adds a number, in decimal.
    pub fn number(&mut self, number: impl itoa::Integer) {
        self.ascii(itoa::Buffer::new().format(number));
    }

    /// Adds a string of any bytes, escaped; `''` for an empty one, so that it can be seen.
    pub fn escaped(&mut self, bytes: &[u8]) {
        self.escape(bytes, |line, text| line.ascii(text));
    }

    /// The same among other words: a space in it is spelled `\ `, so that `a code=0` cannot pass for a field of its own.
    pub fn escaped_word(&mut self, bytes: &[u8]) {
        self.escape(bytes, |line, text: &[u8]| {
            for (i, part) in text.split(|b| *b == b' ').enumerate() {
                if i > 0 {
                    line.spelled("\\ ");
                }
                line.ascii(part);
            }
        });
    }

    fn escape(&mut self, bytes: &[u8], ascii: impl Fn(&mut Self, &[u8])) {
        if bytes.is_empty() {
            self.ascii("''");
        }
        for piece in pieces(bytes) {
            match piece {
                Piece::Ascii(text) => ascii(self, text),
                Piece::Char(c) => self.char(c),
                Piece::Hidden(c) => self.spelled(&spell(c)),
                Piece::Byte(b) => self.spelled(&spell_byte(b)),
            }
            if self.full {
                return;
            }
        }
    }

    fn spelled(&mut self, escape: &str) {
        self.whole(escape, escape.len());
    }

    /// Adds a word such that bash reads it as these bytes. As a command (the first word), `a=b` would be an assignment.
    pub fn shell_word(&mut self, bytes: &[u8], command: bool) {
        let plain = |b: &u8| PLAIN[usize::from(*b)] && !(command && *b == b'=');
        if !bytes.is_empty() && bytes.iter().all(plain) {
            return self.ascii(bytes);
        }
        let simple = |piece: Piece<'_>| match piece {
            Piece::Ascii(text) => !text.contains(&b'\''),
            Piece::Char(_) => true,
            Piece::Hidden(_) | Piece::Byte(_) => false,
        };
        self.ascii(if pieces(bytes).all(simple) { "'" } else { "$'" });
        for piece in pieces(bytes) {
            match piece {
                Piece::Ascii(text) => {
                    for (i, part) in text.split(|b| *b == b'\'').enumerate() {
                        if i > 0 {
                            self.spelled("\\'");
                        }
                        self.ascii(part);
                    }
                }
                Piece::Char(c) => self.char(c),
                Piece::Hidden(c) => self.spelled(&spell_for_bash(c)),
                Piece::Byte(b) => self.spelled(&spell_byte(b)),
            }
            if self.full {
                return;
            }
        }
        self.ascii("'");
    }
}
