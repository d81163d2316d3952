//! The processes above a process.

use super::head::until_nul;

/// The processes above one, the nearest first, as they were when an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestors<'a> {
    /// [`Ancestors::SIZE`] bytes for each: its id, then its name.
    pub bytes: &'a [u8],
    /// There are more above the last one.
    pub truncated: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor<'a> {
    pub pid: u32,
    /// The name of its first thread.
    pub comm: &'a [u8],
}

impl Ancestors<'_> {
    /// Of each: `struct ancestor` of proc.bpf.c.
    pub const SIZE: usize = 20;
    /// Where its name is.
    pub const COMM_AT: usize = 4;
}

impl<'a> Ancestors<'a> {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Ancestor<'a>> + use<'a> {
        self.bytes.as_chunks::<{ Ancestors::SIZE }>().0.iter().filter_map(|one| {
            let (pid, comm) = one.split_first_chunk::<{ Ancestors::COMM_AT }>()?;
            Some(Ancestor { pid: u32::from_ne_bytes(*pid), comm: until_nul(comm) })
        })
    }
}
