//! The functions that a spec names on this host, in groups that are hooked and read alike.

use std::collections::HashSet;
use std::rc::Rc;

use anyhow::{Result, anyhow, bail};

use super::kinds::room;
use super::way::{self, Read, refused};
use crate::error::{Usage, Wrong};
use crate::host::kallsyms::{Symbol, Symbols};
use crate::names::closest;
use crate::names::glob::{is_glob, matches};
use crate::spec::ast::{self, Arg, Expr, ExprKind, How, Word};
use crate::spec::resolve::{self, Function};
use crate::tracers::opening::Opening;
use crate::types::relo::Target;

/// What is hooked for one spec, or for a part of what its glob matches.
#[derive(Debug)]
pub(super) struct Hooked {
    /// As it was written, but for what a glob shows where nothing is said.
    pub spec: ast::Spec,
    pub types: Rc<Target>,
    /// What the format file of a classic tracepoint says.
    pub format: Option<String>,
    /// Functions, where it names such.
    pub functions: Vec<Named>,
    pub notes: Vec<String>,
}

/// A function of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// `MODULE:NAME`, or `NAME`.
    pub name: String,
    /// Where it is; 0: not known.
    pub address: u64,
    /// Its prototype, where the kernel's types have it.
    pub typed: Option<Function>,
}

impl Hooked {
    /// What a spec names, in at most `most` groups.
    ///
    /// # Errors
    /// When there is none, or there are too many.
    pub fn all(spec: ast::Spec, opening: &Opening<'_>, most: usize) -> Result<Vec<Hooked>> {
        let types = opening.types(None)?;
        let hooked =
            |spec, format| Hooked { spec, types: Rc::clone(&types), format, functions: Vec::new(), notes: Vec::new() };
        match spec.target.clone() {
            ast::Target::Tracepoint { category, name } => {
                let names = match is_glob(&name.text) {
                    true => opening.tracepoints(&category.text)?,
                    false => vec![name.text.clone()],
                };
                let each = |one: Word| {
                    let format = opening.format(&category.text, &one.text)?;
                    let target = ast::Target::Tracepoint { category: category.clone(), name: one };
                    Ok(hooked(ast::Spec { target, ..spec.clone() }, Some(format)))
                };
                expanded(&spec, &name, names, most)?.into_iter().map(each).collect()
            }
            ast::Target::TypedTracepoint { name } | ast::Target::RawTracepoint { name } if is_glob(&name.text) => {
                let each = |one: Word| {
                    let target = match &spec.target {
                        ast::Target::RawTracepoint { .. } => ast::Target::RawTracepoint { name: one },
                        _ => ast::Target::TypedTracepoint { name: one },
                    };
                    Ok(hooked(ast::Spec { target, ..spec.clone() }, None))
                };
                expanded(&spec, &name, resolve::tracepoints(&types.types), most)?.into_iter().map(each).collect()
            }
            ast::Target::Function { how, module, name } if is_glob(&name.text) => {
                hooked(spec, None).glob(how, module.as_ref(), &name, opening, most)
            }
            ast::Target::Function { module, name, .. } => hooked(spec, None).one(module.as_ref(), &name, opening),
            ast::Target::Syscall { .. } => {
                let mut hooked = hooked(spec, None);
                hooked.result_too(true);
                Ok(vec![hooked])
            }
            ast::Target::TypedTracepoint { .. } | ast::Target::RawTracepoint { .. } => Ok(vec![hooked(spec, None)]),
            ast::Target::User { .. } | ast::Target::Static { .. } => bail!("this is no function of the kernel"),
        }
    }

    /// The function of that name: by the kernel's types, else by its symbols.
    fn one(mut self, module: Option<&Word>, name: &Word, opening: &Opening<'_>) -> Result<Vec<Hooked>> {
        let named = |module: Option<&str>, typed| {
            let name = module.map_or_else(|| name.text.clone(), |module| format!("{module}:{}", name.text));
            Named { name, address: 0, typed }
        };
        if let Some(module) = module {
            // None before 5.11, and where it is not loaded.
            self.types = opening.types(Some(&module.text)).unwrap_or(self.types);
        }
        if let Some(typed) = resolve::function(&self.types.types, &name.text) {
            self.result_too(typed.returns.is_some());
            self.functions = vec![named(module.map(|module| module.text.as_str()), Some(typed))];
            return Ok(vec![self]);
        }
        let symbols = opening.symbols()?;
        let own = |symbol: &Symbol<'_>| module.is_none_or(|module| symbol.module == Some(&module.text));
        let Some(symbol) = symbols.functions(&name.text).find(own) else {
            let wrong = not_there(module, &name.text, &symbols, opening);
            return Err(refused(&self.spec, &wrong.at(&name.span)));
        };
        let module = symbol.module;
        if let Some(module) = module {
            self.types = opening.types(Some(module)).unwrap_or(self.types);
        }
        let typed = resolve::function(&self.types.types, &name.text);
        self.result_too(typed.as_ref().is_some_and(|typed| typed.returns.is_some()));
        if typed.is_none() {
            self.notes.push(format!(
                "the kernel's types do not have {}: its arguments are the registers that may hold them (arg0, arg1, …)",
                name.text
            ));
        }
        self.functions = vec![named(module, typed)];
        Ok(vec![self])
    }

