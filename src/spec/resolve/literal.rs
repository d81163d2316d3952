//! What a value is compared with: numbers, and names that stand for them.

use super::errno;
use super::error::{ResolveError, Wrong};
use super::spell::spell;
use super::typed::{Form, Int, Shape, names, shape, values};
use super::way::Way;
use crate::names::closest;
use crate::spec::ast::{Literal, Op, Word};
use crate::types::model::{Type, Types};

/// Errors as pointers: the last addresses (MAX_ERRNO of include/linux/err.h).
const ERRNO_MAX: i128 = 4095;
/// How many names are listed.
const LISTED: usize = 24;

/// The operand of a comparison with a number, as the slot has its values.
pub(crate) fn operand(types: &Types, way: &Way, int: Int, op: Op, right: &Literal) -> Result<u64, ResolveError> {
    let (value, span) = match right {
        Literal::Number(number, span) => (*number, span),
        Literal::Name { negative, name } => {
            (named(types, way, *negative, name).map_err(|wrong| wrong.at(&name.span))?, &name.span)
        }
        Literal::Text(_, span) => {
            let wrong = Wrong::new(format!("{} is no string", spell(types, way.ty)));
            return Err(wrong.hint("compare it with a number, or with a name of its enum without quotes").at(span));
        }
    };
    bounded(types, way, int, op, value).map_err(|wrong| wrong.at(span))
}

fn bounded(types: &Types, way: &Way, int: Int, op: Op, value: i128) -> Result<u64, Wrong> {
    let spelled = spell(types, way.ty);
    let width = way.bits.map_or(int.size.saturating_mul(8), |(_, width)| width);
    let (low, high) = int.range(width);
    let wrap = |value: i128| value as u64;
    if matches!(shape(types, way.ty), Shape::Pointer { .. } | Shape::Word) && (-ERRNO_MAX..0).contains(&value) {
        return match op {
            Op::Eq | Op::Ne | Op::Gt | Op::Ge => Ok(wrap(value)),
            _ => Err(Wrong::new("an address is no negative number").hint("errors are the last of them: >= -4095")),
        };
    }
    // A mask has no sign.
    let high = if op == Op::And { (1 << u32::from(width.min(64))) - 1 } else { high };
    if value < 0 && low == 0 {
        return Err(Wrong::new(format!("{spelled} is never negative: it has no sign")));
    }
    if !(low..=high).contains(&value) {
        return Err(Wrong::new(format!("{spelled} is never {value}: it has {width} bits, from {low} to {high}")));
    }
    let value = wrap(value);
    if !is_network(types, way) {
        return Ok(value);
    }
    match (op, int.size) {
        (Op::Eq | Op::Ne | Op::And, 2) => Ok(u64::from((value as u16).to_be())),
        (Op::Eq | Op::Ne | Op::And, 4) => Ok(u64::from((value as u32).to_be())),
        (Op::Eq | Op::Ne | Op::And, _) => Ok(value.to_be()),
        _ => Err(Wrong::new(format!("{spelled} is in network byte order: it can be compared by ==, != and & only"))),
    }
}

fn is_network(types: &Types, way: &Way) -> bool {
    names(types, way.ty).iter().any(|name| matches!(*name, b"__be16" | b"__be32" | b"__be64"))
}

/// What a name stands for: in the enum of the left side, as an error, or in any enum of the kernel.
fn named(types: &Types, way: &Way, negative: bool, word: &Word) -> Result<i128, Wrong> {
    let sign = |value: i128| if negative { -value } else { value };
    let name = word.text.as_str();
    let own = match shape(types, way.ty) {
        Shape::Enum { of, .. } => Some(of),
        Shape::Int(Int { form: Form::Bool, .. }) => match name {
            "true" => return Ok(1),
            "false" => return Ok(0),
            _ => None,
        },
        _ => None,
    };
    if let Some(value) = own.and_then(|of| types.values(of).find(|(value, _)| *value == name.as_bytes())) {
        return Ok(sign(value.1));
    }
    if let Some(errno) = errno::errno(name) {
        return Ok(sign(errno.into()));
    }
    if let Some(of) = own {
        return Err(no_value(types, of, name));
    }
    in_any(types, name).map(sign)
}

/// In any enum, if all that have the name mean the same: names in C are of the whole program.
fn in_any(types: &Types, name: &str) -> Result<i128, Wrong> {
    let all = (1..types.btf.types()).filter_map(|id| types.get(id)).filter(|found| found.is_enum());
    let mut found = all.flat_map(|of| types.values(of)).filter(|(value, _)| *value == name.as_bytes()).map(|(_, n)| n);
    let Some(first) = found.next() else {
        let errnos: Vec<String> = errno::names().map(|(name, _)| name).collect();
        let close = closest(name, errnos.iter().map(String::as_str)).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let wrong = Wrong::new(format!("{name} is no error and in no enum of this kernel (a macro has no type)"));
        return Err(if name.starts_with('E') { wrong.list("closest", &close) } else { wrong.hint("write the number") });
    };
    if found.any(|other| other != first) {
        return Err(Wrong::new(format!("{name} stands for different numbers in this kernel")).hint("write the number"));
    }
    Ok(first)
}

fn no_value(types: &Types, of: Type<'_>, name: &str) -> Wrong {
    let all: Vec<String> = values(types, of).into_iter().map(|(_, name)| name).collect();
    let what = match of.name {
        b"" => "this enum".to_owned(),
        known => format!("enum {}", String::from_utf8_lossy(known)),
    };
    let wrong = Wrong::new(format!("{what} has no value {name}"));
    let close: Vec<String> = closest(name, all.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    if !close.is_empty() {
        return wrong.list("closest", &close);
    }
    wrong.list("it has", all.get(..LISTED).unwrap_or(&all))
}
