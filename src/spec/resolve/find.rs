//! Functions, tracepoints and system calls among a kernel's types.

use super::error::Wrong;
use super::spell::{call, signature};
use super::typed::Ty;
use crate::names::closest;
use crate::names::glob::{is_glob, matches};
use crate::types::model::{Type, Types, kind};

/// What can be hooked, with what it is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub name: String,
    pub params: Vec<Parameter>,
    /// None: nothing.
    pub returns: Option<Ty>,
    /// More may follow, of any type.
    pub variadic: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// None: only its type is known.
    pub name: Option<String>,
    pub ty: Ty,
}

/// The functions with this name, or all that match where it is a glob; by name, each once.
///
/// # Errors
/// When there are none.
pub(crate) fn functions(types: &Types, name: &str) -> Result<Vec<Function>, Wrong> {
    if !is_glob(name) {
        return function(types, name).map(|found| vec![found]).ok_or_else(|| no_function(types, name));
    }
    let matching = all(types).filter(|(_, found)| matches(name.as_bytes(), found.name));
    let mut found: Vec<Function> = matching.filter_map(|(_, found)| of_func(types, found, 0)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    if found.is_empty() { Err(Wrong::new(format!("no function of this kernel matches {name}"))) } else { Ok(found) }
}

/// A function by its name.
pub(crate) fn function(types: &Types, name: &str) -> Option<Function> {
    of_func(types, by_name(types, kind::FUNC, name)?, 0)
}

/// `int vfs_unlink(struct mnt_idmap *idmap, struct inode *dir, …)`
pub(crate) fn prototype(types: &Types, name: &str) -> Option<String> {
    prototype_of(types, name, name)
}

/// The names of the functions that match a glob.
pub(crate) fn function_names<'a>(types: &'a Types, glob: &str) -> Vec<&'a str> {
    let names = all(types).filter_map(|(_, found)| std::str::from_utf8(found.name).ok());
    names.filter(|name| matches(glob.as_bytes(), name.as_bytes())).collect()
}

