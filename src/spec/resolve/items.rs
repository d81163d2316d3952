//! The values that a spec asks for, one after the other.

use super::error::ResolveError;
use super::path::{Part, part, way};
use super::scope::{Scope, When};
use super::typed::{Shape, shape};
use super::way::Way;
use crate::spec::ast::{Arg, Expr, ExprKind, Format, Span, Spec};
use crate::types::model::Types;

/// A value that is shown.
#[derive(Debug)]
pub(crate) struct Item {
    /// What it is called in the output.
    pub name: String,
    /// The parameter or the member that it is.
    pub called: String,
    pub way: Way,
    pub format: Option<(Format, Span)>,
    /// `*x`: a struct with all its members.
    pub whole: bool,
    /// By name, and not with all others.
    pub asked: bool,
    pub span: Span,
}

/// All values of a spec at a hook, and notes on those that cannot be read there.
pub(crate) fn items(spec: &Spec, types: &Types, scope: &Scope) -> Result<(Vec<Item>, Vec<String>), ResolveError> {
    let (mut items, mut notes) = (Vec::new(), Vec::new());
    let Some(args) = &spec.args else {
        all(scope, &(0..spec.text.len()), &mut items, &mut notes);
        return Ok((items, notes));
    };
    for arg in args {
        match arg {
            Arg::All(span) => all(scope, span, &mut items, &mut notes),
            Arg::One { value, .. } if !belongs(scope, value) => {}
            Arg::One { name, value, format } => {
                let way = way(types, scope, value)?;
                let called = called(value);
                let written = || spec.text.get(value.span.clone()).map_or_else(|| called.clone(), compact);
                let name = name.as_ref().map_or_else(written, |name| name.text.clone());
                let whole =
                    matches!(value.kind, ExprKind::Deref(_)) && matches!(shape(types, way.ty), Shape::Struct { .. });
                let (format, span) = (format.clone(), value.span.clone());
                items.push(Item { name, called, way, format, whole, asked: true, span });
            }
        }
    }
    Ok((items, notes))
}

/// All arguments, and what is returned.
fn all(scope: &Scope, span: &Span, items: &mut Vec<Item>, notes: &mut Vec<String>) {
    let item = |name: String, way: Way| {
        let called = name.clone();
        Item { name, called, way, format: None, whole: false, asked: false, span: span.clone() }
    };
    let params = scope.params.iter().enumerate().skip(scope.hidden).filter(|_| scope.when.has_args());
    let mut unread: Vec<(&str, Vec<String>)> = Vec::new();
    for (n, param) in params {
        match &param.way {
            Ok(way) => items.push(item(scope.called(n), way.clone())),
            Err(why) => match unread.iter_mut().find(|(other, _)| other == why) {
                Some((_, names)) => names.push(scope.called(n)),
                None => unread.push((why, vec![scope.called(n)])),
            },
        }
    }
    notes.extend(unread.into_iter().map(|(why, names)| format!("not shown: {}: {why}", names.join(", "))));
    if scope.when.has_result() {
        match scope.result() {
            Some(Ok(way)) => items.push(item("ret".to_owned(), way)),
            Some(Err(why)) => notes.push(format!("not shown: ret: {why}")),
            None => {}
        }
    }
}

/// Whether a value is read by this half of a call: what both know, the first one reads.
fn belongs(scope: &Scope, value: &Expr) -> bool {
    match scope.when {
        When::EntryOf => part(scope, value) != Part::Return,
        When::ReturnOf => part(scope, value) == Part::Return,
        _ => true,
    }
}

/// The last name in an expression.
fn called(value: &Expr) -> String {
    let mut inner = value;
    // No deeper than expressions are resolved.
    for _ in 0..=64 {
        match &inner.kind {
            ExprKind::Name(name) => return name.clone(),
            ExprKind::Member { member, .. } => return member.text.clone(),
            ExprKind::Index { of, .. } | ExprKind::Deref(of) | ExprKind::Cast { of, .. } => inner = of,
        }
    }
    String::new()
}

/// As it was written, without blanks.
fn compact(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
