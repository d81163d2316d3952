//! What a spec names in a binary: places to probe, and what names mean at each.

mod abi;
mod declared;
mod listed;
mod site;
mod statics;
#[cfg(test)]
mod tests;

use self::abi::{Abi, FLOAT};
pub(crate) use self::listed::{Listed, functions as list_functions, statics as list_statics};
use self::site::of_origin;
pub(crate) use self::site::{Site, Sites};
use super::error::{ResolveError, Wrong};
use super::path::head;
use super::scope::{Param, Scope, When, Why};
use super::typed::{Shape, Ty, named, names, shape, size};
use super::way::Way;
use crate::binary::{
    Argument, Binary, Found, Function, Origin, Passing, Returns, Signature, Source, is_changed, no_types,
};
use crate::spec::ast::{Place, Spec, Target, Word};
use crate::spec::ir::Base;
use crate::types::model::{Types, kind};

/// All places of a spec in a binary. `kernel`: the kernel's types, for what conditions ask of the head of each event
/// (`pid`, `comm`, …).
///
/// # Errors
/// When it names what is not there.
pub(crate) fn sites(spec: &Spec, binary: &Binary, kernel: Option<&Types>) -> Result<Sites, ResolveError> {
    let mut sites = match &spec.target {
        Target::User { place: Place::Function(name), .. } => of_functions(spec, binary, name)?,
        Target::User { place: Place::Offset(offset), binary: word } => of_offset(spec, binary, *offset, word)?,
        Target::User { place: Place::Line { file, line }, .. } => of_line(spec, binary, file, *line)?,
        Target::Static { provider, name, .. } => statics::sites(spec, binary, provider, name)?,
        _ => return Err(Wrong::new("this is no target in a binary").at(&(0..spec.text.len()))),
    };
    leave_out_refused(spec, binary, &mut sites)?;
    let head = kernel.map(head).unwrap_or_default();
    sites.each.iter_mut().for_each(|site| site.scope.head = Some(head.clone()));
    let mut notes = binary.take_notes();
    notes.append(&mut sites.notes);
    notes.dedup();
    Ok(Sites { notes, ..sites })
}

/// Leaves out places that the kernel puts no probe on. By one of them, it would refuse a link for all, if their code is
/// mapped by then, and else be silent.
fn leave_out_refused(spec: &Spec, binary: &Binary, sites: &mut Sites) -> Result<(), ResolveError> {
    let mut refused: Vec<String> = Vec::new();
    sites.each.retain(|site| {
        let why = binary.refused_at(site.offset);
        refused.extend(why.map(|why| format!("{} begins with {why}", site.name)));
        why.is_none()
    });
    let Some(first) = refused.first() else { return Ok(()) };
    let message = format!("{}: {first}, which the kernel puts no probe on", binary.name);
    if sites.each.is_empty() {
        let span = match &spec.target {
            Target::User { place: Place::Function(name), .. } => name.span.clone(),
            _ => 0..spec.text.len(),
        };
        return Err(Wrong::new(message).at(&span));
    }
    let others =
        if refused.len() > 1 { format!("; so it is with {} others", refused.len() - 1) } else { String::new() };
    sites.notes.push(format!("not watched: {message}{others}"));
    Ok(())
}

fn of_functions(spec: &Spec, binary: &Binary, name: &Word) -> Result<Sites, ResolveError> {
    let found = binary.functions(&name.text).map_err(|fault| fault.at(&name.span))?;
    Ok(entries(spec, binary, found))
}

