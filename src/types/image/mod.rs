//! Types of a kernel (BTF) out of files of any kind: raw, ELF, kernel images, kernel packages, also compressed.
//!
//! What a file is, its content says, never its name. Nothing is held in memory but the part that is looked for, and
//! no file can make that more than a kernel needs.

mod boot;
pub(crate) mod elf;
mod fault;
mod package;
mod raw;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod samples;
mod unpack;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;

use nix::fcntl::OFlag;

pub use self::fault::Fault;
pub(crate) use self::raw::check as check_raw;

/// Bytes that say what a file is: those of x86's setup header are at 0x202.
const HEAD: usize = 1024;
/// The largest types: those of today's kernels have 3 to 10 MB.
const TYPES_MAX: usize = 64 << 20;
/// How deep things are packed: a package, its archive, a kernel image, the kernel in it …
const DEPTH: u32 = 10;

/// Types, and of which kernel they are.
#[derive(Debug)]
pub(crate) struct Image {
    /// The bytes of the BTF.
    pub btf: Vec<u8>,
    pub about: About,
    /// The types that a module brings along of what it was built against.
    pub base: Option<Vec<u8>>,
}

/// What an image says of the kernel that it is of; raw BTF says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// As `uname -r` has it.
    pub release: Option<String>,
    /// The linker's hash of it all.
    pub build_id: Option<Vec<u8>>,
    /// Its architecture.
    pub machine: Option<&'static str>,
    /// It is a module's, whose types go on where the kernel's end.
    pub module: bool,
}

/// A file, or what comes out of one.
type Stream<'a> = Box<dyn Read + 'a>;

/// What reading one file may still cost, whatever is packed in it, and how often.
#[derive(Debug, Clone)]
pub(super) struct Room {
    depth: u32,
    /// Bytes that may yet come out of what is packed.
    unpacked: Rc<Cell<u64>>,
    /// Bytes of images that may yet be in memory at once.
    images: Rc<Cell<usize>>,
    /// How many decoders with large memories are at work.
    windows: Rc<Cell<u32>>,
}

impl Room {
    /// For a file of this size. Kernels and their packages unpack to four to eight times of what they are, in two layers;
    /// a file that is made up, to a thousand times in each.
    fn new(size: u64) -> Self {
        let unpacked = size.saturating_mul(16).saturating_add(128 << 20);
        Self {
            depth: DEPTH,
            unpacked: Rc::new(Cell::new(unpacked)),
            images: Rc::new(Cell::new(boot::SIZE_MAX)),
            windows: Rc::default(),
        }
    }

    fn deeper(&self, most: u32) -> Result<Self, Fault> {
        let depth = self.depth.min(most).checked_sub(1).ok_or(Fault::TooLarge)?;
        Ok(Self { depth, ..self.clone() })
    }

    fn is_spent(&self) -> bool {
        self.unpacked.get() == 0
    }
}

/// Reads the types out of a file.
///
/// # Errors
/// When there are none.
pub(crate) fn read(path: &Path) -> Result<Image, Fault> {
    let regular = |about: fs::Metadata| match about.is_file() {
        true => Ok(about.len()),
        false => Err(Fault::Unreadable(io::Error::other("not a regular file"))),
    };
    // Asked before: opening a device may do something; and after, when it is sure what it is. A FIFO would never end.
    regular(fs::metadata(path)?)?;
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let size = regular(file.metadata()?)?;
    let part = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        let mut got = 0;
        while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at.saturating_add(got as u64)) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    };
    let head = part(0, HEAD)?;
    if head.starts_with(elf::MAGIC) {
        return elf::read(&part, Some(size));
    }
    if raw::is_btf(&head) {
        // The kernel says that its own has a size, and others do not.
        raw::check(&head, size)?;
        let btf = part(0, usize::try_from(size).ok().filter(|size| *size <= TYPES_MAX).ok_or(Fault::TooLarge)?)?;
        raw::check(&btf, btf.len() as u64)?;
        return Ok(Image { about: raw::about(&btf), btf, base: None });
    }
    stream(Box::new(BufReader::new(file)), &Room::new(size))
}

/// Whether a file of this name may be a kernel, or hold one: what is in a directory that is gone through.
pub(crate) fn may_be_kernel(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Some(name) = path.file_name() else { return false };
    let text = name.to_string_lossy();
    package::is_kernel(name.as_bytes()) || text.contains(".btf") || [".deb", ".rpm"].iter().any(|e| text.ends_with(e))
}

/// Whether it is called like a kernel module: thousands of them lie beside a kernel.
pub(crate) fn is_module(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz", ".ko.debug"].iter().any(|end| name.ends_with(end))
}

/// Reads the types out of bytes.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Image, Fault> {
    stream(Box::new(bytes), &Room::new(bytes.len() as u64))
}

/// Reads the types out of what is inside of something.
fn stream(mut from: Stream<'_>, room: &Room) -> Result<Image, Fault> {
    let room = &room.deeper(DEPTH)?;
    let mut head = Vec::new();
    (&mut from).take(HEAD as u64).read_to_end(&mut head)?;
    let mut from: Stream<'_> = Box::new(Cursor::new(head.clone()).chain(from));
    if head.starts_with(elf::MAGIC) {
        return elf::stream(from);
    }
    if raw::is_btf(&head) {
        let btf = whole(&mut from, TYPES_MAX)?;
        raw::check(&btf, btf.len() as u64)?;
        return Ok(Image { about: raw::about(&btf), btf, base: None });
    }
    if boot::is_image(&head) {
        // It stays in memory while what is in it is read: an image in an image, and no more.
        let before = room.images.get();
        let image = whole(&mut from, before)?;
        room.images.set(before - image.len());
        let found = boot::read(&image, &room.deeper(4)?);
        room.images.set(before);
        return found;
    }
    if let Some(format) = unpack::format(&head) {
        return stream(unpack::unpack(format, from, room).map_err(Fault::Packed)?, room);
    }
    match package::kind(&head) {
        Some(kind) => package::read(kind, from, room),
        None => Err(Fault::NotBtf),
    }
}

/// All that there is, if it is not more than that.
fn whole(from: &mut dyn Read, max: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max { Err(Fault::TooLarge) } else { Ok(bytes) }
}

/// The release in a kernel's banner (init/version-timestamp.c): `Linux version 6.1.0-50-cloud-amd64 (…`.
fn release(rodata: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let mut rest = rodata;
    while let Some(at) = find(rest, BANNER) {
        rest = rest.get(at + BANNER.len()..)?;
        let word = rest.get(..rest.len().min(65))?.split(|byte| *byte == b' ').next()?;
        if word.first().is_some_and(u8::is_ascii_digit) && word.len() <= 64 && word.iter().all(u8::is_ascii_graphic) {
            return String::from_utf8(word.to_vec()).ok();
        }
    }
    None
}

/// Where it is, the first time.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == first)?;
        if text.get(at..)?.starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
