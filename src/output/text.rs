//! Text: aligned columns, then `name=value` details. For people; whatever is traced, a line stays one harmless line.

use std::fmt::Write as _;
use std::io::{self, Write};

use arrayvec::ArrayString;

use super::clock::{Clock, Style};
use super::line::{Line, Paint};
use super::{Format, Look, SignalName};
use crate::event::{Event, Flags, List, Lost, Path, Value};

/// Below this many columns, a terminal gets neither TID nor GID.
const ROOMY: usize = 110;

/// Columns that an EVENT, an id of a process, an id of a user and a COMM take.
const EVENT: usize = 7;
const PROCESS: usize = 7;
const USER: usize = 5;
const COMM: usize = 15;

/// Writes events as text.
#[derive(Debug)]
pub struct Text {
    line: Line,
    /// For losses, which are neither cut nor painted.
    loss: Line,
    clock: Clock,
    columns: Columns,
}

/// Where columns are: starts of those aligned left, ends of those aligned right.
#[derive(Debug)]
struct Columns {
    event: usize,
    pid: usize,
    ppid: usize,
    tid: Option<usize>,
    uid: usize,
    gid: Option<usize>,
    comm: usize,
    details: usize,
}

impl Columns {
    fn new(time: usize, all: bool) -> Self {
        let mut end = time + 1 + EVENT;
        let mut right = |width| {
            end += 1 + width;
            end
        };
        let (pid, ppid) = (right(PROCESS), right(PROCESS));
        let tid = all.then(|| right(PROCESS));
        let uid = right(USER);
        let gid = all.then(|| right(USER));
        Columns { event: time + 1, pid, ppid, tid, uid, gid, comm: end + 1, details: end + 1 + COMM + 1 }
    }
}

impl Text {
    /// Text of that look.
    #[must_use]
    pub fn new(look: Look) -> Self {
        let width = look.width.filter(|width| *width > 0 && !look.wide);
        let style = if look.utc { Style::Utc } else { Style::Local };
        let clock = Clock::new(style, if width.is_some() { 3 } else { 6 });
        let columns = Columns::new(clock.width(), width.is_none_or(|width| width >= ROOMY));
        Text { line: Line::new(width, look.colour), loss: Line::new(None, false), clock, columns }
    }

    fn detail(&mut self, name: &str, value: &Value<'_>) {
        let line = &mut self.line;
        line.paint(Paint::Dim);
        line.ascii(name);
        line.ascii("=");
        line.paint(Paint::Off);
        match value {
            Value::Uint(n) => line.number(*n),
            Value::Pid(n) | Value::Code(n @ 0) => line.number(*n),
            Value::Code(n) => alarm(line, |line| line.number(*n)),
            Value::Signal(n) => alarm(line, |line| short(line, format_args!("{}", SignalName(*n)))),
            Value::Bool(yes) => line.ascii(if *yes { "yes" } else { "no" }),
            Value::Size(n) => size(line, *n),
            Value::Span(ns) => span(line, *ns),
            Value::Str(bytes) => line.escaped_word(bytes),
            Value::Path(value) => path(line, value),
            Value::List(value) => list(line, value),
            Value::Flags(value) => flags(line, value),
            Value::Unreadable(_) => line.ascii("?"),
        }
    }
}

impl Format for Text {
    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Text { line, columns, .. } = self;
        line.clear();
        line.paint(Paint::Bold);
        line.ascii("TIME");
        line.pad_to(columns.event);
        line.ascii("EVENT");
        line.right(columns.pid, "PID");
        line.right(columns.ppid, "PPID");
        if let Some(tid) = columns.tid {
            line.right(tid, "TID");
        }
        line.right(columns.uid, "UID");
        if let Some(gid) = columns.gid {
            line.right(gid, "GID");
        }
        line.pad_to(columns.comm);
        line.ascii("COMM");
        line.pad_to(columns.details);
        line.ascii("DETAILS");
        line.paint(Paint::Off);
        line.write(out)
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        let Text { line, clock, columns, .. } = self;
        let head = &event.head;
        let mut digits = itoa::Buffer::new();
        line.clear();
        line.paint(Paint::Dim);
        line.ascii(clock.spell(head.unix_ns));
        line.paint(Paint::Off);
        line.pad_to(columns.event);
        line.ascii(event.kind.name);
        line.right(columns.pid, digits.format(head.pid));
        line.right(columns.ppid, digits.format(head.ppid));
        if let Some(tid) = columns.tid {
            line.right(tid, digits.format(head.tid));
        }
        line.right(columns.uid, digits.format(head.uid));
        if let Some(gid) = columns.gid {
            line.right(gid, digits.format(head.gid));
        }
        line.pad_to(columns.comm);
        line.paint(Paint::Bold);
        line.escaped(head.comm());
        line.paint(Paint::Off);
        let mut next = columns.details;
        for (name, value) in &event.fields {
            if self.line.is_full() {
                break;
            }
            self.line.pad_to(next);
            self.detail(name, value);
            next = 0;
        }
        self.line.write(out)
    }

    /// A loss is never cut: it may go elsewhere than the events, and it must not be lost as well.
    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        let events = if lost.count == 1 { "event" } else { "events" };
        let line = &mut self.loss;
        line.clear();
        line.ascii("-- lost ");
        line.number(lost.count);
        for part in [" ", lost.class, " ", events, " on cpu "] {
            line.ascii(part);
        }
        line.number(lost.cpu);
        line.ascii(": ");
        line.ascii(lost.cause);
        line.write(out)
    }
}

