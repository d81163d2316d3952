//! A decoded event: when and where it happened, and named, typed values in column order.
//!
//! Events are data, not one struct per tracer: formats match on [`Value`] and never on a tracer.
//! Everything borrows from the sample, so that decoding allocates nothing.

pub mod decode;

use arrayvec::ArrayVec;

/// The most fields that one event may have.
pub const MAX_FIELDS: usize = 16;

/// What every event carries: who did it, where and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`), taken in the kernel.
    pub boot_ns: u64,
    /// Nanoseconds since 1970 (UTC); set by [`crate::flow::enrich`], 0 before.
    pub unix_ns: i64,
    /// Counts the events of this kind on this CPU, lost ones too: a gap is a loss.
    pub seq: u64,
    /// Id of the cgroup v2 directory (its inode number).
    pub cgroup_id: u64,
    /// CPU on which the event was taken.
    pub cpu: u32,
    /// Process (the kernel's tgid), as numbered in coretrace's own PID namespace.
    pub pid: u32,
    /// Thread (the kernel's pid), likewise.
    pub tid: u32,
    /// Process of the real parent, likewise; 0 where there is none in this namespace.
    pub ppid: u32,
    /// Real user id, as numbered in the initial user namespace.
    pub uid: u32,
    /// Real group id, likewise.
    pub gid: u32,
    /// Name of the thread, NUL-terminated unless all 16 bytes are used.
    pub comm: [u8; 16],
    /// It passed the kernel's filters as a heartbeat alone ([`crate::flow::heartbeat`]).
    pub heartbeat: bool,
}

impl Head {
    /// The thread's name up to its first NUL. Any bytes: a process chooses its own name.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        until_nul(&self.comm)
    }
}

/// The bytes before the first NUL, or all of them.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// A path as the kernel's dentries spell it: names from the file up to the root; or as a system call got it: the
/// directory in that form, then the name relative to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path<'a> {
    /// Names, each NUL-terminated, the file's own name first. Empty: the root itself.
    pub names: &'a [u8],
    /// The file no longer has this name (it was unlinked).
    pub deleted: bool,
    /// Only the last names are there: the path is longer than what fits, or the directory at its beginning is unknown.
    pub truncated: bool,
    /// What follows the names, as the caller spelled it (`sub/../file`); where it begins with `/`, there are no names.
    pub called: &'a [u8],
    /// `called` is longer than what fits: its end is missing.
    pub end_truncated: bool,
    /// The directory is outside of what the process has as its root.
    pub outside: bool,
    /// `called` is the text itself, not a path from the root: `pipe:[1234]`, or an empty name.
    pub as_it_is: bool,
}

impl<'a> Path<'a> {
    /// The parts of the path, a `/` before each that needs one: `/` alone for the root; one that is cut begins with a
    /// name, not with `/`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let rooted = !self.truncated && !self.as_it_is;
        let called = Some(self.called).filter(|called| !called.is_empty());
        let root = (rooted && self.names.is_empty() && called.is_none()).then_some(&b""[..]);
        self.from_root().chain(called).chain(root).enumerate().map(move |(n, part)| {
            let slash = (n > 0 || rooted) && !part.starts_with(b"/");
            (if slash { "/" } else { "" }, part)
        })
    }

    /// Adds the path to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        for (slash, part) in self.parts() {
            out.extend_from_slice(slash.as_bytes());
            out.extend_from_slice(part);
        }
    }

    /// The names from the root down to the file.
    pub fn from_root(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let names = self.names.strip_suffix(b"\0").unwrap_or(self.names);
        let mut rest = Some(names).filter(|n| !n.is_empty());
        std::iter::from_fn(move || {
            let names = rest?;
            match names.iter().rposition(|b| *b == 0) {
                Some(at) => {
                    rest = names.get(..at);
                    names.get(at + 1..)
                }
                None => rest.take(),
            }
        })
    }
}

/// Strings, NUL-separated as in `/proc/PID/cmdline`, and how long they were in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    /// The strings, each NUL-terminated; the last one is not, where the list was cut inside it.
    pub bytes: &'a [u8],
    /// Length of the whole list in bytes, NULs included; [`List::UNKNOWN`]: more than what is there.
    pub total: u64,
}

impl<'a> List<'a> {
    /// A length that nobody counted.
    pub const UNKNOWN: u64 = u64::MAX;

    /// Whether what is there is less than what was.
    #[must_use]
    pub fn truncated(&self) -> bool {
        (self.bytes.len() as u64) < self.total
    }

    /// The strings, one by one; none for an empty list.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes.strip_suffix(b"\0").unwrap_or(self.bytes);
        let count = if self.bytes.is_empty() { 0 } else { usize::MAX };
        bytes.split(|b| *b == 0).take(count)
    }
}

/// A bit mask whose bits have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// The mask.
    pub bits: u64,
    /// Name of each known bit (or group of bits), in the order in which they are shown.
    pub names: &'static [(u64, &'static str)],
}

