//! The kinds of events that specs have: one for each subcommand, and a number of its own for each spec of a run.

use crate::event::{Field, Kind, Shape};

/// The number of the first spec's kind; a run's others follow.
pub(super) const FIRST_KIND: u32 = 32;
/// The most specs of a run.
pub(super) const SPECS_MAX: usize = 24;

pub(super) const FIELDS: &[Field] = &[
    Field::new("func", Shape::Str, true, "the function or tracepoint"),
    Field::new("args", Shape::Group, true, "the values that were asked for, by their names; else all arguments"),
    Field::new("ret", Shape::Any, false, "what it returned; there where its return was waited for"),
    Field::new("duration", Shape::Span, false, "how long the call took; likewise"),
    Field::new("kernel_stack", Shape::Stack, false, "the kernel's calls that led there (--stack)"),
    Field::new("user_stack", Shape::Stack, false, "the program's calls that led there (--stack)"),
    Field::PARENT_COMM,
    Field::ANCESTORS,
];

/// How many specs a run takes, and how many of them are left: why there can be no more.
pub(super) fn room(left: usize) -> String {
    match left {
        SPECS_MAX => format!("a run has at most {SPECS_MAX}"),
        left => format!("a run has at most {SPECS_MAX}, of which {left} {} left", if left == 1 { "is" } else { "are" }),
    }
}

/// Of `probe`.
pub(crate) static PROBE: Kind =
    Kind::new(FIRST_KIND, "probe", "a function that was asked for was called, or a tracepoint was hit", FIELDS);
/// Of `uprobe`.
pub(crate) static UPROBE: Kind =
    Kind::new(FIRST_KIND + 1, "uprobe", "a function of a program or a library was called", FIELDS);
/// Of `usdt`.
pub(crate) static USDT: Kind =
    Kind::new(FIRST_KIND + 2, "usdt", "a static probe of a program or a library was hit", FIELDS);

/// The subcommand's kind of that name.
pub(super) fn of_subcommand(name: &str) -> Option<&'static Kind> {
    [&PROBE, &UPROBE, &USDT].into_iter().find(|kind| kind.name == name)
}
