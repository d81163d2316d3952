//! From an expression to where its value is.

use super::error::{ResolveError, Wrong};
use super::scope::{Param, Scope};
use super::spell::{declare, spell};
use super::typed::{Shape, Ty, named, shape, size};
use super::way::{At, Way, members};
use crate::names::closest;
use crate::spec::ast::{Expr, ExprKind, Word};
use crate::spec::ir::Base;
use crate::types::model::{Types, kind};

/// How deep expressions may be.
const DEPTH: u8 = 64;
/// How many names are listed where any would do.
const LISTED: usize = 24;

/// What the head of each event has, where the current task has it. (Names are those of the event, not of the kernel.)
const HEAD: &[(&str, &[&str])] = &[
    ("pid", &["tgid"]),
    ("tid", &["pid"]),
    ("ppid", &["real_parent", "tgid"]),
    ("uid", &["cred", "uid", "val"]),
    ("gid", &["cred", "gid", "val"]),
    ("comm", &["comm"]),
    ("cgroup", &["cgroups", "dfl_cgrp", "kn", "id"]),
    // In the task itself before 5.16 (bcf9033e5449), in its thread_info since.
    ("cpu", &["thread_info", "cpu"]),
    ("cpu", &["cpu"]),
];

/// Which part of a call a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It is known at the entry and at the return.
    Any,
    Entry,
    Return,
}

/// Which part of a call an expression asks for.
pub(crate) fn part(scope: &Scope, expr: &Expr) -> Part {
    match expr.root() {
        name if scope.param(name).is_some() => Part::Entry,
        "ret" | "duration" => Part::Return,
        _ => Part::Any,
    }
}

/// Where the value of an expression is.
///
/// # Errors
/// When a name in it means nothing, or has no such member.
pub(crate) fn way(types: &Types, scope: &Scope, expr: &Expr) -> Result<Way, ResolveError> {
    walk(types, scope, expr, DEPTH)
}

fn walk(types: &Types, scope: &Scope, expr: &Expr, depth: u8) -> Result<Way, ResolveError> {
    let at = |wrong: Wrong| wrong.at(&expr.span);
    let depth = depth.checked_sub(1).ok_or_else(|| at(Wrong::new("there are too many steps to it")))?;
    match &expr.kind {
        ExprKind::Name(name) => root(types, scope, name).map_err(at),
        ExprKind::Member { of, member } => {
            let of = walk(types, scope, of, depth)?;
            step(types, &of, &member.text).map_err(|wrong| wrong.at(&member.span))
        }
        ExprKind::Index { of, index } => walk(types, scope, of, depth)?.index(types, *index).map_err(at),
        ExprKind::Deref(of) => {
            let of = walk(types, scope, of, depth)?;
            match shape(types, of.ty) {
                Shape::Array { .. } => of.index(types, 0).map_err(at),
                // What is there already, as a whole.
                Shape::Struct { .. } => Ok(of),
                _ => of.follow(types).map_err(at),
            }
        }
        ExprKind::Cast { to, pointers, of } => {
            let of = walk(types, scope, of, depth)?;
            cast(types, of, to, *pointers)
        }
    }
}

/// What a name alone means: of the target first.
fn root(types: &Types, scope: &Scope, name: &str) -> Result<Way, Wrong> {
    if let Some(param) = scope.param(name) {
        if !scope.when.has_args() {
            return Err(Wrong::new(format!(
                "{name} cannot be read where {} returns: its registers have changed",
                scope.name
            ))
            .hint("hook its entry, or both (fn:)"));
        }
        return param.way.clone().map_err(|why| Wrong::new(format!("{name} cannot be read: {why}")));
    }
    if let ("ret" | "duration", Some(why)) = (name, scope.left) {
        return Err(Wrong::new(format!("{} is not watched where it returns: {why}", scope.name)));
    }
    match name {
        "ret" if !scope.when.has_result() => {
            Err(Wrong::new(format!("there is no result at the entry of {}", scope.name)).hint("hook its return"))
        }
        "ret" => match scope.result() {
            Some(way) => way.map_err(|why| Wrong::new(format!("ret cannot be read: {why}"))),
            None => Err(Wrong::new(format!("{} returns nothing", scope.name))),
        },
        "duration" if scope.when.has_result() => {
            let ty = Ty::Number { size: 8, signed: false };
            Ok(Way { base: Base::Duration, ..Way::word(0, false, ty) })
        }
        "duration" => Err(Wrong::new("a call has no duration at its entry").hint("hook its return")),
        "task" if scope.head.is_some() => {
            let wrong = Wrong::new("task is of the kernel: there is none among the values of a program");
            Err(wrong.hint("pid, tid, ppid, comm, uid and gid are known of who calls"))
        }
        "task" => task(types).ok_or_else(|| Wrong::new("these types have no task_struct")),
        "func" => Err(Wrong::new("func is no value to read: totals are by it (--by func), and each event has it")),
        _ => of_head(types, scope, name).unwrap_or_else(|| Err(no_name(types, scope, name))),
    }
}

