//! `--fields`: what is shown of events, and in which order, by the names that JSON has.

use std::borrow::Cow;

use super::json::suffix;
use super::tables::{Column, Show, Table};
use crate::escape;
use crate::event::{Field, Kind, Names, Shape};
use crate::names::closest;

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

/// All stacks.
const STACK: &str = "stack";

/// The names of these, where some are names of several; each once.
#[must_use]
pub fn spelled_out<'k>(names: &[String], kinds: impl IntoIterator<Item = &'k Kind, IntoIter: Clone>) -> Vec<String> {
    let kinds = kinds.into_iter();
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let stacks = kinds.clone().flat_map(Kind::fields).filter(|field| name == STACK && field.shape == Shape::Stack);
        let stacks: Vec<String> = stacks.map(|field| field.name.to_string()).collect();
        let one = if stacks.is_empty() { vec![name.clone()] } else { stacks };
        one.into_iter().for_each(|name| {
            if !all.contains(&name) {
                all.push(name);
            }
        });
    }
    all
}

/// What is wrong with these names, in text or JSON.
///
/// # Errors
/// With the first that is not there, is there twice, or has no column in text.
pub fn check<'k>(
    names: &[String],
    kinds: impl IntoIterator<Item = &'k Kind, IntoIter: Clone>,
    json: bool,
) -> Result<(), String> {
    let kinds = kinds.into_iter();
    let known = known(kinds.clone());
    let twice = names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| other == *name));
    if let Some((_, name)) = twice {
        return Err(format!("{}: it is there twice", escape::line(name.as_bytes())));
    }
    for name in names {
        let stacks = name == STACK && kinds.clone().flat_map(Kind::fields).any(|field| field.shape == Shape::Stack);
        if known.contains(name) || stacks {
            continue;
        }
        match beside(name, kinds.clone()) {
            Some(_) if json => {}
            Some(of) => {
                return Err(format!("{name}: that is of JSON alone, beside {of}: in text it is a part of {of}"));
            }
            None => return Err(unknown(name, &known)),
        }
    }
    Ok(())
}

fn unknown(name: &str, known: &[String]) -> String {
    let close = closest(name, known.iter().map(String::as_str)).join(", ");
    let closest = if close.is_empty() { String::new() } else { format!("\n  closest: {close}") };
    let (name, known) = (escape::line(name.as_bytes()), known.join(", "));
    format!("{name}: there is no such field{closest}\n  there are {known}")
}

/// The field beside which JSON has this one.
fn beside<'k>(name: &str, kinds: impl Iterator<Item = &'k Kind>) -> Option<String> {
    let strings = ["comm", "label"].into_iter().chain(Names::ALL.into_iter().map(|(of, _)| of));
    if let Some(of) = strings.into_iter().find(|of| name.strip_prefix(of) == Some("_b64")) {
        return Some(of.to_owned());
    }
    let mut fields = kinds.flat_map(Kind::fields);
    let of = fields.find(|field| match field.shape {
        Shape::Ret => name == "errno",
        shape => name.strip_prefix(&*field.name).is_some_and(|rest| added(shape).contains(&rest)),
    });
    of.map(|field| field.name.to_string())
}

/// What is added to the names of fields of that shape for what stands beside them.
fn added(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Str => &["_b64", "_truncated"],
        Shape::Path => &["_b64", "_deleted", "_truncated", "_unreachable"],
        Shape::List | Shape::Env => &["_b64", "_bytes", "_truncated"],
        Shape::EnvDiff => &["_b64", "_truncated"],
        Shape::Ancestors | Shape::Stack => &["_truncated"],
        Shape::Any => &["_b64", "_null", "_truncated"],
        Shape::Uint | Shape::Pid | Shape::Code | Shape::Signal | Shape::Ret | Shape::Mode | Shape::Bool => &[],
        Shape::Size | Shape::Span | Shape::Flags | Shape::Group => &[],
        Shape::Endpoint | Shape::Nat | Shape::Traffic | Shape::Icmp => &[],
    }
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
    let last = columns.iter_mut().rfind(|column| !matches!(column, Column::Stack(_)));
    if let Some(Column::Field { width, right: false, .. }) = last {
        *width = 0;
    }
    Table { columns: columns.into(), details: false, stacks: false }
}

fn of_field(field: &Field) -> Column {
    if field.shape == Shape::Stack {
        return Column::Stack(field.name.clone());
    }
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

    static HIT: Kind = Kind::new(
        2,
        "hit",
        "A sample.",
        const {
            &[
                Field::new("path", Shape::Path, true, ""),
                Field::new("ret", Shape::Ret, true, ""),
                Field::new("kernel_stack", Shape::Stack, true, ""),
                Field::new("user_stack", Shape::Stack, true, ""),
            ]
        },
    );

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn both_stacks_have_one_name_and_take_no_column() {
        let names = owned(&["user_stack", "path", "stack"]);
        assert_eq!(spelled_out(&names, [&KIND, &HIT]), ["user_stack", "path", "kernel_stack"]);
        assert!(check(&names, [&HIT], false).is_ok() && check(&names, [&KIND], false).is_err());
        let table = table(&spelled_out(&names, [&HIT]), [&HIT]);
        assert!(matches!(&*table.columns, [Column::Stack(_), Column::Field { width: 0, .. }, Column::Stack(_)]));
    }

    #[test]
    fn what_json_has_beside_a_field_can_be_asked_for_there() {
        for (name, of) in [
            ("argv_bytes", "argv"),
            ("argv_truncated", "argv"),
            ("path_deleted", "path"),
            ("errno", "ret"),
            ("comm_b64", "comm"),
            ("user_stack_truncated", "user_stack"),
        ] {
            assert_eq!(check(&owned(&[name]), [&KIND, &HIT], true), Ok(()), "{name}");
            let error = check(&owned(&[name]), [&KIND, &HIT], false).unwrap_err();
            assert_eq!(error, format!("{name}: that is of JSON alone, beside {of}: in text it is a part of {of}"));
        }
        for name in ["argv_deleted", "pid_b64", "cpu_bytes"] {
            assert!(check(&owned(&[name]), [&KIND, &HIT], true).is_err(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_was_probably_meant() {
        let error = |names: &[&str]| check(&owned(names), [&KIND], false).unwrap_err();
        assert!(
            error(&["pid", "agrv"])
                .starts_with("agrv: there is no such field\n  closest: argv\n  there are kind, time")
        );
        assert!(error(&["xyzzy"]).starts_with("xyzzy: there is no such field\n  there are kind"));
        assert_eq!(error(&["pid", "argv", "pid"]), "pid: it is there twice");
    }
}
