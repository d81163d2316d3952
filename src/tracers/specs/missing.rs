//! Why what a spec names in the kernel is not there, and what is.

use anyhow::Result;

use crate::error::Wrong;
use crate::host::arch::SYSCALL;
use crate::host::kallsyms::Symbols;
use crate::names::closest;
use crate::names::glob::is_glob;
use crate::spec::ast::Word;
use crate::spec::resolve::{self, ResolveError};
use crate::tracers::opening::Opening;
use crate::types::model::Types;

/// What is left out of what a glob matches, as it has not the values that are asked for; None: nothing.
pub(super) fn values(what: &str, left_out: &[&str]) -> Option<String> {
    const LISTED: usize = 8;
    let names = left_out.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    let more = if left_out.len() > LISTED { ", …" } else { "" };
    let note = || format!("not probed: {} {what} that match, but have no such values: {names}{more}", left_out.len());
    (!left_out.is_empty()).then(note)
}

/// Why a classic tracepoint is not there, if it is not: its category, or, unless that is a glob, its name.
///
/// # Errors
/// When tracefs cannot be read.
pub(super) fn tracepoint(category: &Word, name: &Word, opening: &Opening<'_>) -> Result<Option<ResolveError>> {
    let categories = opening.categories()?;
    if categories.contains(&category.text) {
        let there = opening.tracepoints(&category.text)?;
        if is_glob(&name.text) || there.contains(&name.text) {
            return Ok(None);
        }
        let wrong = Wrong::new(format!("this kernel has no tracepoint {}:{}", category.text, name.text));
        let close = closest(&name.text, there.iter().map(String::as_str));
        return Ok(Some(elsewhere(wrong.list("closest", &close), &categories, name, opening).at(&name.span)));
    }
    let wrong = match is_glob(&category.text) {
        true => Wrong::new("a category of tracepoints cannot be a glob; their names can"),
        false => Wrong::new(format!("this kernel has no category {} of tracepoints", category.text)),
    };
    let close = closest(&category.text, categories.iter().map(String::as_str));
    Ok(Some(elsewhere(wrong.list("closest", &close), &categories, name, opening).at(&category.span)))
}

/// Adds the categories that have a tracepoint of this name.
fn elsewhere(wrong: Wrong, categories: &[String], name: &Word, opening: &Opening<'_>) -> Wrong {
    let has = |of: &&String| opening.tracepoints(of).is_ok_and(|there| there.contains(&name.text));
    let others: Vec<String> =
        categories.iter().filter(has).map(|of| format!("tracepoint:{of}:{}", name.text)).collect();
    match wrong.hints.is_empty() && others.is_empty() {
        true => {
            wrong.hint("coretrace probe --list 'tracepoint:*' lists all; those of a module are there once it is loaded")
        }
        false => wrong.list("there is", &others),
    }
}

/// Why a system call is not there, if that is known.
pub(super) fn syscall(name: &Word, types: &Types, opening: &Opening<'_>) -> Option<ResolveError> {
    if is_glob(&name.text) || resolve::function(types, &format!("{SYSCALL}{}", name.text)).is_some() {
        return None;
    }
    let all = syscalls(opening).ok().filter(|all| !all.is_empty() && !all.contains(&name.text))?;
    let wrong = Wrong::new(format!("this kernel has no system call {}", name.text));
    let close = closest(&name.text, all.iter().map(String::as_str));
    let wrong = match close.is_empty() {
        true => wrong.hint("coretrace probe --list 'ksyscall:*' lists all"),
        false => wrong.list("closest", &close),
    };
    Some(wrong.at(&name.span))
}

/// The names of the system calls that the kernel has functions of.
///
/// # Errors
/// When its symbols cannot be read.
pub(super) fn syscalls(opening: &Opening<'_>) -> Result<Vec<String>> {
    let symbols = opening.symbols()?;
    let own = symbols.iter().filter(|symbol| symbol.is_function);
    let mut names: Vec<String> =
        own.filter_map(|symbol| symbol.name.strip_prefix(SYSCALL)).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// A glob with less in it.
pub(super) fn closest_glob(glob: &str) -> String {
    let plain: String = glob.chars().take_while(|c| !matches!(c, '*' | '?' | '[')).collect();
    match plain.rsplit_once('_') {
        Some((front, _)) if !front.is_empty() => format!("{front}*"),
        _ => format!("*{}*", plain.trim_end_matches('_')),
    }
}

/// Why a function is not there, and what is.
pub(super) fn not_there(module: Option<&Word>, name: &str, symbols: &Symbols, opening: &Opening<'_>) -> Wrong {
    let renamed = symbols.iter().filter(|symbol| symbol.is_function && is_variant(symbol.name, name));
    let renamed: Vec<&str> = renamed.map(|symbol| symbol.name).filter(|name| !name.contains(".cold")).take(4).collect();
    if !renamed.is_empty() {
        return Wrong::new(format!("the compiler has changed {name}, and with it its name"))
            .list("probe it by that name", &renamed);
    }
    let mut modules = symbols.functions(name).filter_map(|symbol| symbol.module);
    if let Some(other) = modules.next() {
        return Wrong::new(format!("{name} is in the module {other}")).hint(format!("fn:{other}:{name}"));
    }
    if let Some(wrong) = module.and_then(|module| not_loaded(&module.text, symbols)) {
        return wrong;
    }
    let traceable = opening.traceable();
    let can_be = |name: &&str| traceable.is_none_or(|traceable| traceable.contains(*name));
    let functions = symbols.iter().filter(|symbol| symbol.is_function).map(|symbol| symbol.name);
    let mut names: Vec<&str> = functions.filter(can_be).collect();
    names.sort_unstable();
    names.dedup();
    let close = closest(name, names.into_iter());
    let wrong = Wrong::new(format!("this kernel has no function {name}")).list("closest", &close);
    wrong.hint(
        "a function that the compiler has inlined everywhere is none any more; one of a module is there once that is loaded",
    )
}

/// Whether nothing can be there, as its module is not loaded.
pub(super) fn not_loaded(module: &str, symbols: &Symbols) -> Option<Wrong> {
    let wrong = || Wrong::new(format!("the module {module} is not loaded")).hint(format!("modprobe {module}"));
    (!symbols.iter().any(|symbol| symbol.module == Some(module))).then(wrong)
}

/// What compilers make of a function: `NAME.isra.0`, `NAME.constprop.0`, `NAME.part.0`.
fn is_variant(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_make_of_a_function_is_known() {
        assert!(is_variant("do_it.isra.0", "do_it") && is_variant("do_it.constprop.0.isra.1", "do_it"));
        assert!(!is_variant("do_it2", "do_it") && !is_variant("do_it", "do_it"));
    }

    #[test]
    fn a_glob_that_matches_nothing_leads_to_a_wider_one() {
        assert_eq!(closest_glob("vfs_unlnk*"), "vfs*");
        assert_eq!(closest_glob("vfsx*"), "*vfsx*");
    }
}
