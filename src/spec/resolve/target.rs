//! What a spec hooks, among the types of a kernel.

use super::error::{ResolveError, Wrong};
use super::find::{functions, syscall, tracepoint, tracepoints};
use super::record::fields;
use super::scope::{Hook, Machine, Scope, When, Words};
use crate::names::glob::{is_glob, matches};
use crate::spec::ast::{Place, Target, Word};
use crate::spec::ir::Space;
use crate::types::model::Types;

/// What a spec hooks: one, or all that its glob matches. `format`: what the format file of a classic tracepoint says.
///
/// # Errors
/// When there is none.
pub(crate) fn scopes(
    target: &Target,
    types: &Types,
    hook: Hook,
    format: Option<&str>,
) -> Result<Vec<Scope>, ResolveError> {
    let machine = match hook.words {
        Words::Registers(machine) => machine,
        Words::Typed | Words::Plain => Machine::HERE,
    };
    match target {
        Target::Function { name, .. } => {
            let found = functions(types, &name.text).map_err(|wrong| wrong.at(&name.span))?;
            Ok(found.iter().map(|function| Scope::function(types, function, hook)).collect())
        }
        Target::RawTracepoint { name } | Target::TypedTracepoint { name } => {
            let hook = Hook { when: When::Entry, ..hook };
            let scope = |name: &String| tracepoint(types, name).map(|found| Scope::function(types, &found, hook));
            let scopes = matching(types, name).iter().map(scope).collect::<Result<Vec<_>, Wrong>>();
            let scopes = scopes.map_err(|wrong| wrong.at(&name.span))?;
            if scopes.is_empty() {
                let wrong = Wrong::new(format!("no tracepoint of this kernel matches {}", name.text));
                return Err(wrong.at(&name.span));
            }
            Ok(scopes)
        }
        Target::Tracepoint { category, name } => {
            let what = format!("{}:{}", category.text, name.text);
            let fields = fields(format.unwrap_or_default());
            if fields.is_empty() {
                return Err(Wrong::new(format!("what the record of {what} looks like is not known")).at(&name.span));
            }
            Ok(vec![Scope::record(types, &what, &fields)])
        }
        Target::Syscall { name } => {
            let known = syscall(types, &name.text);
            Ok(vec![Scope::syscall(types, &name.text, known.as_ref(), hook, machine)])
        }
        Target::User { place: Place::Function(name), .. } | Target::Static { name, .. } => {
            Ok(vec![Scope::untyped(&name.text, hook.when, machine, Space::User)])
        }
        Target::User { binary, .. } => Ok(vec![Scope::untyped(&binary.text, hook.when, machine, Space::User)]),
    }
}

fn matching(types: &Types, name: &Word) -> Vec<String> {
    if !is_glob(&name.text) {
        return vec![name.text.clone()];
    }
    let glob = name.text.as_bytes();
    tracepoints(types).into_iter().filter(|name| matches(glob, name.as_bytes())).collect()
}
