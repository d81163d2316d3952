//! Kernel packages: Debian's (ar, with a tar in it), RPM's (cpio), and plain tar archives, as BTFHub has them.

use std::io::{self, Read};

use super::about::Image;
use super::budget::{Budget, Stream};
use super::fault::Fault;
use super::names::is_kernel;
use super::unpack;

/// What a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Deb,
    Rpm,
    Tar,
}

/// What it begins like.
pub(super) fn kind(head: &[u8]) -> Option<Kind> {
    if head.starts_with(b"!<arch>\n") {
        Some(Kind::Deb)
    } else if head.starts_with(b"\xed\xab\xee\xdb") {
        Some(Kind::Rpm)
    } else if head.get(257..262) == Some(b"ustar") {
        Some(Kind::Tar)
    } else {
        None
    }
}

/// The most that is read past.
const SKIPPED: u64 = 8 << 30;
/// The longest name of a file.
const NAME_MAX: u64 = 4096;

/// Reads the types of the first kernel in it that has some.
pub(super) fn read(kind: Kind, mut from: Stream<'_>, budget: &Budget) -> Result<Image, Fault> {
    match kind {
        Kind::Deb => deb(&mut from, budget),
        Kind::Tar => tar(&mut from, budget),
        Kind::Rpm => {
            rpm(&mut from)?;
            let mut head = Vec::new();
            (&mut from).take(8).read_to_end(&mut head)?;
            let format = unpack::format(&head);
            let from: Stream<'_> = Box::new(io::Cursor::new(head).chain(from));
            let mut from = match format {
                Some(format) => unpack::unpack(format, from, budget).map_err(Fault::Packed)?,
                None => from,
            };
            cpio(&mut from, budget)
        }
    }
}

/// Files of an archive, one after the other.
struct Files<'a> {
    from: &'a mut dyn Read,
    skipped: u64,
    /// Why a kernel in it did not do.
    fault: Fault,
}

impl<'a> Files<'a> {
    fn new(from: &'a mut dyn Read) -> Self {
        Self { from, skipped: 0, fault: Fault::NoKernel }
    }

    fn skip(&mut self, size: u64) -> Result<(), Fault> {
        self.skipped = self.skipped.saturating_add(size);
        if self.skipped > SKIPPED {
            return Err(Fault::TooLarge);
        }
        let got = io::copy(&mut (&mut *self.from).take(size), &mut io::sink())?;
        if got < size { Err(Fault::EndsEarly) } else { Ok(()) }
    }

    /// Exactly so many bytes; none at the very end.
    fn bytes(&mut self, size: usize) -> Result<Option<Vec<u8>>, Fault> {
        let mut bytes = Vec::new();
        (&mut *self.from).take(size as u64).read_to_end(&mut bytes)?;
        match bytes.len() {
            0 => Ok(None),
            got if got < size => Err(Fault::EndsEarly),
            _ => Ok(Some(bytes)),
        }
    }

    /// A file of `size` bytes, and `padded` with what follows it: a kernel, if it is one that has types.
    fn file(&mut self, name: &[u8], size: u64, padded: u64, budget: &Budget) -> Result<Option<Image>, Fault> {
        if !is_kernel(name) || size == 0 {
            self.skip(padded)?;
            return Ok(None);
        }
        let mut file = (&mut *self.from).take(size);
        match budget.read(Box::new(&mut file)) {
            Ok(image) => return Ok(Some(image)),
            // The name told it wrong.
            Err(Fault::NotBtf) => {}
            // The archive itself is no good.
            Err(fault @ (Fault::EndsEarly | Fault::Unreadable(_))) => return Err(fault),
            // What one file may cost is spent.
            Err(fault) if budget.is_spent() => return Err(fault),
            Err(Fault::NoSection) => self.fault = Fault::NoTypes,
            Err(fault) => self.fault = fault,
        }
        let rest = file.limit();
        self.skip(rest.saturating_add(padded - size))?;
        Ok(None)
    }
}

fn spoiled(format: &'static str) -> Fault {
    Fault::Spoiled(format)
}

/// A number in ASCII.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, radix).ok() }
}

