//! What can be probed in a binary, for `--list`.

use super::statics::is_asked;
use crate::binary::{Binary, Function, Operand, Source};
use crate::names::glob;
use crate::spec::resolve::error::Wrong;
use crate::spec::resolve::spell::signature;
use crate::types::model::kind;

/// A function, or one place of a static probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As a spec has it behind the binary: `malloc`, `provider:name`.
    pub name: String,
    /// Where it is in the file; None: nowhere, so that it cannot be probed.
    pub offset: Option<u64>,
    /// What it is called with: `void *malloc(size_t size)`, or `i32, u64` of a static probe.
    pub text: Option<String>,
    /// Of a static probe, the arguments as its note has them.
    pub note: Option<String>,
    /// Other names of a function; whether a static probe is turned on by a semaphore.
    pub aliases: Vec<String>,
    pub semaphore: bool,
}

/// The functions of a binary, by name: all, or those that a name or a glob is of.
///
/// # Errors
/// When there are none of it.
pub(crate) fn functions(binary: &Binary, asked: &str) -> Result<Vec<Listed>, Wrong> {
    let found = match asked {
        "" => binary.symbols().all(&binary.elf),
        name if glob::is_glob(name) => binary.functions(name)?,
        name => binary.functions(name)?,
    };
    let described = binary.described(&found);
    let types = &described.types;
    let text = |function: &Function, known: bool| {
        let of = types.find(kind::FUNC, &function.name).filter(|_| known)?;
        Some(signature(types, types.get(of.refers)?, function.called()))
    };
    let listed = found.into_iter().zip(&described.each).map(|(function, known)| Listed {
        text: text(&function, known.is_some()),
        offset: Some(function.offset),
        note: known.as_ref().filter(|known| known.source == Source::Table).map(|_| "by its documentation".to_owned()),
        aliases: function.aliases,
        semaphore: false,
        name: function.in_source.unwrap_or(function.name),
    });
    Ok(listed.collect())
}

/// The places of a binary's static probes, by name: all, or those of a provider and a name, which may be globs.
pub(crate) fn statics(binary: &Binary, provider: &str, name: &str) -> Vec<Listed> {
    let all = binary.static_probes();
    let asked = all.iter().filter(|probe| is_asked(provider, &probe.provider) && is_asked(name, &probe.name));
    let places = asked.flat_map(|probe| probe.places.iter().map(move |place| (probe, place)));
    let listed = places.map(|(probe, place)| Listed {
        name: format!("{}:{}", probe.provider, probe.name),
        offset: place.offset,
        text: Some(place.args.iter().map(spelled).collect::<Vec<_>>().join(", ")),
        note: Some(place.text.clone()),
        aliases: Vec::new(),
        semaphore: place.semaphore.is_some(),
    });
    listed.collect()
}

/// What an argument is, as formats have it: `i32`; in parentheses, where it cannot be read.
fn spelled(operand: &Operand) -> String {
    let letter = match (operand.float, operand.signed) {
        (true, _) => 'f',
        (_, true) => 'i',
        _ => 'u',
    };
    let text = format!("{letter}{}", u32::from(operand.size) * 8);
    if operand.from.is_ok() { text } else { format!("({text})") }
}
