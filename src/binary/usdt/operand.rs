//! An argument of a static probe: `SIZE@PLACE`, with the place as the assembler of the architecture writes it.

use super::super::machine::Machine;
use super::super::origin::Origin;
use super::around::Around;
use super::{arm, x86};

/// The most arguments; sys/sdt.h has twelve.
const ARGS: usize = 32;

/// An argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operand {
    /// How many bytes it has, and whether it has a sign.
    pub size: u8,
    pub signed: bool,
    pub float: bool,
    /// Where it is; or why it cannot be read.
    pub from: Result<Origin, String>,
}

/// All arguments of a probe.
pub(super) fn operands(
    machine: Machine,
    text: &str,
    address: u64,
    symbol: &dyn Fn(&str) -> Option<u64>,
) -> Vec<Operand> {
    let around = Around { address, symbol };
    words(text).into_iter().take(ARGS).map(|word| operand(machine, word, &around)).collect()
}

/// Words with blanks between them; none within brackets or parentheses.
fn words(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let between = |c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_ascii_whitespace()
    };
    text.split(between).filter(|word| !word.is_empty()).collect()
}

fn operand(machine: Machine, text: &str, around: &Around<'_>) -> Operand {
    let (before, place) = text.split_once('@').unwrap_or(("8", text));
    let (number, float) = before.strip_suffix('f').map_or((before, false), |number| (number, true));
    let number: Option<i8> = number.parse().ok();
    let size = number.map(i8::unsigned_abs).filter(|size| matches!(size, 1 | 2 | 4 | 8));
    let Some(size) = size else {
        let from = Err(format!("{text} has a size that is not known"));
        return Operand { size: 8, signed: false, float, from };
    };
    let from = match machine {
        Machine::X86 => x86::place(place, around),
        Machine::Arm => arm::place(place),
    };
    let from = match from {
        Ok(from) if float && !matches!(from, Origin::Memory { .. }) => Err(format!("{place} is no place of a float")),
        from => from,
    };
    Operand { size, signed: number.is_some_and(|number| number < 0), float, from }
}
