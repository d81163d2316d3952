//! Versions of symbols: of what a library has in more than one, which is taken by those who do not ask.

use std::collections::HashMap;

use super::elf::Elf;

/// The most versions that a library has.
const VERSIONS: usize = 10_000;
/// Longer names are none.
const NAME: usize = 256;
/// It is not taken unless it is asked for (`VERSYM_HIDDEN`).
const HIDDEN: u16 = 0x8000;

/// The version of each symbol of a table, and their names.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    each: Vec<u8>,
    names: HashMap<u16, Vec<u8>>,
}

impl Versions {
    pub fn read(elf: &Elf, strings: &[u8]) -> Self {
        let content = |name| elf.named(name).ok().flatten().unwrap_or_default();
        let each = content(".gnu.version");
        // Without this, nothing is hidden.
        let names = names(&content(".gnu.version_d"), strings);
        Self { each, names }
    }

    /// The version of a symbol, and whether another of its name is taken unless this one is asked for.
    pub fn of(&self, symbol: usize) -> Option<(&[u8], bool)> {
        let version = u16_at(&self.each, symbol.checked_mul(2)?)?;
        let name = self.names.get(&(version & !HIDDEN))?;
        Some((name, version & HIDDEN != 0))
    }
}

/// Of `Elf64_Verdef`: u16 version, flags, number, count; u32 hash, where its `Elf64_Verdaux` is (u32 name, next), and where
/// the next one is.
fn names(definitions: &[u8], strings: &[u8]) -> HashMap<u16, Vec<u8>> {
    let (mut names, mut at) = (HashMap::new(), 0_usize);
    for _ in 0..VERSIONS {
        let one = || {
            let number = u16_at(definitions, at.checked_add(4)?)?;
            let aux = u32_at(definitions, at.checked_add(12)?)? as usize;
            let name = u32_at(definitions, at.checked_add(aux)?)? as usize;
            let rest = strings.get(name..)?;
            let end = rest.iter().take(NAME).position(|byte| *byte == 0)?;
            Some((number, rest.get(..end)?.to_vec()))
        };
        names.extend(one());
        match u32_at(definitions, at.saturating_add(16)) {
            None | Some(0) => break,
            Some(next) => at = at.saturating_add(next as usize),
        }
    }
    names
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
