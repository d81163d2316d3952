//! From a condition to the test that a program does.

use super::error::{ResolveError, Wrong};
use super::formats::{as_text, as_text_of, number};
use super::literal::operand;
use super::maker::Maker;
use super::path::{Part, part, way};
use super::scope::{Scope, When};
use super::spell::spell;
use super::typed::{Shape, shape};
use super::way::Way;
use crate::spec::ast::{Condition, Expr, ExprKind, Literal, Op, Span};
use crate::spec::ir::{Compare, STR_DEFAULT, STR_MAX, Test};
use crate::types::model::Types;

/// How deep conditions may be.
const DEPTH: u8 = 64;

impl Maker<'_> {
    /// What the hook itself can test of a condition; None: nothing.
    ///
    /// # Errors
    /// When something in it means nothing, or cannot be compared.
    pub fn condition(&mut self, scope: &Scope, condition: &Condition) -> Result<Option<Test>, ResolveError> {
        if !scope.when.is_half() {
            return self.test(scope, condition, DEPTH).map(Some);
        }
        // Each half tests what it can see: the event is wanted where both hold.
        let mut tests = Vec::new();
        for one in conjuncts(condition) {
            let (part, span) = part_of(scope, one, DEPTH)?.unwrap_or((Part::Any, 0..0));
            let wanted = match part {
                Part::Any => true,
                Part::Entry => scope.when == When::EntryOf,
                Part::Return => scope.when == When::ReturnOf,
            };
            if wanted {
                tests.push(self.test(scope, one, DEPTH).map_err(|mut error| {
                    if error.span.is_empty() {
                        error.span = span;
                    }
                    error
                })?);
            }
        }
        Ok(match tests.len() {
            0 => None,
            1 => tests.pop(),
            _ => Some(Test::All(tests)),
        })
    }

    fn test(&mut self, scope: &Scope, condition: &Condition, depth: u8) -> Result<Test, ResolveError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Wrong::new("the condition is nested too deep").at(&(0..0)));
        };
        let mut all =
            |list: &[Condition]| list.iter().map(|one| self.test(scope, one, depth)).collect::<Result<_, _>>();
        match condition {
            Condition::And(list) => Ok(Test::All(all(list)?)),
            Condition::Or(list) => Ok(Test::Any(all(list)?)),
            Condition::Not(inner) => Ok(Test::Not(Box::new(self.test(scope, inner, depth)?))),
            Condition::Test { left, op, right, span } => self.compare(scope, left, *op, right, span),
        }
    }

    fn compare(
        &mut self,
        scope: &Scope,
        left: &Expr,
        op: Op,
        right: &Literal,
        span: &Span,
    ) -> Result<Test, ResolveError> {
        let way = only(self.types, way(self.types, scope, left)?);
        let string = as_text(self.types, &way);
        let whole = match (right, &string) {
            (Literal::Text(text, _), Some(_)) => return self.text_test(&way, op, text, span),
            (_, None) => None,
            // Of a pointer, its address is compared.
            (_, Some(_)) if matches!(shape(self.types, way.ty), Shape::Pointer { .. } | Shape::Word) => None,
            (_, Some(_)) => Some(Wrong::new("it is a string").hint("compare it with \"…\"")),
        };
        if let Some(wrong) = whole {
            return Err(wrong.at(span));
        }
        let int = number(self.types, &way).map_err(|wrong| {
            let hint = matches!(shape(self.types, way.ty), Shape::Struct { .. }).then_some("name a member of it");
            hint.into_iter().fold(wrong, Wrong::hint).at(&left.span)
        })?;
        let signed = int.signed;
        let compare = match op {
            Op::Eq => Compare::Eq,
            Op::Ne => Compare::Ne,
            Op::Lt => Compare::Less { signed },
            Op::Le => Compare::LessEqual { signed },
            Op::Gt => Compare::Greater { signed },
            Op::Ge => Compare::GreaterEqual { signed },
            Op::And => Compare::Bits,
            Op::Prefix | Op::Glob => {
                let spelled = spell(self.types, way.ty);
                return Err(Wrong::new(format!("{spelled} is no string: ^= and ~ are for strings")).at(span));
            }
        };
        let operand = operand(self.types, &way, int, op, right).map_err(|error| of_user(left, right, error))?;
        let slot = self.add(way.number(int).map_err(|wrong| wrong.at(&left.span))?);
        Ok(Test::Number { slot, op: compare, operand })
    }

    fn text_test(&mut self, way: &Way, op: Op, text: &[u8], span: &Span) -> Result<Test, ResolveError> {
        // Its end counts, too.
        let most = if op == Op::Glob { STR_MAX } else { STR_DEFAULT };
        let slot = match as_text_of(self.types, way, most) {
            Some(slot) => slot.map_err(|wrong| wrong.at(span))?,
            None => return Err(Wrong::new("it is no string").at(span)),
        };
        let slot = self.add(slot);
        let text = text.to_vec();
        Ok(match op {
            Op::Eq => Test::Text { slot, text, whole: true },
            Op::Ne => Test::Not(Box::new(Test::Text { slot, text, whole: true })),
            Op::Prefix => Test::Text { slot, text, whole: false },
            Op::Glob => Test::Glob { slot, glob: text },
            _ => return Err(Wrong::new("strings are compared by ==, !=, ^= and ~").at(span)),
        })
    }
}

/// A user or group that is given by name is no constant of the kernel.
fn of_user(left: &Expr, right: &Literal, error: ResolveError) -> ResolveError {
    let (ExprKind::Name(left), Literal::Name { name, .. }) = (&left.kind, right) else { return error };
    let wrong = match left.as_str() {
        "uid" => Wrong::new("users are compared by their numbers")
            .hint(format!("`id -u {0}` says the number; -u {0} shows what this user does alone", name.text)),
        "gid" => Wrong::new("groups are compared by their numbers")
            .hint(format!("`getent group {}` says the number", name.text)),
        _ => return error,
    };
    wrong.at(&error.span)
}

/// A struct that is there for its type only (`kuid_t`) is its one member.
fn only(types: &Types, way: Way) -> Way {
    let Shape::Struct { of, .. } = shape(types, way.ty) else { return way };
    let mut members = types.members(of);
    match (members.next(), members.next()) {
        (Some(one), None) => way.inner_at(types, one.id, one.offset, one.bits).unwrap_or(way),
        _ => way,
    }
}

/// The conditions that must all hold.
fn conjuncts(condition: &Condition) -> Vec<&Condition> {
    match condition {
        Condition::And(list) => list.iter().collect(),
        one => vec![one],
    }
}

/// Which half of a call can test a condition, and where the first of its expressions is that says it.
fn part_of(scope: &Scope, condition: &Condition, depth: u8) -> Result<Option<(Part, Span)>, ResolveError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
    let mut sum: Option<(Part, Span)> = None;
    let inner: Vec<&Condition> = match condition {
        Condition::And(list) | Condition::Or(list) => list.iter().collect(),
        Condition::Not(inner) => vec![inner],
        Condition::Test { left, .. } => return Ok(Some((part(scope, left), left.span.clone()))),
    };
    for one in inner {
        let Some((other, span)) = part_of(scope, one, depth)? else { continue };
        sum = match sum {
            Some((part, _)) if part != other && part != Part::Any && other != Part::Any => {
                let wrong = Wrong::new("arguments and the result are known at different times");
                return Err(wrong.hint("join what is said of each by &&, not by || or inside of !").at(&span));
            }
            Some((part, before)) if part != Part::Any || other == Part::Any => Some((part, before)),
            _ => Some((other, span)),
        };
    }
    Ok(sum)
}