/// Adds something short, of ASCII only.
fn short(line: &mut Line, args: std::fmt::Arguments<'_>) {
    // The longest is a mask of 64 bits in hex.
    let mut text = ArrayString::<40>::new();
    let _ = text.write_fmt(args);
    line.ascii(text.as_str());
}

fn alarm(line: &mut Line, add: impl FnOnce(&mut Line)) {
    line.paint(Paint::Red);
    add(line);
    line.paint(Paint::Off);
}

/// `…` stands for the names that are missing at the root's end; every other path begins with `/`.
fn path(line: &mut Line, path: &Path<'_>) {
    if path.truncated {
        line.ellipsis();
    } else if path.names.is_empty() {
        line.ascii("/");
    }
    for name in path.from_root() {
        line.ascii("/");
        line.escaped_word(name);
        if line.is_full() {
            return;
        }
    }
    if path.deleted {
        line.ascii(" (deleted)");
    }
}

fn list(line: &mut Line, list: &List<'_>) {
    for (i, word) in list.iter().enumerate() {
        if i > 0 {
            line.ascii(" ");
        }
        line.shell_word(word, i == 0);
        if line.is_full() {
            return;
        }
    }
    if list.truncated() {
        line.ascii(" ");
        line.ellipsis();
        short(line, format_args!("[cut: {} of {} bytes]", list.bytes.len(), list.total));
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
        short(line, format_args!("{rest:#x}"));
    } else if separator.is_empty() {
        line.ascii("0");
    }
}

/// A number with so many decimals, then what it counts. (std's formatting takes several times as long, and every
/// exit has three of them.)
fn decimal(line: &mut Line, number: u64, decimals: u32, unit: &str) {
    let mut text = ArrayString::<32>::new();
    let mut digits = itoa::Buffer::new();
    let scale = 10_u64.pow(decimals);
    text.push_str(digits.format(number / scale));
    if decimals > 0 {
        text.push('.');
        text.push_str(&digits.format(scale + number % scale)[1..]);
    }
    text.push_str(unit);
    line.ascii(text.as_str());
}

/// `812B`, `12.0KiB`, `2.3MiB`.
fn size(line: &mut Line, bytes: u64) {
    if bytes < 1024 {
        return decimal(line, bytes, 0, "B");
    }
    for (unit, power) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50), ("EiB", 60)] {
        let tenths = (u128::from(bytes) * 10 + (1 << (power - 1))) >> power;
        if tenths < 10240 || power == 60 {
            // At most 16 EiB's tenths: it fits.
            return decimal(line, tenths as u64, 1, unit);
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// Three significant digits: `812ns`, `4.21us`, `35.2ms`, `1.25s`; from a minute on `2m05s`, `3h04m`, `2d01h`.
fn span(line: &mut Line, ns: u64) {
    if ns < 1000 {
        return decimal(line, ns, 0, "ns");
    }
    if ns < 60 * SECOND {
        for (unit, name) in [(1_000, "us"), (1_000_000, "ms"), (SECOND, "s")] {
            for (decimals, scale) in [(2, 100), (1, 10), (0, 1)] {
                // What rounds up to a minute is shown as one.
                let most = if (unit, scale) == (SECOND, 10) { 600 } else { 1000 };
                let n = (ns * scale + unit / 2) / unit;
                if n < most && (unit < SECOND || scale > 1) {
                    return decimal(line, n, decimals, name);
                }
            }
        }
    }
    let rounded = |unit: u64| ns.saturating_add(unit / 2) / unit;
    let (s, m, h) = (rounded(SECOND), rounded(60 * SECOND), rounded(3600 * SECOND));
    if s < 3600 {
        short(line, format_args!("{}m{:02}s", s / 60, s % 60));
    } else if m < 24 * 60 {
        short(line, format_args!("{}h{:02}m", m / 60, m % 60));
    } else {
        short(line, format_args!("{}d{:02}h", h / 24, h % 24));
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
    fn spans_have_three_digits() {
        let table: &[(u64, &str)] = &[
            (0, "0ns"),
            (812, "812ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (4_210, "4.21us"),
            (9_994, "9.99us"),
            (9_996, "10.0us"),
            (99_960, "100us"),
            (999_600, "1.00ms"),
            (3_520_000, "3.52ms"),
            (421_400_000, "421ms"),
            (999_500_000, "1.00s"),
            (1_250_000_000, "1.25s"),
            (59_940_000_000, "59.9s"),
            (59_960_000_000, "1m00s"),
            (125 * SECOND, "2m05s"),
            (3_599_600_000_000, "1h00m"),
            ((3 * 60 + 4) * 60 * SECOND, "3h04m"),
            (49 * 3600 * SECOND, "2d01h"),
            (u64::MAX, "213503d23h"),
        ];
        for (ns, want) in table {
            assert_eq!(shown(|line| span(line, *ns)), *want, "{ns}");
        }
    }

    #[test]
    fn sizes_have_one_decimal() {
        let table: &[(u64, &str)] = &[
            (0, "0B"),
            (512, "512B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (12 << 10, "12.0KiB"),
            (2_411_725, "2.3MiB"),
            ((1 << 20) - 1, "1.0MiB"),
            (u64::MAX, "16.0EiB"),
        ];
        for (bytes, want) in table {
            assert_eq!(shown(|line| size(line, *bytes)), *want, "{bytes}");
        }
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
