//! A place in a binary, and what names mean there.

use super::abi::user;
use crate::binary::{Origin, Returns};
use crate::spec::ir::{Base, Space};
use crate::spec::resolve::scope::{Scope, When};
use crate::spec::resolve::typed::Ty;
use crate::spec::resolve::way::{At, Way};
use crate::types::model::Types;

/// Where a spec is attached in a binary.
#[derive(Debug)]
pub(crate) struct Sites {
    /// What the scopes' types are numbers in.
    pub types: Types,
    pub each: Vec<Site>,
    /// What is not as one might expect it: for the user, once.
    pub notes: Vec<String>,
}

/// A place.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The function, or `provider:name`, or as it was given.
    pub name: String,
    /// Where it is in the file.
    pub offset: u64,
    /// Where the counter is in the file that turns a static probe on.
    pub semaphore: Option<u64>,
    /// Whether it is the entry of a function that can be hooked where it returns, too.
    pub returns: Returns,
    /// An argument is below the stack pointer (see [`crate::binary::Place::in_red_zone`]).
    pub in_red_zone: bool,
    pub(super) scope: Scope,
}

impl Site {
    /// What names mean there: when the place is reached, or when the function returns.
    pub fn scope(&self, when: When) -> Scope {
        Scope { when, ..self.scope.clone() }
    }
}

/// The way to a value that is known by registers.
pub(super) fn of_origin(origin: &Origin, ty: Ty) -> Way {
    let memory = |base: Base, offset: i64| Way {
        base,
        at: At::Memory { offset, space: Space::User },
        ..Way::word(0, false, ty)
    };
    let word = |index: u32| Base::Word { index, typed: false };
    user(match origin {
        Origin::Constant(value) => Way { base: Base::Constant(value.cast_unsigned()), ..Way::word(0, false, ty) },
        Origin::Register { word, second } => Way { shift: if *second { 8 } else { 0 }, ..Way::word(*word, false, ty) },
        Origin::Pair { low, high } => {
            let first = low.or(*high).unwrap_or(0);
            Way { second: *high, first_lost: low.is_none(), ..Way::word(first, false, ty) }
        }
        Origin::Sum { word, offset } => Way { at: At::Value { offset: *offset }, ..Way::word(*word, false, ty) },
        Origin::Memory { base: Some(base), index: None, offset } => memory(word(*base), *offset),
        Origin::Memory { base, index: Some((index, shift)), offset } => {
            memory(Base::Sum { word: *base, index: *index, shift: *shift }, *offset)
        }
        Origin::Memory { base: None, index: None, offset } => memory(Base::Constant(offset.cast_unsigned()), 0),
    })
}
