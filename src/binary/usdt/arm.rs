//! Places as arm64's assembler writes them: `x0`, `w1`, `5`, `[sp, 12]`, `[x1, x2, lsl 3]`.

use super::super::machine::Machine;
use super::super::origin::Origin;
use super::around::number;

const MACHINE: Machine = Machine::Arm;

pub(super) fn place(text: &str) -> Result<Origin, String> {
    if let Some(number) = number(text.trim_start_matches('#')) {
        return Ok(Origin::Constant(number));
    }
    let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return match text {
            "xzr" | "wzr" => Ok(Origin::Constant(0)),
            _ => register(text).map(|(word, ..)| Origin::Register { word, second: false }),
        };
    };
    let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
    let wrong = || format!("{text} is no place");
    let (base, more) = parts.split_first().ok_or_else(wrong)?;
    let base = Some(register(base)?.0);
    let plain = |index| Ok(Origin::Memory { base, index, offset: 0 });
    match more {
        [] => plain(None),
        [offset] if number(offset.trim_start_matches('#')).is_some() => {
            let offset = number(offset.trim_start_matches('#')).unwrap_or(0);
            Ok(Origin::Memory { base, index: None, offset })
        }
        ["xzr"] => plain(None),
        // One of half the width would have to be made wider first.
        [index] if index.starts_with('x') => plain(Some((register(index)?.0, 0))),
        [index, shift] if index.starts_with('x') => {
            let shift = shift.strip_prefix("lsl").map(|shift| shift.trim().trim_start_matches('#'));
            let shift = shift.and_then(|shift| shift.parse::<u8>().ok()).filter(|shift| *shift <= 4);
            plain(Some((register(index)?.0, shift.ok_or_else(wrong)?)))
        }
        _ => Err(wrong()),
    }
}

fn register(text: &str) -> Result<(u32, u8, u8), String> {
    MACHINE.register(text).ok_or_else(|| {
        let vector = text.starts_with(['v', 'd', 's', 'q', 'h', 'b'])
            && text.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if vector { format!("{text} is a register that probes cannot read") } else { format!("{text} is no register") }
    })
}
