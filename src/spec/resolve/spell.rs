//! Types and functions as C spells them.

use super::typed::Ty;
use crate::types::bytes::Bytes;
use crate::types::model::{Type, Types, kind};

/// How deep a type is spelled out: deeper than any that people wrote.
const DEPTH: u8 = 12;
/// How long a type is spelled out: what is longer is cut, visibly.
const LONG: usize = 1000;

/// A type alone: `struct inode **`.
pub(crate) fn spell(types: &Types, ty: Ty) -> String {
    declare(types, ty, "")
}

/// A type with the name of what has it: `struct inode *dir`.
pub(crate) fn declare(types: &Types, ty: Ty, name: &str) -> String {
    let text = |signed: bool, size: u8| format!("{}{}", if signed { 's' } else { 'u' }, u32::from(size) * 8);
    let with = |base: String, name: &str| if name.is_empty() { base } else { format!("{base} {name}") };
    match ty {
        Ty::Btf { id, pointers } => {
            let stars = "*".repeat(pointers.min(8) as usize);
            of_btf(types, id, &format!("{stars}{name}"), DEPTH)
        }
        Ty::Word => with("word".to_owned(), name),
        Ty::Number { size, signed } => with(text(signed, size), name),
        Ty::Row { text: true, count, .. } => format!("{}[{count}]", with("char".to_owned(), name)),
        Ty::Row { size, signed, count, .. } => format!("{}[{count}]", with(text(signed, size), name)),
        Ty::Located { text: true } => format!("{}[]", with("char".to_owned(), name)),
        Ty::Located { text: false } => format!("{}[]", with("u8".to_owned(), name)),
    }
}

/// `int vfs_unlink(struct inode *dir, …)`, of a FUNC_PROTO.
pub(crate) fn signature(types: &Types, proto: Type<'_>, name: &str) -> String {
    function(types, proto, name, DEPTH)
}

/// The same without what is returned, and without the first parameters.
pub(crate) fn call(types: &Types, proto: Type<'_>, name: &str, skip: usize) -> String {
    format!("{name}({})", parameters(types, proto, skip, DEPTH))
}

fn of_btf(types: &Types, id: u32, inner: &str, depth: u8) -> String {
    let with = |base: &str| if inner.is_empty() { base.to_owned() } else { format!("{base} {inner}") };
    let Some(found) = types.get(id) else { return with("void") };
    let Some(depth) = depth.checked_sub(1).filter(|_| inner.len() < LONG) else { return with("…") };
    let name = String::from_utf8_lossy(found.name);
    let tagged =
        |word: &str| if name.is_empty() { with(&format!("{word} {{…}}")) } else { with(&format!("{word} {name}")) };
    let is = |id: u32, kinds: &[u8]| types.get(id).is_some_and(|t| kinds.contains(&t.kind));
    match found.kind {
        kind::PTR if is(found.refers, &[kind::ARRAY, kind::FUNC_PROTO]) => {
            of_btf(types, found.refers, &format!("(*{inner})"), depth)
        }
        kind::PTR => of_btf(types, found.refers, &format!("*{inner}"), depth),
        kind::TYPE_TAG => of_btf(types, found.refers, &format!("__{name} {inner}"), depth),
        kind::CONST | kind::VOLATILE | kind::RESTRICT => qualified(types, found, inner, depth),
        kind::ARRAY => {
            let (of, count) = (Bytes(found.more).u32(0).unwrap_or(0), Bytes(found.more).u32(8).unwrap_or(0));
            let count = if count == 0 { String::new() } else { count.to_string() };
            of_btf(types, of, &format!("{inner}[{count}]"), depth)
        }
        kind::FUNC_PROTO => function(types, found, inner, depth),
        kind::STRUCT => tagged("struct"),
        kind::UNION => tagged("union"),
        kind::FWD => tagged(if found.flag { "union" } else { "struct" }),
        kind::ENUM | kind::ENUM64 => tagged("enum"),
        kind::INT => with(usual(&name)),
        _ => with(&name),
    }
}

fn qualified(types: &Types, found: Type<'_>, inner: &str, depth: u8) -> String {
    let word = match found.kind {
        kind::CONST => "const",
        kind::VOLATILE => "volatile",
        _ => "restrict",
    };
    // Of a pointer, it stands behind the star.
    if types.get(found.refers).is_some_and(|t| t.kind == kind::PTR) {
        let inner = if inner.is_empty() { word.to_owned() } else { format!("{word} {inner}") };
        return of_btf(types, found.refers, &inner, depth);
    }
    format!("{word} {}", of_btf(types, found.refers, inner, depth))
}

fn function(types: &Types, proto: Type<'_>, name: &str, depth: u8) -> String {
    of_btf(types, proto.refers, &format!("{name}({})", parameters(types, proto, 0, depth)), depth)
}

fn parameters(types: &Types, proto: Type<'_>, skip: usize, depth: u8) -> String {
    let mut all = String::new();
    for row in proto.rows().skip(skip) {
        let (name, ty) = (row.u32(0).unwrap_or(0), row.u32(4).unwrap_or(0));
        if !all.is_empty() {
            all.push_str(", ");
        }
        if all.len() > LONG {
            all.push('…');
            break;
        }
        let name = types.text(name).unwrap_or_default();
        // The last one without a type: any more may follow.
        all.push_str(&if ty == 0 { "...".to_owned() } else { of_btf(types, ty, &name, depth) });
    }
    if all.is_empty() { "void".to_owned() } else { all }
}

/// As people write what compilers write at length.
fn usual(name: &str) -> &str {
    match name {
        "long unsigned int" => "unsigned long",
        "long long unsigned int" => "unsigned long long",
        "long int" => "long",
        "long long int" => "long long",
        "short unsigned int" => "unsigned short",
        "short int" => "short",
        "_Bool" => "bool",
        other => other,
    }
}
