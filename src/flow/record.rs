//! Recordings: the kernel's samples as they came, so that they can be printed again in any format.
//!
//! A file is [`MAGIC`], a header (length-prefixed JSON), then entries: a type byte, a little-endian
//! u32 length, and that many bytes. The last entry marks the recording as complete.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::event::Lost;
use crate::host::clock::WallClock;

/// The first bytes of every recording; the last is the version of the format. Since 3 there are [`Entry::Environ`],
/// [`Entry::Command`] and [`Entry::Symbol`].
pub const MAGIC: &[u8; 8] = b"CORETRC\x03";
/// The oldest version that can be read.
const OLDEST: u8 = 2;
/// Nothing that the kernel sends is longer: a length above it means damage.
const ENTRY_MAX: u32 = 1 << 20;
/// Specs may name some ten thousand functions.
const HEADER_MAX: u32 = 16 << 20;

/// A tracer of a recording, and the layout of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The tracer's name.
    pub name: String,
    /// Hash of its event layouts.
    pub layout: u64,
    /// What it needs to read its events, beside its name: what its options named.
    pub spec: Option<Value>,
}

/// What a recording says of the run that made it, before all samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its tracers.
    pub tracers: Vec<Made>,
    /// Version of coretrace that wrote it.
    pub version: String,
    /// Release of the kernel that it ran on.
    pub kernel: String,
}

/// What a recording is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A sample, as the kernel sent it.
    Sample(&'a [u8]),
    /// The run begins, at that time since boot; the wall clock is this far from the kernel's. (Up to 0.1.0 it was an
    /// [`Entry::Clock`]: when the run began is not known then.)
    Begin(WallClock, u64),
    /// From here on the wall clock is this far from the kernel's.
    Clock(WallClock),
    /// Events were lost here. The names are those of the ledger.
    Lost {
        /// The kind's number.
        kind: u32,
        /// Index into [`crate::event::CAUSES`].
        cause: u32,
        /// Where they were lost.
        cpu: u32,
        /// How many.
        count: u64,
        /// When the loss was noticed, in nanoseconds since 1970.
        unix_ns: i64,
    },
    /// What is known of a call in a stack: see [`crate::flow::enrich::Stacks::take_recorded`].
    Calls(&'a [u8]),
    /// The name of a user, or what is known of a cgroup: see [`crate::flow::enrich::Resolver::take_recorded`].
    Names(&'a [u8]),
    /// With what the program of a process was started: see [`crate::flow::enrich::Environs::take_recorded`].
    Environ { pid: u32, program: u64, bytes: &'a [u8] },
    /// CMD is this process, whose events come now.
    Command(u32),
    /// An address of the kernel is so far behind the beginning of that symbol.
    Symbol { address: u64, offset: u64, name: &'a str },
    /// The recording is complete: the run was over at that time since boot. (None: of 0.1.0 or before.)
    End(Option<u64>),
}

const SAMPLE: u8 = 1;
const CLOCK: u8 = 2;
const LOST: u8 = 3;
const END: u8 = 4;
const CALLS: u8 = 5;
const NAMES: u8 = 6;
const ENVIRON: u8 = 7;
const COMMAND: u8 = 8;
const SYMBOL: u8 = 9;

/// Writes a recording: its header when it is made, then an entry for each call.
#[derive(Debug)]
pub struct Recorder<W: Write>(W);

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let made =
            |made: &Made| json!({ "name": made.name, "layout": format!("{:#018x}", made.layout), "spec": made.spec });
        let text = json!({
            "tracers": header.tracers.iter().map(made).collect::<Vec<_>>(),
            "version": header.version,
            "kernel": header.kernel,
        })
        .to_string();
        out.write_all(MAGIC)?;
        out.write_all(&(text.len() as u32).to_le_bytes())?;
        out.write_all(text.as_bytes())?;
        Ok(Recorder(out))
    }

    fn entry(&mut self, what: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        self.0.write_all(&[what])?;
        self.0.write_all(&(len as u32).to_le_bytes())?;
        parts.iter().try_for_each(|part| self.0.write_all(part))
    }

    /// Adds a record as the kernel sent it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sample(&mut self, sample: &[u8]) -> io::Result<()> {
        self.entry(SAMPLE, &[sample])
    }

    /// Records when the run began, since boot, and how far the wall clock was from the kernel's. (Those who know nothing of
    /// it read an entry of the clock.)
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self, clock: WallClock, boot_ns: u64) -> io::Result<()> {
        self.entry(CLOCK, &[&clock.offset.to_le_bytes(), &boot_ns.to_le_bytes()])
    }

    /// Records how far the wall clock is from the kernel's from here on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn clock(&mut self, clock: WallClock) -> io::Result<()> {
        self.entry(CLOCK, &[&clock.offset.to_le_bytes()])
    }

    /// Records a loss.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn lost(&mut self, kind: u32, cause: u32, lost: &Lost) -> io::Result<()> {
        let numbers = [kind.to_le_bytes(), cause.to_le_bytes(), lost.cpu.to_le_bytes()];
        self.entry(LOST, &[numbers.as_flattened(), &lost.count.to_le_bytes(), &lost.unix_ns.to_le_bytes()])
    }

    /// Adds what is known of a call, before the first sample whose stack has it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn calls(&mut self, calls: &str) -> io::Result<()> {
        self.entry(CALLS, &[calls.as_bytes()])
    }

    /// Adds what is known of a user or a cgroup, before the first sample of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn names(&mut self, names: &[u8]) -> io::Result<()> {
        self.entry(NAMES, &[names])
    }

    /// Adds with what the program of a process was started, before the first sample that needs it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn environ(&mut self, pid: u32, program: u64, bytes: &[u8]) -> io::Result<()> {
        self.entry(ENVIRON, &[&pid.to_le_bytes(), &program.to_le_bytes(), bytes])
    }

    /// Adds the name of an address of the kernel, before the first sample that shows it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn symbol(&mut self, address: u64, offset: u64, name: &str) -> io::Result<()> {
        self.entry(SYMBOL, &[&address.to_le_bytes(), &offset.to_le_bytes(), name.as_bytes()])
    }

    /// Records which process CMD is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn command(&mut self, pid: u32) -> io::Result<()> {
        self.entry(COMMAND, &[&pid.to_le_bytes()])
    }

    /// Flushes what is still in a buffer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    /// Marks the recording as complete: the run was over at that time since boot.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self, boot_ns: Option<u64>) -> io::Result<()> {
        self.entry(END, &[boot_ns.map(u64::to_le_bytes).as_ref().map_or(&[], |bytes| bytes)])?;
        self.0.flush()
    }
}

