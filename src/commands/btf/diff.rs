//! `coretrace btf diff`: what changed between the types of two kernels.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::layout::{Field, Inside};
use super::lookup::find;
use super::show::{Shown, as_json, columns, number, place};
use crate::commands::print::print;
use crate::commands::report_format::Choice;
use crate::commands::table::utf8;
use crate::escape::printable;
use crate::tracers;
use crate::types::model::{essential, kind};
use crate::types::relo::{Object, Target};

/// Prints what changed of these types, or of those that the tracers' relocations look into.
///
/// # Errors
/// When a file cannot be used, or neither kernel has a type that is named.
pub(super) fn diff(files: [&Path; 2], names: &[String], format: Choice) -> Result<u8> {
    let [a, b] = files.map(|file| Target::read_with(file, None));
    let targets = [a?, b?];
    let all = if names.is_empty() { used()? } else { names.to_vec() };
    let mut changes = Vec::new();
    let [a, b] = &targets;
    for name in &all {
        changes.extend(compare([a, b], name, !names.is_empty())?);
    }
    let count = changes.len();
    if names.is_empty() {
        changes.retain(Change::is_change);
    }
    let mut text = String::new();
    match format {
        Choice::Json => {
            for change in &changes {
                writeln!(text, "{}", change.json())?;
            }
        }
        Choice::Text => {
            let arrow = if utf8() { "→" } else { "->" };
            let differ = changes.iter().filter(|change| change.is_change()).count();
            writeln!(text, "{differ} of {count} types changed, {} {arrow} {}", a.name(), b.name())?;
            changes.iter().for_each(|change| change.text(arrow, &mut text));
        }
    }
    print(format, &text)
}

/// The types that the tracers' objects look into.
fn used() -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for source in tracers::sources() {
        let object = Object::read(source.object())?;
        for found in object.sites.iter().filter_map(|site| object.types.get(site.relo.type_id)) {
            let word = match found.kind {
                kind::TYPEDEF => "typedef",
                _ => super::layout::keyword(found),
            };
            let name = String::from_utf8_lossy(essential(found.name)).into_owned();
            if !word.is_empty() && !name.is_empty() {
                let title = format!("{word} {name}");
                if let Err(at) = names.binary_search(&title) {
                    names.insert(at, title);
                }
            }
        }
    }
    Ok(names)
}

/// One type in one kernel, in rows: members or values by name.
#[derive(Debug)]
struct Shape {
    title: String,
    size: Option<u64>,
    declaration: Option<String>,
    rows: Vec<(String, Row)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Row {
    Field(Field),
    Value(i128),
}

/// What became of a type: as it was, as it is.
#[derive(Debug)]
pub(super) struct Change {
    title: String,
    sides: [Option<Shape>; 2],
}

impl Shape {
    fn new(shown: Shown) -> Result<Self> {
        let titled = |kind: &str, name: &str| format!("{kind} {name}").trim().to_owned();
        Ok(match shown {
            Shown::Layout { name, kind, layout } => {
                let (size, mut rows, mut left) = (Some(layout.size), Vec::new(), NAMES_MAX);
                flat("", layout, &mut rows, &mut left)
                    .with_context(|| format!("{kind} {name}: its members have longer names than any kernel's"))?;
                Self { title: titled(kind, &name), size, declaration: None, rows }
            }
            Shown::Enum { name, size, values } => {
                let rows = values.into_iter().map(|(name, value)| (name, Row::Value(value))).collect();
                Self { title: titled("enum", &name), size: Some(size.into()), declaration: None, rows }
            }
            Shown::Value { name, of, value } => {
                Self { title: of, size: None, declaration: None, rows: vec![(name, Row::Value(value))] }
            }
            Shown::Field { path, field } => {
                let row = (field.name.clone(), Row::Field(untagged(*field)));
                Self { title: path, size: None, declaration: None, rows: vec![row] }
            }
            Shown::Plain { name, kind, declaration, size } => Self {
                title: titled(kind, &name),
                size,
                declaration: Some(without_tags(&declaration)),
                rows: Vec::new(),
            },
        })
    }
}

/// Bytes of all names of a type's members, each with the way to it.
const NAMES_MAX: usize = 16 << 20;

/// Members by name, those of what is declared in place among them; none, where that is too much.
fn flat(before: &str, inside: Inside, rows: &mut Vec<(String, Row)>, left: &mut usize) -> Option<()> {
    for mut field in inside.fields {
        let name = format!("{before}{}", field.name);
        *left = left.checked_sub(name.len())?;
        match field.inside.take() {
            Some(inside) if field.name.is_empty() => flat(before, inside, rows, left)?,
            Some(inside) => {
                rows.push((name.clone(), Row::Field(field)));
                flat(&format!("{name}."), inside, rows, left)?;
            }
            None => rows.push((name, Row::Field(untagged(field)))),
        }
    }
    Some(())
}

/// Tags come with newer compilers: they change no layout.
fn untagged(mut field: Field) -> Field {
    field.ty = without_tags(&field.ty);
    field.declaration = without_tags(&field.declaration);
    field
}

fn without_tags(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in [" __rcu", " __user", " __percpu", " __iomem"] {
        text = text.replace(&format!("{tag} *"), " *").replace(tag, "");
    }
    text
}

/// A type in both; it must be in one of them if the user named it.
pub(super) fn compare(targets: [&Target; 2], name: &str, named: bool) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut faults = Vec::new();
    for (side, target) in targets.iter().enumerate() {
        let items = match find(&target.types, name) {
            Ok(items) => items,
            Err(error) => {
                faults.push(format!("{}: {error:#}", target.name()));
                continue;
            }
        };
        for item in &items {
            let shape = Shape::new(Shown::new(target, item)?)?;
            let change = match changes.iter().position(|change| change.title == shape.title) {
                Some(at) => changes.get_mut(at),
                None => {
                    changes.push(Change { title: shape.title.clone(), sides: [None, None] });
                    changes.last_mut()
                }
            };
            // Of several with the same name, the first.
            if let Some(place @ None) = change.and_then(|change| change.sides.get_mut(side)) {
                *place = Some(shape);
            }
        }
    }
    if changes.is_empty() && named {
        bail!("{}", faults.join("\n  "));
    }
    Ok(changes)
}