fn task(types: &Types) -> Option<Way> {
    match named(types, "task_struct", &[kind::STRUCT])? {
        Ty::Btf { id, .. } => Some(Way::task(Ty::Btf { id, pointers: 1 })),
        _ => None,
    }
}

fn of_head(types: &Types, scope: &Scope, name: &str) -> Option<Result<Way, Wrong>> {
    if let Some(head) = &scope.head {
        is_of_head(name).then_some(())?;
        let found = head.iter().find(|param| param.name.as_deref() == Some(name));
        let way = found.and_then(|param| param.way.clone().ok());
        return Some(way.ok_or_else(|| Wrong::new(format!("{name} is not known without the types of the kernel"))));
    }
    of_task(types, name)
}

fn of_task(types: &Types, name: &str) -> Option<Result<Way, Wrong>> {
    let mut ways = HEAD.iter().filter(|(head, _)| *head == name).map(|(_, path)| *path).peekable();
    ways.peek()?;
    let found = task(types).and_then(|task| ways.find_map(|path| along(types, &task, path)));
    Some(found.ok_or_else(|| Wrong::new(format!("{name} is not where it is expected in these types' task_struct"))))
}

/// Whether a name is one of the head of each event, where nothing else is called so.
pub(crate) fn is_of_head(name: &str) -> bool {
    HEAD.iter().any(|(head, _)| *head == name)
}

/// What the head of each event has, by these types of the kernel, for who resolves by others.
pub(crate) fn head(kernel: &Types) -> Vec<Param> {
    let param = |(name, _): &(&str, &[&str])| {
        let way = of_task(kernel, name)?.ok()?;
        // Of types that are the same everywhere.
        let ty = match shape(kernel, way.ty) {
            Shape::Int(int) => Ty::Number { size: int.size, signed: int.signed },
            Shape::Array { count, .. } => Ty::Row { size: 1, signed: false, count, text: true },
            _ => return None,
        };
        Some(Param { name: Some((*name).to_owned()), ty, way: Ok(Way { ty, ..way }) })
    };
    HEAD.iter().filter_map(param).collect()
}

/// Members of members; None: they are not there.
pub(crate) fn along(types: &Types, from: &Way, path: &[&str]) -> Option<Way> {
    path.iter().try_fold(from.clone(), |way, name| way.composite(types)?.member(types, name)?.ok())
}

/// A member of a struct, or of what the pointer here points to.
fn step(types: &Types, of: &Way, name: &str) -> Result<Way, Wrong> {
    if let Some(found) = of.composite(types).and_then(|inner| inner.member(types, name)) {
        return found;
    }
    let spelled = spell(types, of.ty);
    let to = match shape(types, of.ty) {
        Shape::Struct { id, .. } => return Err(no_member(types, id, name)),
        Shape::Pointer { to, .. } => to,
        Shape::Word => {
            let wrong = Wrong::new("what type it has is not known, and so no members of it");
            return Err(wrong.hint(format!("say what it is: ((struct NAME *)…)->{name}")));
        }
        _ => return Err(Wrong::new(format!("{spelled} has no members"))),
    };
    match shape(types, to) {
        Shape::Struct { id, .. } => {
            // Following it failed, or there is none.
            of.follow(types)?;
            Err(no_member(types, id, name))
        }
        Shape::Pointer { .. } => {
            Err(Wrong::new(format!("it is a {spelled}: only one pointer is followed")).hint(format!("(*…)->{name}")))
        }
        Shape::Opaque => Err(Wrong::new(format!("these types do not say what is in a {}", spell(types, to)))
            .hint("a module's own types may have it: MODULE:FUNCTION")),
        _ => {
            Err(Wrong::new(format!("{spelled} has no members"))
                .hint(format!("say what it is: ((struct NAME *)…)->{name}")))
        }
    }
}