    /// What a call returns is shown even if some of its arguments are asked for, and not that.
    fn result_too(&mut self, has_result: bool) {
        let is_call = match &self.spec.target {
            ast::Target::Function { how, .. } => *how == How::Any,
            ast::Target::Syscall { .. } => true,
            _ => false,
        };
        let Some(args) = self.spec.args.as_mut().filter(|_| is_call && has_result) else { return };
        if !args.iter().any(is_result) {
            args.push(result(&self.spec.text));
        }
    }

    fn glob(
        mut self,
        how: How,
        module: Option<&Word>,
        name: &Word,
        opening: &Opening<'_>,
        most: usize,
    ) -> Result<Vec<Hooked>> {
        if let Some(module) = module {
            self.types = opening.types(Some(&module.text)).unwrap_or(self.types);
        }
        let module = module.map(|module| module.text.as_str());
        let (functions, note) = matching(&self, module, &name.text, opening)?;
        self.notes.extend(note);
        if functions.is_empty() {
            let none = || {
                let wrong = Wrong::new(format!("no function that can be probed matches {}", name.text));
                let module = module.map_or_else(String::new, |module| format!("{module}:"));
                wrong.hint(format!("coretrace probe --list '{module}{}'", closest_glob(&name.text)))
            };
            let symbols = opening.symbols()?;
            let wrong = module.and_then(|module| not_loaded(module, &symbols)).unwrap_or_else(none);
            return Err(refused(&self.spec, &wrong.at(&name.span)));
        }
        if matches!(how, How::Fentry | How::Fexit) && functions.len() > most {
            let why = format!(
                "{} functions match, and each takes a program of its own when hooked by type: {}; fn: and kprobe: take any number",
                functions.len(),
                room(most)
            );
            return Err(anyhow!(why).context(Usage));
        }
        self.groups(how, functions, most)
    }

    /// Puts those together that are read alike.
    fn groups(mut self, how: How, functions: Vec<Named>, most: usize) -> Result<Vec<Hooked>> {
        let (quiet, alone) = (self.spec.args.is_none(), matches!(how, How::Fentry | How::Fexit));
        let mut groups: Vec<(Vec<Read>, Hooked)> = Vec::new();
        let mut first_error = None;
        let mut left_out = Vec::new();
        for function in functions {
            let mut hooked = self.with(function);
            if quiet {
                hooked.spec.args = Some(result_alone(&hooked));
            }
            match way::reads(&hooked) {
                Ok(reads) => match groups.iter_mut().find(|(of, _)| *of == reads && !alone) {
                    Some((_, group)) => group.functions.append(&mut hooked.functions),
                    None => groups.push((reads, hooked)),
                },
                Err(error) => {
                    left_out.extend(hooked.functions);
                    first_error.get_or_insert(error);
                }
            }
        }
        if let (true, Some(error)) = (groups.is_empty(), first_error) {
            return Err(error);
        }
        if groups.len() > most && quiet && !alone {
            // Too many kinds of results: they are not shown.
            let all = groups.into_iter().flat_map(|(_, group)| group.functions).collect();
            self.notes.push(TOO_MANY_RESULTS.to_owned());
            self.spec.args = Some(Vec::new());
            self.functions = all;
            return Ok(vec![self]);
        }
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.functions.len()));
        left_out.extend(groups.drain(most.min(groups.len())..).flat_map(|(_, group)| group.functions));
        if !left_out.is_empty() {
            let names: Vec<&str> = left_out.iter().take(8).map(|function| function.name.as_str()).collect();
            let more = if left_out.len() > names.len() { ", …" } else { "" };
            self.notes.push(format!(
                "not probed: {} functions that match, but have no such values: {}{more}",
                left_out.len(),
                names.join(", ")
            ));
        }
        let mut all: Vec<Hooked> = groups.into_iter().map(|(_, group)| group).collect();
        if let Some(first) = all.first_mut() {
            first.notes = self.notes;
        }
        Ok(all)
    }

    fn with(&self, function: Named) -> Hooked {
        Hooked {
            spec: self.spec.clone(),
            types: Rc::clone(&self.types),
            format: None,
            functions: vec![function],
            notes: Vec::new(),
        }
    }
}

