//! Kernel images as boot loaders take them: bzImage, arm64's Image, EFI's zboot. The kernel is packed inside.

use std::io::Read;

use super::about::{About, Image, release};
use super::budget::Budget;
use super::fault::Fault;
use super::{elf, raw, unpack};

/// Places that look like the begin of something packed, at most, where no header says which is the right one.
const TRIES: usize = 64;

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// `HdrS` (Documentation/arch/x86/boot.rst).
fn is_x86(head: &[u8]) -> bool {
    head.get(0x1fe..0x200) == Some(b"\x55\xaa") && head.get(0x202..0x206) == Some(b"HdrS")
}

/// `ARM\x64` (Documentation/arch/arm64/booting.rst).
fn is_arm(head: &[u8]) -> bool {
    head.get(56..60) == Some(b"ARM\x64")
}

/// `MZ`, `zimg` (drivers/firmware/efi/libstub/zboot-header.S).
fn is_zboot(head: &[u8]) -> bool {
    head.starts_with(b"MZ") && head.get(4..8) == Some(b"zimg")
}

/// Whether it begins like one of them.
pub(super) fn is_image(head: &[u8]) -> bool {
    is_x86(head) || is_arm(head) || is_zboot(head)
}

/// Where the header says that the packed kernel is, from where to where.
fn payload(image: &[u8]) -> Option<(usize, usize)> {
    let (at, len) = if is_x86(image) {
        // Since protocol 2.08.
        let version = u16::from_le_bytes(*image.get(0x206..)?.first_chunk()?);
        let sectors = match *image.get(0x1f1)? {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let setup = (sectors + 1) * 512;
        (setup.checked_add(word(image, 0x248).filter(|_| version >= 0x208)?)?, word(image, 0x24c)?)
    } else if is_zboot(image) {
        (word(image, 8)?, word(image, 12)?)
    } else {
        return None;
    };
    Some((at, at.checked_add(len).filter(|_| len > 0)?))
}

pub(super) fn read(image: &[u8], budget: &Budget) -> Result<Image, Fault> {
    let inner = |bytes: &[u8]| match budget.read(Box::new(bytes)) {
        Err(Fault::NoSection) => Err(Fault::NoTypes),
        other => other,
    };
    if let Some((from, to)) = payload(image) {
        let found = image.get(from..to).ok_or(Fault::Cut { size: image.len() as u64, wanted: to as u64 })?;
        match inner(found) {
            Err(Fault::NotBtf) => {}
            other => return other,
        }
    } else if is_arm(image) && !is_zboot(image) {
        // It is the kernel itself, without sections that say what is where.
        let btf = raw::find(image).ok_or(Fault::NoTypes)?.to_vec();
        let about = About { release: release(image), machine: Some("arm64"), ..About::default() };
        return Ok(Image { btf, about, base: None });
    }
    let mut tries = 0;
    for at in 0..image.len() {
        let rest = image.get(at..).unwrap_or_default();
        let Some(format) = unpack::format(rest).filter(|format| !matches!(format, unpack::Format::Other(_))) else {
            continue;
        };
        tries += 1;
        if tries > TRIES {
            break;
        }
        let mut magic = [0; 4];
        let begins = unpack::unpack(format, Box::new(rest), budget).map(|mut from| from.read_exact(&mut magic));
        if matches!(begins, Ok(Ok(()))) && magic == elf::MAGIC {
            return inner(rest);
        }
    }
    Err(Fault::NoPayload)
}
