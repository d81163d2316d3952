//! Which events are wanted: comparisons, joined by `&&`, `||`, `!` and parentheses.

use super::expr::{deeper, expression, postfix, sees_cast};
use super::lex::{Cursor, is_identifier};
use super::literal::{self, literal};
use crate::names::glob;
use crate::spec::ast::{Condition, Expr, ExprKind, Literal, Op, Span};
use crate::spec::error::{Fault, Parsed};
use crate::spec::ir::{GLOB_MAX, GLOBS_MAX, TEXT_MAX, TEXTS_MAX};

/// What stands behind the word `if`.
pub(super) fn condition(c: &mut Cursor<'_>) -> Parsed<Condition> {
    if c.at_end() {
        return Err(c.fault("a condition is missing behind the word 'if'"));
    }
    let condition = either(c, 0).map(Item::whole)?;
    limited(&condition)?;
    Ok(condition)
}

/// Whether there is room in the kernel for the strings and globs that values are compared with.
fn limited(condition: &Condition) -> Parsed<()> {
    let mut all = Vec::new();
    strings(condition, &mut all);
    let (mut globs, mut texts): (Vec<&[u8]>, Vec<&[u8]>) = Default::default();
    for (op, text, span) in all {
        let (kept, most, what) = match op {
            Op::Glob => (&mut globs, GLOBS_MAX, "globs"),
            _ => (&mut texts, TEXTS_MAX, "strings"),
        };
        let why = match op {
            Op::Glob => unfit_glob(text),
            _ if text.len() > TEXT_MAX => {
                Some(format!("text is compared up to {TEXT_MAX} bytes, and these are {}", text.len()))
            }
            _ => None,
        };
        if !kept.contains(&text) {
            kept.push(text);
        }
        let too_many = || (kept.len() > most).then(|| format!("a condition has room for {most} {what}"));
        if let Some(why) = why.or_else(too_many) {
            return Err(Fault::new(span.clone(), why));
        }
    }
    Ok(())
}

fn strings<'a>(condition: &'a Condition, all: &mut Vec<(Op, &'a [u8], &'a Span)>) {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| strings(part, all)),
        Condition::Not(of) => strings(of, all),
        Condition::Test { op, right: Literal::Text(text, span), .. } => all.push((*op, text, span)),
        Condition::Test { .. } => {}
    }
}

fn unfit_glob(glob: &[u8]) -> Option<String> {
    match glob::characters(glob) {
        None => Some("a [ in this glob is not closed by ] (\\\\[ is the character)".to_owned()),
        Some(_) if glob.is_empty() => Some("an empty glob matches nothing; == \"\" compares with no text".to_owned()),
        Some(many) if many > GLOB_MAX => {
            Some(format!("a glob has at most {GLOB_MAX} characters beside *, and this one {many}"))
        }
        Some(_) => None,
    }
}

/// What is in parentheses may be a condition, or a value, of which more may follow: `(a)->b == 1`.
enum Item {
    Value(Expr),
    Whole(Condition),
}

impl Item {
    /// A value alone is compared with 0.
    fn whole(self) -> Condition {
        match self {
            Item::Value(left) => {
                let span = left.span.clone();
                Condition::Test { left, op: Op::Ne, right: Literal::Number(0, span.end..span.end), span }
            }
            Item::Whole(condition) => condition,
        }
    }
}

fn either(c: &mut Cursor<'_>, depth: usize) -> Parsed<Item> {
    joined(c, "||", |c| joined(c, "&&", |c| comparison(c, depth), Condition::And), Condition::Or)
}

/// One item, or several with a sign between them.
fn joined<'a>(
    c: &mut Cursor<'a>,
    sign: &str,
    mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<Item>,
    join: fn(Vec<Condition>) -> Condition,
) -> Parsed<Item> {
    let first = item(c)?;
    if !c.sees(sign) {
        return Ok(first);
    }
    let mut all = vec![first.whole()];
    while c.eat(sign) {
        all.push(item(c)?.whole());
    }
    Ok(Item::Whole(join(all)))
}

