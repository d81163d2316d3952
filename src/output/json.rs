//! JSON: one object a line, for programs. Always valid UTF-8; no byte of what was traced is lost.
//!
//! Keys are in column order: the head's, then the fields. Where bytes are not UTF-8, `NAME` is the readable form (U+FFFD for
//! what is not) and `NAME_b64` beside it has all of them, in base64. Numbers are integers of up to 64 bits, also above
//! 2^53, where a reader that makes them floating-point loses digits.
//!
//! What a terminal obeys or hides is written as `\uXXXX`: the same string to a program, and harmless to a reader.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

use arrayvec::ArrayString;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::clock::{Clock, Style};
use super::{ErrnoName, Format, Octal, SignalName};
use crate::escape::is_visible;
use crate::event::{Event, Flags, List, Lost, Path, Shape, Value};

/// Writes events as JSON lines.
#[derive(Debug)]
pub struct Json {
    line: Vec<u8>,
    path: Vec<u8>,
    clock: Clock,
}

impl Default for Json {
    fn default() -> Self {
        Json { line: Vec::with_capacity(1024), path: Vec::new(), clock: Clock::new(Style::Rfc3339, 9) }
    }
}

impl Json {
    fn object(&mut self, event: &Event<'_>) -> serde_json::Result<()> {
        let head = &event.head;
        self.begin(&event.kind.name, head.unix_ns);
        self.uint(",\"boot_ns\":", head.boot_ns);
        self.uint(",\"cpu\":", head.cpu);
        self.uint(",\"seq\":", head.seq);
        self.uint(",\"pid\":", head.pid);
        self.uint(",\"tid\":", head.tid);
        self.uint(",\"ppid\":", head.ppid);
        self.uint(",\"uid\":", head.uid);
        self.uint(",\"gid\":", head.gid);
        let mut json = serde_json::Serializer::with_formatter(&mut self.line, Rest);
        let mut map = json.serialize_map(None)?;
        bytes(&mut map, "comm", head.comm())?;
        if !event.label.is_empty() {
            bytes(&mut map, "label", event.label)?;
        }
        map.serialize_entry("cgroup_id", &head.cgroup_id)?;
        for (name, value) in &event.fields {
            field(&mut map, name, value, &mut self.path)?;
        }
        SerializeMap::end(map)
    }

    fn lost_object(&mut self, lost: &Lost) -> serde_json::Result<()> {
        self.begin(LOST, lost.unix_ns);
        let mut json = serde_json::Serializer::with_formatter(&mut self.line, Rest);
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("class", &lost.class)?;
        map.serialize_entry("cause", lost.cause)?;
        map.serialize_entry("count", &lost.count)?;
        map.serialize_entry("cpu", &lost.cpu)?;
        SerializeMap::end(map)
    }

    /// The beginning that every line has, by hand: half of an event is its head, and serde takes twice as long for it.
    /// A kind is named by us and needs no escaping.
    fn begin(&mut self, kind: &str, unix_ns: i64) {
        self.line.clear();
        for part in ["{\"kind\":\"", kind, "\",\"time\":\"", self.clock.spell(unix_ns), "\""] {
            self.line.extend_from_slice(part.as_bytes());
        }
    }

    fn uint(&mut self, key: &str, number: impl itoa::Integer) {
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line.push(b'\n');
        out.write_all(&self.line)
    }
}

impl Format for Json {
    /// Every line names its values, so there is none.
    fn header(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, out: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
        self.object(event)?;
        self.write(out)
    }

    fn lost(&mut self, out: &mut dyn Write, lost: &Lost) -> io::Result<()> {
        self.lost_object(lost)?;
        self.write(out)
    }
}

/// The `kind` of a loss.
pub(super) const LOST: &str = "lost";

/// What a shape adds to the name of its field.
pub(super) fn suffix(shape: Shape) -> &'static str {
    match shape {
        Shape::Size => "_bytes",
        Shape::Span => "_ns",
        Shape::Uint | Shape::Pid | Shape::Code | Shape::Signal | Shape::Ret | Shape::Mode | Shape::Bool => "",
        Shape::Str | Shape::Path | Shape::List | Shape::Flags => "",
    }
}

fn field<M: SerializeMap>(map: &mut M, name: &str, value: &Value<'_>, buffer: &mut Vec<u8>) -> Result<(), M::Error> {
    match value {
        Value::Uint(n) => map.serialize_entry(name, n),
        Value::Pid(n) | Value::Code(n) => map.serialize_entry(name, n),
        Value::Signal(n) => map.serialize_entry(name, &Shown(SignalName(*n))),
        Value::Ret(n) => ret(map, name, *n),
        Value::Mode(bits) => map.serialize_entry(name, &Shown(Octal(*bits))),
        Value::Bool(yes) => map.serialize_entry(name, yes),
        Value::Size(n) | Value::Span(n) => map.serialize_entry(&Key(name, suffix(value.shape())), n),
        Value::Str(value) => bytes(map, name, value),
        Value::Path(value) => path(map, name, value, buffer),
        Value::List(value) => list(map, name, value),
        Value::Flags(value) => map.serialize_entry(name, &Names(value)),
        Value::Unreadable(shape) => map.serialize_entry(&Key(name, suffix(*shape)), &()),
    }
}

