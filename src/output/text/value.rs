//! Values as text: whatever was traced, visible and harmless, and not to be taken for anything else.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use super::env::{ancestors, env};
use super::group::group;
use crate::event::{Flags, Icmp, List, Nat, Path, Traffic, Value};
use crate::output::line::{Line, Paint};
use crate::output::spelling::{Device, End, ErrnoName, Octal, SignalName};
use crate::output::tables::Show;
use crate::output::units::{short, size, span};

/// Where something stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) enum At {
    /// Behind what is there.
    Here,
    /// From this column on.
    Start(usize),
    /// Up to this column.
    End(usize),
}

impl At {
    /// Goes where something begins whose length is not known yet: it cannot be aligned to the right.
    #[inline]
    pub(in crate::output) fn begin(self, line: &mut Line) {
        match self {
            At::Here => {}
            At::Start(start) => line.pad_to(start),
            At::End(_) => line.pad_to(0),
        }
    }

    /// Goes where something begins that is so long.
    #[inline]
    fn begin_of(self, line: &mut Line, len: usize) {
        match self {
            At::Here | At::Start(_) => self.begin(line),
            At::End(end) => line.pad_to(end.saturating_sub(len)),
        }
    }

    /// Adds visible ASCII there.
    #[inline]
    pub(in crate::output) fn ascii(self, line: &mut Line, text: &str) {
        self.begin_of(line, text.len());
        line.ascii(text);
    }

    /// Adds there what is not aligned to the right, as its length is not known.
    fn write(self, line: &mut Line, add: impl FnOnce(&mut Line)) {
        self.begin(line);
        add(line);
    }

    /// The same as `ascii`, in red.
    pub(in crate::output) fn alarm(self, line: &mut Line, text: &str) {
        self.begin_of(line, text.len());
        line.paint(Paint::Red);
        line.ascii(text);
        line.paint(Paint::Off);
    }
}

/// Adds all of a value behind what is there.
pub(in crate::output) fn here(line: &mut Line, known: &Value<'_>) {
    value(line, At::Here, known, Show::Whole);
}

/// Adds that part of a value there.
pub(in crate::output) fn value(line: &mut Line, at: At, value: &Value<'_>, show: Show) {
    let mut digits = itoa::Buffer::new();
    match value {
        Value::Uint(n) => at.ascii(line, digits.format(*n)),
        Value::Pid(n) | Value::Code(n @ 0) => at.ascii(line, digits.format(*n)),
        Value::Code(n) => at.alarm(line, digits.format(*n)),
        Value::Signal(n) => at.alarm(line, &short(format_args!("{}", SignalName(*n)))),
        Value::Ret(n) => match (*n < 0, show) {
            (false, Show::Error) | (true, Show::Number) => at.ascii(line, "-"),
            (false, Show::Whole | Show::Number) => at.ascii(line, digits.format(*n)),
            (true, Show::Whole | Show::Error) => at.alarm(line, &short(format_args!("{}", ErrnoName(*n)))),
        },
        Value::Mode(bits) => at.ascii(line, &short(format_args!("{}", Octal(*bits)))),
        Value::Bool(yes) => at.ascii(line, if *yes { "yes" } else { "no" }),
        Value::Size(n) => at.ascii(line, &size(*n)),
        Value::Span(ns) => at.ascii(line, &span(*ns)),
        Value::Str(bytes) => at.write(line, |line| line.escaped_word(bytes)),
        Value::Path(value) => at.write(line, |line| path(line, value)),
        Value::List(value) => at.write(line, |line| list(line, value)),
        Value::Env(value) | Value::EnvDiff(value) => at.write(line, |line| env(line, value)),
        Value::Ancestors(value) => at.write(line, |line| ancestors(line, value)),
        Value::Flags(value) => at.write(line, |line| flags(line, value)),
        Value::Int(n) => at.ascii(line, digits.format(*n)),
        Value::Hex(n) | Value::Address(n) => at.ascii(line, &short(format_args!("{n:#x}"))),
        Value::Float(n) => at.ascii(line, &short(format_args!("{n:?}"))),
        Value::Symbol { name, offset, .. } => at.write(line, |line| symbol(line, name, *offset)),
        Value::Name(name) => at.write(line, |line| line.escaped_word(name.as_bytes())),
        Value::Cut(bytes) => at.write(line, |line| {
            line.escaped_word(bytes);
            line.ellipsis();
        }),
        Value::Bytes(value) => at.write(line, |line| bytes(line, value)),
        Value::Device(number) => at.ascii(line, &short(format_args!("{}", Device(*number)))),
        Value::Ipv4(address) => at.ascii(line, &short(format_args!("{}", Ipv4Addr::from(*address)))),
        Value::Ipv6(address) => at.ascii(line, &short(format_args!("{}", Ipv6Addr::from(*address)))),
        Value::Endpoint(end) => at.ascii(line, &short(format_args!("{}", End(*end)))),
        Value::Nat(ends) => at.write(line, |line| nat(line, ends)),
        Value::Traffic(Traffic { packets, bytes }) => {
            at.ascii(line, &short(format_args!("{packets}pkts/{}", size(*bytes))));
        }
        Value::Icmp(Icmp { kind, code, id }) => at.ascii(line, &short(format_args!("type={kind},code={code},id={id}"))),
        Value::Group(value) => at.write(line, |line| group(line, value, here)),
        // On lines of its own (stack.rs).
        Value::Stack(_) => {}
        Value::Null => at.ascii(line, "NULL"),
        Value::BehindNull => at.ascii(line, "?(NULL)"),
        Value::Unreadable(_) => at.ascii(line, "?"),
    }
}

