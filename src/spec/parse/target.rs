//! What is probed: the part of a spec before its arguments.

use super::kinds::{Grammar, Kind, is_segment, kind};
use super::lex::Cursor;
use crate::spec::ast::{Place, Target, Word};
use crate::spec::error::{Fault, Parsed, quoted};

pub(super) fn target(c: &mut Cursor<'_>, grammar: Grammar) -> Parsed<Target> {
    match grammar {
        Grammar::Probe => of_kernel(c),
        Grammar::Uprobe => Ok(Target::User { binary: binary(c)?, place: place(c)? }),
        Grammar::Usdt => {
            let binary = binary(c)?;
            let (provider, name) = pair(c, "provider", "probe")?;
            let any = Word { text: String::new(), span: name.span.start..name.span.start };
            Ok(Target::Static { binary, provider: provider.unwrap_or(any), name })
        }
    }
}

fn of_kernel(c: &mut Cursor<'_>) -> Parsed<Target> {
    let kind = kind(c)?;
    if let Kind::Function(how) = kind {
        let (module, name) = pair(c, "module", "function")?;
        return Ok(Target::Function { how, module, name });
    }
    let of = match kind {
        Kind::Tracepoint => "category",
        Kind::Syscall => "syscall",
        _ => "tracepoint",
    };
    let first = name(c.word(is_segment), of)?;
    match kind {
        Kind::Tracepoint => {
            c.expect(":", "a tracepoint has a category and a name: tracepoint:CATEGORY:NAME")?;
            Ok(Target::Tracepoint { category: first, name: name(c.word(is_segment), "tracepoint")? })
        }
        Kind::TypedTracepoint => Ok(Target::TypedTracepoint { name: first }),
        Kind::Syscall => Ok(Target::Syscall { name: first }),
        Kind::RawTracepoint | Kind::Function(_) => Ok(Target::RawTracepoint { name: first }),
    }
}

/// `[BEFORE:]NAME`
fn pair(c: &mut Cursor<'_>, before: &str, of: &str) -> Parsed<(Option<Word>, Word)> {
    let first = c.word(is_segment);
    if !c.eat(":") {
        return Ok((None, name(first, of)?));
    }
    // Any provider, as where it is not there at all.
    let first = if first.text.is_empty() && before == "provider" { first } else { name(first, before)? };
    Ok((Some(first), name(c.word(is_segment), of)?))
}

/// A name, which may be a glob.
fn name(word: Word, of: &str) -> Parsed<Word> {
    // No function is called as a keyword of C: what follows is a condition.
    if word.text.is_empty() || word.text == "if" {
        let begin = word.span.start;
        return Err(Fault::new(begin..begin, format!("the name of the {of} is missing here")));
    }
    let mut class = None;
    for (at, c) in word.text.char_indices() {
        let begin = word.span.start + at;
        match (c, class) {
            ('[', None) => class = Some(at),
            (']', Some(open)) if at > open + 1 => class = None,
            ('!' | '^', Some(open)) if at == open + 1 => {}
            ('*' | '?', None) => {}
            _ if c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$' | '@') => {}
            _ => {
                // A path that was taken for one with a colon behind it.
                let hint = if c == '/' && matches!(of, "provider" | "probe") { COLON } else { "" };
                let why = format!("{} cannot be in the name of a {of}{hint}", quoted(c.encode_utf8(&mut [0; 4])));
                return Err(Fault::new(begin..begin + c.len_utf8(), why));
            }
        }
    }
    match class {
        Some(open) => Err(Fault::new(word.span.start + open..word.span.end, "this '[' is not closed")),
        None => Ok(word),
    }
}

const COLON: &str = " (a colon in the path of a binary is written \\:)";

