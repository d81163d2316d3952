//! Where the calling convention has arguments at a function's entry: System V for x86-64, AAPCS64 for arm64.

use crate::binary::{Machine, Passing};
use crate::spec::ir::{Base, Space};
use crate::spec::resolve::typed::{Shape, Ty, shape, size};
use crate::spec::resolve::way::{At, Way};
use crate::types::builder::REAL;
use crate::types::bytes::Bytes;
use crate::types::model::Types;

pub(super) const FLOAT: &str = "it is passed in a register for floats, which probes cannot read";
const FLOAT_RESULT: &str = "it is in a register for floats, which probes cannot read";
const EMPTY: &str = "nothing is passed";
const LOST: &str = "where it is written was passed, and is no longer known when the function returns";
const UNKNOWN: &str = "how it, or a value before it, is passed is not known";
const UNKNOWN_RESULT: &str = "how it is returned is not known";
/// How deep structs are in each other.
const DEPTH: u8 = 16;
/// Registers for floats.
const FLOATS: usize = 8;
/// How many parts of a value are looked at: what is passed in registers has no more.
const PARTS: usize = 512;
/// The most elements of an array that is passed in registers: two times 8 bytes.
const ELEMENTS: u32 = 16;

/// What eight bytes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    None,
    Integer,
    Float,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// In one register or two.
    Registers([Half; 2]),
    /// Its bytes are on the stack.
    Memory,
    /// Floats of one kind, up to four, each in a register of its own.
    Floats,
}

/// Where the next argument is.
#[derive(Debug)]
pub(super) struct Abi {
    machine: Machine,
    /// How many registers are taken: for integers, and for floats.
    integers: usize,
    floats: usize,
    /// Bytes on the stack.
    stack: u64,
    /// It is not known how what came before is passed.
    lost: bool,
}

impl Abi {
    /// Of a function that returns that.
    pub fn new(machine: Machine, types: &Types, returns: Option<Ty>, passing: Passing) -> Self {
        let in_memory = |ty| class(types, ty, machine) == Class::Memory && !is_x87(types, ty, machine);
        let memory = match passing {
            Passing::ByReference => true,
            Passing::ByValue => returns.is_some_and(in_memory),
            Passing::InFloat(_) | Passing::Unknown => false,
        };
        // Where it is to be written comes first; arm64 has a register of its own for that.
        let integers = usize::from(memory && machine == Machine::X86);
        Self { machine, integers, floats: 0, stack: 0, lost: passing == Passing::Unknown && machine == Machine::X86 }
    }

    fn register(&mut self) -> Option<u32> {
        let word = self.machine.arguments().get(self.integers).copied()?;
        self.integers += 1;
        Some(word)
    }

    /// Where an argument is; or why it cannot be read.
    pub fn next(&mut self, types: &Types, ty: Ty, passing: Passing) -> Result<Way, &'static str> {
        let bytes = size(types, ty).unwrap_or(8);
        let by_reference = passing == Passing::ByReference;
        let class = match passing {
            Passing::ByReference => Class::Memory,
            Passing::ByValue => class(types, ty, self.machine),
            // (Of arm64's 8 bytes and more in a vector, and of x86's.)
            Passing::InFloat(size @ (4 | 8 | 16)) if self.floats < FLOATS && (size > 4 || !is_array(types, ty)) => {
                Class::Registers([Half::Float, Half::None])
            }
            // Wider ones are in registers that a program may be built with or without.
            Passing::InFloat(_) | Passing::Unknown => {
                self.lost = true;
                return Err(UNKNOWN);
            }
        };
        if self.lost {
            return Err(UNKNOWN);
        }
        match class {
            Class::Memory if by_reference || self.machine == Machine::Arm => {
                let way = match self.register() {
                    Some(word) => user(Way::word(word, false, Ty::of(0))),
                    None => self.on_stack(Ty::of(0), 8, 8),
                };
                Ok(pointed(way, ty))
            }
            Class::Memory => Ok(self.on_stack(ty, bytes, align(types, ty))),
            Class::Floats => {
                self.floats += 1;
                Err(FLOAT)
            }
            Class::Registers([Half::None, _]) => Err(EMPTY),
            Class::Registers(halves) => self.in_registers(ty, bytes, halves, align(types, ty)),
        }
    }

    fn in_registers(&mut self, ty: Ty, bytes: u64, halves: [Half; 2], align: u64) -> Result<Way, &'static str> {
        let all = self.machine.arguments().len();
        let count = |half| halves.iter().filter(|other| **other == half).count();
        let (integers, floats) = (count(Half::Integer), count(Half::Float));
        // Two registers for one number begin at an even one.
        if self.machine == Machine::Arm && integers == 2 && align == 16 {
            self.integers = self.integers.next_multiple_of(2);
        }
        if self.integers + integers > all || self.floats + floats > FLOATS {
            if self.machine == Machine::Arm {
                // What comes behind finds no register either.
                self.integers = if integers > 0 { all } else { self.integers };
                self.floats = if floats > 0 { FLOATS } else { self.floats };
            }
            return Ok(self.on_stack(ty, bytes, align));
        }
        self.floats += floats;
        let mut words = halves.map(|half| if half == Half::Integer { self.register() } else { None }).into_iter();
        match (words.next().flatten(), words.next().flatten()) {
            (Some(first), second) => Ok(user(Way { second, ..Way::word(first, false, ty) })),
            (None, Some(second)) => {
                Ok(user(Way { second: Some(second), first_lost: true, ..Way::word(second, false, ty) }))
            }
            (None, None) => Err(FLOAT),
        }
    }

    /// On the stack, behind the address that the function returns to.
    fn on_stack(&mut self, ty: Ty, bytes: u64, align: u64) -> Way {
        let at = self.stack.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        self.stack = at.saturating_add(bytes.max(1).checked_next_multiple_of(8).unwrap_or(u64::MAX));
        let offset = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(self.machine.first_on_stack());
        let at = At::Memory { offset, space: Space::User };
        user(Way { at, ..Way::word(self.machine.stack(), false, ty) })
    }
}

