//! Looks what a file is, or what comes out of one, and reads the types out of that.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::about::Image;
use super::budget::{Budget, DEPTH, Stream, TYPES_MAX};
use super::fault::Fault;
use super::{boot, elf, package, raw, unpack};

/// Bytes that say what a file is: those of x86's setup header are at 0x202.
pub(super) const HEAD: usize = 1024;

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
        let mut count = 0;
        while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at.saturating_add(count as u64)) {
                Ok(0) => break,
                Ok(n) => count += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(count);
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
    stream(Box::new(BufReader::new(file)), &Budget::new(size, stream))
}

/// Reads the types out of bytes.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Image, Fault> {
    stream(Box::new(bytes), &Budget::new(bytes.len() as u64, stream))
}

/// Reads the types out of what is inside of something.
fn stream(mut from: Stream<'_>, budget: &Budget) -> Result<Image, Fault> {
    let budget = &budget.deeper(DEPTH)?;
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
        let before = budget.images.get();
        let image = whole(&mut from, before)?;
        budget.images.set(before - image.len());
        let found = boot::read(&image, &budget.deeper(4)?);
        budget.images.set(before);
        return found;
    }
    if let Some(format) = unpack::format(&head) {
        return stream(unpack::unpack(format, from, budget).map_err(Fault::Packed)?, budget);
    }
    match package::kind(&head) {
        Some(kind) => package::read(kind, from, budget),
        None => Err(Fault::NotBtf),
    }
}

/// All that there is, if it is not more than that.
fn whole(from: &mut dyn Read, max: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max { Err(Fault::TooLarge) } else { Ok(bytes) }
}