/// Reads a recording, an entry at a time.
#[derive(Debug)]
pub struct Reader<R: Read> {
    input: R,
    buffer: Vec<u8>,
    /// Who wrote it.
    pub header: Header,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the file is no recording, or ends within its header.
    pub fn new(mut input: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        let count = read_up_to(&mut input, &mut magic)?;
        ensure!(magic.get(..7) == MAGIC.get(..7) && count == magic.len(), "this is not a recording of coretrace");
        let [.., version] = magic;
        let [.., newest] = *MAGIC;
        ensure!(
            (OLDEST..=newest).contains(&version),
            "this recording is of another version of the format ({version}; this coretrace reads {OLDEST} to {newest}): \
             use the coretrace that made it"
        );
        let mut buffer = Vec::new();
        let len = u32::from_le_bytes(exact(&mut input)?.context("the recording ends in its header")?);
        ensure!(len <= HEADER_MAX, "the recording's header is damaged: it claims {len} bytes");
        buffer.resize(len as usize, 0);
        ensure!(read_up_to(&mut input, &mut buffer)? == buffer.len(), "the recording ends in its header");
        let json: Value = serde_json::from_slice(&buffer).context("the recording's header is damaged")?;
        let tracers = json.get("tracers").and_then(Value::as_array).context("the recording's header has no tracers")?;
        let header = Header {
            tracers: tracers.iter().map(made).collect::<Result<_>>()?,
            version: text(&json, "version")?,
            kernel: text(&json, "kernel")?,
        };
        Ok(Reader { input, buffer, header })
    }

    /// The next entry.
    ///
    /// # Errors
    /// When the file ends without its end mark, or an entry is damaged.
    pub fn entry(&mut self) -> Result<Entry<'_>> {
        const CUT: &str = "the recording is cut: it has no end mark (all before that was printed)";
        let head: [u8; 5] = exact(&mut self.input)?.context(CUT)?;
        let [what, len @ ..] = head;
        let len = u32::from_le_bytes(len);
        ensure!(len <= ENTRY_MAX, "the recording is damaged: an entry claims {len} bytes");
        self.buffer.resize(len as usize, 0);
        ensure!(read_up_to(&mut self.input, &mut self.buffer)? == self.buffer.len(), CUT);
        let bytes = self.buffer.as_slice();
        let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        Ok(match what {
            SAMPLE => Entry::Sample(bytes),
            CLOCK => {
                let offset = long(0).context("the recording is damaged: a clock entry is too short")?;
                let clock = WallClock { offset: offset.cast_signed() };
                long(8).map_or(Entry::Clock(clock), |boot_ns| Entry::Begin(clock, boot_ns))
            }
            LOST => (|| {
                let unix_ns = long(20)?.cast_signed();
                Some(Entry::Lost { kind: word(0)?, cause: word(4)?, cpu: word(8)?, count: long(12)?, unix_ns })
            })()
            .context("the recording is damaged: a loss entry is too short")?,
            CALLS => Entry::Calls(bytes),
            NAMES => Entry::Names(bytes),
            ENVIRON => (|| Some(Entry::Environ { pid: word(0)?, program: long(4)?, bytes: bytes.get(12..)? }))()
                .context("the recording is damaged: an entry of an environment is too short")?,
            COMMAND => Entry::Command(word(0).context("the recording is damaged: the command's entry is too short")?),
            SYMBOL => (|| {
                let name = std::str::from_utf8(bytes.get(16..)?).ok()?;
                Some(Entry::Symbol { address: long(0)?, offset: long(8)?, name })
            })()
            .context("the recording is damaged: an entry of a symbol makes no sense")?,
            END => Entry::End(long(0)),
            other => bail!("the recording is damaged: an entry is of the unknown type {other}"),
        })
    }
}