/// `src=10.0.0.1:4000,dst=10.2.0.2:8080`: what differs from the connection's own source and destination.
fn nat(line: &mut Line, nat: &Nat) {
    let mut separator = "";
    for (name, end) in [("src=", nat.src), ("dst=", nat.dst)] {
        if let Some(end) = end {
            line.ascii(separator);
            line.ascii(name);
            line.ascii(short(format_args!("{}", End(end))).as_str());
            separator = ",";
        }
    }
    if separator.is_empty() {
        line.ascii("-");
    }
}

/// `…` stands for what is missing: the names at the root's end, or the end; every other path begins with `/`, or with
/// what getcwd(2) puts before one that the process cannot reach.
fn path(line: &mut Line, path: &Path<'_>) {
    if path.outside {
        line.ascii("(unreachable)");
    }
    if path.truncated {
        line.ellipsis();
    }
    if path.as_it_is && path.called.is_empty() {
        line.ascii("''");
    }
    let whole = path.parts().try_for_each(|(slash, part)| {
        // Behind the mark, the first has one, too.
        line.ascii(if part.starts_with(b"/") || path.as_it_is { slash } else { "/" });
        if !part.is_empty() {
            line.escaped_word(part);
        }
        if line.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if whole.is_break() {
        return;
    }
    if path.end_truncated {
        line.ellipsis();
    }
    if path.deleted {
        line.ascii(" (deleted)");
    }
}

fn list(line: &mut Line, list: &List<'_>) {
    let mut separator = "";
    for word in list.iter() {
        line.ascii(separator);
        line.shell_word(word, separator.is_empty());
        if line.is_full() {
            return;
        }
        separator = " ";
    }
    if list.truncated() {
        line.ascii(separator);
        line.ellipsis();
        let there = list.bytes.len();
        if list.total == List::UNKNOWN {
            line.ascii(short(format_args!("[cut: the first {there} bytes]")).as_str());
        } else {
            line.ascii(short(format_args!("[cut: {there} of {} bytes]", list.total)).as_str());
        }
    }
}

/// `NAME`, or `NAME+0x10` for what is behind its beginning.
/// A function, of which the name may have blanks: `<A as B>::f`.
pub(super) fn func(line: &mut Line, at: At, func: &Value<'_>) {
    match func {
        Value::Str(name) => at.write(line, |line| line.escaped(name)),
        other => value(line, at, other, Show::Whole),
    }
}

fn symbol(line: &mut Line, name: &str, offset: u64) {
    line.escaped_word(name.as_bytes());
    if offset > 0 {
        line.ascii(short(format_args!("+{offset:#x}")).as_str());
    }
}

/// In hex, as many as there is room for.
fn bytes(line: &mut Line, bytes: &[u8]) {
    for byte in bytes {
        line.ascii(short(format_args!("{byte:02x}")).as_str());
        if line.is_full() {
            return;
        }
    }
}

fn flags(line: &mut Line, flags: &Flags) {
    let (names, rest) = flags.named();
    let mut separator = "";
    for name in names {
        line.ascii(separator);
        line.ascii(name);
        separator = "|";
    }
    if rest != 0 {
        line.ascii(separator);
        line.ascii(short(format_args!("{rest:#x}")).as_str());
    } else if separator.is_empty() {
        line.ascii("0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(add: impl Fn(&mut Line)) -> String {
        let (mut line, mut out) = (Line::new(None, false), Vec::new());
        add(&mut line);
        line.write(&mut out).unwrap();
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    #[test]
    fn words_can_be_pasted_into_bash() {
        let table: &[(&[u8], &str)] = &[
            (b"ls", "ls"),
            (b"--opt=a@b%c+d:e,f./_g", "--opt=a@b%c+d:e,f./_g"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"$(reboot);`x`!\"", "'$(reboot);`x`!\"'"),
            (b"~", "'~'"),
            ("Gr\u{fc}\u{df}e".as_bytes(), "'Gr\u{fc}\u{df}e'"),
            (b"it's", r"$'it\'s'"),
            (b"'", r"$'\''"),
            (b"a\\b", r"$'a\\b'"),
            (b"a\nb\t", r"$'a\nb\t'"),
            (b"\x1b[31m\x7f", r"$'\x1b[31m\x7f'"),
            (b"\xffa", r"$'\xffa'"),
            ("\u{202e}\u{e0041}\u{9b}".as_bytes(), r"$'\u202e\U000e0041\u009b'"),
        ];
        for (word, want) in table {
            assert_eq!(shown(|line| line.shell_word(word, false)), *want);
        }
        assert_eq!(shown(|line| line.shell_word(b"a=b", true)), "'a=b'", "not an assignment");
    }
}
