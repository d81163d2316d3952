//! A spec and a kernel's types become a program: what is read at each hit, and what it means.
//!
//! [`scopes`] finds what is hooked ([`find`], [`record`]), and says of each what names mean there ([`scope`]).
//! [`resolve_as`] goes from each expression to where its value is ([`path`], [`way`]), and from its type to what it means
//! ([`shown`], [`known`], [`formats`]). What a user may have meant instead is in each error ([`error`], [`crate::names`]).

mod condition;
mod errno;
mod error;
mod find;
mod formats;
mod items;
mod known;
mod literal;
mod maker;
mod path;
mod record;
mod scope;
mod shown;
mod spell;
mod target;
#[cfg(test)]
mod tests;
mod typed;
pub(crate) mod user;
mod way;
mod whole;

pub(crate) use self::error::ResolveError;
pub(crate) use self::{
    find::{
        Function, function, function_names, prototype, syscall_names, syscall_prototype, tracepoint_prototype,
        tracepoints,
    },
    path::is_of_head,
    scope::{Hook, Machine, Scope, When, Words},
    target::scopes,
};

use self::error::Wrong;
use self::items::{Item, items};
use self::maker::Maker;
use super::ast::{Arg, Span, Spec};
use super::ir::{Base, Program, Read};
use crate::event::Shown;
use crate::types::model::Types;

/// A spec as a hook carries it out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resolved {
    pub program: Program,
    /// In the order in which they are printed.
    pub shown: Vec<Shown>,
    /// What is not as one might expect it: for the user, once.
    pub notes: Vec<String>,
    /// How many words of the context are used where what is returned is.
    pub result_words: u32,
}

/// Resolves a spec for one hook.
///
/// # Errors
/// When it asks for what is not there, or for more than there is room for.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn resolve(spec: &Spec, types: &Types, scope: &Scope) -> Result<Resolved, ResolveError> {
    resolve_as(spec, types, scope, false)
}

/// Resolves a spec for one hook. `raw`: with addresses, not with summaries of structs that are known.
///
/// # Errors
/// When it asks for what is not there, or for more than there is room for.
pub(crate) fn resolve_as(spec: &Spec, types: &Types, scope: &Scope, raw: bool) -> Result<Resolved, ResolveError> {
    let (items, left_out) = items(spec, types, scope)?;
    let mut too_much = String::new();
    // Where there is no room to sum up all that is known, the last ones are shown by their addresses.
    for rich in (0..=if raw { 0 } else { items.len() }).rev() {
        let mut maker = Maker::new(types);
        left_out.iter().for_each(|note| maker.note(note.clone()));
        let test = match &spec.condition {
            Some(condition) => maker.condition(scope, condition)?,
            None => None,
        };
        let early = maker.slots.len();
        let shown = maker.all(&items, rich)?;
        if let Some(why) = maker.too_much() {
            too_much = why;
            continue;
        }
        if let Some(item) = items.get(rich).filter(|_| !raw) {
            maker.note(format!("not all is shown of {} and what follows: there is no room for more", item.name));
        }
        if scope.when == When::Both && reads_behind_arguments(&maker) {
            maker.note(
                "arguments are read when the function returns: what they point to may be gone by then".to_owned(),
            );
        }
        let notes = std::mem::take(&mut maker.notes);
        let program = Program { test, early, ..maker.program(scope.result_words) };
        return Ok(Resolved { program, shown, notes, result_words: scope.result_words });
    }
    Err(Wrong::new(too_much).hint("name fewer values").at(&whole_span(spec)))
}

impl Maker<'_> {
    /// All values; the first `rich` of them summed up. What was not asked for by name may be missing.
    fn all(&mut self, items: &[Item], rich: usize) -> Result<Vec<Shown>, ResolveError> {
        let mut all: Vec<Shown> = Vec::new();
        for (n, item) in items.iter().enumerate() {
            (self.rich, self.roomy) = (n < rich, n < rich);
            let kind = match item.format {
                Some((format, ref span)) => {
                    Some(self.formatted(&item.called, &item.way, format).map_err(|wrong| wrong.at(span))?)
                }
                None if item.whole => Some(self.whole(&item.way).map_err(|wrong| wrong.at(&item.span))?),
                None => match self.kind(&item.called, &item.way) {
                    Ok(kind) => Some(kind),
                    Err(wrong) if item.asked => return Err(wrong.at(&item.span)),
                    Err(wrong) => {
                        self.note(format!("{}: {}", item.name, wrong.message));
                        None
                    }
                },
            };
            let Some(kind) = kind else { continue };
            let mut name = item.name.clone();
            for again in 2_u32.. {
                if all.iter().all(|shown| shown.name != name) {
                    break;
                }
                name = format!("{}_{again}", item.name);
            }
            all.push(Shown { name, kind });
        }
        Ok(all)
    }
}

fn reads_behind_arguments(maker: &Maker<'_>) -> bool {
    maker.slots.iter().any(|slot| {
        matches!(slot.base, Base::Word { .. }) && (!slot.derefs.is_empty() || !matches!(slot.read, Read::Plain { .. }))
    })
}

/// Where the values of a spec stand.
fn whole_span(spec: &Spec) -> Span {
    let of = |arg: &Arg| match arg {
        Arg::All(span) => span.clone(),
        Arg::One { value, .. } => value.span.clone(),
    };
    let spans: Vec<Span> = spec.args.iter().flatten().map(of).collect();
    let from = spans.first().map_or(0, |span| span.start);
    from..spans.last().map_or(spec.text.len(), |span| span.end)
}

/// A type of these as it is declared, for tests of what makes types.
#[cfg(test)]
pub(crate) fn spelled(types: &Types, id: u32, name: &str) -> String {
    spell::declare(types, typed::Ty::of(id), name)
}