/// A tracer out of a header.
fn made(json: &Value) -> Result<Made> {
    let layout = text(json, "layout")?;
    let layout = layout.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    Ok(Made {
        name: text(json, "name")?,
        layout: layout.context("the recording's header has a damaged layout")?,
        spec: json.get("spec").filter(|spec| !spec.is_null()).cloned(),
    })
}

fn text(json: &Value, name: &str) -> Result<String> {
    let value = json.get(name).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("the recording's header has no {name}"))
}

/// Fills the buffer as far as the input allows.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|r| !r.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(n) => count += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).context("reading the recording"),
        }
    }
    Ok(count)
}

/// The next `N` bytes, or nothing if the input ends before.
fn exact<const N: usize>(input: &mut impl Read) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    Ok((read_up_to(input, &mut bytes)? == N).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let made = |name: &str, spec: Option<Value>| Made { name: name.into(), layout: 7, spec };
        let tracers = vec![made("proc", None), made("probe", Some(json!({ "kind": 32 })))];
        Header { tracers, version: "1".into(), kernel: "6.1".into() }
    }

    fn recording() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut recorder = Recorder::new(&mut bytes, &header()).unwrap();
        recorder.begin(WallClock { offset: -4 }, 3).unwrap();
        recorder.clock(WallClock { offset: -5 }).unwrap();
        recorder.names(b"{}").unwrap();
        recorder.command(6).unwrap();
        recorder.environ(7, 8, b"A=1\0").unwrap();
        recorder.symbol(9, 10, "do_it").unwrap();
        recorder.sample(b"abc").unwrap();
        recorder.lost(3, 1, &Lost { unix_ns: -8, class: "x".into(), cause: "y", count: 9, cpu: 2 }).unwrap();
        recorder.end(Some(12)).unwrap();
        bytes
    }

    fn read_all(bytes: &[u8]) -> (usize, Result<()>) {
        let mut reader = match Reader::new(bytes) {
            Ok(reader) => reader,
            Err(e) => return (0, Err(e)),
        };
        for n in 0.. {
            match reader.entry() {
                Ok(Entry::End(_)) => return (n, Ok(())),
                Ok(_) => {}
                Err(e) => return (n, Err(e)),
            }
        }
        unreachable!()
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = recording();
        let mut reader = Reader::new(bytes.as_slice()).unwrap();
        assert_eq!(reader.header, header());
        assert_eq!(reader.entry().unwrap(), Entry::Begin(WallClock { offset: -4 }, 3));
        assert_eq!(reader.entry().unwrap(), Entry::Clock(WallClock { offset: -5 }));
        assert_eq!(reader.entry().unwrap(), Entry::Names(b"{}"));
        assert_eq!(reader.entry().unwrap(), Entry::Command(6));
        assert_eq!(reader.entry().unwrap(), Entry::Environ { pid: 7, program: 8, bytes: b"A=1\0" });
        assert_eq!(reader.entry().unwrap(), Entry::Symbol { address: 9, offset: 10, name: "do_it" });
        assert_eq!(reader.entry().unwrap(), Entry::Sample(b"abc"));
        assert_eq!(reader.entry().unwrap(), Entry::Lost { kind: 3, cause: 1, cpu: 2, count: 9, unix_ns: -8 });
        assert_eq!(reader.entry().unwrap(), Entry::End(Some(12)));
    }

    #[test]
    fn what_does_not_say_when_it_was_over_is_complete_all_the_same() {
        let mut bytes = Vec::new();
        Recorder::new(&mut bytes, &header()).unwrap().end(None).unwrap();
        assert_eq!(Reader::new(bytes.as_slice()).unwrap().entry().unwrap(), Entry::End(None));
    }

    #[test]
    fn a_recording_cut_anywhere_is_an_error_after_what_it_has() {
        let bytes = recording();
        let whole = read_all(&bytes);
        assert!(whole.0 == 8 && whole.1.is_ok());
        for cut in 0..bytes.len() {
            let (entries, result) = read_all(&bytes[..cut]);
            assert!(entries <= 8);
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("cut") || error.contains("header") || error.contains("not a recording"), "{error}");
        }
    }

    #[test]
    fn a_foreign_file_is_an_error() {
        let foreign = format!("{:#}", read_all(b"#!/bin/sh\necho hello\n").1.unwrap_err());
        assert!(foreign.contains("not a recording"), "{foreign}");
        let mut newer = recording();
        newer[7] += 1;
        assert!(format!("{:#}", read_all(&newer).1.unwrap_err()).contains("another version"));
        newer[7] = OLDEST;
        read_all(&newer).1.unwrap();
    }

    #[test]
    fn damage_anywhere_is_no_panic() {
        let bytes = recording();
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = read_all(&damaged);
            }
        }
    }
}