/// `BINARY:`, a path or a library's name: all up to a colon that has no backslash before it.
fn binary(c: &mut Cursor<'_>) -> Parsed<Word> {
    let begin = c.begin();
    let first = *c;
    let mut text = String::new();
    c.run(|c| c.is_ascii_whitespace(), usize::MAX);
    let end = loop {
        let at = c.place();
        match c.bump() {
            Some(':') => break at,
            Some('\\') => text.push_str(escaped(c)),
            Some('\0') => return Err(Fault::new(c.since(at), "no path has a NUL in it")),
            None | Some('(') => return Err(no_binary(&first, at)),
            Some(c) => text.push(c),
        }
    };
    let trimmed = c.slice(begin..end).trim_ascii_end().len();
    let span = begin..begin + trimmed;
    match text.trim_ascii_end() {
        "" => Err(Fault::new(span, "the binary is missing here: its path, or a library's name as libc")),
        kind @ ("uprobe" | "uretprobe" | "usdt") => {
            let why = format!("the subcommand says it: without '{kind}:', a spec begins with the binary");
            Err(Fault { message: why, span, meant: Some(c.ahead().to_owned()) })
        }
        text => Ok(Word { text: text.to_owned(), span }),
    }
}

/// What stands behind a backslash, if it has to have one.
fn escaped(c: &mut Cursor<'_>) -> &'static str {
    for sign in [":", "(", "\\"] {
        let mut ahead = *c;
        if ahead.run(|c| sign.starts_with(c), 1) == sign {
            *c = ahead;
            return sign;
        }
    }
    "\\"
}

fn no_binary(begin: &Cursor<'_>, end: usize) -> Fault {
    let span = begin.begin()..end.max(begin.begin());
    let word = begin.slice(span.clone()).trim_ascii_end();
    let span = span.start..span.start + word.len();
    match word {
        "" => Fault::new(span, "the binary is missing here: BINARY:NAME"),
        _ => Fault::new(span, "a binary and a name are needed, with a colon between them: BINARY:NAME"),
    }
}

/// `FUNCTION`, `0xOFFSET` or `FILE:LINE`
fn place(c: &mut Cursor<'_>) -> Parsed<Place> {
    let word = qualified(c);
    if c.eat(":") {
        let line = c.word(is_segment);
        return in_file(word, &line);
    }
    if !word.text.starts_with(|c: char| c.is_ascii_digit()) {
        return function(word).map(Place::Function);
    }
    let digits = word.text.strip_prefix("0x").filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    let offset = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    offset.map(Place::Offset).ok_or_else(|| {
        let hint = word.text.parse::<u64>().map_or_else(|_| String::new(), |n| format!(", as {n:#x}"));
        Fault::new(word.span, format!("this is no name; an offset in the file has 0x and hexadecimal digits{hint}"))
    })
}

/// A name of C++ or Rust may have classes, modules and namespaces before it: `ns::C::meth`
fn qualified(c: &mut Cursor<'_>) -> Word {
    let mut word = c.word(is_segment);
    while !word.text.is_empty() && c.sees("::") && c.begin() == c.place() {
        c.eat("::");
        c.run(is_segment, usize::MAX);
        word.span = c.since(word.span.start);
        word.text = c.slice(word.span.clone()).to_owned();
    }
    word
}

/// The name of a function of a program, which may have in it what C's have not: `C::~C`, `tmpl<int,char>`
fn function(word: Word) -> Parsed<Word> {
    let like_of_c = word.text.replace([':', '<', '>', ',', '~', '{', '}', '#'], "_");
    name(Word { text: like_of_c, span: word.span.clone() }, "function")?;
    Ok(word)
}

fn in_file(file: Word, line: &Word) -> Parsed<Place> {
    if file.text.is_empty() {
        return Err(Fault::new(file.span, "the name of a source file is missing here: BINARY:FILE:LINE"));
    }
    let digits = line.text.chars().all(|c| c.is_ascii_digit());
    match line.text.parse() {
        Ok(number @ 1..) if digits => Ok(Place::Line { file, line: number }),
        _ => {
            let why = format!("the number of a line has to stand here: BINARY:FILE:LINE{COLON}");
            Err(Fault::new(line.span.clone(), why))
        }
    }
}
