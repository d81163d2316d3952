//! The slots of a record, and groups of them, before it is known what they mean.

use super::shown::{Shown, Style};
use crate::host::addresses::Addresses;

/// The value of a slot that could not be read because there was a NULL pointer on the way; otherwise that is 0.
pub const BEHIND_NULL: u64 = 1;

/// The slots of a record, 64 bits each, and the bytes that they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots<'a> {
    sample: &'a [u8],
    /// Where the first one is.
    start: usize,
    count: usize,
    /// A bit for each that could not be read.
    unread: u32,
    /// They are a program's: no address is an error of the kernel's.
    pub(super) of_program: bool,
    /// Names for addresses.
    pub(super) symbols: Option<&'a Addresses>,
}

impl<'a> Slots<'a> {
    /// Those of a sample, from `start` on.
    #[must_use]
    pub fn new(sample: &'a [u8], start: usize, count: u32, unread: u32) -> Self {
        Slots { sample, start, count: count as usize, unread, of_program: false, symbols: None }
    }

    /// With names for addresses of the kernel's code and data.
    #[must_use]
    pub fn with(self, symbols: Option<&'a Addresses>) -> Self {
        Slots { symbols, ..self }
    }

    /// Those of a program (`yes`), or of the kernel.
    #[must_use]
    pub fn of_program(self, yes: bool) -> Self {
        Slots { of_program: yes, ..self }
    }

    /// The 8 bytes of one, whether they are its value or not; None where there is no such slot.
    pub(super) fn stands(&self, slot: usize) -> Option<&'a [u8; 8]> {
        let at = slot.checked_mul(8)?.checked_add(self.start)?;
        self.sample.get(at..).filter(|_| slot < self.count)?.first_chunk()
    }

    /// Whether one could not be read.
    pub(super) fn is_unread(&self, slot: usize) -> bool {
        u32::try_from(slot).ok().and_then(|slot| 1_u32.checked_shl(slot)).is_none_or(|bit| self.unread & bit != 0)
    }

    /// Bytes of the record.
    pub(super) fn part(&self, start: usize, len: usize) -> Option<&'a [u8]> {
        self.sample.get(start..start.checked_add(len)?)
    }
}

/// Values that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// How they are summed up in text.
    pub style: Style,
    pub(super) parts: &'a [Shown],
    pub(super) slots: Slots<'a>,
}
