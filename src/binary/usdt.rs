//! Static probes (USDT): notes that say where the probes of a binary are, and where their arguments are then.

mod arm;
mod around;
mod operand;
#[cfg(test)]
mod tests;
mod x86;

use std::collections::BTreeMap;

use super::elf::{Elf, Note};
#[cfg(test)]
use super::origin::Origin;
use super::symbols::Symbols;

pub(crate) use self::operand::Operand;
use self::operand::operands;

/// Who writes the notes, and of which kind they are (sys/sdt.h: `_SDT_NOTE_NAME`, `_SDT_NOTE_TYPE`).
const OWNER: &[u8] = b"stapsdt";
const KIND: u32 = 3;
/// Longer names and arguments are none.
const TEXT: usize = 4096;

/// A static probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticProbe {
    pub provider: String,
    pub name: String,
    pub places: Vec<Place>,
}

/// One of the places where a probe is: a function with a probe that is inlined has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub address: u64,
    /// Where it is in the file; None: in no part of it that is loaded.
    pub offset: Option<u64>,
    /// Where the counter is in the file that turns the probe on.
    pub semaphore: Option<Semaphore>,
    pub args: Vec<Operand>,
    /// The arguments as they are written.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Semaphore {
    At(u64),
    /// It is in no part of the file: nothing can count it up.
    Nowhere,
}

impl Place {
    /// Whether an argument is below the stack pointer: kernels from 6.18 to the middle of 2026 may overwrite it where the
    /// probe is a nop of five bytes.
    pub fn in_red_zone(&self, elf: &Elf) -> bool {
        self.args.iter().any(|arg| matches!(&arg.from, Ok(from) if from.below(elf.machine.stack())))
    }
}

/// Arguments as a note has them, for the tests of parsers.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn of_text(machine: super::machine::Machine, text: &str) -> Vec<Operand> {
    operands(machine, text, 0x1000, &|name| (name == "here").then_some(0x2000))
}

/// All static probes, by name.
pub(crate) fn static_probes(elf: &Elf, symbols: &dyn Fn() -> Symbols) -> Vec<StaticProbe> {
    let base = elf.section(".stapsdt.base").map(|section| section.address);
    // Few arguments are named by a symbol: the table is read when one is.
    let known = std::cell::OnceCell::new();
    let address = |name: &str| known.get_or_init(symbols).address(name);
    let mut found: BTreeMap<(String, String), Vec<Place>> = BTreeMap::new();
    for note in elf.notes(".note.stapsdt") {
        if let Some((name, place)) = place(elf, &note, base, &address) {
            found.entry(name).or_default().push(place);
        }
    }
    let probe = |((provider, name), places)| StaticProbe { provider, name, places };
    found.into_iter().map(probe).collect()
}

/// The probe's address, that of `.stapsdt.base` when it was linked, and of the semaphore (0: it has none); then provider,
/// name and arguments, each with a NUL.
fn place(
    elf: &Elf,
    note: &Note,
    base: Option<u64>,
    symbol: &dyn Fn(&str) -> Option<u64>,
) -> Option<((String, String), Place)> {
    if note.owner != OWNER || note.kind != KIND {
        return None;
    }
    let number = |n: usize| Some(u64::from_le_bytes(*note.content.get(8 * n..)?.first_chunk()?));
    let (address, linked, semaphore) = (number(0)?, number(1)?, number(2)?);
    let mut texts = note.content.get(24..)?.split(|byte| *byte == 0);
    let mut text = || Some(String::from_utf8_lossy(texts.next().filter(|text| text.len() <= TEXT)?).into_owned());
    let (provider, name, args) = (text()?, text()?, text()?);
    // Whoever moves all of a program afterwards (prelink) does not look into notes.
    let moved = base.filter(|_| linked != 0).map_or(0, |base| base.wrapping_sub(linked));
    let address = address.wrapping_add(moved);
    let semaphore =
        (semaphore != 0).then(|| elf.offset(semaphore.wrapping_add(moved)).map_or(Semaphore::Nowhere, Semaphore::At));
    let offset = elf.loaded(address).filter(|segment| segment.executable).and_then(|_| elf.offset(address));
    let place = Place { address, offset, semaphore, args: operands(elf.machine, &args, address, symbol), text: args };
    Some(((provider, name), place))
}