fn bytes<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(name, &Readable(bytes))?;
    if str::from_utf8(bytes).is_err() {
        map.serialize_entry(&Key(name, "_b64"), &Base64(bytes))?;
    }
    Ok(())
}

fn ret<M: SerializeMap>(map: &mut M, name: &str, ret: i64) -> Result<(), M::Error> {
    map.serialize_entry(name, &ret)?;
    if ret < 0 {
        map.serialize_entry("errno", &Shown(ErrnoName(ret)))?;
    }
    Ok(())
}

/// The last part of a path that is longer than what fits has no slash before it: it is not a path from the root.
fn path<M: SerializeMap>(map: &mut M, name: &str, path: &Path<'_>, buffer: &mut Vec<u8>) -> Result<(), M::Error> {
    buffer.clear();
    path.append_to(buffer);
    bytes(map, name, buffer)?;
    if path.deleted {
        map.serialize_entry(&Key(name, "_deleted"), &true)?;
    }
    if path.truncated || path.end_truncated {
        map.serialize_entry(&Key(name, "_truncated"), &true)?;
    }
    if path.outside {
        map.serialize_entry(&Key(name, "_unreachable"), &true)?;
    }
    Ok(())
}

fn list<M: SerializeMap>(map: &mut M, name: &str, list: &List<'_>) -> Result<(), M::Error> {
    // The NULs between the items are valid, so the whole is as valid as each.
    match str::from_utf8(list.bytes) {
        Ok(text) => map.serialize_entry(name, &Strings(text))?,
        Err(_) => {
            map.serialize_entry(name, &Items(list, Readable))?;
            map.serialize_entry(&Key(name, "_b64"), &Items(list, Base64))?;
        }
    }
    let total = Some(list.total).filter(|total| *total != List::UNKNOWN);
    map.serialize_entry(&Key(name, "_bytes"), &total)?;
    if list.truncated() {
        map.serialize_entry(&Key(name, "_truncated"), &true)?;
    }
    Ok(())
}

/// A name and what is added to it.
struct Key<'a>(&'a str, &'static str);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key(name, "") => serializer.serialize_str(name),
            Key(name, suffix) => {
                let mut key = ArrayString::<64>::new();
                match key.try_push_str(name).and_then(|()| key.try_push_str(suffix)) {
                    Ok(()) => serializer.serialize_str(&key),
                    Err(_) => serializer.collect_str(&format_args!("{name}{suffix}")),
                }
            }
        }
    }
}

/// Bytes as a string, U+FFFD for what is not UTF-8.
struct Readable<'a>(&'a [u8]);

impl Serialize for Readable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_str(self),
        }
    }
}

impl Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Bytes in base64.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// What is shown, as a string.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The strings of a list that is UTF-8 as a whole (which is quicker than to look at each).
struct Strings<'a>(&'a str);

impl Serialize for Strings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = if self.0.is_empty() { 0 } else { usize::MAX };
        serializer.collect_seq(self.0.strip_suffix('\0').unwrap_or(self.0).split('\0').take(count))
    }
}

/// The strings of a list, each in that form.
struct Items<'a, F>(&'a List<'a>, F);

impl<'a, T: Serialize, F: Fn(&'a [u8]) -> T> Serialize for Items<'a, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

/// The names of flags, then what has none, in hex.
struct Names<'a>(&'a Flags);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (names, rest) = self.0.named();
        let mut seq = serializer.serialize_seq(None)?;
        for name in names {
            seq.serialize_element(name)?;
        }
        if rest != 0 {
            seq.serialize_element(&Shown(format_args!("{rest:#x}")))?;
        }
        seq.end()
    }
}

/// The rest of an object that is begun by hand: compact JSON in which what a terminal obeys or hides is escaped. JSON itself
/// only asks for that below U+0020, but lines are also looked at. (There is one object a line: none is within another.)
#[derive(Debug, Clone, Copy)]
struct Rest;

impl serde_json::ser::Formatter for Rest {
    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, _first: bool) -> io::Result<()> {
        out.write_all(b",")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment.as_bytes()) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_visible(*c)) {
            let (shown, hidden) = rest.split_at(at);
            out.write_all(shown.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = hidden.get(c.len_utf8()..).unwrap_or_default();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Whether all bytes are below DEL, eight at a time: adding one carries into the top bit from DEL on.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let (chunks, rest) = bytes.as_chunks();
    let words = chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk));
    let tops = words.fold(0, |tops, word| tops | word | word.wrapping_add(ONES));
    tops & TOPS == 0 && rest.iter().all(|b| *b < 0x7f)
}