impl Flags {
    /// Names of the bits that are set, then what remains without a name (0 if nothing). Bits that one name has covered
    /// do not count for those behind it.
    pub fn named(&self) -> (impl Iterator<Item = &'static str> + use<>, u64) {
        let covered = |left: &mut u64, bit: u64| {
            let set = *left & bit == bit;
            *left &= if set { !bit } else { u64::MAX };
            set
        };
        let mut rest = self.bits;
        self.names.iter().for_each(|(bit, _)| _ = covered(&mut rest, *bit));
        let mut left = self.bits;
        (self.names.iter().filter(move |(bit, _)| covered(&mut left, *bit)).map(|(_, name)| *name), rest)
    }
}

/// A value and what it means, so that every format and lookup treats it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A plain number.
    Uint(u64),
    /// A process or thread id, as numbered in coretrace's own PID namespace.
    Pid(u32),
    /// An exit code: 0 is success.
    Code(u32),
    /// A signal number; shown by its name.
    Signal(u32),
    /// What a system call returned: a number, or an error as a negative number, which is shown by its name. JSON has
    /// the number, and the error's name as `errno` beside it.
    Ret(i64),
    /// Permission bits; shown in octal, in JSON as a string (`"0644"`).
    Mode(u32),
    /// Yes or no.
    Bool(bool),
    /// A size in bytes. JSON adds `_bytes` to the name.
    Size(u64),
    /// A length of time in nanoseconds. JSON adds `_ns` to the name.
    Span(u64),
    /// A string of any bytes.
    Str(&'a [u8]),
    /// A path. JSON adds `NAME_deleted`, `NAME_truncated` and `NAME_unreachable` (outside of the root) where they hold.
    Path(Path<'a>),
    /// A list of strings. JSON adds `NAME_bytes` (null where nobody counted), and `NAME_truncated` where it holds.
    List(List<'a>),
    /// Named bits.
    Flags(Flags),
    /// The kernel could not read it: `?` in text, null in JSON.
    Unreadable(Shape),
}

/// A [`Value`] without the value: what the schema knows of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the Value variant of the same name")]
pub enum Shape {
    Uint,
    Pid,
    Code,
    Signal,
    Ret,
    Mode,
    Bool,
    Size,
    Span,
    Str,
    Path,
    List,
    Flags,
}

impl Value<'_> {
    /// What kind of value this is; for an unreadable one, what it would have been.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Value::Uint(_) => Shape::Uint,
            Value::Pid(_) => Shape::Pid,
            Value::Code(_) => Shape::Code,
            Value::Signal(_) => Shape::Signal,
            Value::Ret(_) => Shape::Ret,
            Value::Mode(_) => Shape::Mode,
            Value::Bool(_) => Shape::Bool,
            Value::Size(_) => Shape::Size,
            Value::Span(_) => Shape::Span,
            Value::Str(_) => Shape::Str,
            Value::Path(_) => Shape::Path,
            Value::List(_) => Shape::List,
            Value::Flags(_) => Shape::Flags,
            Value::Unreadable(shape) => *shape,
        }
    }
}

/// What the schema and the user-space filters know of a kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its number on the wire and in the ledger; unique across tracers.
    pub id: u32,
    /// Its name: `kind` in JSON, EVENT in text, a word of `--events`.
    pub name: &'static str,
    /// What it tells, in one sentence.
    pub doc: &'static str,
    /// Its fields, in column order.
    pub fields: &'static [Field],
}

/// A field of a [`Kind`].
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name (see [`Shape`] for what JSON adds to it).
    pub name: &'static str,
    /// What its value means.
    pub shape: Shape,
    /// Whether every event of the kind has it.
    pub always: bool,
    /// What it tells, in one sentence.
    pub doc: &'static str,
}

impl Field {
    /// A field.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape, always: bool, doc: &'static str) -> Self {
        Field { name, shape, always, doc }
    }
}

/// How much room a line of text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Room {
    /// A terminal of few columns.
    Narrow,
    /// A terminal of many columns, or none.
    #[default]
    Roomy,
    /// All that there is was asked for (-w).
    Wide,
}

/// Which part of a value a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// All of it.
    Whole,
    /// Of a [`Value::Ret`], the number; `-` for an error.
    Number,
    /// Of a [`Value::Ret`], the error; `-` for a number.
    Error,
}

/// A column of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a member of the head, and titled in capitals")]
pub enum Column {
    Kind,
    Pid,
    Ppid,
    Tid,
    Uid,
    Gid,
    Comm,
    /// Behind [`Column::Comm`] wherever there are labels: no table need list it.
    Label,
    /// The value of a field, without its name: `-` where the event has none, `?` where it could not be read.
    Field {
        /// The field's name.
        name: &'static str,
        /// The column's title.
        title: &'static str,
        /// How wide it is; 0: it is the last one, and takes the rest of the line.
        width: usize,
        /// Numbers and the like: aligned to the right.
        right: bool,
        /// Which part of the value.
        show: Show,
    },
}

impl Column {
    /// A field's value, aligned to the left; without a width it is the last column.
    #[must_use]
    pub const fn field(name: &'static str, title: &'static str, width: usize) -> Self {
        Column::Field { name, title, width, right: false, show: Show::Whole }
    }

