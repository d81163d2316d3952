//! Binaries that the tests' build made, from specs to what is read. What is expected is x86's, where registers are named.

mod functions;
mod known;
mod look;
mod passed;

use std::path::Path;

use super::*;
use crate::spec::ir::{Base, Read, Slot, Space};
use crate::spec::parse::{Grammar, parse};
use crate::spec::resolve::way::{At, Way};
use crate::spec::resolve::{Resolved, resolve};

fn binary(name: &str) -> Binary {
    Binary::open(Path::new("/"), &test_objects::binary(name)).unwrap()
}

fn uprobe(binary: &Binary, text: &str) -> Result<(Spec, Sites), ResolveError> {
    let spec = parse(&format!("x:{text}"), Grammar::Uprobe).unwrap_or_else(|error| panic!("{error}"));
    sites(&spec, binary, None).map(|sites| (spec, sites))
}

fn usdt(binary: &Binary, text: &str) -> Result<(Spec, Sites), ResolveError> {
    let spec = parse(&format!("x:{text}"), Grammar::Usdt).unwrap_or_else(|error| panic!("{error}"));
    sites(&spec, binary, None).map(|sites| (spec, sites))
}

/// What is read at the only place of a spec.
fn resolved(found: (Spec, Sites), when: When) -> Result<Resolved, ResolveError> {
    let (spec, sites) = found;
    assert_eq!(sites.each.len(), 1, "{}", spec.text);
    resolve(&spec, &sites.types, &sites.each[0].scope(when))
}

/// The slots of an expression at a function's entry, in short: `di`, `di+16`, `[si+8]4`.
fn read(binary: &Binary, text: &str) -> String {
    let found = uprobe(binary, text).and_then(|found| resolved(found, When::Entry));
    found.unwrap_or_else(|error| panic!("{text}: {error}")).program.slots.iter().map(slot).collect::<Vec<_>>().join(" ")
}

fn returned(binary: &Binary, text: &str) -> String {
    let found = uprobe(binary, text).and_then(|found| resolved(found, When::Return));
    found.unwrap_or_else(|error| panic!("{text}: {error}")).program.slots.iter().map(slot).collect::<Vec<_>>().join(" ")
}

/// What is wrong with a spec.
fn wrong(binary: &Binary, text: &str) -> String {
    match uprobe(binary, text).and_then(|found| resolved(found, When::Entry)) {
        Ok(found) => panic!("{text}: {:?}", found.program),
        Err(error) => error.to_string().replace(&binary.name, "IT"),
    }
}

const WORDS: [(u32, &str); 10] = [
    (14, "di"),
    (13, "si"),
    (12, "dx"),
    (11, "cx"),
    (9, "r8"),
    (8, "r9"),
    (19, "sp"),
    (16, "ip"),
    (10, "ax"),
    (4, "bp"),
];

fn word(index: u32) -> String {
    WORDS.iter().find(|(word, _)| *word == index).map_or_else(|| format!("w{index}"), |(_, name)| (*name).to_owned())
}

fn base(base: Base) -> String {
    match base {
        Base::Word { index, typed: false } => word(index),
        Base::Sum { word: one, index, shift } => {
            let one = one.map_or_else(String::new, |one| format!("{}+", word(one)));
            format!("{one}{}*{}", word(index), 1 << shift)
        }
        Base::Constant(value) => format!("{}", value.cast_signed()),
        Base::Return => "ret".to_owned(),
        other => format!("{other:?}"),
    }
}

fn plus(offset: i32) -> String {
    if offset == 0 { String::new() } else { format!("{offset:+}") }
}

fn slot(slot: &Slot) -> String {
    let mut text = base(slot.base);
    for deref in &slot.derefs {
        assert_eq!(deref.space, Space::User);
        text = format!("[{text}{}]", plus(deref.offset));
    }
    let user = |space: Space| assert!(matches!(space, Space::User | Space::ByAddress), "{space:?}");
    match slot.read {
        Read::Plain { offset, shift, narrow } => {
            let shift = if shift > 0 { format!(">>{shift}") } else { String::new() };
            let narrow = narrow
                .map_or_else(String::new, |(bytes, signed)| format!(":{}{bytes}", if signed { "i" } else { "u" }));
            format!("{text}{}{shift}{narrow}", plus(offset))
        }
        Read::Number { offset, space, size, left, right, signed } => {
            user(space);
            let whole = 64 - size * 8;
            let plain = (left, right) == (0, 0) || (left, right) == (whole, whole);
            let bits = if plain { String::new() } else { format!("<<{left}>>{right}") };
            format!("[{text}{}]{}{size}{bits}", plus(offset), if signed { "i" } else { "u" })
        }
        Read::Str { offset, space, .. } => {
            user(space);
            format!("str({text}{})", plus(offset))
        }
        Read::Bytes { offset, space, len } => {
            user(space);
            format!("bytes{len}({text}{})", plus(offset))
        }
        other => panic!("{other:?} of a binary"),
    }
}
