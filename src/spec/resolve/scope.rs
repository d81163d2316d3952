//! What names mean at a hook, and where it has them.

use std::borrow::Cow;

use super::find::Function;
use super::record::Field;
use super::typed::{Shape, Ty, named, names, shape, size};
use super::way::{At, Way};
pub(crate) use crate::binary::Machine;
use crate::spec::ir::{Base, Space};
use crate::types::model::{Types, kind};

/// How a hook hands over what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// The arguments themselves, of types that the verifier knows: fentry, fexit, `tp_btf`.
    Typed,
    /// The arguments themselves: raw tracepoints.
    Plain,
    /// The registers, as `struct pt_regs` has them: probes.
    Registers(Machine),
}

/// When a hook is called, and so what it can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Arguments alone.
    Entry,
    /// What is returned, alone.
    Return,
    /// Both in one program (fexit). What arguments point to may be gone by then.
    Both,
    /// One half of a call that has two programs: what belongs to the other half is left out of it.
    EntryOf,
    ReturnOf,
}

impl When {
    pub fn has_args(self) -> bool {
        !matches!(self, When::Return | When::ReturnOf)
    }

    pub fn has_result(self) -> bool {
        !matches!(self, When::Entry | When::EntryOf)
    }

    pub fn is_half(self) -> bool {
        matches!(self, When::EntryOf | When::ReturnOf)
    }
}

/// A hook on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    pub words: Words,
    pub when: When,
}

/// What can be asked for at a hook.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// What is hooked, for messages.
    pub name: String,
    pub params: Vec<Param>,
    /// None: nothing is returned.
    pub returns: Option<Ty>,
    pub when: When,
    /// How many words of the context are used where what is returned is.
    pub result_words: u32,
    /// Names that are not shown unless they are asked for: fields that all records have.
    pub hidden: usize,
    /// What the head of each event has, where these are not the types of the kernel.
    pub head: Option<Vec<Param>>,
    /// Where what is returned is, if that is not in one register alone; or why it cannot be read.
    pub result_at: Option<Result<Way, Why>>,
    /// Why the return of what is hooked at its entry is left alone, if it is.
    pub left: Option<&'static str>,
}

/// A parameter, or a field of a record.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub name: Option<String>,
    pub ty: Ty,
    /// Where it is; or why it cannot be read.
    pub way: Result<Way, Why>,
}

/// Why a value cannot be read.
pub(crate) type Why = Cow<'static, str>;

const ON_STACK: &str = "on the stack: hook the function by its types (fentry), which has all arguments";
const BY_VALUE: &str = "a struct by value that is too large for registers";

impl Scope {
    /// Of a function, or of a tracepoint's parameters.
    pub fn function(types: &Types, function: &Function, hook: Hook) -> Self {
        let mut places = Places::new(types, function, hook.words);
        let params = function.params.iter().map(|param| {
            let way = places.next(types, param.ty).map_err(Why::from);
            Param { name: param.name.clone(), ty: param.ty, way }
        });
        let params: Vec<Param> = params.collect();
        let result_words = match hook.words {
            Words::Typed | Words::Plain => places.next.saturating_add(1),
            Words::Registers(machine) => machine.result() + 1,
        };
        let (name, returns, when) = (function.name.clone(), function.returns, hook.when);
        Self { name, params, returns, when, result_words, hidden: 0, head: None, result_at: None, left: None }
    }

    /// Of a classic tracepoint's record.
    pub fn record(types: &Types, name: &str, fields: &[Field]) -> Self {
        let params = fields.iter().map(|field| {
            let at = At::Memory { offset: field.offset.into(), space: Space::Kernel };
            let ty = field.ty(types);
            let space = if is_text_pointer(types, ty) { Space::ByAddress } else { Space::Kernel };
            let way = Way { base: Base::Context, at, space, ..Way::word(0, false, ty) };
            Param { name: Some(field.name.clone()), ty, way: Ok(way) }
        });
        let hidden = fields.iter().take_while(|field| field.name.starts_with("common_")).count();
        let (name, params) = (name.to_owned(), params.collect());
        Self {
            name,
            params,
            returns: None,
            when: When::Entry,
            result_words: 0,
            hidden,
            head: None,
            result_at: None,
            left: None,
        }
    }