/// The entries of functions.
fn entries(spec: &Spec, binary: &Binary, functions: Vec<Function>) -> Sites {
    let described = binary.described(&functions);
    let mut notes = Vec::new();
    let (mut unknown, mut by_table) = (Vec::new(), Vec::new());
    let mut each = Vec::new();
    for (function, signature) in functions.into_iter().zip(&described.each) {
        let mut scope = match signature {
            Some(signature) => {
                if signature.source == Source::Table {
                    by_table.push(function.called().to_owned());
                }
                of_signature(&described.types, &function, signature, binary)
            }
            None => {
                let mut scope = declared::untyped(spec, function.called(), binary.elf.machine);
                if binary.is_go() {
                    scope.params.retain(|param| param.name.is_some());
                    scope.params.iter_mut().for_each(|param| param.way = Err(GO.into()));
                }
                if scope.params.iter().all(|param| param.name.is_none()) && !binary.is_go() {
                    unknown.push(function.called().to_owned());
                }
                scope
            }
        };
        let (name, offset) = (function.called().to_owned(), function.offset);
        let returns = binary.returns_of(&function, signature.as_ref().is_some_and(|signature| signature.never_returns));
        scope.left = returns.why_not();
        each.push(Site { name, offset, semaphore: None, returns, in_red_zone: false, scope });
    }
    let what = |names: &[String]| match names {
        [one] => one.clone(),
        [first, ..] => format!("{} functions ({first}, …)", names.len()),
        [] => String::new(),
    };
    if !unknown.is_empty() {
        notes.push(format!(
            "{}: nothing is known of the arguments of {}{}: the registers for arguments are shown, whether they are used or \
             not (they can be declared: NAME(size:u64, name:str))",
            binary.name,
            what(&unknown),
            if binary.is_split() { ", as its debug information is in .dwo files (-gsplit-dwarf), which are not read" } else { "" }
        ));
    }
    if !by_table.is_empty() {
        let these = what(&by_table);
        let why = if binary.debug().is_some() {
            "its debug information does not help"
        } else {
            "it has no debug information"
        };
        let are = if by_table.len() > 1 { "are" } else { "is" };
        notes.push(format!("{}: {why}: {these} {are} taken to be what the documentation says", binary.name));
    }
    Sites { types: described.types, each, notes }
}

const GO: &str =
    "Go passes values in registers of its own, and its debug information does not say where this one is then";
const NO_RESULT: &str = "the compiler has changed this function, and may have left out what it returns";
const UNUSED: &str = "it is not used, and the compiler has left it out";
const RUST: &str = "Rust does not say how it passes structs and enums";

