//! What is shown of an event: `(len=count, buf:bytes[16])`.

use super::expr::expression;
use super::lex::{Cursor, is_identifier};
use super::literal;
use crate::spec::ast::{Arg, Format, Span, Word};
use crate::spec::error::{Fault, Parsed, did_you_mean, quoted};
use crate::spec::ir::{STR_MAX, TAIL_MAX};

/// The most arguments.
pub(super) const ARGS_MAX: usize = 16;

/// What stands in parentheses behind the target, if there are any.
pub(super) fn arguments(c: &mut Cursor<'_>) -> Parsed<Option<Vec<Arg>>> {
    let begin = c.begin();
    if !c.eat("(") {
        return Ok(None);
    }
    let open = c.since(begin);
    let mut args = Vec::new();
    if c.eat(")") {
        return Ok(Some(args));
    }
    loop {
        if args.len() == ARGS_MAX {
            return Err(c.fault(format!("these are too many arguments: {ARGS_MAX} are the most")));
        }
        args.push(argument(c)?);
        if c.eat(")") {
            return Ok(Some(args));
        }
        if !c.eat(",") {
            return Err(no_end(c, open));
        }
    }
}

/// Neither a comma nor the parenthesis stands behind an argument.
fn no_end(c: &Cursor<'_>, open: Span) -> Fault {
    if c.at_end() {
        return Fault::new(open, "this parenthesis is not closed");
    }
    let compares = ["=", "!", "<", ">", "&", "^", "~"].iter().any(|sign| c.sees(sign));
    c.fault(match compares {
        true => "conditions stand behind the word 'if', not among what is shown",
        false => "a ',' or a ')' has to stand here",
    })
}

/// `*` or `[name=]expression[:FORMAT]`
fn argument(c: &mut Cursor<'_>) -> Parsed<Arg> {
    let (begin, mut ahead) = (c.begin(), *c);
    if ahead.eat("*") && (ahead.sees(",") || ahead.sees(")")) {
        *c = ahead;
        return Ok(Arg::All(c.since(begin)));
    }
    let name = name(c);
    let value = expression(c, 0)?;
    let format = if c.eat(":") { Some(format(c)?) } else { None };
    Ok(Arg::One { name, value, format })
}

/// `name=`; not the left side of `==`, which has no place here, but should be called what it is.
fn name(c: &mut Cursor<'_>) -> Option<Word> {
    let mut ahead = *c;
    let name = ahead.identifier()?;
    if ahead.sees("==") || !ahead.eat("=") {
        return None;
    }
    *c = ahead;
    Some(name)
}

const FORMATS: [(&str, Format); 19] = [
    ("x", Format::Hex),
    ("d", Format::Signed),
    ("u", Format::Unsigned),
    ("o", Format::Octal),
    ("char", Format::Char),
    ("u8", Format::Int { size: 1, signed: false }),
    ("u16", Format::Int { size: 2, signed: false }),
    ("u32", Format::Int { size: 4, signed: false }),
    ("u64", Format::Int { size: 8, signed: false }),
    ("i8", Format::Int { size: 1, signed: true }),
    ("i16", Format::Int { size: 2, signed: true }),
    ("i32", Format::Int { size: 4, signed: true }),
    ("i64", Format::Int { size: 8, signed: true }),
    ("f32", Format::Float { size: 4 }),
    ("f64", Format::Float { size: 8 }),
    ("ptr", Format::Pointer),
    ("str", Format::Str { max: None }),
    ("sym", Format::Symbol),
    ("raw", Format::Raw),
];

fn format(c: &mut Cursor<'_>) -> Parsed<(Format, Span)> {
    let word = c.word(is_identifier);
    let begin = word.span.start;
    let known = FORMATS.iter().find(|(name, _)| *name == word.text).map(|(_, format)| *format);
    let format = match (known, word.text.as_str()) {
        (Some(Format::Str { .. }), _) if c.sees("[") => Format::Str { max: Some(length(c, STR_MAX)?) },
        (Some(_), _) if c.sees("[") => return Err(c.fault("only str and bytes have a length: str[N], bytes[N]")),
        (Some(format), _) => format,
        (None, "bytes") if c.sees("[") => Format::Bytes { len: length(c, TAIL_MAX)? },
        (None, "bytes") => return Err(Fault::new(word.span, "how many bytes? this format is written bytes[N]")),
        (None, text) => return Err(unknown(&word, text)),
    };
    Ok((format, c.since(begin)))
}

fn unknown(word: &Word, text: &str) -> Fault {
    let all = "x, d, u, o, char, u8 … u64, i8 … i64, f32, f64, ptr, str, str[N], bytes[N], sym and raw";
    let meant = did_you_mean(text, FORMATS.iter().map(|(name, _)| *name).chain(["bytes"]));
    Fault::new(
        word.span.clone(),
        match text {
            "" => format!("a format is missing here; there are {all}"),
            _ => format!("{} is no format{meant} (there are {all})", quoted(text)),
        },
    )
}

/// `[N]`
fn length(c: &mut Cursor<'_>, most: u32) -> Parsed<u32> {
    c.eat("[");
    let (length, span) = literal::unsigned(c, "a length is a number")?;
    c.expect("]", "a ']' is missing here")?;
    let fits = u32::try_from(length).ok().filter(|length| (1..=most).contains(length));
    fits.ok_or_else(|| Fault::new(span, format!("this length is from 1 to {most}")))
}