    /// A part of a field's value; numbers are aligned to the right.
    #[must_use]
    pub const fn part(name: &'static str, title: &'static str, width: usize, show: Show) -> Self {
        Column::Field { name, title, width, right: matches!(show, Show::Number), show }
    }
}

/// How a tracer's events look in text: TIME, then these; with [`Table::details`] all other fields follow, each
/// `name=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: &'static [Column],
    /// The fields that no column shows are shown as `name=value`.
    pub details: bool,
}

impl Table {
    /// What suits a tracer of several kinds of events: who did it in columns, all else as details.
    #[must_use]
    pub fn general(room: Room) -> Self {
        use Column::{Comm, Gid, Kind, Pid, Ppid, Tid, Uid};
        let columns: &[Column] = match room {
            Room::Narrow => &[Kind, Pid, Ppid, Uid, Comm],
            Room::Roomy | Room::Wide => &[Kind, Pid, Ppid, Tid, Uid, Gid, Comm],
        };
        Table { columns, details: true }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: &'static Kind,
    /// Who did it, where and when.
    pub head: Head,
    /// What the map of labels (--labels) says of who did it; empty where it says nothing.
    pub label: &'a [u8],
    /// The rest, in column order.
    pub fields: ArrayVec<(&'static str, Value<'a>), MAX_FIELDS>,
}

impl<'a> Event<'a> {
    /// An event without fields.
    #[must_use]
    pub fn new(kind: &'static Kind, head: Head) -> Self {
        Event { kind, head, label: &[], fields: ArrayVec::new() }
    }

    /// Adds a field.
    ///
    /// # Panics
    /// Never from data: a tracer that has more than [`MAX_FIELDS`] of them fails its own tests.
    pub fn push(&mut self, name: &'static str, value: Value<'a>) {
        self.fields.push((name, value));
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

/// Why events were not delivered, in the order of `enum drop_cause` in event.bpf.h (checked in bpf.rs):
/// the reader was too slow for the buffer; the CPU's scratch space was in use; a map was full; a call began whose return
/// the kernel did not show; a new process was to be followed whose number was not found; a CPU had no buffer.
pub const CAUSES: [&str; 6] =
    ["buffer_full", "scratch_busy", "map_full", "return_missed", "child_unknown", "cpu_offline"];

/// Events that the kernel side could not deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// When it was noticed: nanoseconds since 1970 (UTC).
    pub unix_ns: i64,
    /// The kind of the lost events.
    pub class: &'static str,
    /// Why: one of [`CAUSES`].
    pub cause: &'static str,
    /// How many.
    pub count: u64,
    /// CPU on which they were lost.
    pub cpu: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_the_root() {
        let path = |names| Path { names, ..Path::default() };
        let parts = |names| path(names).from_root().collect::<Vec<_>>();
        assert_eq!(parts(b"ls\0bin\0usr\0"), [&b"usr"[..], b"bin", b"ls"]);
        assert_eq!(parts(b"ls\0"), [b"ls"]);
        assert!(parts(b"").is_empty());
        assert_eq!(parts(b"no nul"), [b"no nul"]);
    }

    #[test]
    fn a_path_as_it_was_called_follows_its_directory() {
        let shown = |names, called, truncated| {
            let mut out = Vec::new();
            Path { names, called, truncated, ..Path::default() }.append_to(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(b"", b"", false), "/");
        assert_eq!(shown(b"", b"/etc//passwd", false), "/etc//passwd");
        assert_eq!(shown(b"", b"file", false), "/file");
        assert_eq!(shown(b"sub\0tmp\0", b"../file", false), "/tmp/sub/../file");
        assert_eq!(shown(b"sub\0tmp\0", b"", false), "/tmp/sub");
        assert_eq!(shown(b"sub\0tmp\0", b"file", true), "tmp/sub/file");
        assert_eq!((shown(b"", b"file", true), shown(b"", b"", true)), ("file".into(), String::new()));
    }

    #[test]
    fn a_list_keeps_empty_strings() {
        let items = |bytes: &'static [u8]| List { bytes, total: bytes.len() as u64 }.iter().collect::<Vec<_>>();
        assert!(items(b"").is_empty());
        assert_eq!(items(b"\0"), [b""]);
        assert_eq!(items(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(items(b"a\0\0"), [&b"a"[..], b""]);
        assert_eq!(items(b"cut"), [b"cut"]);
    }

    #[test]
    fn flags_without_a_name_remain() {
        let flags = Flags { bits: 0b1101, names: &[(1, "A"), (2, "B"), (12, "CD")] };
        let (names, rest) = flags.named();
        assert_eq!((names.collect::<Vec<_>>(), rest), (vec!["A", "CD"], 0));
        let (names, rest) = Flags { bits: 0x105, names: &[(1, "A"), (12, "CD")] }.named();
        assert_eq!((names.collect::<Vec<_>>(), rest), (vec!["A"], 0x104));
    }
}