fn no_member(types: &Types, id: u32, name: &str) -> Wrong {
    let all = members(types, id);
    let wrong = Wrong::new(format!("{} has no member {name}", spell(types, Ty::of(id))));
    let show = |(name, ty): &(String, Ty)| declare(types, *ty, name);
    let close = closest(name, all.iter().map(|(name, _)| name.as_str()));
    if close.is_empty() {
        let mut listed: Vec<String> = all.iter().take(LISTED).map(show).collect();
        if all.len() > LISTED {
            listed.push(format!("and {} more", all.len() - LISTED));
        }
        return wrong.list("it has", &listed);
    }
    let found = close.iter().filter_map(|close| all.iter().find(|(name, _)| name == close));
    wrong.list("closest", &found.map(show).collect::<Vec<_>>())
}

fn no_name(types: &Types, scope: &Scope, name: &str) -> Wrong {
    let shown = scope.params.iter().enumerate().skip(if scope.params.len() > scope.hidden { scope.hidden } else { 0 });
    let all: Vec<String> = shown.map(|(n, param)| declare(types, param.ty, &scope.called(n))).collect();
    let wrong = Wrong::new(format!("{} has no parameter {name}", scope.name));
    let names: Vec<String> = (0..scope.params.len()).map(|n| scope.called(n)).collect();
    let builtin = HEAD.iter().map(|(name, _)| *name).chain(["ret", "task", "duration"]);
    let close = closest(name, names.iter().map(String::as_str).chain(builtin));
    let close: Vec<String> = close.first().map(|close| (*close).to_owned()).into_iter().collect();
    let wrong = wrong.list("perhaps", &close);
    if all.is_empty() { wrong.hint("it has none") } else { wrong.list("it has", &all) }
}

fn cast(types: &Types, of: Way, to: &Word, pointers: u32) -> Result<Way, ResolveError> {
    let wrong = |wrong: Wrong| wrong.at(&to.span);
    let name = to.text.trim();
    let stripped =
        ["struct ", "union ", "enum "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(name).trim();
    let kinds = [kind::STRUCT, kind::UNION, kind::ENUM, kind::ENUM64, kind::TYPEDEF, kind::INT];
    let found = named(types, stripped, &kinds);
    let Some(Ty::Btf { id, .. }) = found.or_else(|| (stripped == "void").then_some(Ty::of(0))) else {
        return Err(wrong(no_type(types, stripped)));
    };
    let ty = Ty::Btf { id, pointers };
    // An array is its address, as in C.
    let (of, from) = match (shape(types, of.ty), of.address()) {
        (Shape::Array { .. }, Some(address)) if pointers > 0 => (address, Some(8)),
        (Shape::Void, _) => (of, None),
        (_, _) => {
            let from = size(types, of.ty);
            (of, from)
        }
    };
    let (wide, is_struct) = (size(types, ty), matches!(shape(types, of.ty), Shape::Struct { .. }));
    match (from, wide) {
        _ if of.bits.is_some() => Err(wrong(Wrong::new("a bit field is nothing else"))),
        // Struct for struct, in memory, as unions are used.
        (_, Some(_)) if pointers == 0 && is_struct && matches!(of.at, At::Memory { .. }) => Ok(of.cast(ty)),
        (Some(from), Some(wide)) if from < wide => {
            Err(wrong(Wrong::new(format!("{} has {wide} bytes, and what is cast to it {from}", spell(types, ty)))))
        }
        (_, None) => Err(wrong(Wrong::new(format!("the size of {} is not known", spell(types, ty))))),
        _ if pointers == 0 && !is_struct && matches!(shape(types, ty), Shape::Struct { .. }) => Err(wrong(
            Wrong::new("a number is no struct").hint(format!("(struct {stripped} *) makes it the address of one")),
        )),
        _ => Ok(of.cast(ty)),
    }
}

fn no_type(types: &Types, name: &str) -> Wrong {
    let ids = (1..types.btf.types()).filter_map(|id| types.get(id)).filter(|t| t.is_composite() || t.is_enum());
    let names: Vec<_> = ids.filter(|t| !t.name.is_empty()).map(|t| String::from_utf8_lossy(t.name)).collect();
    let close: Vec<String> = closest(name, names.iter().map(|name| &**name)).into_iter().map(str::to_owned).collect();
    Wrong::new(format!("this kernel's types have no {name}")).list("closest", &close)
}
