//! What is wrong with a spec: the reason, the place in it, and how one looks that is right.

use std::fmt::{self, Display, Formatter};

use unicode_width::UnicodeWidthChar;

use super::ast::Span;
use crate::escape;

/// What a parser says of a place in the text at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Why. It is one harmless line: words of the text are in it by [`quoted`].
    pub message: String,
    pub span: Span,
    /// What was meant, perhaps.
    pub meant: Option<String>,
}

pub(crate) type Parsed<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Fault { message: message.into(), span, meant: None }
    }
}

/// A spec that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpecError {
    /// All of the spec.
    pub text: String,
    pub message: String,
    /// Where in the text: empty where something is missing.
    pub span: Span,
    /// A spec that is right: what was meant, where that is known, else any of this kind.
    pub example: String,
    /// What helps more than an example, one on each line.
    pub hints: Vec<String>,
}

impl std::error::Error for SpecError {}

/// The reason, then the place in the spec; each line but the first is indented, as something may stand before that.
impl Display for SpecError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [before, place, after] = self.shown();
        let (column, more) = (width(&before), width(&place).saturating_sub(1));
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  {before}{place}{after}")?;
        write!(f, "  {:column$}^{:~<more$}", "", "")?;
        if self.hints.is_empty() {
            return write!(f, "\n  for example: {}", escape::line(self.example.as_bytes()));
        }
        self.hints.iter().try_for_each(|hint| write!(f, "\n  {}", escape::line(hint.as_bytes())))
    }
}

/// Columns before the place, and from there on: with more, terminals break the line, and the caret is off.
const ROOM: usize = 60;

impl SpecError {
    /// The spec as one harmless line: what is before the place, the place, and what is behind it, as far as there is
    /// room. What is spelled out makes parts longer, but a part's spelling does not depend on what follows it.
    fn shown(&self) -> [String; 3] {
        let whole = escape::line(self.text.as_bytes());
        let until = |end: usize| escape::line(self.text.get(..end).unwrap_or(&self.text).as_bytes()).len();
        let (begin, end) = (until(self.span.start), until(self.span.end));
        let before = cut_front(whole.get(..begin).unwrap_or_default());
        let place = cut(whole.get(begin..end).unwrap_or_default(), ROOM);
        let after = cut(whole.get(end..).unwrap_or_default(), ROOM.saturating_sub(width(&place)));
        [before, place, after]
    }
}

/// The columns that a terminal shows a harmless line in.
fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

const CUT: &str = "…";

/// As much of the beginning as there is room for.
fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = |c: &char| left.checked_sub(c.width().unwrap_or(0)).map(|rest| left = rest).is_some();
    text.chars().take_while(fits).chain(CUT.chars()).collect()
}

/// As much of the end as there is room for.
fn cut_front(text: &str) -> String {
    if width(text) <= ROOM {
        return text.to_owned();
    }
    let mut left = ROOM - 1;
    let fits = |c: &char| left.checked_sub(c.width().unwrap_or(0)).map(|rest| left = rest).is_some();
    let kept: Vec<char> = text.chars().rev().take_while(fits).collect();
    CUT.chars().chain(kept.into_iter().rev()).collect()
}

/// A word of the text, for a message.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", cut(&escape::line(word.as_bytes()), 40))
}

/// Which of these words a word is nearly: letters are missing, too many, wrong or in each other's place.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 32;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let far = |other: &str| strsim::osa_distance(&word, other);
    let near = |(distance, other): &(usize, &str)| *distance <= (other.len() / 3).max(1) && *distance < other.len();
    known.into_iter().map(|other| (far(other), other)).filter(near).min().map(|(_, other)| other)
}

/// "; did you mean 'kprobe'?", where a word is nearly one of these.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean '{known}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, span: Span) -> String {
        let text = text.to_owned();
        SpecError { text, message: "no".into(), span, example: "fn:a".into(), hints: Vec::new() }.to_string()
    }

    #[test]
    fn the_caret_is_below_the_place_whatever_is_before_it() {
        assert_eq!(error("fn:abc(d)", 3..6), "no\n  fn:abc(d)\n     ^~~\n  for example: fn:a");
        assert_eq!(error("fn:abc", 6..6), "no\n  fn:abc\n        ^\n  for example: fn:a", "behind the end");
        let hostile = "\u{1b}[2J\u{202e}日本e\u{301}\\x(y)";
        let at = hostile.find("y)").unwrap();
        let shown = "  \\x1b[2J\\u{202e}日本e\u{301}\\x(y)";
        assert_eq!(error(hostile, at..at + 2), format!("no\n{shown}\n{:25}^~\n  for example: fn:a", ""));
        assert_eq!(error("\u{301}a", 2..3), "no\n  \\u{301}a\n         ^\n  for example: fn:a", "a mark alone");
        assert_eq!(error("a\nb", 2..3), "no\n  a\\nb\n     ^\n  for example: fn:a", "one line");
        assert_eq!(error("日本", 0..6), "no\n  日本\n  ^~~~\n  for example: fn:a");
        assert!(error("日本", 1..99).contains("日本"), "a wrong span is no reason to panic");
    }

    #[test]
    fn a_long_spec_is_shown_around_the_place() {
        let long = format!("{}X{}", "a".repeat(500), "日".repeat(500));
        let (front, back) = ("a".repeat(ROOM - 1), "日".repeat(29));
        assert_eq!(
            error(&long, 500..501),
            format!("no\n  …{front}X{back}…\n  {:60}^\n  for example: fn:a", ""),
            "two columns each: one column stays empty"
        );
        assert!(error(&long, 0..500).lines().all(|line| width(line) <= 2 * ROOM + 2));
    }

    #[test]
    fn words_that_are_nearly_right() {
        let known = ["fn", "kprobe", "kretprobe", "u8", "x"];
        assert_eq!(nearest("kporbe", known), Some("kprobe"));
        assert_eq!(nearest("KPROBE", known), Some("kprobe"));
        assert_eq!(nearest("krteprobe", known), Some("kretprobe"));
        assert_eq!(nearest("fm", known), Some("fn"));
        assert_eq!(nearest("y", known), None, "nothing of it is right");
        assert_eq!(nearest("vfs_read", known), None);
        assert_eq!(nearest(&"x".repeat(9999), known), None);
    }
}
