//! `coretrace btf show`: types as C declares them, with offsets and sizes.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::declare::{Declare, clean};
use super::layout::{Field, Inside, field, inside, keyword, tagged, title};
use super::lookup::{Item, find};
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::escape::printable;
use crate::types::model::{Type, kind};
use crate::types::relo::Target;

/// How much is shown at once: more than anybody reads.
const TEXT_MAX: usize = 16 << 20;

/// Shows what has these names.
///
/// # Errors
/// When there are no types, or nothing of a name.
pub(super) fn show(target: &Target, names: &[String], format: Choice) -> Result<u8> {
    let mut items = Vec::new();
    for name in names {
        items.extend(find(&target.types, name).with_context(|| target.name())?);
    }
    let mut text = String::new();
    for (n, item) in items.iter().enumerate() {
        ensure!(text.len() <= TEXT_MAX, "that is more than {TEXT_MAX} bytes: name fewer");
        let shown = Shown::new(target, item)?;
        match format {
            Choice::Json => writeln!(text, "{}", shown.json())?,
            Choice::Text if n > 0 => write!(text, "\n{}", shown.text())?,
            Choice::Text => text.push_str(&shown.text()),
        }
    }
    print(format, &text)
}

/// What is shown of a type, a member or a value.
#[derive(Debug)]
pub(super) enum Shown {
    /// A struct or a union; its declaration around the members is in head and tail.
    Layout {
        name: String,
        kind: &'static str,
        layout: Inside,
    },
    /// An enum, by its size in bytes.
    Enum {
        name: String,
        size: u32,
        values: Vec<(String, i128)>,
    },
    Value {
        name: String,
        of: String,
        value: i128,
    },
    /// A member by the way to it.
    Field {
        path: String,
        field: Box<Field>,
    },
    /// Whatever else, by its declaration.
    Plain {
        name: String,
        kind: &'static str,
        declaration: String,
        size: Option<u64>,
    },
}

fn lossy(name: &[u8]) -> String {
    printable(&String::from_utf8_lossy(name))
}

impl Shown {
    /// # Errors
    /// When the types are damaged.
    pub fn new(target: &Target, item: &Item<'_>) -> Result<Self> {
        let types = &target.types;
        let get = |id: u32| types.get(id).with_context(|| format!("{} has no type {id}", target.name()));
        match item {
            Item::Value { of, name, value } => {
                let of = get(*of)?;
                let of = if of.name.is_empty() { "enum".to_owned() } else { title(of) };
                Ok(Self::Value { name: lossy(name), of, value: *value })
            }
            Item::Field { root, path, member, offset } => {
                let mut declare = Declare::new(target, [*root, member.id].into_iter())?;
                let base = offset.saturating_sub(member.offset.into());
                let field = field(types, *member, base, 0, &mut declare)?;
                Ok(Self::Field { path: path.clone(), field: Box::new(field) })
            }
            Item::Type(id) => {
                let found = get(*id)?;
                let name = lossy(found.name);
                if found.is_enum() {
                    let values = types.values(found).map(|(name, value)| (lossy(name), value)).collect();
                    return Ok(Self::Enum { name, size: found.refers, values });
                }
                let plain = types.get(found.refers).filter(|_| found.kind == kind::TYPEDEF);
                let in_place = plain.filter(|plain| plain.is_composite() && plain.name.is_empty());
                if let Some(composite) = Some(found).filter(|found| found.is_composite()).or(in_place) {
                    let mut declare = Declare::new(target, [*id].into_iter())?;
                    let mut layout = inside(types, composite, 0, 0, &mut declare)?;
                    let kind = if in_place.is_some() { "typedef" } else { keyword(found) };
                    if in_place.is_some() {
                        layout.head.insert_str(0, "typedef ");
                        layout.tail.clone_from(&name);
                    }
                    return Ok(Self::Layout { name, kind, layout });
                }
                Self::plain(target, *id, found)
            }
        }
    }

    fn plain(target: &Target, id: u32, found: Type<'_>) -> Result<Self> {
        let refers = matches!(found.kind, kind::TYPEDEF | kind::FUNC | kind::VAR);
        let (of, name): (u32, &[u8]) = if refers { (found.refers, found.name) } else { (id, b"") };
        let declared = Declare::new(target, [of].into_iter())?.0.declare(of, name, 0);
        let declared = declared.map_err(std::io::Error::from_raw_os_error).context("writing a declaration")?;
        let (kind, before) = match found.kind {
            kind::TYPEDEF => ("typedef", "typedef "),
            kind::FUNC => ("func", ""),
            kind::VAR => ("var", ""),
            kind::FWD => ("fwd", ""),
            kind::INT => ("int", ""),
            _ => ("float", ""),
        };
        let declaration = format!("{before}{}", tagged(clean(&declared)));
        Ok(Self::Plain { name: lossy(found.name), kind, declaration, size: target.types.btf.size(id) })
    }

