//! A place in the text of a spec, and what stands there.
//!
//! Tokens are read as they are asked for: what `*`, `-` or a dot is depends on whether a name, a path or an expression
//! is expected. Before each there may be white space, the ASCII one.

use crate::spec::ast::{Span, Word};
use crate::spec::error::{Fault, Parsed};

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// What the names of C consist of. A digit cannot be the first.
pub(super) fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Cursor { text: text.trim_ascii_end(), at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text from the next token on.
    pub(super) fn ahead(&self) -> &'a str {
        self.rest().trim_ascii_start()
    }

    /// Where the next token begins.
    pub(super) fn begin(&self) -> usize {
        self.text.len() - self.ahead().len()
    }

    /// Where the last token, or character, ended.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// From a place to there.
    pub(super) fn since(&self, begin: usize) -> Span {
        begin..self.at.max(begin)
    }

    pub(super) fn at_end(&self) -> bool {
        self.ahead().is_empty()
    }

    /// Whether this sign comes next.
    pub(super) fn sees(&self, sign: &str) -> bool {
        self.ahead().starts_with(sign)
    }

    /// Goes behind this sign, if it comes next.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let seen = self.sees(sign);
        if seen {
            self.at = self.begin() + sign.len();
        }
        seen
    }

    /// Goes behind this sign, which has to come next.
    pub(super) fn expect(&mut self, sign: &str, why: &str) -> Parsed<()> {
        if self.eat(sign) { Ok(()) } else { Err(self.fault(why)) }
    }

    /// The next character, be it white space.
    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The characters from here on that belong together, without white space before them.
    pub(super) fn run(&mut self, belongs: impl Fn(char) -> bool, most: usize) -> &'a str {
        let rest = self.rest();
        let length = rest.chars().take(most).take_while(|c| belongs(*c)).map(char::len_utf8).sum();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// The next word, of characters that belong together; it may be empty.
    pub(super) fn word(&mut self, belongs: impl Fn(char) -> bool) -> Word {
        let begin = self.begin();
        self.at = begin;
        let text = self.run(belongs, usize::MAX).to_owned();
        Word { text, span: self.since(begin) }
    }

    /// The name that comes next, if it is one.
    pub(super) fn identifier(&mut self) -> Option<Word> {
        let first = self.ahead().chars().next()?;
        (is_identifier(first) && !first.is_ascii_digit()).then(|| self.word(is_identifier))
    }

    /// Whether this word comes next, as a whole.
    pub(super) fn sees_word(&self, word: &str) -> bool {
        self.ahead().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_identifier))
    }

    /// Goes behind this word, if it comes next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.sees_word(word) && self.eat(word)
    }

    /// What comes next, for an error: a word, a sign, or nothing at the end.
    pub(super) fn token(&self) -> Span {
        let mut ahead = *self;
        let word = ahead.word(is_identifier);
        if word.text.is_empty() {
            ahead.bump();
        }
        ahead.since(word.span.start)
    }

    /// What comes next is wrong, or it is the end.
    pub(super) fn fault(&self, why: impl Into<String>) -> Fault {
        Fault::new(self.token(), why)
    }

    /// A piece of the text.
    pub(super) fn slice(&self, span: Span) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }
}
