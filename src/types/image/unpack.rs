//! Unpacks what gzip, xz, zstd and lz4 (the legacy format, of kernels) packed, as it is read.
//!
//! No checksum is a promise: what comes out is checked as if somebody had made it up.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;

use flate2::read::{GzDecoder, ZlibDecoder};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use xz4rust::{XzDecoder, XzError};

use super::budget::Budget;
use super::fault::{damaged, damaged_format};

/// The largest window: of `zstd --ultra -22`, as kernels are packed with.
const WINDOW_MAX: usize = 128 << 20;
/// … and of what is packed in more than two layers.
const WINDOW_SMALL: usize = 8 << 20;
/// Bytes of an lz4 block before packing (`LEGACY_BLOCKSIZE` of lz4; lib/decompress_unlz4.c).
const LZ4_BLOCK: usize = 8 << 20;
/// `LEGACY_MAGICNUMBER`
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Bytes read at once.
const BUFFER: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    /// As in ELF files.
    Zlib,
    Xz,
    Zstd,
    Lz4,
    /// In a way that is not unpacked here.
    Other(&'static str),
}

/// What packed files begin with. (lzma has no magic: this is how the kernel's build makes it.)
pub(super) const MAGICS: [(&[u8], Format); 9] = [
    (b"\x1f\x8b\x08", Format::Gzip),
    (b"\xfd7zXZ\0", Format::Xz),
    (b"\x28\xb5\x2f\xfd", Format::Zstd),
    (&LZ4_MAGIC, Format::Lz4),
    (b"BZh", Format::Other("bzip2")),
    (b"\x5d\0\0", Format::Other("lzma")),
    (b"\x89LZO\0\r\n", Format::Other("lzo")),
    (b"\x04\x22\x4d\x18", Format::Other("lz4 (frames; `lz4 -l` is known)")),
    (b"PK\x03\x04", Format::Other("zip")),
];

/// How what begins like this is packed, if it is.
pub(super) fn format(head: &[u8]) -> Option<Format> {
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| *format)
}

/// What comes out of it.
pub(super) fn unpack<'a>(
    format: Format,
    from: Box<dyn Read + 'a>,
    budget: &Budget,
) -> Result<Box<dyn Read + 'a>, &'static str> {
    let window = Window::open(&budget.windows);
    let most = window.most;
    let unpacked: Box<dyn Read + 'a> = match format {
        Format::Gzip => Box::new(Gzip(GzDecoder::new(from))),
        Format::Xz => Box::new(Xz::new(from, most)),
        Format::Zstd => Box::new(Zstd { from: Ending::new(from), decoder: FrameDecoder::new(), most, begun: false }),
        Format::Lz4 => Box::new(Lz4 { from: Ending::new(from), begun: false, block: Vec::new(), at: 0 }),
        Format::Zlib => return Err("zlib"),
        Format::Other(name) => return Err(name),
    };
    let window = matches!(format, Format::Xz | Format::Zstd).then_some(window);
    Ok(Box::new(Limited { from: unpacked, left: budget.unpacked.clone(), _window: window }))
}

/// All that is packed in a part of another file, if it is not more than `most`; an error, too, where a decoder needs more
/// memory than that to look back.
pub(crate) fn all(format: Format, from: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let from = Box::new(from);
    let unpacked: Box<dyn Read + '_> = match format {
        Format::Zlib => Box::new(ZlibDecoder::new(from)),
        Format::Xz => Box::new(Xz::new(from, most.min(WINDOW_MAX))),
        Format::Zstd => Box::new(Zstd {
            from: Ending::new(from),
            decoder: FrameDecoder::new(),
            most: most.min(WINDOW_MAX),
            begun: false,
        }),
        _ => return Err(ErrorKind::Unsupported.into()),
    };
    let mut bytes = Vec::new();
    unpacked.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// What ends with an error where the whole file, with all that is packed in it, comes to too much.
struct Limited<'a> {
    from: Box<dyn Read + 'a>,
    left: Rc<Cell<u64>>,
    _window: Option<Window>,
}

