//! Expressions: names, and the way from them to a value. As in C, what stands behind binds stronger than what stands
//! in front. There is one value in each, so that it is a chain.

use super::lex::Cursor;
use super::literal;
use crate::spec::ast::{Expr, ExprKind, Word};
use crate::spec::error::{Fault, Parsed};

/// How deep expressions and conditions may be nested: what reads the tree calls itself as often.
pub(super) const NESTING_MAX: usize = 16;

/// How often the struct of a cast may be pointed to.
const POINTERS_MAX: u32 = 16;

/// One level deeper, because of what comes next.
pub(super) fn deeper(c: &Cursor<'_>, depth: usize) -> Parsed<usize> {
    match depth {
        NESTING_MAX.. => Err(c.fault(format!("this is nested too deeply: {NESTING_MAX} levels are the most"))),
        _ => Ok(depth + 1),
    }
}

/// `*of`, `(struct name *)of`, or what [`postfix`] reads.
pub(super) fn expression(c: &mut Cursor<'_>, depth: usize) -> Parsed<Expr> {
    let (begin, inner) = (c.begin(), deeper(c, depth)?);
    if c.eat("*") {
        let of = Box::new(expression(c, inner)?);
        return grown(c, begin, ExprKind::Deref(of));
    }
    if sees_cast(c) {
        let (to, pointers) = cast(c)?;
        let of = Box::new(expression(c, inner)?);
        return grown(c, begin, ExprKind::Cast { to, pointers, of });
    }
    if c.eat("(") {
        let of = expression(c, inner)?;
        close(c)?;
        return postfix(c, begin, of);
    }
    let name = c.identifier().ok_or_else(|| missing(c))?;
    let of = Expr { kind: ExprKind::Name(name.text), span: name.span };
    postfix(c, begin, of)
}

fn missing(c: &Cursor<'_>) -> Fault {
    let constant = c.ahead().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\'' | '-'));
    c.fault(match constant {
        true => "a value has to stand here, by its name; constants stand on the right side of a comparison",
        false => "a value is missing here: the name of an argument, ret, pid, …",
    })
}

/// The parenthesis behind a value.
fn close(c: &mut Cursor<'_>) -> Parsed<()> {
    c.expect(")", "a ')' is missing here; a cast is written (struct NAME *)VALUE")
}

/// What follows a value, which began there: `->member`, `.member`, `[index]`.
pub(super) fn postfix(c: &mut Cursor<'_>, begin: usize, mut of: Expr) -> Parsed<Expr> {
    loop {
        let kind = if c.eat("->") || c.eat(".") {
            let member = c.identifier().ok_or_else(|| c.fault("a member's name is missing here"))?;
            ExprKind::Member { of: Box::new(of), member }
        } else if c.eat("[") {
            let (index, _) = literal::unsigned(c, "an index is a number")?;
            c.expect("]", "a ']' is missing here")?;
            ExprKind::Index { of: Box::new(of), index }
        } else {
            return Ok(of);
        };
        of = grown(c, begin, kind)?;
    }
}

/// An expression that has grown by a step, if the chain does not get too long.
fn grown(c: &Cursor<'_>, begin: usize, kind: ExprKind) -> Parsed<Expr> {
    let mut steps = 0;
    let mut at = &kind;
    while let ExprKind::Member { of, .. }
    | ExprKind::Index { of, .. }
    | ExprKind::Cast { of, .. }
    | ExprKind::Deref(of) = at
    {
        (steps, at) = (steps + 1, &of.kind);
    }
    if steps > NESTING_MAX {
        let why = format!("this value is too far away: {NESTING_MAX} steps to it are the most");
        return Err(Fault::new(c.since(begin), why));
    }
    Ok(Expr { kind, span: c.since(begin) })
}

/// Whether a cast comes next, and no value in parentheses. No value has a keyword of C for a name.
pub(super) fn sees_cast(c: &Cursor<'_>) -> bool {
    let mut ahead = *c;
    let keywords = ["struct", "union", "enum", "const", "unsigned", "void", "char", "int", "long", "short"];
    ahead.eat("(") && keywords.iter().any(|keyword| ahead.sees_word(keyword))
}

/// `(struct name *)`: to what, and through how many pointers.
fn cast(c: &mut Cursor<'_>) -> Parsed<(Word, u32)> {
    c.eat("(");
    if !c.eat_word("struct") {
        return Err(c.fault("a cast is to pointers to a struct alone: (struct NAME *)VALUE"));
    }
    let to = c.identifier().ok_or_else(|| c.fault("the name of a struct is missing here"))?;
    let (begin, mut pointers) = (c.begin(), 0);
    while c.eat("*") {
        pointers += 1;
    }
    match pointers {
        0 => Err(c.fault("a cast is to a pointer: (struct NAME *)VALUE")),
        1..=POINTERS_MAX => c.expect(")", "a ')' is missing here").map(|()| (to, pointers)),
        _ => Err(Fault::new(c.since(begin), format!("these are too many pointers: {POINTERS_MAX} are the most"))),
    }
}