/// A function, at its entry.
fn of_signature(types: &Types, function: &Function, signature: &Signature, binary: &Binary) -> Scope {
    let machine = binary.elf.machine;
    let returns = (signature.returns > 0).then(|| Ty::of(signature.returns));
    let is_go = binary.is_go();
    let passing = |ty: Ty, stated: Passing| if signature.is_rust { of_rust(types, ty, stated) } else { stated };
    let result = match returns.map(|ty| (passing(ty, signature.result), size(types, ty))) {
        // Small ones are returned in a register, whatever they are: no address is passed for them.
        Some((Passing::Unknown, Some(..=8))) if signature.is_rust => Passing::ByValue,
        Some((passing, _)) => passing,
        None => signature.result,
    };
    let mut abi = Abi::new(machine, types, returns, result);
    let all = signature.params.iter().map(|argument| {
        let ty = argument.ty.map_or(Ty::Word, |id| transparent(types, Ty::of(id)));
        (argument, ty, abi.next(types, ty, passing(ty, argument.passing)))
    });
    let all: Vec<_> = all.collect();
    // What the compiler has made of a function is called with something else.
    let register_of = |argument: &Argument| match &argument.found {
        Found::At(Origin::Register { word, second: false }) => Some(*word),
        Found::Later(Origin::Register { word, second: false }) if signature.is_llvm => Some(*word),
        // On the stack, by its caller.
        Found::At(Origin::Memory { base: Some(word), index: None, .. }) => Some(*word),
        _ => None,
    };
    let is_elsewhere = |(argument, _, by_abi): &(&Argument, Ty, Result<Way, &str>)| {
        let may_be = |word: &u32| machine.arguments().contains(word) || *word == machine.stack();
        let stated = register_of(argument).filter(may_be);
        let own = by_abi.as_ref().ok().map(|way| way.base);
        stated.zip(own).is_some_and(|(word, own)| own != Base::Word { index: word, typed: false })
    };
    let is_named_so = is_changed(&function.name) || signature.is_changed;
    let changed = is_named_so || !signature.is_rust && !is_go && all.iter().any(is_elsewhere);
    // Rust passes and returns small structs as it likes, and Go everything.
    let its_own = |ty: Ty| match shape(types, ty) {
        _ if is_go => Some(GO),
        Shape::Struct { .. } | Shape::Array { .. } if signature.is_rust => {
            (of_rust(types, ty, Passing::ByValue) == Passing::Unknown).then_some(RUST)
        }
        _ => None,
    };
    let is_argument = |origin: &Origin| matches!(origin, Origin::Register { word, second: false } if machine.arguments().contains(word));
    let param = |(argument, ty, by_abi): (&Argument, Ty, Result<Way, &'static str>)| {
        let way = match &argument.found {
            Found::At(origin) => Ok(of_origin(origin, ty)),
            Found::Later(origin) if is_named_so => Ok(of_origin(origin, ty)),
            Found::Later(origin) if signature.is_llvm && (changed || signature.is_rust) && is_argument(origin) => {
                Ok(of_origin(origin, ty))
            }
            Found::Float => Err(FLOAT.into()),
            _ if changed => Err("the compiler has changed what this function is called with".into()),
            // (Callers that see that it is not used do not pass it.)
            Found::Nowhere if signature.is_llvm && by_abi.is_ok() => Err(UNUSED.into()),
            Found::Later(_) | Found::NotStated | Found::Computed | Found::Nowhere => match its_own(ty) {
                Some(why) => Err(why.into()),
                None => by_abi.map_err(Why::from),
            },
        };
        Param { name: argument.name.clone(), ty, way }
    };
    let params: Vec<Param> = all.into_iter().map(param).collect();
    let result_at = returns.and_then(|ty| abi::result(machine, types, ty, signature.result));
    let result_at = result_at.map(|way| way.map_err(Why::from));
    let is_rusts = |ty| signature.is_rust && matches!(shape(types, ty), Shape::Struct { .. } | Shape::Array { .. });
    let why_not = match returns {
        _ if signature.is_changed || function.name.contains(".isra.") || changed && !is_named_so => Some(NO_RESULT),
        Some(_) if is_go => Some(GO),
        Some(ty) if is_rusts(ty) => Some(RUST),
        _ => None,
    };
    let result_at = why_not.map_or(result_at, |why| Some(Err(why.into())));
    Scope {
        name: function.called().to_owned(),
        params,
        returns,
        when: When::Entry,
        result_words: machine.result() + 1,
        hidden: 0,
        head: None,
        left: None,
        result_at,
    }
}

/// How Rust passes a value: what is larger than two words by its address, `&str` and the like as two words, and smaller
/// structs and arrays in ways that differ between its versions (rustc: compiler/rustc_ty_utils/src/abi.rs).
fn of_rust(types: &Types, ty: Ty, stated: Passing) -> Passing {
    if !matches!(shape(types, ty), Shape::Struct { .. } | Shape::Array { .. }) {
        return stated;
    }
    match size(types, ty) {
        Some(0) => Passing::ByValue,
        Some(17..) => Passing::ByReference,
        Some(16) if names(types, ty).first().is_some_and(|name| name.starts_with(b"&")) => Passing::ByValue,
        _ => Passing::Unknown,
    }
}