    /// For people: C, with comments as pahole makes them.
    pub fn text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Layout { layout, .. } => {
                let width = width(layout, 1).min(64);
                body(layout, 0, width, &mut out);
                let tail = if layout.tail.is_empty() { String::new() } else { format!(" {}", layout.tail) };
                out.push_str(&format!("}}{tail};\n"));
            }
            Self::Enum { name, size, values } => {
                out.push_str(&format!("enum {name}{}{{\n", if name.is_empty() { "" } else { " " }));
                values.iter().for_each(|(name, value)| out.push_str(&format!("\t{name} = {value},\n")));
                out.push_str(&format!("\n\t/* size: {size}, values: {} */\n}};\n", values.len()));
            }
            Self::Value { name, of, value } => out.push_str(&format!("{name} = {value} /* {of} */\n")),
            Self::Field { path, field } => {
                out.push_str(&format!("/* {path}: {} */\n", place(field)));
                match &field.inside {
                    Some(inside) => {
                        body(inside, 0, width(inside, 1).min(64), &mut out);
                        out.push_str(&format!("}} {};\n", inside.tail));
                    }
                    None => out.push_str(&format!("{};\n", field.declaration)),
                }
            }
            Self::Plain { declaration, size, .. } => {
                let size = size.map_or_else(String::new, |size| format!(" /* size: {size} */"));
                out.push_str(&format!("{declaration};{size}\n"));
            }
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Layout { name, kind, layout } => json!({
                "name": name,
                "kind": kind,
                "size": layout.size,
                "members": layout.fields.iter().map(as_json).collect::<Vec<_>>(),
            }),
            Self::Enum { name, size, values } => {
                let values: Vec<_> =
                    values.iter().map(|(name, value)| json!({ "name": name, "value": number(*value) })).collect();
                json!({ "name": name, "kind": "enum", "size": size, "values": values })
            }
            Self::Value { name, of, value } => {
                json!({ "name": name, "kind": "value", "enum": of.strip_prefix("enum "), "value": number(*value) })
            }
            Self::Field { path, field } => {
                let mut line = as_json(field);
                line["name"] = json!(path);
                line["kind"] = json!("member");
                line
            }
            Self::Plain { name, kind, declaration, size } => {
                json!({ "name": name, "kind": kind, "declaration": declaration, "size": size })
            }
        }
    }
}

/// Values are of 64 bits, with a sign or without.
pub(super) fn number(value: i128) -> Value {
    u64::try_from(value).map_or_else(|_| json!(i64::try_from(value).ok()), |value| json!(value))
}

/// A member; of bit fields, the bit where it begins is counted from the byte at `offset`.
pub(super) fn as_json(field: &Field) -> Value {
    let bits = (field.bits > 0).then_some(field.bits);
    json!({
        "name": Some(&field.name).filter(|name| !name.is_empty()),
        "type": field.ty,
        "declaration": field.declaration,
        "offset": field.offset / 8,
        "bit": bits.map(|_| field.offset % 8),
        "bits": bits,
        "size": field.size.filter(|_| bits.is_none()),
        "members": field.inside.as_ref().map(|inside| inside.fields.iter().map(as_json).collect::<Vec<_>>()),
    })
}

/// Offset and size in bytes; of a bit field the byte and the bit where it begins, and its width in bits.
pub(super) fn columns(field: &Field) -> [String; 2] {
    let (byte, bit) = (field.offset / 8, field.offset % 8);
    match (field.bits, field.size) {
        (0, Some(size)) => [byte.to_string(), size.to_string()],
        (0, None) => [byte.to_string(), "?".to_owned()],
        (bits, _) => [format!("{byte}.{bit}"), format!(":{bits}")],
    }
}

/// The same as text: `offset 16, size 4`.
pub(super) fn place(field: &Field) -> String {
    let [offset, size] = columns(field);
    format!("offset {offset}, size {size}")
}

/// Columns of the longest declaration, to align what follows.
fn width(of: &Inside, indent: usize) -> usize {
    let wide = |field: &Field| match &field.inside {
        Some(inside) => width(inside, indent + 1),
        None if field.declaration.contains('\n') => 0,
        None => field.declaration.chars().count() + 1 + 8 * indent,
    };
    of.fields.iter().map(wide).max().unwrap_or(0)
}

/// Of nothing: `1 byte and 3 bits`.
fn hole(bits: u64) -> String {
    let count = |n: u64, what: &str| (n > 0).then(|| format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
    [count(bits / 8, "byte"), count(bits % 8, "bit")].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// The declaration up to its last brace, which is the caller's.
fn body(of: &Inside, indent: usize, width: usize, out: &mut String) {
    let tabs = "\t".repeat(indent + 1);
    out.push_str(&format!("{} {{\n", of.head));
    let (holes, padding) = of.holes();
    for (field, gap) in of.fields.iter().zip(&holes) {
        if *gap > 0 {
            out.push_str(&format!("\n{tabs}/* hole of {} */\n\n", hole(*gap)));
        }
        out.push_str(&tabs);
        let last = match &field.inside {
            Some(inside) => {
                body(inside, indent + 1, width, out);
                let tail = if inside.tail.is_empty() { String::new() } else { format!(" {}", inside.tail) };
                format!("{tabs}}}{tail};")
            }
            None => {
                let (before, last) = field.declaration.rsplit_once('\n').unwrap_or(("", &field.declaration));
                if !before.is_empty() {
                    out.push_str(&format!("{before}\n"));
                }
                format!("{}{last};", if before.is_empty() { &tabs } else { "" })
            }
        };
        let wide: usize = last.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum();
        let line = if field.inside.is_some() || field.declaration.contains('\n') { &last } else { last.trim_start() };
        let [offset, size] = columns(field);
        let gap = width.saturating_sub(wide);
        out.push_str(&format!("{line}{:gap$} /* {offset:>6} {size:>6} */\n", ""));
    }
    if padding > 0 {
        out.push_str(&format!("\n{tabs}/* padding of {} */\n", hole(padding)));
    }
    if indent == 0 {
        let count = holes.iter().filter(|hole| **hole > 0).count();
        let holes = if count > 0 { format!(", holes: {count} ({})", hole(holes.iter().sum())) } else { String::new() };
        out.push_str(&format!("\n{tabs}/* size: {}, members: {}{holes} */\n", of.size, of.fields.len()));
    }
}
