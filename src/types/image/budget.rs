//! What reading one file may cost, and the way back to the beginning for what is packed in something.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

use super::about::Image;
use super::fault::Fault;

/// The largest types: those of today's kernels have 3 to 10 MB.
pub(super) const TYPES_MAX: usize = 64 << 20;
/// The largest image that is looked into: those of today have 8 to 60 MB.
const IMAGE_MAX: usize = 128 << 20;
/// How deep things are packed: a package, its archive, a kernel image, the kernel in it …
pub(super) const DEPTH: u32 = 10;

/// A file, or what comes out of one.
pub(super) type Stream<'a> = Box<dyn Read + 'a>;

/// What reading one file may still cost, whatever is packed in it, and how often.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    depth: u32,
    /// Bytes that may yet come out of what is packed.
    pub(super) unpacked: Rc<Cell<u64>>,
    /// Bytes of images that may yet be in memory at once.
    pub(super) images: Rc<Cell<usize>>,
    /// How many decoders with large memories are at work.
    pub(super) windows: Rc<Cell<u32>>,
    /// Reads what is inside of something, from its kind on: a kernel image, a package and what is packed lead back there.
    inside: for<'a> fn(Stream<'a>, &Budget) -> Result<Image, Fault>,
}

impl Budget {
    /// For a file of this size. Kernels and their packages unpack to four to eight times of what they are, in two layers;
    /// a file that is made up, to a thousand times in each.
    pub(super) fn new(size: u64, inside: for<'a> fn(Stream<'a>, &Budget) -> Result<Image, Fault>) -> Self {
        let unpacked = size.saturating_mul(16).saturating_add(128 << 20);
        Self {
            depth: DEPTH,
            unpacked: Rc::new(Cell::new(unpacked)),
            images: Rc::new(Cell::new(IMAGE_MAX)),
            windows: Rc::default(),
            inside,
        }
    }

    /// The same for what is packed in it, at most so many layers of it.
    pub(super) fn deeper(&self, most: u32) -> Result<Self, Fault> {
        let depth = self.depth.min(most).checked_sub(1).ok_or(Fault::TooLarge)?;
        Ok(Self { depth, ..self.clone() })
    }

    pub(super) fn is_spent(&self) -> bool {
        self.unpacked.get() == 0
    }

    /// Reads the types out of what is inside of something.
    pub(super) fn read(&self, from: Stream<'_>) -> Result<Image, Fault> {
        (self.inside)(from, self)
    }
}
