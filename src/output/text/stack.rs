//! Stacks as text: a line for each call, below the event.

use std::io::{self, Write};

use crate::event::{Call, Event, Shape, Stack, Value};
use crate::output::line::{Line, Paint};
use crate::output::units::short;

/// Where the lines begin: so that none is taken for an event, which begins with its time.
const INDENT: usize = 8;

/// Whether a value is shown on lines of its own.
pub(super) fn is_stack(value: &Value<'_>) -> bool {
    matches!(value, Value::Stack(_) | Value::Unreadable(Shape::Stack))
}

/// Adds the lines of those stacks of an event that are wanted.
pub(super) fn stacks(
    line: &mut Line,
    out: &mut dyn Write,
    event: &Event<'_>,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<()> {
    for (name, value) in event.fields.iter().filter(|(name, _)| wanted(name)) {
        match value {
            Value::Stack(stack) => lines(line, out, stack)?,
            Value::Unreadable(Shape::Stack) => {
                begin(line);
                line.ascii("? (");
                line.ascii(name);
                line.ascii(" could not be read)");
                line.write(out)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn lines(line: &mut Line, out: &mut dyn Write, stack: &Stack<'_>) -> io::Result<()> {
    for one in stack.calls() {
        begin(line);
        call(line, one, stack.of_kernel);
        line.write(out)?;
    }
    if stack.cut {
        begin(line);
        line.ellipsis();
        line.write(out)?;
    }
    Ok(())
}

fn begin(line: &mut Line) {
    line.clear();
    line.pad_to(INDENT);
}

/// `vfs_read+0x9f [module]`, `main+0x1b (/usr/bin/it) main.c:42`, `helper (inlined) (/usr/bin/it) main.c:12`
fn call(line: &mut Line, call: &Call, of_kernel: bool) {
    let Call { address, function, offset, file, file_offset, build_id, source, inlined } = call;
    match (function, address, file_offset) {
        (Some(function), ..) => {
            line.escaped(function.as_bytes());
            if *inlined {
                line.ascii(" (inlined)");
            } else {
                line.ascii(short(format_args!("+{offset:#x}")).as_str());
            }
        }
        (None, Some(address), _) => line.ascii(short(format_args!("{address:#x}")).as_str()),
        (None, None, Some(offset)) => line.ascii(short(format_args!("+{offset:#x}")).as_str()),
        (None, None, None) => line.ascii("?"),
    }
    line.paint(Paint::Dim);
    if let Some(file) = file {
        line.ascii(if of_kernel { " [" } else { " (" });
        line.escaped(file.as_bytes());
        line.ascii(if of_kernel { "]" } else { ")" });
    }
    if let Some(id) = build_id {
        line.ascii(" (build id ");
        line.escaped(id.as_bytes());
        line.ascii(")");
    }
    if let Some(source) = source {
        line.ascii(" ");
        line.escaped(source.as_bytes());
    }
    line.paint(Paint::Off);
}