/// Where what is returned is; None: in the register that all results are in.
pub(super) fn result(machine: Machine, types: &Types, ty: Ty, passing: Passing) -> Option<Result<Way, &'static str>> {
    let by_reference = passing == Passing::ByReference;
    match passing {
        Passing::InFloat(4 | 8 | 16) => return Some(Err(FLOAT_RESULT)),
        Passing::InFloat(_) | Passing::Unknown => return Some(Err(UNKNOWN_RESULT)),
        Passing::ByReference | Passing::ByValue => {}
    }
    let plain = user(Way { base: Base::Return, ..Way::word(0, false, ty) });
    match class(types, ty, machine) {
        Class::Floats => Some(Err(FLOAT_RESULT)),
        Class::Memory if machine == Machine::Arm => Some(Err(LOST)),
        Class::Memory if is_x87(types, ty, machine) => Some(Err(FLOAT_RESULT)),
        Class::Memory => Some(Ok(pointed(plain, ty))),
        _ if by_reference && machine == Machine::X86 => Some(Ok(pointed(plain, ty))),
        _ if by_reference => Some(Err(LOST)),
        Class::Registers([Half::None, _]) => Some(Err(EMPTY)),
        Class::Registers([Half::Float, Half::None | Half::Float]) => Some(Err(FLOAT_RESULT)),
        Class::Registers([Half::Integer, Half::Integer]) => {
            Some(Ok(Way { second: Some(machine.second_result()), ..plain }))
        }
        // The first integer is in the first register for integers.
        Class::Registers([Half::Float, Half::Integer]) => {
            Some(Ok(Way { second: Some(machine.result()), first_lost: true, ..plain }))
        }
        Class::Registers([Half::Integer, _]) => Some(Ok(plain)),
    }
}

/// What pointers lead to is the user's.
pub(super) fn user(way: Way) -> Way {
    Way { space: Space::User, ..way }
}

/// What an address points to.
fn pointed(way: Way, ty: Ty) -> Way {
    match way.at {
        At::Value { offset } => Way { at: At::Memory { offset, space: Space::User }, ty, ..way },
        At::Memory { offset, space } => {
            let deref = crate::spec::ir::Deref { offset: i32::try_from(offset).unwrap_or(i32::MAX), space };
            Way { derefs: vec![deref], at: At::Memory { offset: 0, space: Space::User }, ty, ..way }
        }
    }
}

/// A `long double`, alone or as all that a struct has, or a complex one: passed on the stack, but returned in registers of
/// their own (the classes X87, X87UP and COMPLEX_X87 of System V).
fn is_x87(types: &Types, ty: Ty, machine: Machine) -> bool {
    let is_whole = size(types, ty) == Some(16) || is_complex(types, ty);
    machine == Machine::X86 && is_whole && floats_alone(types, ty) == Some(16)
}

fn is_array(types: &Types, ty: Ty) -> bool {
    matches!(shape(types, ty), Shape::Array { .. })
}

fn is_complex(types: &Types, ty: Ty) -> bool {
    let Shape::Struct { of, .. } = shape(types, ty) else { return false };
    types.members(of).next().is_some_and(|first| first.name == REAL.as_bytes())
}

/// What an argument's place on the stack is a multiple of: 16 where it is, or has in it, a number of 16 bytes.
fn align(types: &Types, ty: Ty) -> u64 {
    let mut todo = vec![ty];
    for _ in 0..PARTS {
        let Some(ty) = todo.pop() else { break };
        match shape(types, ty) {
            Shape::Float { size: 16 } => return 16,
            Shape::Int(int) if int.size > 8 => return 16,
            Shape::Array { of, .. } => todo.push(of),
            Shape::Struct { of, .. } => todo.extend(types.members(of).take(PARTS).map(|member| Ty::of(member.id))),
            _ => {}
        }
    }
    8
}

