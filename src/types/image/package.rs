//! Kernel packages: Debian's (ar, with a tar in it), RPM's (cpio), and plain tar archives, as BTFHub has them.

use std::io::{self, Read};

use tar::{Archive, EntryType, PaxExtensions};

use super::about::Image;
use super::budget::{Budget, Stream};
use super::fault::Fault;
use super::names::is_kernel;
use super::unpack::{self, Ending};

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

/// Looks for a kernel among pieces.
struct Search<'a> {
    budget: &'a Budget,
    /// Why none was found, so far.
    fault: Fault,
}

impl<'a> Search<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self { budget, fault: Fault::NoKernel }
    }

    /// The types in a file, if it is a kernel that has some. An error ends the search.
    fn file(&mut self, name: &[u8], size: u64, content: &mut dyn Read) -> Result<Option<Image>, Fault> {
        if !is_kernel(name) || size == 0 {
            return Ok(None);
        }
        match self.budget.read(Box::new(content)) {
            Ok(image) => return Ok(Some(image)),
            // It only has the name of one.
            Err(Fault::NotBtf) => {}
            // The archive itself is damaged.
            Err(fault @ (Fault::EndsEarly | Fault::Unreadable(_))) => return Err(fault),
            // What one file may cost is spent.
            Err(fault) if self.budget.is_spent() => return Err(fault),
            Err(Fault::NoSection) => self.fault = Fault::NoTypes,
            Err(fault) => self.fault = fault,
        }
        Ok(None)
    }
}

/// Pieces of an archive, one after the other.
///
/// ar and cpio are read here: the crate `ar` allocates what a header asks for before there is any of it, and `cpio` takes
/// names of any length, and none that are not UTF-8.
struct Pieces<'a> {
    from: &'a mut dyn Read,
    skipped: u64,
}

impl<'a> Pieces<'a> {
    fn new(from: &'a mut dyn Read) -> Self {
        Self { from, skipped: 0 }
    }

    fn skip(&mut self, size: u64) -> Result<(), Fault> {
        self.skipped = self.skipped.saturating_add(size);
        if self.skipped > SKIPPED {
            return Err(Fault::TooLarge);
        }
        let count = io::copy(&mut (&mut *self.from).take(size), &mut io::sink())?;
        if count < size { Err(Fault::EndsEarly) } else { Ok(()) }
    }

    /// Exactly so many bytes; none at the very end.
    fn bytes(&mut self, size: usize) -> Result<Option<Vec<u8>>, Fault> {
        let mut bytes = Vec::new();
        (&mut *self.from).take(size as u64).read_to_end(&mut bytes)?;
        match bytes.len() {
            0 => Ok(None),
            count if count < size => Err(Fault::EndsEarly),
            _ => Ok(Some(bytes)),
        }
    }
}

fn damaged(format: &'static str) -> Fault {
    Fault::Damaged(format)
}

/// A number in ASCII.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, radix).ok() }
}

/// ar(5): a line of 60 bytes before each file; files begin at even places.
fn deb(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut pieces = Pieces::new(from);
    pieces.skip(8)?;
    while let Some(line) = pieces.bytes(60)? {
        let size = line.get(48..58).and_then(|text| number(text, 10));
        let size = size.filter(|_| line.ends_with(b"`\n")).ok_or_else(|| damaged("ar"))?;
        if line.starts_with(b"data.tar") {
            return budget.read(Box::new((&mut *pieces.from).take(size)));
        }
        pieces.skip(size.checked_next_multiple_of(2).ok_or_else(|| damaged("ar"))?)?;
    }
    Err(Fault::NoKernel)
}

/// tar(5), as POSIX and GNU have it. The entries come as they are, as the crate would hold names of any length in memory.
fn tar(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut from = Ending::new(Box::new(from.take(SKIPPED)));
    match tar_entries(&mut from, budget) {
        Ok(found) => found,
        Err(error) if from.failed.is_some() => Err(error.into()),
        Err(_) if from.ended => Err(Fault::EndsEarly),
        Err(_) => Err(damaged("tar")),
    }
}

/// The types of the first kernel that has some, or why there is none; an error where the archive itself is damaged.
fn tar_entries(from: &mut Ending<'_>, budget: &Budget) -> io::Result<Result<Image, Fault>> {
    let mut search = Search::new(budget);
    let mut long: Option<Vec<u8>> = None;
    let mut archive = Archive::new(from);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            // The next file's name, by GNU or by POSIX.
            kind @ (EntryType::GNULongName | EntryType::XHeader) if entry.size() <= NAME_MAX => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text)?;
                long = match kind {
                    EntryType::XHeader => path(&text),
                    _ => text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec),
                };
            }
            EntryType::Regular => {
                let name = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let size = entry.size();
                match search.file(&name, size, &mut entry) {
                    Ok(None) => {}
                    Ok(Some(image)) => return Ok(Ok(image)),
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            _ => long = None,
        }
    }
    Ok(Err(search.fault))
}

/// The path in an extended header.
fn path(text: &[u8]) -> Option<Vec<u8>> {
    let mut all = PaxExtensions::new(text).map_while(Result::ok);
    all.find(|extension| extension.key_bytes() == b"path").map(|found| found.value_bytes().to_vec())
}

/// What stands before the files: a lead of 96 bytes, and two headers (rpm.org: "RPM V4 Package format").
fn rpm(from: &mut dyn Read) -> Result<(), Fault> {
    let mut pieces = Pieces::new(from);
    pieces.skip(96)?;
    for signature in [true, false] {
        let head = pieces.bytes(16)?.ok_or(Fault::EndsEarly)?;
        let field = |at: usize| Some(u64::from(u32::from_be_bytes(*head.get(at..)?.first_chunk()?)));
        let sizes = field(8).zip(field(12)).filter(|_| head.starts_with(b"\x8e\xad\xe8\x01"));
        let (entries, size) = sizes.ok_or_else(|| damaged("rpm"))?;
        let size = entries * 16 + size;
        pieces.skip(if signature { size.next_multiple_of(8) } else { size })?;
    }
    Ok(())
}

/// cpio(5), the format that it calls new: numbers in hexadecimal, all padded to 4 bytes.
fn cpio(from: &mut dyn Read, budget: &Budget) -> Result<Image, Fault> {
    let mut pieces = Pieces::new(from);
    let mut search = Search::new(budget);
    while let Some(head) = pieces.bytes(110)? {
        let field = |n: usize| head.get(6 + 8 * n..14 + 8 * n).and_then(|text| number(text, 16));
        let known = head.starts_with(b"070701") || head.starts_with(b"070702");
        let (Some(mode), Some(size), Some(length), true) = (field(1), field(6), field(11), known) else {
            return Err(damaged("cpio"));
        };
        if length > NAME_MAX {
            return Err(damaged("cpio"));
        }
        // With the header, a multiple of 4.
        let padded = (110 + length).next_multiple_of(4) - 110;
        let name = pieces.bytes(usize::try_from(padded).unwrap_or(0))?.unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"TRAILER!!!" {
            break;
        }
        let mut content = (&mut *pieces.from).take(size);
        let is_file = mode & 0o170_000 == 0o100_000;
        if is_file && let Some(image) = search.file(name, size, &mut content)? {
            return Ok(image);
        }
        let rest = content.limit() + (size.next_multiple_of(4) - size);
        pieces.skip(rest)?;
    }
    Err(search.fault)
}
