//! Arguments that only the writer of the spec knows: `func(size:u64, name:str)`.

use super::abi::{FLOAT, user};
use crate::binary::Machine;
use crate::spec::ast::{Arg, ExprKind, Format, Spec};
use crate::spec::resolve::scope::{Param, Scope, When};
use crate::spec::resolve::typed::Ty;
use crate::spec::resolve::way::Way;

/// What has a meaning of its own at any place.
const OTHERS: [&str; 11] = ["ret", "task", "duration", "func", "pid", "tid", "ppid", "uid", "gid", "cpu", "comm"];

/// The names that are declared, in their order, and what each is.
pub(super) fn declared(spec: &Spec) -> Vec<(&str, Option<Format>)> {
    let mut all: Vec<(&str, Option<Format>)> = Vec::new();
    for arg in spec.declarations() {
        let Arg::One { value, format, .. } = arg else { continue };
        let ExprKind::Name(name) = &value.kind else { continue };
        let numbered = name.strip_prefix("arg").is_some_and(|n| n.parse::<u8>().is_ok());
        if !numbered
            && !OTHERS.contains(&name.as_str())
            && name != "cgroup"
            && all.iter().all(|(other, _)| other != name)
        {
            all.push((name, format.as_ref().map(|(format, _)| *format)));
        }
    }
    all
}

/// The type of a value that is said to be so.
pub(super) fn ty(format: Option<Format>) -> Ty {
    match format {
        Some(Format::Int { size, signed }) => Ty::Number { size, signed },
        Some(Format::Char) => Ty::Number { size: 1, signed: false },
        Some(Format::Signed) => Ty::Number { size: 8, signed: true },
        Some(Format::Unsigned | Format::Octal) => Ty::Number { size: 8, signed: false },
        _ => Ty::Word,
    }
}

/// How a number of an argument is written that has no name.
pub(super) fn numbered(spec: &Spec, number: usize) -> Option<Format> {
    let name = format!("arg{number}");
    spec.declarations().find_map(|arg| match arg {
        Arg::One { value, format: Some((format, _)), .. } => {
            matches!(&value.kind, ExprKind::Name(other) if *other == name).then_some(*format)
        }
        _ => None,
    })
}

/// A function that nothing is known of: the n-th argument that is declared is in the n-th register for arguments.
pub(super) fn untyped(spec: &Spec, name: &str, machine: Machine) -> Scope {
    let mut declared = declared(spec).into_iter();
    let mut params: Vec<Param> = Vec::new();
    for (n, word) in machine.arguments().iter().enumerate() {
        // Floats are in registers of their own.
        let own = loop {
            match declared.next() {
                Some((name, Some(Format::Float { .. }))) => {
                    params.push(Param { name: Some(name.to_owned()), ty: Ty::Word, way: Err(FLOAT.into()) });
                }
                own => break own,
            }
        };
        let ty = own.map_or_else(|| ty(numbered(spec, n)), |(_, format)| ty(format));
        let way = Ok(user(Way::word(*word, false, ty)));
        params.push(Param { name: own.map(|(name, _)| name.to_owned()), ty, way });
    }
    const MORE: &str = "there are no more registers for arguments: those on the stack have no names";
    params.extend(declared.map(|(name, _)| Param { name: Some(name.to_owned()), ty: Ty::Word, way: Err(MORE.into()) }));
    Scope {
        name: name.to_owned(),
        params,
        returns: Some(Ty::Word),
        when: When::Entry,
        result_words: machine.result() + 1,
        hidden: 0,
        head: None,
        left: None,
        result_at: Some(Ok(user(Way { base: crate::spec::ir::Base::Return, ..Way::word(0, false, Ty::Word) }))),
    }
}
