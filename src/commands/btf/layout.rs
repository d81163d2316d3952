//! How a struct or a union lies in memory: its members with their declarations, offsets and sizes.

use anyhow::{Context, Result};

use super::declare::{Declare, clean};
use crate::types::bytes::Bytes;
use crate::types::model::Member;
use crate::types::model::{Type, Types, kind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Empty, if it has none.
    pub name: String,
    /// Its type as C writes it: `char [16]`.
    pub ty: String,
    /// The same with its name: `char comm[16]`.
    pub declaration: String,
    /// Bits from the beginning of what is shown.
    pub offset: u64,
    /// Width of a bit field; 0 of others.
    pub bits: u32,
    /// Bytes; none where it has no size.
    pub size: Option<u64>,
    /// Its own members, where these are declared in place.
    pub inside: Option<Inside>,
}

/// A struct or a union that is declared where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// `struct`, `union name`, `const struct`
    pub head: String,
    /// What follows the members: name and size of an array of it.
    pub tail: String,
    pub union: bool,
    /// Bytes of one, and where it begins in bits.
    pub size: u64,
    pub offset: u64,
    pub fields: Vec<Field>,
}

impl Field {
    /// Bits that it takes, and where it ends.
    fn end(&self) -> u64 {
        let bits = if self.bits > 0 { self.bits.into() } else { self.size.unwrap_or(0).saturating_mul(8) };
        self.offset.saturating_add(bits)
    }
}

impl Inside {
    /// Bits before each member that nothing has, and those at the end.
    pub fn holes(&self) -> (Vec<u64>, u64) {
        let mut end = self.offset;
        let mut gap = |from: u64, to: u64| {
            let gap = from.saturating_sub(end);
            end = end.max(to);
            if self.union { 0 } else { gap }
        };
        let holes = self.fields.iter().map(|field| gap(field.offset, field.end())).collect();
        let all = self.offset.saturating_add(self.size.saturating_mul(8));
        (holes, gap(all, all))
    }
}

/// `struct`, `union`, `enum`: what C writes before the name.
pub(super) fn keyword(of: Type<'_>) -> &'static str {
    match of.kind {
        kind::STRUCT => "struct",
        kind::UNION => "union",
        kind::ENUM | kind::ENUM64 => "enum",
        kind::FWD => {
            if of.flag {
                "union"
            } else {
                "struct"
            }
        }
        _ => "",
    }
}

/// Kind and name: `struct cred`, `u64`.
pub(super) fn title(of: Type<'_>) -> String {
    let name = crate::escape::printable(&String::from_utf8_lossy(of.name));
    [keyword(of), &name].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// The members of a struct or a union, which begins at this offset (bits).
pub(super) fn inside(
    types: &Types,
    of: Type<'_>,
    offset: u64,
    indent: u8,
    declare: &mut Declare<'_>,
) -> Result<Inside> {
    let mut fields = Vec::new();
    for member in types.members(of) {
        fields.push(field(types, member, offset, indent.saturating_add(1), declare)?);
    }
    let (head, union) = (title(of), of.kind == kind::UNION);
    Ok(Inside { head, tail: String::new(), union, size: of.refers.into(), offset, fields })
}

/// A member of what begins at this offset (bits).
pub(super) fn field(types: &Types, of: Member<'_>, base: u64, indent: u8, declare: &mut Declare<'_>) -> Result<Field> {
    let name = crate::escape::printable(&String::from_utf8_lossy(of.name));
    let offset = base.saturating_add(of.offset.into());
    let size = types.btf.size(of.id);
    if let Some((found, mut head, array)) = in_place(types, of) {
        let mut inside = inside(types, found, offset, indent, declare)?;
        let ty = format!("{head}{} {{...}}{}{array}", inside.head, if array.is_empty() { "" } else { " " });
        inside.tail = format!("{name}{array}");
        head.push_str(&inside.head);
        inside.head = head;
        let declaration = format!("{} {{...}} {}", inside.head, inside.tail).trim_end().to_owned();
        return Ok(Field { name, ty, declaration, offset, bits: of.bits, size, inside: Some(inside) });
    }
    let mut text = |name: &[u8]| {
        let text = declare.0.declare(of.id, name, indent).map_err(std::io::Error::from_raw_os_error);
        Ok::<_, anyhow::Error>(tagged(clean(&text.context("writing a declaration")?)))
    };
    let (ty, mut declaration) = (text(b"")?, text(of.name)?);
    if of.bits > 0 {
        declaration.push_str(&format!(":{}", of.bits));
    }
    Ok(Field { name, ty, declaration, offset, bits: of.bits, size, inside: None })
}

/// What is declared in place: it has no name, or the member has none. With qualifiers before, and sizes of arrays.
fn in_place<'a>(types: &'a Types, of: Member<'_>) -> Option<(Type<'a>, String, String)> {
    let (mut id, mut head, mut array) = (of.id, String::new(), String::new());
    for _ in 0..types.btf.types() {
        let found = types.get(id)?;
        match found.kind {
            kind::CONST | kind::VOLATILE => {
                head.push_str(if found.kind == kind::CONST { "const " } else { "volatile " });
                id = found.refers;
            }
            kind::ARRAY => {
                array.push_str(&format!("[{}]", Bytes(found.more).u32(8)?));
                id = Bytes(found.more).u32(0)?;
            }
            _ => {
                return (found.is_composite() && (found.name.is_empty() || of.name.is_empty()))
                    .then_some((found, head, array));
            }
        }
    }
    None
}

/// Tags as the kernel's source writes them: `__rcu`, `__user`, `__percpu`.
pub(super) fn tagged(text: String) -> String {
    const TAG: &str = "__attribute__((btf_type_tag(\"";
    if !text.contains(TAG) {
        return text;
    }
    let mut pieces = text.split(TAG);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once("\")))") {
            Some((tag, rest)) => out.extend(["__", tag, if rest.starts_with('*') { " " } else { "" }, rest]),
            None => out.push_str(piece),
        }
    }
    out
}
