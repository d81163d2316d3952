//! What a column of text is called, how wide it is, and what it shows of an event.

use std::borrow::Cow;

use super::group::items;
use super::value::{At, func, here, value};
use crate::event::{Event, Names, Shape, Value};
use crate::output::line::{Line, Paint};
use crate::output::tables::{Column, Show};

/// Title of a column, how wide it is, and whether it is aligned to the right.
pub(super) fn shape(column: &Column) -> (&str, usize, bool) {
    match column {
        Column::Kind => ("EVENT", 7, false),
        Column::Pid => ("PID", 7, true),
        Column::Ppid => ("PPID", 7, true),
        Column::Tid => ("TID", 7, true),
        Column::Uid => ("UID", 5, true),
        Column::User => ("USER", 8, false),
        Column::Gid => ("GID", 5, true),
        Column::Comm => ("COMM", 15, false),
        Column::Name => ("COMM", 0, false),
        Column::Label => ("LABEL", 15, false),
        Column::BootNs => ("BOOT_NS", 16, true),
        Column::Cpu => ("CPU", 3, true),
        Column::Seq => ("SEQ", 7, true),
        Column::CgroupId => ("CGROUP_ID", 9, true),
        Column::Cgroup => ("CGROUP", 32, false),
        Column::Unit => ("UNIT", 24, false),
        Column::Container => ("CONTAINER", 15, false),
        Column::Call => ("CALL", 0, false),
        Column::Stack(_) => ("", 0, false),
        Column::Field { title, width, right, .. } => (title, *width, *right),
    }
}

/// The fields and names that a column shows: they are no details then.
pub(super) fn named(column: &Column) -> Vec<Cow<'static, str>> {
    match column {
        Column::Field { name, .. } | Column::Stack(name) => vec![name.clone()],
        Column::User => vec!["user".into()],
        Column::Cgroup => vec!["cgroup".into()],
        Column::Unit => vec!["unit".into()],
        Column::Container => vec![Names::CONTAINER.0.into()],
        Column::BootNs | Column::Cpu | Column::Seq | Column::CgroupId => Vec::new(),
        Column::Call => CALL.map(Cow::Borrowed).to_vec(),
        Column::Kind | Column::Pid | Column::Ppid | Column::Tid | Column::Uid | Column::Gid => Vec::new(),
        Column::Comm | Column::Name | Column::Label => Vec::new(),
    }
}

/// The fields of a call.
pub(super) const CALL: [&str; 4] = [FUNC, ARGS, RET, DURATION];
pub(super) const FUNC: &str = "func";
const ARGS: &str = "args";
const RET: &str = "ret";
const DURATION: &str = "duration";

/// Whether an event is a call, which is shown as one.
pub(super) fn is_call(event: &Event<'_>) -> bool {
    matches!(event.get(ARGS), Some(Value::Group(_))) && event.get(FUNC).is_some()
}

/// `f(a=1, b="x") = 0 [12.3us]`
fn call(line: &mut Line, event: &Event<'_>) {
    if let Some(name) = event.get(FUNC) {
        func(line, At::Here, name);
    }
    line.ascii("(");
    if let Some(Value::Group(args)) = event.get(ARGS) {
        items(line, args, ", ", true, here);
    }
    line.ascii(")");
    if let Some(ret) = event.get(RET) {
        line.ascii(" = ");
        value(line, At::Here, ret, Show::Whole);
    }
    if let Some(duration) = event.get(DURATION) {
        line.ascii(" [");
        value(line, At::Here, duration, Show::Whole);
        line.ascii("]");
    }
}

/// An empty list shows nothing: spaces before it would be at the line's end.
pub(super) fn is_empty(column: &Column, event: &Event<'_>) -> bool {
    let Column::Field { name, .. } = column else { return false };
    matches!(event.get(name), Some(Value::List(list)) if list.bytes.is_empty() && !list.truncated())
}

/// Adds what a column shows.
pub(super) fn cell(line: &mut Line, at: At, column: &Column, event: &Event<'_>) {
    let head = &event.head;
    let mut digits = itoa::Buffer::new();
    match column {
        Column::Kind => at.ascii(line, &event.kind.name),
        Column::Pid
        | Column::Ppid
        | Column::Tid
        | Column::Uid
        | Column::Gid
        | Column::CgroupId
        | Column::Comm
        | Column::Name
            if !head.has_process() =>
        {
            at.ascii(line, "-");
        }
        Column::Pid => at.ascii(line, digits.format(head.pid)),
        Column::Ppid => at.ascii(line, digits.format(head.ppid)),
        Column::Tid => at.ascii(line, digits.format(head.tid)),
        Column::Uid => at.ascii(line, digits.format(head.uid)),
        Column::BootNs => at.ascii(line, digits.format(head.boot_ns)),
        Column::Cpu => at.ascii(line, digits.format(head.cpu)),
        Column::Seq => at.ascii(line, digits.format(head.seq)),
        Column::CgroupId => at.ascii(line, digits.format(head.cgroup_id)),
        Column::Cgroup => match event.names {
            Some(names) => value(line, at, &name(names.cgroup), Show::Whole),
            None => at.ascii(line, "-"),
        },
        Column::User => match event.names {
            Some(names) => value(line, at, &name(names.user), Show::Whole),
            None => at.ascii(line, "-"),
        },
        Column::Unit => match event.names.and_then(|names| names.unit) {
            Some(unit) => value(line, at, &Value::Str(unit), Show::Whole),
            None => at.ascii(line, "-"),
        },
        Column::Container => match event.names.and_then(|names| names.container) {
            Some(container) => value(line, at, &Value::Str(container.shown().as_bytes()), Show::Whole),
            None => at.ascii(line, "-"),
        },
        Column::Gid => at.ascii(line, digits.format(head.gid)),
        Column::Comm | Column::Name => {
            at.begin(line);
            line.paint(Paint::Bold);
            line.escaped(head.comm());
            line.paint(Paint::Off);
        }
        Column::Label if event.label.is_empty() => at.ascii(line, "-"),
        Column::Label => {
            at.begin(line);
            line.escaped(event.label);
        }
        Column::Call => {
            at.begin(line);
            call(line, event);
        }
        Column::Stack(_) => {}
        Column::Field { name, show, .. } => match event.get(name) {
            Some(known) => value(line, at, known, *show),
            None => at.ascii(line, "-"),
        },
    }
}

/// Adds `name=value`, from the column `start` on.
pub(super) fn detail(line: &mut Line, start: usize, name: &str, detail: &Value<'_>) {
    line.pad_to(start);
    line.paint(Paint::Dim);
    line.ascii(name);
    line.ascii("=");
    line.paint(Paint::Off);
    value(line, At::Here, detail, Show::Whole);
}

/// A name that was looked for: one that the host does not have is like what could not be read.
pub(super) fn name(name: Option<&[u8]>) -> Value<'_> {
    name.map_or(Value::Unreadable(Shape::Str), Value::Str)
}
