//! From a program ([`ir`](super::ir)) to BPF instructions: two functions that the object of the tracer has holes for.
//!
//! `test` reads the slots that the condition needs, and returns in r0 whether the event is wanted; `fetch` reads the
//! other slots. Both get the context in r1 and the scratch space, a map's value, in r2. Jumps go forward only, every
//! instruction can be reached, and the last one is `exit`.

mod condition;
mod insn;
mod layout;
mod slots;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};

use self::condition::Tests;
pub(crate) use self::insn::Code;
use self::insn::{Asm, R0, R1, R2, R6, R7};
pub(crate) use self::layout::{Function, Layout};
use super::ir::{Base, DEREFS_MAX, Program, Read, SLOTS_MAX, STR_MAX, Slot, Test};

/// What becomes of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Generated {
    pub test: Code,
    pub fetch: Code,
    /// What strings are compared with and matched against, by the numbers that the code has for them; without NULs.
    pub texts: Vec<Vec<u8>>,
    pub globs: Vec<Vec<u8>>,
}

/// Turns a program into instructions.
///
/// # Errors
/// When there is no room for them, or when the program is none that instructions can be made of.
pub(crate) fn generate(program: &Program, layout: &Layout) -> Result<Generated> {
    let Program { slots, early, .. } = program;
    ensure!(slots.len() <= SLOTS_MAX, "{} values, where there is room for {SLOTS_MAX}", slots.len());
    for (number, slot) in slots.iter().enumerate() {
        check(slot, program.words).with_context(|| format!("value {number}"))?;
    }
    let first = slots.get(..*early).context("more values for the condition than there are")?;
    let rest = slots.get(*early..).unwrap_or_default();
    let mut tests = Tests { layout, slots: first, texts: Vec::new(), globs: Vec::new() };
    let test = test(&mut tests, program.test.as_ref())?;
    ensure!(
        test.insns.len() <= layout.test_room,
        "the condition needs {} instructions, and has room for {}",
        test.insns.len(),
        layout.test_room
    );
    let fetch = fetch(layout, *early, rest)?;
    ensure!(
        fetch.insns.len() <= layout.fetch_room,
        "reading the values needs {} instructions, and has room for {}",
        fetch.insns.len(),
        layout.fetch_room
    );
    Ok(Generated { test, fetch, texts: tests.texts, globs: tests.globs })
}

/// Whether code can be made for a slot.
fn check(slot: &Slot, words: u32) -> Result<()> {
    match slot.base {
        Base::Word { index, .. } => ensure!(index < words, "word {index} of {words}"),
        Base::Sum { word, index, shift } => {
            let index = index.max(word.unwrap_or(0));
            ensure!(index < words, "word {index} of {words}");
            ensure!(shift < 64, "a word is shifted by {shift}");
        }
        _ => {}
    }
    ensure!(slot.derefs.len() <= DEREFS_MAX, "{} pointers on the way, at most {DEREFS_MAX}", slot.derefs.len());
    match slot.read {
        Read::Plain { shift, narrow, .. } => {
            let bytes = narrow.map_or(8, |(bytes, _)| bytes);
            ensure!((1..=8).contains(&bytes), "{bytes} bytes of a word");
            ensure!(shift < 64, "a word without {shift} bits");
        }
        Read::Number { size, left, right, .. } => {
            ensure!(matches!(size, 1 | 2 | 4 | 8), "a number of {size} bytes");
            ensure!(left < 64 && right < 64, "shifts by {left} and {right} bits");
        }
        Read::Str { max: size, .. } | Read::Bytes { len: size, .. } | Read::Located { max: size, .. } => {
            ensure!((1..=STR_MAX).contains(&size), "{size} bytes, where 1 to {STR_MAX} can be read");
        }
        Read::Path { .. } | Read::Dentry { .. } => {}
    }
    Ok(())
}

/// r6 and r7 are kept in calls; r1 and r2 are not.
fn begin() -> Asm {
    let mut asm = Asm::default();
    asm.mov(R6, R2);
    asm.mov(R7, R1);
    asm
}

fn end(asm: &mut Asm, result: u64) {
    asm.set(R0, result);
    asm.exit();
}

fn fetch(layout: &Layout, early: usize, slots: &[Slot]) -> Result<Code> {
    let mut asm = begin();
    for (number, slot) in (early..).zip(slots) {
        slots::slot(&mut asm, layout, number, slot)?;
    }
    end(&mut asm, 0);
    asm.finish()
}

/// What the condition needs is read as late as can be: an event that the first part refuses costs no other read.
fn test(tests: &mut Tests<'_>, test: Option<&Test>) -> Result<Code> {
    let mut asm = begin();
    let parts = match test {
        Some(Test::All(parts)) => parts.as_slice(),
        Some(test) => std::slice::from_ref(test),
        None => &[],
    };
    if parts.iter().any(|part| condition::constant(part) == Some(false)) {
        end(&mut asm, 0);
        return asm.finish();
    }
    let reject = asm.label();
    let mut slots = tests.slots.iter().enumerate();
    for part in parts.iter().filter(|part| condition::constant(part).is_none()) {
        let read = tests.slots.len() - slots.len();
        for (number, slot) in slots.by_ref().take(condition::needs(part).saturating_sub(read)) {
            slots::slot(&mut asm, tests.layout, number, slot)?;
        }
        tests.branch(&mut asm, part, false, reject)?;
    }
    for (number, slot) in slots {
        slots::slot(&mut asm, tests.layout, number, slot)?;
    }
    end(&mut asm, 1);
    if asm.is_used(reject) {
        asm.bind(reject);
        end(&mut asm, 0);
    }
    asm.finish()
}

/// The instructions with the distances of their calls: the first one is the `at`-th of its section, where functions are at
/// these instructions.
///
/// # Errors
/// When a function is not there, or too far.
pub(crate) fn link(code: &Code, at: usize, place: impl Fn(Function) -> Option<usize>) -> Result<Vec<u64>> {
    let mut insns = code.insns.clone();
    for call in &code.calls {
        let name = call.function.symbol();
        let to = place(call.function).with_context(|| format!("there is no function {name}"))?;
        let from = at.checked_add(call.at).and_then(|from| from.checked_add(1));
        let distance = from.and_then(|from| i64::try_from(to).ok()?.checked_sub(i64::try_from(from).ok()?));
        let distance = distance.and_then(|distance| i32::try_from(distance).ok());
        let insn = insns.get_mut(call.at).with_context(|| format!("no call of {name} at {}", call.at))?;
        *insn = insn::call_insn(distance.with_context(|| format!("{name} is too far"))?);
    }
    Ok(insns)
}
