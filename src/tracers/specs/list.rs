//! `--list`: what can be probed on this host, with its prototype.

use anyhow::Result;

use crate::names::glob::{is_glob, matches};
use crate::spec::resolve;
use crate::tracers::opening::Opening;

/// What is listed: all kinds of targets whose names match, or one kind.
const KINDS: [&str; 5] = ["fn", "tracepoint", "tp_btf", "raw_tracepoint", "ksyscall"];

/// The lines of the list.
///
/// # Errors
/// When the kernel's types cannot be read.
pub(super) fn list(glob: &str, opening: &Opening<'_>) -> Result<Vec<String>> {
    let (kind, glob) = match glob.split_once(':') {
        Some(("kprobe" | "kretprobe" | "fentry" | "fexit", rest)) => (Some("fn"), rest),
        Some((kind, rest)) if KINDS.contains(&kind) => (Some(kind), rest),
        _ => (None, glob),
    };
    // A part of a name is enough.
    let glob = if is_glob(glob) { glob.to_owned() } else { format!("*{glob}*") };
    let wanted = |of: &str| kind.is_none_or(|kind| kind == of);
    let mut lines = Vec::new();
    if wanted("fn") {
        functions(&glob, opening, &mut lines)?;
    }
    if wanted("tp_btf") || kind == Some("raw_tracepoint") {
        let types = &opening.types(None)?.types;
        let kind = kind.unwrap_or("tp_btf");
        let all = resolve::tracepoints(types);
        for name in all.iter().filter(|name| matches(glob.as_bytes(), name.as_bytes())) {
            let call = resolve::tracepoint_prototype(types, name).unwrap_or_else(|| name.clone());
            lines.push(format!("{kind}:{call}"));
        }
    }
    if wanted("ksyscall") {
        syscalls(&glob, opening, &mut lines)?;
    }
    if wanted("tracepoint") {
        classic(&glob, opening, kind.is_some(), &mut lines)?;
    }
    Ok(lines)
}

/// Functions of the kernel and, with `MODULE:GLOB`, of a module.
fn functions(glob: &str, opening: &Opening<'_>, lines: &mut Vec<String>) -> Result<()> {
    let (module, glob) = match glob.split_once(':') {
        Some((module, glob)) => (Some(module.trim_start_matches('*')), glob),
        None => (None, glob),
    };
    let target = opening.types(module).or_else(|_| opening.types(None))?;
    let traceable = opening.traceable();
    let before = module.map_or_else(String::new, |module| format!("{module}:"));
    let symbols = opening.symbols();
    let mut names: Vec<&str> = match &symbols {
        Ok(symbols) => {
            let own = symbols.iter().filter(|symbol| symbol.is_function && symbol.module == module);
            own.map(|symbol| symbol.name).filter(|name| matches(glob.as_bytes(), name.as_bytes())).collect()
        }
        Err(_) => resolve::function_names(&target.types, glob),
    };
    names.sort_unstable();
    names.dedup();
    for name in names {
        let full = format!("{before}{name}");
        if traceable.as_ref().is_some_and(|traceable| !traceable.contains(&full)) {
            continue;
        }
        match resolve::prototype(&target.types, name) {
            Some(prototype) => lines.push(format!("fn:{full}  {prototype}")),
            // Without the list of what can be traced, this would be all that the kernel has.
            None if traceable.is_some() => lines.push(format!("fn:{full}  (its types are not known)")),
            None => {}
        }
    }
    Ok(())
}

fn syscalls(glob: &str, opening: &Opening<'_>, lines: &mut Vec<String>) -> Result<()> {
    let types = &opening.types(None)?.types;
    for name in resolve::syscall_names(types) {
        if matches(glob.as_bytes(), name.as_bytes()) {
            let prototype = resolve::syscall_prototype(types, &name).map(|prototype| format!("  {prototype}"));
            lines.push(format!("ksyscall:{name}{}", prototype.unwrap_or_default()));
        }
    }
    Ok(())
}

/// Tracepoints that tracefs lists. `asked`: they alone are listed, and an error is one.
fn classic(glob: &str, opening: &Opening<'_>, asked: bool, lines: &mut Vec<String>) -> Result<()> {
    let (category, glob) = match glob.split_once(':') {
        Some((category, glob)) => (category.trim_start_matches('*'), glob.trim_end_matches('*').to_owned() + "*"),
        None => ("", glob.to_owned()),
    };
    let categories = match opening.categories() {
        Ok(categories) => categories,
        Err(error) if asked => return Err(error),
        Err(_) => return Ok(()),
    };
    for of in categories.iter().filter(|of| category.is_empty() || *of == category) {
        for name in opening.tracepoints(of).unwrap_or_default() {
            if matches(glob.as_bytes(), name.as_bytes()) {
                lines.push(format!("tracepoint:{of}:{name}"));
            }
        }
    }
    Ok(())
}