impl Change {
    /// Members and values that are not the same on both sides, or on one alone.
    fn rows(&self) -> Vec<(&str, [Option<&Row>; 2])> {
        let [Some(a), Some(b)] = &self.sides else { return Vec::new() };
        // Of several with the same name, the first.
        fn by_name(rows: &[(String, Row)]) -> HashMap<&str, &Row> {
            rows.iter().rev().map(|(name, row)| (name.as_str(), row)).collect()
        }
        let (before, after) = (by_name(&a.rows), by_name(&b.rows));
        let kept = a.rows.iter().map(|(name, row)| (name.as_str(), [Some(row), after.get(name.as_str()).copied()]));
        let new = b.rows.iter().filter(|(name, _)| !before.contains_key(name.as_str()));
        let all = kept.chain(new.map(|(name, row)| (name.as_str(), [None, Some(row)])));
        all.filter(|(name, [a, b])| a != b && !name.is_empty()).collect()
    }

    fn is_change(&self) -> bool {
        match &self.sides {
            [Some(a), Some(b)] => a.size != b.size || a.declaration != b.declaration || !self.rows().is_empty(),
            _ => true,
        }
    }

    pub fn text(&self, arrow: &str, out: &mut String) {
        let title = &self.title;
        let (a, b) = match &self.sides {
            [Some(a), Some(b)] => (a, b),
            [None, _] => return out.push_str(&format!("\n{title}: added\n")),
            [_, None] => return out.push_str(&format!("\n{title}: removed\n")),
        };
        let sizes = a.size.zip(b.size).filter(|(a, b)| a != b).map(|(a, b)| format!(" size {a} {arrow} {b}"));
        let same = if self.is_change() { "" } else { " the same" };
        out.push_str(&format!("\n{title}:{}{same}\n", sizes.unwrap_or_default()));
        if let (Some(a), Some(b)) = (&a.declaration, &b.declaration)
            && a != b
        {
            out.push_str(&format!("  - {a}\n  + {b}\n"));
        }
        for (name, sides) in self.rows() {
            let name = printable(name);
            match sides {
                [Some(a), Some(b)] => out.push_str(&format!("  ~ {name}: {}\n", changed(a, b, arrow))),
                [Some(row), None] => out.push_str(&format!("  - {name}{}\n", described(row))),
                [None, Some(row)] => out.push_str(&format!("  + {name}{}\n", described(row))),
                [None, None] => {}
            }
        }
    }

    fn json(&self) -> Value {
        let side = |row: Option<&Row>| match row {
            Some(Row::Field(field)) => as_json(field),
            Some(Row::Value(value)) => number(*value),
            None => Value::Null,
        };
        let rows = |values: bool| {
            let of = |row: &Option<&Row>| row.is_some_and(|row| matches!(row, Row::Value(_)) == values);
            let rows = self.rows().into_iter().filter(|(_, sides)| sides.iter().any(of));
            rows.map(|(name, [a, b])| json!({ "name": name, "a": side(a), "b": side(b) })).collect::<Vec<_>>()
        };
        let change = match &self.sides {
            [None, _] => "added",
            [_, None] => "removed",
            _ if self.is_change() => "changed",
            _ => "none",
        };
        let [a, b] = &self.sides;
        let whole = |shape: &Option<Shape>| {
            shape.as_ref().map(|shape| json!({ "size": shape.size, "declaration": shape.declaration }))
        };
        json!({
            "type": self.title,
            "change": change,
            "a": whole(a),
            "b": whole(b),
            "members": rows(false),
            "values": rows(true),
        })
    }
}

/// What it is, or was: `: pid_t, offset 1400, size 4`.
fn described(row: &Row) -> String {
    match row {
        Row::Field(field) => format!(": {}, {}", one_line(&field.ty), place(field)),
        Row::Value(value) => format!(" = {value}"),
    }
}

/// A type that holds others, cut to its first and last line.
fn one_line(ty: &str) -> String {
    match ty.split_once('\n') {
        Some((first, rest)) => format!("{first}...{}", rest.rsplit_once('\n').map_or(rest, |(_, last)| last).trim()),
        None => ty.to_owned(),
    }
}

/// What changed: type, offset, size.
fn changed(a: &Row, b: &Row, arrow: &str) -> String {
    let (a, b) = match (a, b) {
        (Row::Field(a), Row::Field(b)) => (a, b),
        (Row::Value(a), Row::Value(b)) => return format!("{a} {arrow} {b}"),
        (a, b) => return format!("{} {arrow} {}", described(a), described(b)),
    };
    let mut all = Vec::new();
    if a.ty != b.ty {
        let (before, after) = (one_line(&a.ty), one_line(&b.ty));
        all.push(if before == after {
            format!("{before} changed inside")
        } else {
            format!("{before} {arrow} {after}")
        });
    }
    let (before, after) = (columns(a), columns(b));
    for ((what, a), b) in ["offset", "size"].iter().zip(before).zip(after) {
        if a != b {
            all.push(format!("{what} {a} {arrow} {b}"));
        }
    }
    all.join(", ")
}