/// Of what is a union only for the compiler's sake (glibc's `__CONST_SOCKADDR_ARG`), what is passed: an address.
fn transparent(types: &Types, ty: Ty) -> Ty {
    let is_one = |name: &&[u8]| matches!(*name, b"__SOCKADDR_ARG" | b"__CONST_SOCKADDR_ARG");
    let Shape::Struct { of, .. } = shape(types, ty) else { return ty };
    if !names(types, ty).iter().any(is_one) {
        return ty;
    }
    let address = match named(types, "sockaddr", &[kind::STRUCT]) {
        Some(Ty::Btf { id, .. }) => Ty::Btf { id, pointers: 1 },
        _ => Ty::Btf { id: 0, pointers: 1 },
    };
    types.members(of).next().map_or(address, |first| Ty::of(first.id))
}

/// A place in the file: the entry of a function, or within one.
fn of_offset(spec: &Spec, binary: &Binary, offset: u64, word: &Word) -> Result<Sites, ResolveError> {
    let span = word.span.end..spec.text.len();
    let address = binary.at_offset(offset).map_err(|fault| fault.at(&span))?;
    if let Some(function) = binary.function_at(address) {
        return Ok(entries(spec, binary, vec![function]));
    }
    let is_known = binary.begins_instruction(address, offset).map_err(|wrong| wrong.at(&span))?;
    let mut sites = spots(spec, binary, &[address], |_| format!("{offset:#x}"));
    if !is_known {
        sites.notes.push(format!(
            "{}: whether an instruction begins at {offset:#x} is not known: within one, a probe changes what the program does",
            binary.name
        ));
    }
    Ok(sites)
}

fn of_line(spec: &Spec, binary: &Binary, file: &Word, line: u32) -> Result<Sites, ResolveError> {
    let addresses = binary.line(&file.text, line).map_err(|fault| fault.at(&file.span))?;
    let name = |function: Option<&str>| match function {
        Some(function) => format!("{function} ({}:{line})", file.text),
        None => format!("{}:{line}", file.text),
    };
    Ok(spots(spec, binary, &addresses, name))
}

/// Places within functions: what is known there are the variables that have a place.
fn spots(spec: &Spec, binary: &Binary, addresses: &[u64], name: impl Fn(Option<&str>) -> String) -> Sites {
    // Nothing is written yet at the entry of a function: what it is called with is known otherwise.
    let functions: Vec<Option<Function>> = addresses.iter().map(|address| binary.function_at(*address)).collect();
    if functions.iter().all(Option::is_some) {
        let mut sites = entries(spec, binary, functions.into_iter().flatten().collect());
        sites.each.iter_mut().for_each(|site| {
            (site.name, site.returns) = (name(Some(&site.name)), Returns::Within);
            (site.scope.returns, site.scope.result_at) = (None, None);
        });
        return sites;
    }
    let machine = binary.elf.machine;
    let (types, found) = binary.variables(addresses).unwrap_or_else(|| (no_types(), Vec::new()));
    let mut each = Vec::new();
    for (n, address) in addresses.iter().enumerate() {
        let Some(offset) = binary.elf.offset(*address) else { continue };
        let known = found.get(n).and_then(Option::as_ref);
        let name = name(known.map(|known| known.function.as_str()));
        let scope = match known {
            Some(known) => {
                let param = |argument: &Argument| {
                    let ty = argument.ty.map_or(Ty::Word, Ty::of);
                    let way = match &argument.found {
                        Found::At(origin) | Found::Later(origin) => Ok(of_origin(origin, ty)),
                        Found::Float => Err(FLOAT.into()),
                        Found::Computed => Err("it would have to be computed there".into()),
                        Found::NotStated | Found::Nowhere => Err("the compiler has not kept it there".into()),
                    };
                    Param { name: argument.name.clone(), ty, way }
                };
                let params: Vec<Param> = known.variables.iter().map(param).collect();
                let empty = declared::untyped(spec, &name, machine);
                Scope { hidden: params.len().saturating_sub(known.parameters), params, returns: None, ..empty }
            }
            None => Scope { returns: None, ..declared::untyped(spec, &name, machine) },
        };
        each.push(Site { name, offset, semaphore: None, returns: Returns::Within, in_red_zone: false, scope });
    }
    Sites { types, each, notes: Vec::new() }
}
