//! Constants: numbers, names of enums and errors, strings.

use super::lex::{Cursor, is_identifier};
use crate::spec::ast::{Literal, Span};
use crate::spec::error::{Fault, Parsed};

/// `10`, `-2`, `0x1f`, `'c'`, `4k`, `NULL`, `-ENOENT`, `"text"`
pub(super) fn literal(c: &mut Cursor<'_>) -> Parsed<Literal> {
    let begin = c.begin();
    if c.sees("\"") {
        let text = text(c)?;
        return Ok(Literal::Text(text, c.since(begin)));
    }
    let negative = c.eat("-");
    if let Some(number) = magnitude(c)? {
        return signed(number, negative, c.since(begin)).map(|number| Literal::Number(number, c.since(begin)));
    }
    let name = c.identifier().ok_or_else(|| c.fault("a constant has to stand here: a number, a name or \"text\""))?;
    let number = match name.text.as_str() {
        "NULL" | "false" => 0,
        "true" => 1,
        _ => return Ok(Literal::Name { negative, name }),
    };
    Ok(Literal::Number(number, c.since(begin)))
}

/// What a duration is compared with, in nanoseconds: `10`, `1.5ms`
pub(super) fn duration(c: &mut Cursor<'_>) -> Parsed<Literal> {
    if !c.ahead().starts_with(|c: char| c.is_ascii_digit()) {
        return literal(c);
    }
    let word = c.word(|c| is_identifier(c) || c == '.');
    let number = nanoseconds(&word.text).ok_or_else(|| Fault::new(word.span.clone(), DURATION))?;
    Ok(Literal::Number(number, word.span))
}

const DURATION: &str =
    "this is no duration: they are 250, 250ns, 20us, 1.5ms or 2s, and nanoseconds where there is no unit";

fn nanoseconds(text: &str) -> Option<i128> {
    const UNITS: [(&str, usize); 4] = [("ns", 0), ("us", 3), ("ms", 6), ("s", 9)];
    let unit = UNITS.iter().find_map(|(unit, zeros)| Some((text.strip_suffix(unit)?, *zeros)));
    let (number, zeros) = unit.unwrap_or((text, 0));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{part:0<zeros$}");
    let fits = part.len() <= zeros && digits.chars().all(|c| c.is_ascii_digit());
    fits.then(|| digits.parse::<u64>().ok().map(i128::from))?
}

/// A number without a sign, as an index or a length.
pub(super) fn unsigned(c: &mut Cursor<'_>, why: &str) -> Parsed<(u64, Span)> {
    let begin = c.begin();
    let number = magnitude(c)?.ok_or_else(|| c.fault(why))?;
    let number = u64::try_from(number).map_err(|_| Fault::new(c.since(begin), RANGE))?;
    Ok((number, c.since(begin)))
}

const RANGE: &str = "numbers are from -2^63 to 2^64-1";

fn signed(number: u128, negative: bool, span: Span) -> Parsed<i128> {
    let most = if negative { 1 << 63 } else { u128::from(u64::MAX) };
    let number = i128::try_from(number).ok().filter(|_| number <= most);
    let number = number.ok_or_else(|| Fault::new(span, RANGE))?;
    Ok(if negative { -number } else { number })
}

/// Digits or a character; none where neither begins.
fn magnitude(c: &mut Cursor<'_>) -> Parsed<Option<u128>> {
    if c.sees("'") {
        return character(c).map(|byte| Some(u128::from(byte)));
    }
    if !c.ahead().starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let word = c.word(|c| is_identifier(c) || c == '.');
    digits(&word.text).map(Some).map_err(|why| Fault::new(word.span, why))
}

fn digits(text: &str) -> Result<u128, &'static str> {
    const UNITS: [(char, u32); 4] = [('k', 10), ('M', 20), ('G', 30), ('T', 40)];
    const RADIXES: [(&str, u32); 3] = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (text, shift) =
        UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(*unit)?, *shift))).unwrap_or((text, 0));
    let (digits, radix) =
        RADIXES.iter().find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, *radix))).unwrap_or((text, 10));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("this is no number: they are 10, 0x1f, 0o17, 0b11 or 'c', with k, M, G or T for powers of 1024");
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err("a number does not begin with 0: octal ones are written 0o17");
    }
    let number = u128::from_str_radix(digits, radix).ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or(RANGE)
}

/// `'c'`: a byte, as a `char` is.
fn character(c: &mut Cursor<'_>) -> Parsed<u8> {
    let begin = c.begin();
    let bytes = quoted(c, '\'')?;
    match bytes.as_slice() {
        [byte] => Ok(*byte),
        _ => {
            Err(Fault::new(c.since(begin), "between these quotes stands one ASCII character; text stands between \"\""))
        }
    }
}

fn text(c: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let begin = c.begin();
    let bytes = quoted(c, '"')?;
    match bytes.contains(&0) {
        true => Err(Fault::new(c.since(begin), "strings end at their NUL: none can be in one")),
        false => Ok(bytes),
    }
}

/// What stands between two quotes.
fn quoted(c: &mut Cursor<'_>, quote: char) -> Parsed<Vec<u8>> {
    let begin = c.begin();
    c.eat(quote.encode_utf8(&mut [0; 4]));
    let open = c.since(begin);
    let mut bytes = Vec::new();
    loop {
        let place = c.place();
        match c.bump().ok_or_else(|| Fault::new(open.clone(), "this quote is not closed"))? {
            end if end == quote => return Ok(bytes),
            '\\' => {
                let escape = escape(c, &mut bytes);
                escape.ok_or_else(|| Fault::new(c.since(place), ESCAPES))?;
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

const ESCAPES: &str = "escapes are \\n \\t \\r \\0 \\\\ \\\" \\' \\xHH and \\u{HEX}";

/// What stands behind a backslash: all that `crate::escape` spells, so that what is printed can be written here.
fn escape(c: &mut Cursor<'_>, to: &mut Vec<u8>) -> Option<()> {
    match c.bump()? {
        'n' => to.push(b'\n'),
        't' => to.push(b'\t'),
        'r' => to.push(b'\r'),
        '0' => to.push(0),
        quote @ ('\\' | '"' | '\'') => to.extend(quote.encode_utf8(&mut [0; 4]).bytes()),
        'x' => {
            let digits = c.run(|c| c.is_ascii_hexdigit(), 2);
            to.push(u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)?);
        }
        'u' => {
            c.bump().filter(|c| *c == '{')?;
            let digits = c.run(|c| c.is_ascii_hexdigit(), 6);
            c.bump().filter(|c| *c == '}')?;
            let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
            to.extend(c.encode_utf8(&mut [0; 4]).bytes());
        }
        _ => return None,
    }
    Some(())
}
