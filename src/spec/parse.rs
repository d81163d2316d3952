//! From text to a tree: `KIND:TARGET[(ARGS)][ if CONDITION]`.

mod args;
mod condition;
mod expr;
mod kinds;
mod lex;
mod literal;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod samples;
mod target;
mod values;

pub(crate) use kinds::Grammar;
use lex::Cursor;
pub(crate) use values::{Named, values};

use super::ast::{Condition, Span, Spec, Target};
use super::error::{Fault, Parsed, SpecError, did_you_mean};

/// The most bytes of a spec.
pub(crate) const LENGTH_MAX: usize = 4096;
/// Longer ones are not worth to be repeated.
const EXAMPLE_MAX: usize = 200;

/// The tree of a spec.
///
/// # Errors
/// Where it is not right.
pub(crate) fn parse(text: &str, grammar: Grammar) -> Result<Spec, SpecError> {
    spec(text, grammar).map_err(|fault| error(text, grammar, fault))
}

/// What is wrong with a spec that was parsed: what it names is not there, or cannot be compared so.
pub(crate) fn refused(spec: &Spec, span: Span, why: impl Into<String>) -> SpecError {
    let grammar = match spec.target {
        Target::User { .. } => Grammar::Uprobe,
        Target::Static { .. } => Grammar::Usdt,
        _ => Grammar::Probe,
    };
    error(&spec.text, grammar, Fault::new(span, why))
}

/// A spec as it was written, but with these values instead of its own.
///
/// # Errors
/// Where the spec is not right.
pub(crate) fn with_values(text: &str, grammar: Grammar, values: &[&str]) -> Result<String, SpecError> {
    let mut c = Cursor::new(text);
    let ends = target::target(&mut c, grammar).and_then(|_| {
        let end = c.place();
        args::arguments(&mut c).map(|_| (end, c.place()))
    });
    let (target, args) = ends.map_err(|fault| error(text, grammar, fault))?;
    let (target, rest) = (text.get(..target).unwrap_or_default(), text.get(args..).unwrap_or_default());
    Ok(format!("{target}({}){rest}", values.join(", ")))
}

fn error(text: &str, grammar: Grammar, fault: Fault) -> SpecError {
    let meant = fault.meant.filter(|meant| meant.len() <= EXAMPLE_MAX && spec(meant, grammar).is_ok());
    let example = meant.unwrap_or_else(|| kinds::example(text, grammar).to_owned());
    SpecError { text: text.to_owned(), message: fault.message, span: fault.span, example, hints: Vec::new() }
}

fn spec(text: &str, grammar: Grammar) -> Parsed<Spec> {
    if let Some((end, _)) = text.char_indices().find(|(at, c)| at + c.len_utf8() > LENGTH_MAX) {
        let why = format!("this spec is too long: {LENGTH_MAX} bytes are the most");
        return Err(Fault::new(end..text.len(), why));
    }
    let mut c = Cursor::new(text);
    if c.at_end() {
        return Err(c.fault("this spec is empty"));
    }
    let target = target::target(&mut c, grammar)?;
    let args = args::arguments(&mut c)?;
    let condition = if c.eat_word("if") { Some(condition::condition(&mut c)?) } else { None };
    if !c.at_end() {
        return Err(too_much(&c, args.is_some(), condition.as_ref()));
    }
    Ok(Spec { text: text.to_owned(), target, args, declares: Vec::new(), condition })
}

/// There is more, where nothing can follow but some.
fn too_much(c: &Cursor<'_>, args: bool, condition: Option<&Condition>) -> Fault {
    c.fault(match (condition, args) {
        (Some(_), _) => "an operator, && or || has to stand here, or the end".to_owned(),
        (None, true) => format!("'if' has to stand here, or the end{}", did_you_mean(c.slice(c.token()), ["if"])),
        (None, false) => "what is shown, in '(' and ')', or 'if' has to stand here, or the end".to_owned(),
    })
}

#[cfg(test)]
mod tests;
