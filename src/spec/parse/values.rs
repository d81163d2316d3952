//! Values that are named apart from a spec: `comm, skb->len` of an option.

use super::args::arguments;
use super::lex::Cursor;
use crate::spec::ast::{Arg, ExprKind, Span};
use crate::spec::error::{Fault, Parsed, SpecError};

/// A value that a user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// What it is called: as it was written, or the name before its `=`.
    pub name: String,
    /// All that was written.
    pub text: String,
    /// `func`: it is known without being read.
    pub is_func: bool,
}

/// The values of a list, separated by commas.
///
/// # Errors
/// Where it is not right, or has none.
pub(crate) fn values(text: &str) -> Result<Vec<Named>, SpecError> {
    // As behind a target.
    let whole = format!("({text})");
    list(&whole).map_err(|fault| {
        let inside = |at: usize| at.saturating_sub(1).min(text.len());
        let span = inside(fault.span.start)..inside(fault.span.end);
        let (text, message) = (text.to_owned(), fault.message);
        SpecError { text, message, span, example: "comm, pid".to_owned(), hints: Vec::new() }
    })
}

fn list(whole: &str) -> Parsed<Vec<Named>> {
    let mut c = Cursor::new(whole);
    let args = arguments(&mut c)?.unwrap_or_default();
    if !c.at_end() || args.is_empty() {
        return Err(c.fault("values have to stand here, separated by commas"));
    }
    args.iter().map(|arg| named(whole, arg)).collect()
}

fn named(whole: &str, arg: &Arg) -> Parsed<Named> {
    let (name, value, format) = match arg {
        Arg::All(span) => return Err(Fault::new(span.clone(), "one value has to stand here, not all of them")),
        Arg::One { name, value, format } => (name, value, format),
    };
    let end = format.as_ref().map_or(value.span.end, |(_, span)| span.end);
    let start = name.as_ref().map_or(value.span.start, |name| name.span.start);
    let written = |span: Span| whole.get(span).unwrap_or_default().to_owned();
    let is_func = matches!(&value.kind, ExprKind::Name(name) if name == "func") && format.is_none();
    let called = name.as_ref().map_or_else(|| written(value.span.clone()), |name| name.text.clone());
    Ok(Named { name: called, text: written(start..end), is_func })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_names_that_they_were_given_or_written_by() {
        let all = values("comm, len=skb->len:u32 , func").unwrap();
        let shown: Vec<_> = all.iter().map(|v| (v.name.as_str(), v.text.as_str(), v.is_func)).collect();
        assert_eq!(shown, [("comm", "comm", false), ("len", "len=skb->len:u32", false), ("func", "func", true)]);
        assert!(!values("func:x").unwrap()[0].is_func, "a parameter of that name");
    }

    #[test]
    fn what_is_no_list_of_values_is_refused_at_its_place() {
        for (text, span) in
            [("", 0..0), ("comm,", 5..5), ("comm) if (pid", 6..8), ("*", 0..1), ("comm, 7", 6..7), ("a b", 2..3)]
        {
            let error = values(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.span.clone()), (text, span), "{}", error.message);
        }
        let hostile = values("\u{1b}[2J\u{202e}").unwrap_err().to_string();
        assert!(!hostile.contains(['\u{1b}', '\u{202e}']), "{hostile}");
    }
}