/// The names of the system calls whose functions are there.
pub(crate) fn syscall_names(types: &Types) -> Vec<String> {
    let of =
        |name: &str| Some(name.strip_prefix("__x64_sys_").or_else(|| name.strip_prefix("__arm64_sys_"))?.to_owned());
    let mut names: Vec<String> = function_names(types, "__*_sys_*").into_iter().filter_map(of).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `long openat(int dfd, const char *filename, …)`, as far as it is known.
pub(crate) fn syscall_prototype(types: &Types, name: &str) -> Option<String> {
    prototype_of(types, &format!("__do_sys_{name}"), name)
        .or_else(|| prototype_of(types, &format!("__se_sys_{name}"), name))
}

fn prototype_of(types: &Types, function: &str, name: &str) -> Option<String> {
    let found = by_name(types, kind::FUNC, function)?;
    Some(signature(types, types.get(found.refers)?, name))
}

/// The same of a tracepoint.
pub(crate) fn tracepoint_prototype(types: &Types, name: &str) -> Option<String> {
    let found = proto_of_tracepoint(types, name)?;
    Some(call(types, found, name, 1))
}

/// What a tracepoint hands over: to BTF-typed programs, and to raw ones.
///
/// # Errors
/// When there is none of this name.
pub(crate) fn tracepoint(types: &Types, name: &str) -> Result<Function, Wrong> {
    let proto = proto_of_tracepoint(types, name).and_then(|proto| of_proto(types, name, proto, 1));
    // What it returns is not read.
    proto.map(|found| Function { returns: None, ..found }).ok_or_else(|| no_tracepoint(types, name))
}

/// The names of all tracepoints that can be hooked by type.
pub(crate) fn tracepoints(types: &Types) -> Vec<String> {
    let ids = 1..types.btf.types();
    let typedefs = ids.filter_map(|id| types.get(id)).filter(|t| t.kind == kind::TYPEDEF);
    let mut names: Vec<String> = typedefs
        .filter_map(|t| Some(String::from_utf8_lossy(t.name.strip_prefix(b"btf_trace_")?).into_owned()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a system call is called with, as far as it is known: by name and type where the kernel has it as a function of its
/// own, by name where only its wrapper is there.
pub(crate) fn syscall(types: &Types, name: &str) -> Option<Function> {
    let own = function(types, &format!("__do_sys_{name}"));
    let wrapper = || {
        let mut found = function(types, &format!("__se_sys_{name}"))?;
        found.params.iter_mut().for_each(|param| param.ty = Ty::Word);
        Some(found)
    };
    Some(Function { name: name.to_owned(), ..own.or_else(wrapper)? })
}

fn by_name<'a>(types: &'a Types, kind: u8, name: &str) -> Option<Type<'a>> {
    types.named(name.as_bytes()).map(|(_, found)| found).find(|t| t.kind == kind && t.name == name.as_bytes())
}

fn all(types: &Types) -> impl Iterator<Item = (u32, Type<'_>)> {
    (1..types.btf.types()).filter_map(|id| Some((id, types.get(id)?))).filter(|(_, t)| t.kind == kind::FUNC)
}

/// With names, where a function of it has them: `btf_trace_NAME` has none (include/trace/bpf_probe.h).
fn proto_of_tracepoint<'a>(types: &'a Types, name: &str) -> Option<Type<'a>> {
    let proto = |id: u32| types.get(types.plain(id)?).filter(|t| t.kind == kind::FUNC_PROTO);
    let by_func = |prefix: &str| proto(by_name(types, kind::FUNC, &format!("{prefix}{name}"))?.refers);
    let typedef = by_name(types, kind::TYPEDEF, &format!("btf_trace_{name}"));
    let by_typedef = || proto(types.get(types.plain(typedef?.refers)?).filter(|t| t.kind == kind::PTR)?.refers);
    by_func("__traceiter_").or_else(|| by_func("__bpf_trace_")).or_else(by_typedef)
}

fn of_func(types: &Types, found: Type<'_>, skip: usize) -> Option<Function> {
    let proto = types.get(found.refers).filter(|t| t.kind == kind::FUNC_PROTO)?;
    of_proto(types, &String::from_utf8_lossy(found.name), proto, skip)
}

/// The first `skip` parameters are of the hook, not of what is hooked.
fn of_proto(types: &Types, name: &str, proto: Type<'_>, skip: usize) -> Option<Function> {
    let mut found = Function { name: name.to_owned(), params: Vec::new(), returns: None, variadic: false };
    for row in proto.rows().skip(skip) {
        let (name, id) = row.u32(0).zip(row.u32(4))?;
        if id == 0 {
            found.variadic = true;
        } else {
            let name = types.text(name).filter(|name| !name.is_empty());
            found.params.push(Parameter { name, ty: Ty::of(id) });
        }
    }
    found.returns = types.plain(proto.refers).map(|_| Ty::of(proto.refers));
    Some(found)
}

fn no_function(types: &Types, name: &str) -> Wrong {
    let wrong = Wrong::new(format!("this kernel's types have no function {name}"));
    if !types.has_functions() {
        return wrong.hint("they have no functions at all: take the types of the kernel itself, not a minimized file");
    }
    let names: Vec<_> = all(types).map(|(_, found)| String::from_utf8_lossy(found.name)).collect();
    let close: Vec<String> = closest(name, names.iter().map(|name| &**name)).into_iter().map(str::to_owned).collect();
    wrong.list("closest", &close).hint(format!(
        "a function that was inlined, or that the compiler changed ({name}.isra.0, {name}.constprop.0), has no type there"
    ))
}

fn no_tracepoint(types: &Types, name: &str) -> Wrong {
    let all = tracepoints(types);
    let close: Vec<String> = closest(name, all.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    Wrong::new(format!("this kernel's types have no tracepoint {name}")).list("closest", &close)
}
