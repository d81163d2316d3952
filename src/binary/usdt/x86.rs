//! Places as x86's assembler writes them: `%rdi`, `$5`, `-4(%rbp)`, `16(%rsp,%rax,8)`, `name+8(%rip)`.

use super::super::machine::Machine;
use super::super::origin::Origin;
use super::around::{Around, number};

const MACHINE: Machine = Machine::X86;

pub(super) fn place(text: &str, around: &Around<'_>) -> Result<Origin, String> {
    if let Some(constant) = text.strip_prefix('$') {
        return match (number(constant), address(constant, around)) {
            (Some(number), _) => Ok(Origin::Constant(number)),
            (None, Some(address)) => Ok(here(address, around)),
            _ => Err(format!("{text}: there is no such symbol here")),
        };
    }
    if text.strip_prefix('%').is_some_and(|name| !name.contains([':', '('])) {
        return register(text).map(|(word, _, second)| Origin::Register { word, second: second > 0 });
    }
    if text.contains(':') {
        return Err(format!("{text} is in memory of its own for each thread, which a probe cannot find"));
    }
    memory(text, around)
}

fn register(text: &str) -> Result<(u32, u8, u8), String> {
    let name = text.strip_prefix('%').ok_or_else(|| format!("{text} is no register"))?;
    MACHINE.register(name).ok_or_else(|| {
        let vector = ["xmm", "ymm", "zmm", "st", "mm", "k"].iter().any(|kind| name.starts_with(kind));
        if vector { format!("{text} is a register that probes cannot read") } else { format!("{text} is no register") }
    })
}

/// `OFFSET(BASE,INDEX,SCALE)`, of which nearly all may be missing.
fn memory(text: &str, around: &Around<'_>) -> Result<Origin, String> {
    let wrong = || format!("{text} is no place");
    let (before, inside) = match text.split_once('(') {
        Some((before, rest)) => (before, rest.strip_suffix(')').ok_or_else(wrong)?),
        None => (text, ""),
    };
    let parts: Vec<&str> = if inside.is_empty() { Vec::new() } else { inside.split(',').map(str::trim).collect() };
    let whole = |text: &&str| (!text.is_empty()).then(|| register(text)).transpose();
    let base = parts.first().map(whole).transpose()?.flatten().map(|(word, ..)| word);
    let index = parts.get(1).map(whole).transpose()?.flatten().map(|(word, ..)| word);
    let shift = match parts.get(2).copied() {
        None | Some("1" | "") => 0,
        Some("2") => 1,
        Some("4") => 2,
        Some("8") => 3,
        Some(_) => return Err(wrong()),
    };
    if parts.len() > 3 {
        return Err(wrong());
    }
    let index = index.map(|word| (word, shift));
    let by_counter = base == Some(MACHINE.counter());
    if before.is_empty() || number(before).is_some() {
        let offset = number(before).unwrap_or(0);
        if by_counter || base.is_none() && index.is_none() {
            return Err(format!("{text}: what is there has no name, and its address is not known"));
        }
        return Ok(Origin::Memory { base, index, offset });
    }
    let address = address(before, around).ok_or_else(|| format!("{text}: there is no such symbol here"))?;
    // Where a program is loaded is known from where the probe is in it.
    let offset = address.wrapping_sub(around.address).cast_signed();
    match (base, index) {
        (None, index) => Ok(Origin::Memory { base: Some(MACHINE.counter()), index, offset }),
        (Some(_), None) if by_counter => Ok(Origin::Memory { base, index: None, offset }),
        // A table at a fixed address.
        (Some(word), None) => Ok(Origin::Memory { base: Some(MACHINE.counter()), index: Some((word, 0)), offset }),
        (Some(_), Some(_)) => Err(format!("{text} is the sum of too many")),
    }
}

/// A symbol's address, with what is added to it.
fn address(text: &str, around: &Around<'_>) -> Option<u64> {
    let split = text.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(text.len(), |(at, _)| at);
    let (name, more) = text.split_at_checked(split)?;
    let more = if more.is_empty() { 0 } else { number(more)? };
    (!name.is_empty()).then(|| (around.symbol)(name))?.map(|address| address.wrapping_add_signed(more))
}

/// An address as what is in the program counter, and so much.
fn here(address: u64, around: &Around<'_>) -> Origin {
    Origin::Sum { word: MACHINE.counter(), offset: address.wrapping_sub(around.address).cast_signed() }
}
