//! Where a value is at an address of the program: expressions and lists of them.

use gimli::{AttributeValue, Expression, Operation, Register, Unit};

use super::super::machine::Machine;
use super::super::origin::Origin;
use super::super::passing::Passing;
use super::entries::{Debug, Part, Slice};

/// The most steps of an expression.
const STEPS: usize = 64;
/// The most ranges of a list.
const RANGES: usize = 100_000;

/// Where in a program a value is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub machine: Machine,
    pub address: u64,
    pub stage: Stage,
}

impl Entry {
    fn is_entry(&self) -> bool {
        matches!(self.stage, Stage::Entry { .. })
    }
}

/// How far a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// At its entry: it has written nothing yet. `by_caller`: variables are counted from where its caller left the stack.
    Entry { by_caller: bool },
    /// Within it, with its frame, if it is known where that is.
    Within(Option<Frame>),
}

/// Where the frame of a function is: what variables are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// At a register, plus this.
    pub base: (u32, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    At(Origin),
    /// There, but perhaps not yet at the function's entry.
    Later(Origin),
    /// In a register of floats, by its number in DWARF.
    Float,
    /// It is not written there yet, or not known: where the calling convention has it.
    NotStated,
    /// The compiler has left it out, here or everywhere.
    Nowhere,
    /// It would have to be computed.
    Computed,
}

/// Where what has this location is.
pub(super) fn place<'a>(
    debug: &Debug<'a>,
    unit: &Unit<Slice<'a>>,
    value: AttributeValue<Slice<'a>>,
    here: &Entry,
) -> Found {
    let always = |expression| match evaluated(debug, unit, expression, here) {
        // It is kept there; that it has been put there by now is another matter.
        Found::At(Origin::Constant(value)) => Found::At(Origin::Constant(value)),
        Found::At(origin) if here.is_entry() && !from_caller(unit, expression) => Found::Later(origin),
        found => found,
    };
    match value {
        AttributeValue::Exprloc(expression) => always(expression),
        AttributeValue::Block(bytes) => always(Expression(bytes)),
        other => match listed(debug, unit, other, here.address) {
            Some(Some(expression)) => evaluated(debug, unit, expression, here),
            Some(None) => Found::Nowhere,
            None => Found::NotStated,
        },
    }
}

/// How a parameter is passed, where its location says that: it is found by an address that is kept in the frame, or that
/// is in a register for arguments at the entry; or it is in the frame itself.
pub(super) fn passing<'a>(
    debug: &Debug<'a>,
    unit: &Unit<Slice<'a>>,
    location: &AttributeValue<Slice<'a>>,
    here: &Entry,
) -> Option<Passing> {
    let expression = match location {
        AttributeValue::Exprloc(expression) => *expression,
        AttributeValue::Block(bytes) => Expression(*bytes),
        other => listed(debug, unit, *other, here.address).flatten()?,
    };
    let mut operations = expression.operations(unit.encoding());
    let is_argument = |register: Register| {
        here.machine.of_dwarf(register.0).is_some_and(|word| here.machine.arguments().contains(&word))
    };
    match (operations.next().ok()?, operations.next().ok()?, operations.next().ok()?) {
        (Some(Operation::FrameOffset { .. }), None, _) => Some(Passing::ByValue),
        (Some(Operation::FrameOffset { .. }), Some(Operation::Deref { space: false, .. }), None) => {
            Some(Passing::ByReference)
        }
        (Some(Operation::RegisterOffset { register, offset: 0, .. }), None, _) if is_argument(register) => {
            Some(Passing::ByReference)
        }
        _ => None,
    }
}

/// Whether it is counted from a function's frame, which its caller may have written to.
fn from_caller(unit: &Unit<Slice<'_>>, expression: Expression<Slice<'_>>) -> bool {
    matches!(expression.operations(unit.encoding()).next(), Ok(Some(Operation::FrameOffset { .. })))
}

/// The expression of a list that holds at an address; None within: none does.
fn listed<'a>(
    debug: &Debug<'a>,
    unit: &Unit<Slice<'a>>,
    value: AttributeValue<Slice<'a>>,
    address: u64,
) -> Option<Option<Expression<Slice<'a>>>> {
    let mut list = debug.dwarf(Part::Info).attr_locations(unit, value).ok()??;
    for _ in 0..RANGES {
        match list.next().ok()? {
            Some(entry) if (entry.range.begin..entry.range.end).contains(&address) => return Some(Some(entry.data)),
            Some(_) => {}
            None => break,
        }
    }
    Some(None)
}

fn evaluated<'a>(debug: &Debug<'a>, unit: &Unit<Slice<'a>>, expression: Expression<Slice<'a>>, here: &Entry) -> Found {
    let (mut all, mut operations) = (Vec::new(), expression.operations(unit.encoding()));
    while let Ok(Some(operation)) = operations.next() {
        if !matches!(operation, Operation::Nop) {
            all.push(operation);
        }
        if all.len() > STEPS {
            return Found::Computed;
        }
    }
    of_operations(debug, unit, &all, here)
}