fn class(types: &Types, ty: Ty, machine: Machine) -> Class {
    match shape(types, ty) {
        Shape::Float { size: 16 } if machine == Machine::X86 => Class::Memory,
        Shape::Float { .. } => Class::Registers([Half::Float, Half::None]),
        Shape::Int(int) if int.size > 8 => Class::Registers([Half::Integer; 2]),
        Shape::Struct { size: 0, .. } => Class::Registers([Half::None; 2]),
        Shape::Struct { size, .. } => {
            if machine == Machine::Arm && floats_alone(types, ty).is_some() {
                return Class::Floats;
            }
            let (mut halves, mut left) = ([Half::None; 2], PARTS);
            if size > 16 || !fill(types, ty, 0, &mut halves, &mut left, machine) {
                return Class::Memory;
            }
            match machine {
                Machine::X86 => Class::Registers(halves),
                Machine::Arm => Class::Registers([Half::Integer, if size > 8 { Half::Integer } else { Half::None }]),
            }
        }
        _ => Class::Registers([Half::Integer, Half::None]),
    }
}

/// Says of each half of a struct what is in it; false: it is on the stack.
fn fill(types: &Types, ty: Ty, at: u64, halves: &mut [Half; 2], parts: &mut usize, machine: Machine) -> bool {
    let Some(left) = parts.checked_sub(1) else { return false };
    *parts = left;
    let mut mark = |from: u64, bytes: u64, what: Half| {
        let last = from.saturating_add(bytes.max(1) - 1) / 8;
        // Of a packed struct, such a part has it on the stack (System V, 3.2.3: "it contains unaligned fields").
        if machine == Machine::X86 && !from.is_multiple_of(bytes.max(1)) {
            return false;
        }
        for half in from / 8..=last {
            let Some(half) = usize::try_from(half).ok().and_then(|half| halves.get_mut(half)) else { return false };
            *half = if *half == Half::Integer || what == Half::Integer { Half::Integer } else { what };
        }
        true
    };
    match shape(types, ty) {
        Shape::Struct { of, .. } => types.members(of).all(|member| {
            let from = at.saturating_add(u64::from(member.offset) / 8);
            match member.bits {
                0 => fill(types, Ty::of(member.id), from, halves, parts, machine),
                bits => {
                    let last = (u64::from(member.offset) % 8 + u64::from(bits)).div_ceil(8);
                    let mut inner = [Half::None; 2];
                    let all = from / 8..=from.saturating_add(last.max(1) - 1) / 8;
                    for half in all {
                        match usize::try_from(half).ok().and_then(|half| inner.get_mut(half)) {
                            Some(half) => *half = Half::Integer,
                            None => return false,
                        }
                    }
                    for (half, inner) in halves.iter_mut().zip(inner) {
                        *half = if inner == Half::Integer { inner } else { *half };
                    }
                    true
                }
            }
        }),
        Shape::Array { of, count } => {
            let each = size(types, of).unwrap_or(0);
            let count = count.min(ELEMENTS + 1);
            (0..u64::from(count))
                .all(|n| fill(types, of, at.saturating_add(n.saturating_mul(each)), halves, parts, machine))
        }
        Shape::Float { size: 16 } => false,
        Shape::Float { size } => mark(at, size.into(), Half::Float),
        Shape::Int(int) => mark(at, int.size.into(), Half::Integer),
        Shape::Enum { int, .. } => mark(at, int.size.into(), Half::Integer),
        _ => mark(at, 8, Half::Integer),
    }
}

/// The size of the floats of a struct that has nothing else, and at most four of them, all of one size.
fn floats_alone(types: &Types, ty: Ty) -> Option<u8> {
    let (mut each, mut count) = (None, 0);
    let mut todo = vec![(ty, DEPTH)];
    while let Some((ty, depth)) = todo.pop() {
        let depth = depth.checked_sub(1)?;
        match shape(types, ty) {
            Shape::Float { size } if each.is_none_or(|each| each == size) => {
                (each, count) = (Some(size), count + 1);
            }
            Shape::Struct { of, .. } => {
                todo.extend(types.members(of).take(5).map(|member| (Ty::of(member.id), depth)));
            }
            Shape::Array { of, count: 1..=4 } => {
                let count = Bytes(types.get(types.plain(id(ty)?)?)?.more).u32(8)?;
                todo.extend((0..count.min(4)).map(|_| (of, depth)));
            }
            _ => return None,
        }
        if count > 4 || todo.len() > 64 {
            return None;
        }
    }
    each
}

fn id(ty: Ty) -> Option<u32> {
    match ty {
        Ty::Btf { id, pointers: 0 } => Some(id),
        _ => None,
    }
}