/// ar(5): a line of 60 bytes before each file; files begin at even places.
fn deb(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut files = Files::new(from);
    files.skip(8)?;
    while let Some(line) = files.bytes(60)? {
        let size = line.get(48..58).and_then(|text| number(text, 10));
        let size = size.filter(|_| line.ends_with(b"`\n")).ok_or_else(|| spoiled("ar"))?;
        if line.starts_with(b"data.tar") {
            return budget.read(Box::new((&mut *files.from).take(size)));
        }
        files.skip(size.checked_next_multiple_of(2).ok_or_else(|| spoiled("ar"))?)?;
    }
    Err(Fault::NoKernel)
}

/// tar(5), as POSIX and GNU have it.
fn tar(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut files = Files::new(from);
    let mut long: Option<Vec<u8>> = None;
    while let Some(head) = files.bytes(512)?.filter(|head| head.first() != Some(&0)) {
        let part = |from: usize, to: usize| {
            head.get(from..to).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default()
        };
        let damaged = || spoiled("tar");
        let sum: u64 =
            head.iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { 32 } else { u64::from(*b) }).sum();
        if number(part(148, 156), 8) != Some(sum) {
            return Err(damaged());
        }
        let size = number(part(124, 136), 8).ok_or_else(damaged)?;
        let padded = size.checked_next_multiple_of(512).ok_or_else(damaged)?;
        match head.get(156) {
            // The next file's name, by GNU or by POSIX.
            Some(kind @ (b'L' | b'x')) if size <= NAME_MAX => {
                let text = files.bytes(usize::try_from(padded).unwrap_or(0))?.unwrap_or_default();
                long =
                    if *kind == b'L' { text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec) } else { path(&text) };
            }
            Some(b'0' | b'\0') => {
                let name = long.take().unwrap_or_else(|| part(0, 100).to_vec());
                if let Some(image) = files.file(&name, size, padded, budget)? {
                    return Ok(image);
                }
            }
            _ => {
                long = None;
                files.skip(padded)?;
            }
        }
    }
    Err(files.fault)
}

/// The path in an extended header: lines of `LENGTH path=VALUE`.
fn path(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n');
    let mut paths = lines.filter_map(|line| line.splitn(2, |byte| *byte == b' ').nth(1)?.strip_prefix(b"path="));
    paths.next().map(<[u8]>::to_vec)
}

/// What stands before the files: a lead of 96 bytes, and two headers (rpm.org: "RPM V4 Package format").
fn rpm(from: &mut dyn Read) -> Result<(), Fault> {
    let mut files = Files::new(from);
    files.skip(96)?;
    for signature in [true, false] {
        let head = files.bytes(16)?.ok_or(Fault::EndsEarly)?;
        let field = |at: usize| Some(u64::from(u32::from_be_bytes(*head.get(at..)?.first_chunk()?)));
        let sizes = field(8).zip(field(12)).filter(|_| head.starts_with(b"\x8e\xad\xe8\x01"));
        let (entries, size) = sizes.ok_or_else(|| spoiled("rpm"))?;
        let size = entries * 16 + size;
        files.skip(if signature { size.next_multiple_of(8) } else { size })?;
    }
    Ok(())
}

/// cpio(5), the format that it calls new: numbers in hexadecimal, all padded to 4 bytes.
fn cpio(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut files = Files::new(from);
    while let Some(head) = files.bytes(110)? {
        let field = |n: usize| head.get(6 + 8 * n..14 + 8 * n).and_then(|text| number(text, 16));
        let known = head.starts_with(b"070701") || head.starts_with(b"070702");
        let (Some(mode), Some(size), Some(length), true) = (field(1), field(6), field(11), known) else {
            return Err(spoiled("cpio"));
        };
        if length > NAME_MAX {
            return Err(spoiled("cpio"));
        }
        // With the header, a multiple of 4.
        let padded = (110 + length).next_multiple_of(4) - 110;
        let name = files.bytes(usize::try_from(padded).unwrap_or(0))?.unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"TRAILER!!!" {
            break;
        }
        let is_file = mode & 0o170_000 == 0o100_000;
        let padded = size.next_multiple_of(4);
        let found =
            if is_file { files.file(name, size, padded, budget)? } else { files.skip(padded).map(|()| None)? };
        if let Some(image) = found {
            return Ok(image);
        }
    }
    Err(files.fault)
}
