//! A little kernel, and what becomes of specs on it.

mod errors;
mod kernel;
mod places;
mod random;
mod values;
mod write;

use super::find::functions;
use super::*;
use crate::event::ShownKind;
use crate::spec::ast::{Target, Word};
use crate::spec::ir::{Deref, Slot, Space};

const ENTRY: Hook = Hook { words: Words::Typed, when: When::Entry };
const BOTH: Hook = Hook { words: Words::Typed, when: When::Both };

fn scope(types: &Types, name: &str, hook: Hook) -> Scope {
    Scope::function(types, &find::function(types, name).unwrap(), hook)
}

/// At the entry of a function.
fn at_entry(function: &str, args: &str, condition: &str) -> Result<Resolved, ResolveError> {
    let types = kernel::types();
    resolve(&write::spec(Some(args), condition), &types, &scope(&types, function, ENTRY))
}

fn at_return(function: &str, args: Option<&str>, condition: &str) -> Result<Resolved, ResolveError> {
    let types = kernel::types();
    resolve(&write::spec(args, condition), &types, &scope(&types, function, BOTH))
}

/// The only value's slot.
fn slot(function: &str, arg: &str) -> Slot {
    let found = at_entry(function, arg, "").unwrap_or_else(|error| panic!("{arg}: {error}"));
    assert_eq!((found.program.slots.len(), found.shown.len(), found.program.early), (1, 1, 0), "{arg}");
    found.program.slots[0].clone()
}

/// The only value's meaning.
fn kind(function: &str, arg: &str) -> ShownKind {
    let mut found = at_entry(function, arg, "").unwrap_or_else(|error| panic!("{arg}: {error}"));
    assert_eq!(found.shown.len(), 1, "{arg}");
    found.shown.remove(0).kind
}

/// What is wrong, with all hints, and the part of the text that it is about.
fn wrong(function: &str, args: &str, condition: &str) -> (String, String) {
    let error = at_entry(function, args, condition).expect_err(args);
    let spec = write::spec(Some(args), condition);
    (error.to_string(), spec.text[error.span].to_owned())
}

fn word(index: u32) -> Base {
    Base::Word { index, typed: true }
}

fn kernel(offsets: &[i32]) -> Vec<Deref> {
    offsets.iter().map(|offset| Deref { offset: *offset, space: Space::Kernel }).collect()
}

/// Values and their kinds in a line: `dir={…} count`.
fn outline(shown: &[Shown]) -> String {
    let one = |shown: &Shown| {
        let kind = match &shown.kind {
            ShownKind::Group { style, address, parts } => {
                format!("{style:?}{}({})", if address.is_some() { "*" } else { "" }, outline(parts))
            }
            other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        };
        format!("{}:{kind}", shown.name)
    };
    shown.iter().map(one).collect::<Vec<_>>().join(" ")
}