/// Those of these names that a glob matches: a program each.
fn expanded(spec: &ast::Spec, glob: &Word, names: Vec<String>, most: usize) -> Result<Vec<Word>> {
    if !is_glob(&glob.text) {
        return Ok(vec![glob.clone()]);
    }
    let there = names.into_iter().filter(|name| matches(glob.text.as_bytes(), name.as_bytes()));
    let found: Vec<Word> = there.map(|text| Word { text, span: glob.span.clone() }).collect();
    let wrong = match found.len() {
        0 => format!("no tracepoint matches {}", glob.text),
        n if n > most => format!("{n} tracepoints match, and each takes a program of its own: {}", room(most)),
        _ => return Ok(found),
    };
    Err(refused(spec, &Wrong::new(wrong).at(&glob.span)))
}

/// `ret`, where something is returned that is a number or a pointer: what a glob shows where nothing is said.
fn result_alone(hooked: &Hooked) -> Vec<Arg> {
    let has_result =
        hooked.functions.iter().all(|function| function.typed.as_ref().is_some_and(|f| f.returns.is_some()));
    let returns = match &hooked.spec.target {
        ast::Target::Function { how, .. } => matches!(how, How::Any | How::Kretprobe | How::Fexit),
        _ => false,
    };
    if has_result && returns { vec![result(&hooked.spec.text)] } else { Vec::new() }
}

/// `ret`, for the whole of a spec.
pub(super) fn result(text: &str) -> Arg {
    let name = Word { text: RESULT.to_owned(), span: 0..text.len() };
    let value = Expr { kind: ExprKind::Name(name.text.clone()), span: name.span.clone() };
    Arg::One { name: Some(name), value, format: None }
}

/// A spec without a result that it did not ask for: at an entry there is none.
pub(super) fn at_entry(spec: &ast::Spec) -> ast::Spec {
    let mut spec = spec.clone();
    let unasked = result(&spec.text);
    spec.args.iter_mut().for_each(|args| args.retain(|arg| *arg != unasked));
    spec
}

const RESULT: &str = "ret";

/// What a glob leaves out, where there would be a program for each type of result.
pub(super) const TOO_MANY_RESULTS: &str = "results are not shown: these functions have too many types of them";

/// Whether a value is, or has, what is returned.
pub(super) fn is_result(arg: &Arg) -> bool {
    match arg {
        Arg::All(_) => true,
        Arg::One { value, .. } => value.root() == RESULT,
    }
}

/// The functions that match, and a note on those of modules.
fn matching(
    hooked: &Hooked,
    module: Option<&str>,
    glob: &str,
    opening: &Opening<'_>,
) -> Result<(Vec<Named>, Option<String>)> {
    let symbols = opening.symbols()?;
    let traceable = opening.traceable();
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    let mut elsewhere: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for symbol in symbols.iter().filter(|symbol| symbol.is_function && matches(glob.as_bytes(), symbol.name.as_bytes()))
    {
        if symbol.module != module {
            elsewhere.extend(symbol.module.filter(|other| module.is_none() && !is_bpf(other)));
            continue;
        }
        let name = module.map_or_else(|| symbol.name.to_owned(), |module| format!("{module}:{}", symbol.name));
        if traceable.as_ref().is_some_and(|traceable| !traceable.contains(&name)) {
            continue;
        }
        // Two functions of one name: the kernel refuses to say which is meant.
        if !seen.insert(symbol.name) {
            twice.insert(symbol.name);
        }
        found.push((symbol, name));
    }
    found.retain(|(symbol, _)| !twice.contains(symbol.name));
    let typed = |name: &str| resolve::function(&hooked.types.types, name);
    let named =
        found.into_iter().map(|(symbol, name)| Named { name, address: symbol.address, typed: typed(symbol.name) });
    let named: Vec<Named> = named.collect();
    elsewhere.sort_unstable();
    elsewhere.dedup();
    let note = (!elsewhere.is_empty()).then(|| {
        let modules = elsewhere.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        format!("functions of modules match, too ({modules}): fn:MODULE:{glob} probes them")
    });
    Ok((named, note))
}

/// Programs and trampolines of BPF, and other code that the kernel makes, are listed as modules.
fn is_bpf(module: &str) -> bool {
    matches!(module, "bpf" | "__builtin__ftrace" | "__builtin__kprobes")
}

/// A glob with less in it.
fn closest_glob(glob: &str) -> String {
    let plain: String = glob.chars().take_while(|c| !matches!(c, '*' | '?' | '[')).collect();
    match plain.rsplit_once('_') {
        Some((front, _)) if !front.is_empty() => format!("{front}*"),
        _ => format!("*{}*", plain.trim_end_matches('_')),
    }
}

/// Why a function is not there, and what is.
fn not_there(module: Option<&Word>, name: &str, symbols: &Symbols, opening: &Opening<'_>) -> Wrong {
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
fn not_loaded(module: &str, symbols: &Symbols) -> Option<Wrong> {
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