fn comparison(c: &mut Cursor<'_>, depth: usize) -> Parsed<Item> {
    let begin = c.begin();
    let left = operand(c, depth)?;
    let Some((op, place)) = operator(c)? else { return Ok(left) };
    let Item::Value(left) = left else {
        return Err(Fault::new(place, "what is on the left of this is a condition already, and no value to compare"));
    };
    let right = match &left.kind {
        ExprKind::Name(name) if name == "duration" => literal::duration(c)?,
        _ => constant(c, depth)?,
    };
    check(op, &right)?;
    let span = c.since(begin);
    match operator(c)? {
        Some((_, place)) => Err(Fault::new(place, "this is a second comparison: && or || join them")),
        None => Ok(Item::Whole(Condition::Test { left, op, right, span })),
    }
}

/// What an operator stands behind. `!` is of what follows it directly: what C makes of `!a == 1` is not what is meant.
fn operand(c: &mut Cursor<'_>, depth: usize) -> Parsed<Item> {
    let begin = c.begin();
    if c.sees("!") {
        let depth = deeper(c, depth)?;
        c.eat("!");
        return operand(c, depth).map(|of| Item::Whole(Condition::Not(Box::new(of.whole()))));
    }
    if !c.sees("(") || sees_cast(c) {
        return expression(c, depth).map(Item::Value);
    }
    let depth = deeper(c, depth)?;
    c.eat("(");
    let inner = either(c, depth)?;
    c.expect(")", "an operator or a ')' has to stand here")?;
    match inner {
        Item::Value(value) => postfix(c, begin, value).map(Item::Value),
        whole => Ok(whole),
    }
}

/// Longer ones first, where one begins with another.
const OPERATORS: [(&str, Op); 9] = [
    ("==", Op::Eq),
    ("!=", Op::Ne),
    ("<=", Op::Le),
    (">=", Op::Ge),
    ("^=", Op::Prefix),
    ("<", Op::Lt),
    (">", Op::Gt),
    ("&", Op::And),
    ("~", Op::Glob),
];

fn operator(c: &mut Cursor<'_>) -> Parsed<Option<(Op, Span)>> {
    let begin = c.begin();
    let found = OPERATORS.iter().find(|(sign, _)| c.sees(sign) && !c.sees("&&"));
    if let Some((sign, op)) = found {
        c.eat(sign);
        return Ok(Some((*op, c.since(begin))));
    }
    match c.sees("=") {
        true => Err(c.fault("this is no operator: == compares, ^= is for how text begins, ~ for globs")),
        false => Ok(None),
    }
}

const CONSTANT: &str =
    "the right side of a comparison has to be a constant: a number, a name of an enum or error, \"text\"";

/// The right side. Values can be distinguished from names of enums, unless they are a mere name.
fn constant(c: &mut Cursor<'_>, depth: usize) -> Parsed<Literal> {
    let mut ahead = *c;
    let begin = c.begin();
    if let Ok(value) = expression(&mut ahead, depth) {
        let text = c.slice(value.span);
        let argument = text.strip_prefix("arg").is_some_and(|number| number.parse::<u32>().is_ok());
        let head = ["ret", "task", "pid", "tid", "ppid", "uid", "gid", "cpu", "comm", "cgroup", "func"];
        if !text.chars().all(is_identifier) || argument || head.contains(&text) {
            return Err(Fault::new(ahead.since(begin), CONSTANT));
        }
    }
    if c.sees("*") || c.sees("(") { Err(c.fault(CONSTANT)) } else { literal(c) }
}

/// Whether this can be compared in this way.
fn check(op: Op, right: &Literal) -> Parsed<()> {
    let span = match right {
        Literal::Number(_, span) | Literal::Text(_, span) => span,
        Literal::Name { name, .. } => &name.span,
    };
    let why = match (op, right) {
        (Op::Prefix | Op::Glob, Literal::Text(..)) | (Op::Eq | Op::Ne, _) => return Ok(()),
        (Op::Prefix | Op::Glob, _) => "^= and ~ compare with \"text\"",
        (_, Literal::Text(..)) => "text is compared by ==, !=, ^= (how it begins) and ~ (a glob)",
        _ => return Ok(()),
    };
    Err(Fault::new(span.clone(), why))
}
