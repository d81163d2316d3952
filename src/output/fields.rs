//! `--fields`: what is shown of events, and in which order, by the names that JSON has.

use std::borrow::Cow;

use super::json::suffix;
use super::tables::{Column, Show, Table};
use crate::event::{Field, Kind, Names, Shape};

/// What every event has, and its column; none: it is the first one, TIME.
const HEAD: [(&str, Option<Column>); 13] = [
    ("kind", Some(Column::Kind)),
    ("time", None),
    ("boot_ns", Some(Column::BootNs)),
    ("cpu", Some(Column::Cpu)),
    ("seq", Some(Column::Seq)),
    ("pid", Some(Column::Pid)),
    ("tid", Some(Column::Tid)),
    ("ppid", Some(Column::Ppid)),
    ("uid", Some(Column::Uid)),
    ("gid", Some(Column::Gid)),
    ("comm", Some(Column::Comm)),
    ("label", Some(Column::Label)),
    ("cgroup_id", Some(Column::CgroupId)),
];

/// The names that there are.
#[must_use]
pub fn known<'k>(kinds: impl IntoIterator<Item = &'k Kind>) -> Vec<String> {
    let head = HEAD.iter().map(|(name, _)| (*name).to_owned());
    let names = Names::ALL.into_iter().chain([Names::CONTAINER]);
    let mut known: Vec<String> = head.chain(names.map(|(name, _)| name.to_owned())).collect();
    for field in kinds.into_iter().flat_map(Kind::fields) {
        let name = format!("{}{}", field.name, suffix(field.shape));
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

/// The columns of these names. Where "time" is among them, it is the first one.
#[must_use]
pub fn table<'k>(names: &[String], kinds: impl IntoIterator<Item = &'k Kind>) -> Table {
    let fields: Vec<&Field> = kinds.into_iter().flat_map(Kind::fields).collect();
    let column = |name: &String| {
        if let Some((_, column)) = HEAD.iter().find(|(of, _)| of == name) {
            return column.clone();
        }
        let names = [
            ("user", Column::User),
            ("cgroup", Column::Cgroup),
            ("unit", Column::Unit),
            (Names::CONTAINER.0, Column::Container),
        ];
        if let Some((_, column)) = names.into_iter().find(|(of, _)| of == name) {
            return Some(column);
        }
        let is_it = |field: &&&Field| name.strip_suffix(suffix(field.shape)) == Some(&*field.name);
        fields.iter().find(is_it).map(|field| of_field(field))
    };
    let mut columns: Vec<Column> = names.iter().filter_map(column).collect();
    if let Some(Column::Field { width, right: false, .. }) = columns.last_mut() {
        *width = 0;
    }
    Table { columns: columns.into(), details: false }
}

fn of_field(field: &Field) -> Column {
    let (width, right) = match field.shape {
        Shape::Pid => (7, true),
        Shape::Code => (4, true),
        Shape::Uint => (10, true),
        Shape::Size => (9, true),
        Shape::Span => (8, true),
        Shape::Ret => (8, true),
        Shape::Signal => (8, false),
        Shape::Mode => (6, false),
        Shape::Bool => (5, false),
        Shape::Str | Shape::Any => (16, false),
        Shape::Flags | Shape::Group | Shape::Stack => (24, false),
        Shape::Endpoint | Shape::Traffic | Shape::Icmp => (21, false),
        Shape::Path | Shape::List | Shape::Nat | Shape::Env | Shape::EnvDiff | Shape::Ancestors => (32, false),
    };
    let title: Cow<'static, str> = Cow::Owned(field.name.to_uppercase());
    Column::Field { name: field.name.clone(), width: width.max(title.len()), title, right, show: Show::Whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KIND: Kind = Kind::new(
        1,
        "a",
        "A sample.",
        const { &[Field::new("argv", Shape::List, true, ""), Field::new("cpu", Shape::Span, true, "")] },
    );

    #[test]
    fn names_are_those_of_json() {
        let known = known([&KIND]);
        assert!(
            ["time", "pid", "cgroup", "argv", "cpu", "cpu_ns"].iter().all(|name| known.iter().any(|of| of == name))
        );
        let names = ["cpu_ns", "time", "pid", "argv"].map(str::to_owned);
        let table = table(&names, [&KIND]);
        let titles = table.columns.iter().map(|column| match column {
            Column::Field { title, width, .. } => (title.to_string(), *width),
            _ => (String::new(), 1),
        });
        assert_eq!(titles.collect::<Vec<_>>(), [("CPU".into(), 8), (String::new(), 1), ("ARGV".into(), 0)]);
        assert!(!table.details);
    }
}
