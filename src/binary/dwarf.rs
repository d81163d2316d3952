//! Debug information (DWARF 2 to 5), of which no more is looked at than is asked for.
//!
//! [`Loaded`] has the bytes; [`struct@Debug`] is the view of them: units and entries ([`entries`]), functions ([`functions`]),
//! types ([`types`]), lines ([`lines`]), and where values are ([`place`], [`frame`]), and how they are passed ([`passing`]).

mod entries;
mod frame;
mod functions;
mod inlined;
mod lines;
mod passing;
mod place;
mod types;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;

use gimli::{DwarfSections, EndianSlice, LittleEndian, SectionId};

use super::elf::Elf;
use crate::error::Wrong;

pub(crate) use self::entries::Debug;
pub(crate) use self::frame::Frames;
pub(crate) use self::functions::Param;
pub(crate) use self::place::Found;
pub(crate) use self::types::Typed;

/// The bytes of debug information.
#[derive(Debug)]
pub(crate) struct Loaded {
    sections: DwarfSections<Vec<u8>>,
    /// What several files have in common (`dwz`).
    shared: Option<DwarfSections<Vec<u8>>>,
}

/// Whether a file has debug information of its own.
pub(crate) fn has(elf: &Elf) -> bool {
    is_there(elf, SectionId::DebugInfo.name())
}

/// Whether it has a section of debug information, whatever way it is packed.
fn is_there(elf: &Elf, name: &str) -> bool {
    elf.has(name) || elf.has(&name.replacen(".debug", ".zdebug", 1))
}

impl Loaded {
    /// Reads what there is. `shared`: the file with what this one shares with others.
    ///
    /// # Errors
    /// When a part of it is damaged, or too large.
    pub fn read(elf: &Elf, shared: Option<&Elf>) -> Result<Self, Wrong> {
        let shared = shared.map(sections).transpose()?;
        Ok(Self { sections: sections(elf)?, shared })
    }

    /// A view of it.
    pub fn view(&self) -> Debug<'_> {
        let slice = |bytes| EndianSlice::new(bytes, LittleEndian);
        let mut dwarf = self.sections.borrow(|bytes: &Vec<u8>| slice(bytes));
        let shared = self.shared.as_ref().map(|shared| shared.borrow(|bytes: &Vec<u8>| slice(bytes)));
        if let Some(shared) = &self.shared {
            dwarf.set_sup(shared.borrow(|bytes: &Vec<u8>| slice(bytes)));
        }
        Debug::new(dwarf, shared)
    }
}

/// All of them are unpacked at once, where there are CPUs for that: it takes longer than to look for what is asked for.
fn sections(elf: &Elf) -> Result<DwarfSections<Vec<u8>>, Wrong> {
    let mut wanted = Vec::new();
    let _ = DwarfSections::load(|id| {
        wanted.push(id);
        Ok::<_, ()>(())
    });
    let is_used = |id: &SectionId| {
        !matches!(id, SectionId::DebugMacinfo | SectionId::DebugMacro | SectionId::DebugNames)
            && is_there(elf, id.name())
    };
    thread::scope(|scope| {
        let read = |id: SectionId| {
            let read = move || elf.named(id.name());
            // A limit of threads is none of what can be read.
            (id, thread::Builder::new().spawn_scoped(scope, read).map_err(|_| read))
        };
        let mut all: HashMap<_, _> = wanted.into_iter().filter(is_used).map(read).collect();
        DwarfSections::load(|id| {
            let bytes = match all.remove(&id) {
                Some(Ok(thread)) => thread.join().unwrap_or_else(|panic| resume_unwind(panic))?,
                Some(Err(read)) => read()?,
                None => None,
            };
            Ok(bytes.unwrap_or_default())
        })
    })
}
