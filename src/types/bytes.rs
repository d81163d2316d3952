//! Numbers out of bytes, where there are any.

/// Little pieces of a file, in this machine's byte order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn u16(self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    pub fn u32(self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    /// A place in it, by two numbers of which a file may say anything.
    pub fn part(self, at: u64, len: u64) -> Option<Bytes<'a>> {
        let at = usize::try_from(at).ok()?;
        Some(Bytes(self.0.get(at..at.checked_add(usize::try_from(len).ok()?)?)?))
    }
}