    /// Of a system call, hooked at its wrapper: its one argument is where the registers of the caller are. `known`: its
    /// parameters, where the kernel's types have them.
    pub fn syscall(types: &Types, name: &str, known: Option<&Function>, hook: Hook, machine: Machine) -> Self {
        let (word, typed) = match hook.words {
            Words::Registers(machine) => (machine.arguments().first().copied().unwrap_or(0), false),
            words => (0, words == Words::Typed),
        };
        let param = |(n, register): (usize, &u32)| {
            let found = known.and_then(|known| known.params.get(n));
            let ty = found.map_or(Ty::Word, |param| param.ty);
            let at = At::Memory { offset: i64::from(*register) * 8, space: Space::Kernel };
            let way = Way { at, space: Space::User, ..Way::word(word, typed, ty) };
            Param { name: found.and_then(|param| param.name.clone()), ty, way: Ok(way) }
        };
        let most = known.map_or(usize::MAX, |known| known.params.len());
        let params = machine.syscall().iter().enumerate().take(most).map(param).collect();
        let result_words = match hook.words {
            Words::Registers(machine) => machine.result() + 1,
            _ => 2,
        };
        let returns = known.and_then(|known| known.returns).or_else(|| named(types, "long int", &[kind::INT]));
        let returns = Some(returns.unwrap_or(Ty::Number { size: 8, signed: true }));
        Self {
            name: name.to_owned(),
            params,
            returns,
            when: hook.when,
            result_words,
            hidden: 0,
            head: None,
            left: None,
            result_at: None,
        }
    }

    /// Of a function that nothing is known of: words of registers. `space`: whose memory they point to.
    pub fn untyped(name: &str, when: When, machine: Machine, space: Space) -> Self {
        let param = |word: &u32| {
            let way = Way { space, ..Way::word(*word, false, Ty::Word) };
            Param { name: None, ty: Ty::Word, way: Ok(way) }
        };
        let params: Vec<Param> = machine.arguments().iter().map(param).collect();
        // Which of them are its arguments is not known.
        let (returns, hidden) = (Some(Ty::Word), params.len());
        let (result_words, name) = (machine.result() + 1, name.to_owned());
        Self { name, params, returns, when, result_words, hidden, head: None, result_at: None, left: None }
    }

    /// A parameter by its name, else by its number.
    pub fn param(&self, name: &str) -> Option<&Param> {
        let by_name = self.params.iter().find(|param| param.name.as_deref() == Some(name));
        by_name.or_else(|| self.params.get(name.strip_prefix("arg")?.parse::<usize>().ok()?))
    }

    /// What a parameter is called.
    pub fn called(&self, n: usize) -> String {
        let name = self.params.get(n).and_then(|param| param.name.clone());
        name.unwrap_or_else(|| format!("arg{n}"))
    }

    /// What is returned.
    pub fn result(&self) -> Option<Result<Way, Why>> {
        let plain = Way { base: Base::Return, ..Way::word(0, false, self.returns?) };
        Some(self.result_at.clone().unwrap_or(Ok(plain)))
    }
}

fn is_text_pointer(types: &Types, ty: Ty) -> bool {
    matches!(ty, Ty::Btf { id, pointers: 1 } if names(types, Ty::of(id)).first() == Some(&&b"char"[..]))
}

/// Where arguments are, one after the other.
struct Places {
    words: Words,
    next: u32,
}

impl Places {
    fn new(types: &Types, function: &Function, words: Words) -> Self {
        // The address of a large struct that is returned is in the first register, but of arm64.
        let large = function.returns.is_some_and(|ty| is_struct(types, ty) && size(types, ty).is_some_and(|n| n > 16));
        Self { words, next: u32::from(large && words == Words::Registers(Machine::X86)) }
    }

    fn next(&mut self, types: &Types, ty: Ty) -> Result<Way, &'static str> {
        let size = size(types, ty).unwrap_or(8);
        let count = u32::try_from(size.div_ceil(8)).unwrap_or(u32::MAX).max(1);
        let first = self.next;
        if count > 2 {
            // Its bytes are on the stack on x86; arm64 has their address in a register.
            self.next += u32::from(self.words == Words::Registers(Machine::Arm));
            return Err(BY_VALUE);
        }
        match self.words {
            Words::Typed | Words::Plain => {
                self.next = first.saturating_add(count);
                let typed = self.words == Words::Typed && points_to_struct(types, ty);
                Ok(Way { second: (count == 2).then_some(first + 1), ..Way::word(first, typed, ty) })
            }
            Words::Registers(machine) => {
                let all = machine.arguments();
                let word = |n: u32| all.get(n as usize).copied();
                let last = first.checked_add(count - 1).and_then(word);
                let Some((word, last)) = word(first).zip(last) else {
                    // What is smaller may still find one, but of arm64.
                    self.next = if machine == Machine::Arm { 8 } else { first };
                    return Err(ON_STACK);
                };
                self.next = first + count;
                Ok(Way { second: (count == 2).then_some(last), ..Way::word(word, false, ty) })
            }
        }
    }
}

fn is_struct(types: &Types, ty: Ty) -> bool {
    matches!(shape(types, ty), Shape::Struct { .. })
}

fn points_to_struct(types: &Types, ty: Ty) -> bool {
    match shape(types, ty) {
        Shape::Pointer { to, user: false } => is_struct(types, to),
        _ => false,
    }
}