fn of_operations<'a>(debug: &Debug<'a>, unit: &Unit<Slice<'a>>, all: &[Operation<Slice<'a>>], here: &Entry) -> Found {
    let machine = here.machine;
    let register = |register: Register| match machine.of_dwarf(register.0) {
        Some(word) => Found::At(Origin::Register { word, second: false }),
        None => Found::Float,
    };
    let word = |register: Register| machine.of_dwarf(register.0);
    if all.iter().any(|one| matches!(one, Operation::Piece { .. })) {
        return in_pieces(all, here);
    }
    match all {
        [] => Found::Nowhere,
        [Operation::Register { register: one }] => register(*one),
        [Operation::EntryValue { expression }, Operation::StackValue] if here.is_entry() => {
            evaluated(debug, unit, Expression(*expression), here)
        }
        [Operation::RegisterOffset { register, offset, .. }] => match word(*register) {
            Some(base) => memory(base, *offset, here),
            None => Found::Computed,
        },
        [Operation::RegisterOffset { register, offset, .. }, Operation::StackValue] => match word(*register) {
            Some(word) if !here.is_entry() || word == machine.stack() => {
                Found::At(Origin::Sum { word, offset: *offset })
            }
            _ => Found::Computed,
        },
        [Operation::FrameOffset { offset }] => in_frame(*offset, here),
        [Operation::UnsignedConstant { value }, Operation::StackValue] => {
            Found::At(Origin::Constant(value.cast_signed()))
        }
        [Operation::SignedConstant { value }, Operation::StackValue] => Found::At(Origin::Constant(*value)),
        [Operation::ImplicitValue { data }] => {
            let bytes = data.slice();
            let mut eight = [0; 8];
            match eight.get_mut(..bytes.len()) {
                Some(some) => {
                    some.copy_from_slice(bytes);
                    Found::At(Origin::Constant(i64::from_le_bytes(eight)))
                }
                None => Found::Computed,
            }
        }
        [Operation::Address { address }] => fixed(*address, here),
        [Operation::AddressIndex { index }] => match debug.dwarf(Part::Info).address(unit, *index) {
            Ok(address) => fixed(address, here),
            Err(_) => Found::Computed,
        },
        _ => Found::Computed,
    }
}

/// So far from the frame of the function.
fn in_frame(offset: i64, here: &Entry) -> Found {
    match here.stage {
        Stage::Within(None) => Found::Computed,
        Stage::Within(Some(Frame { base: (word, from) })) => match from.checked_add(offset) {
            Some(offset) => Found::At(Origin::Memory { base: Some(word), index: None, offset }),
            None => Found::Computed,
        },
        // From where the frame will be: behind the address that the function returns to.
        Stage::Entry { by_caller: false } => Found::NotStated,
        Stage::Entry { by_caller: true } => match offset.checked_add(here.machine.first_on_stack()) {
            Some(from) => memory(here.machine.stack(), from, here),
            None => Found::Computed,
        },
    }
}

/// In one piece, or in two of which the first one has eight bytes.
fn in_pieces<'a>(all: &[Operation<Slice<'a>>], here: &Entry) -> Found {
    let mut pieces = all.split_inclusive(|one| matches!(one, Operation::Piece { .. }));
    let mut next = || match pieces.next()?.split_last()? {
        (Operation::Piece { size_in_bits, bit_offset: None | Some(0) }, inner) => Some((*size_in_bits, inner)),
        _ => None,
    };
    let register = |inner: &[Operation<Slice<'a>>]| match inner {
        [Operation::Register { register }] => here.machine.of_dwarf(register.0),
        _ => None,
    };
    match (next(), next(), next()) {
        // A part of it is there: which one, and the others?
        (Some(_), None, None) => Found::Computed,
        (Some((64, low)), Some((_, high)), None) => match (register(low), register(high)) {
            (None, None) => Found::Computed,
            (low, high) => Found::At(Origin::Pair { low, high }),
        },
        _ => Found::Computed,
    }
}

/// In memory, counted from a register. At the entry of a function only what its caller has put onto the stack is there.
fn memory(base: u32, offset: i64, here: &Entry) -> Found {
    let machine = here.machine;
    let there = !here.is_entry() || base == machine.stack() && offset >= machine.first_on_stack();
    if there { Found::At(Origin::Memory { base: Some(base), index: None, offset }) } else { Found::NotStated }
}

/// A variable of the program.
fn fixed(address: u64, here: &Entry) -> Found {
    let offset = address.wrapping_sub(here.address).cast_signed();
    Found::At(Origin::Memory { base: Some(here.machine.counter()), index: None, offset })
}