impl Read for Limited<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        let left = self.left.get().checked_sub(count as u64);
        self.left.set(left.unwrap_or(0));
        left.ok_or(ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

/// The memory of a decoder that looks back, as long as that lives.
struct Window {
    open: Rc<Cell<u32>>,
    most: usize,
}

impl Window {
    /// A package has a large one, and the kernel in it; what is packed deeper gets a small one.
    fn open(open: &Rc<Cell<u32>>) -> Self {
        let most = if open.get() < 2 { WINDOW_MAX } else { WINDOW_SMALL };
        open.set(open.get() + 1);
        Self { open: open.clone(), most }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

struct Xz<'a> {
    from: Box<dyn Read + 'a>,
    decoder: XzDecoder<'static>,
    buffer: Vec<u8>,
    /// How much of the buffer the decoder has taken.
    at: usize,
    end: bool,
}

impl<'a> Xz<'a> {
    fn new(from: Box<dyn Read + 'a>, most: usize) -> Self {
        let decoder = XzDecoder::with_alloc_dict_size(0, most);
        Self { from, decoder, buffer: Vec::new(), at: 0, end: false }
    }

    /// Bytes taken and given, and whether that was all.
    fn step(&mut self, to: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self.buffer.get(self.at..).unwrap_or_default() {
            [] => Ok((0, 0, false)),
            rest => match self.decoder.decode(rest, to) {
                Ok(step) => Ok((step.input_consumed(), step.output_produced(), step.is_end_of_stream())),
                Err(XzError::NeedsLargerInputBuffer) => Ok((0, 0, false)),
                Err(XzError::DictionaryTooLarge(_) | XzError::DictionaryOverflow) => Err(ErrorKind::OutOfMemory.into()),
                Err(_) => Err(damaged("xz")),
            },
        }
    }

    /// More of what is packed, as the decoder wants more than there is.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        let before = self.buffer.len();
        if before > 2 * BUFFER {
            return Err(ErrorKind::OutOfMemory.into());
        }
        (&mut self.from).take(BUFFER as u64).read_to_end(&mut self.buffer)?;
        if self.buffer.len() == before { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Read for Xz<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.end && !to.is_empty() {
            let (taken, given, end) = self.step(to)?;
            self.at = self.at.saturating_add(taken);
            self.end = end;
            if given > 0 || end {
                return Ok(given);
            }
            if taken == 0 {
                self.fill()?;
            }
        }
        Ok(0)
    }
}

/// One member, as the kernel's build packs one: what is behind it is something else.
struct Gzip<'a>(GzDecoder<Box<dyn Read + 'a>>);

impl Read for Gzip<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to).map_err(|error| match error.kind() {
            // What is packed inside of what is unpacked may be damaged itself, and says so.
            ErrorKind::InvalidInput | ErrorKind::InvalidData if damaged_format(&error).is_none() => damaged("gzip"),
            _ => error,
        })
    }
}

/// What is read, and why there was no more of it: who reads it has errors of its own for that.
pub(super) struct Ending<'a> {
    from: Box<dyn Read + 'a>,
    pub(super) ended: bool,
    pub(super) failed: Option<ErrorKind>,
}

impl<'a> Ending<'a> {
    pub(super) fn new(from: Box<dyn Read + 'a>) -> Self {
        Self { from, ended: false, failed: None }
    }

    /// Why a decoder of a format failed.
    fn why(&self, format: &'static str) -> io::Error {
        match self.failed {
            Some(kind) => kind.into(),
            None if self.ended => ErrorKind::UnexpectedEof.into(),
            None => damaged(format),
        }
    }

    /// As much as there is.
    fn fill(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(size as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Ending<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to);
        match &count {
            Ok(0) => self.ended |= !to.is_empty(),
            Ok(_) => {}
            Err(error) => self.failed = Some(error.kind()),
        }
        count
    }
}

struct Zstd<'a> {
    from: Ending<'a>,
    decoder: FrameDecoder,
    most: usize,
    begun: bool,
}

impl Read for Zstd<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.decoder.set_max_window_size(self.most as u64);
            self.decoder.reset(&mut self.from).map_err(|_| self.from.why("zstd"))?;
            self.begun = true;
        }
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let some = BlockDecodingStrategy::UptoBytes(to.len().max(BUFFER));
            self.decoder.decode_blocks(&mut self.from, some).map_err(|_| self.from.why("zstd"))?;
        }
        let count = self.decoder.read(to)?;
        let sums = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
        if let (0, false, (Some(a), Some(b))) = (count, to.is_empty(), sums)
            && a != b
        {
            return Err(damaged("zstd"));
        }
        Ok(count)
    }
}

struct Lz4<'a> {
    from: Ending<'a>,
    begun: bool,
    block: Vec<u8>,
    at: usize,
}

impl Lz4<'_> {
    /// The next block; none at the end, where the kernel's build puts the size of it all.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let word = loop {
            let word: [u8; 4] = match self.from.fill(4)?.try_into() {
                Ok(word) => word,
                Err(rest) if rest.is_empty() && self.begun => return Ok(None),
                Err(_) => return Err(ErrorKind::UnexpectedEof.into()),
            };
            if word != LZ4_MAGIC {
                break word;
            }
            self.begun = true;
        };
        if !self.begun {
            return Err(damaged("lz4"));
        }
        let size = u32::from_le_bytes(word) as usize;
        // What cannot get smaller grows by less than this.
        let largest = LZ4_BLOCK + LZ4_BLOCK / 255 + 16;
        let packed = self.from.fill(size.min(largest))?;
        if packed.is_empty() {
            return Ok(None);
        }
        if size > largest {
            return Err(damaged("lz4"));
        }
        if packed.len() < size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(packed))
    }
}

impl Read for Lz4<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.block.len() {
            let Some(packed) = self.next()? else { return Ok(0) };
            // Memory that is not touched costs nothing.
            self.block = vec![0; LZ4_BLOCK];
            let size = lz4_flex::block::decompress_into(&packed, &mut self.block).map_err(|_| damaged("lz4"))?;
            self.block.truncate(size);
            self.at = 0;
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        let size = rest.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..size), rest.get(..size)) {
            to.copy_from_slice(from);
        }
        self.at += size;
        Ok(size)
    }
}
