//! What functions are called with: from debug information, from BTF in the binary, or from the table of prototypes.

use std::collections::HashMap;

use super::dwarf::{Found, Frames, Param, Typed};
use super::open::Binary;
use super::passing::Passing;
use super::symbols::Function;
use crate::types::builder::Builder;
use crate::types::image::Fault as TypesFault;
use crate::types::model::{Types, kind};

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Debug,
    Btf,
    Table,
}

/// What a function is called with, and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub params: Vec<Argument>,
    /// A type; 0: nothing is returned.
    pub returns: u32,
    /// How it is returned: by reference, where it is written was passed, and is returned.
    pub result: Passing,
    pub variadic: bool,
    /// It is written in Rust, whose calling convention is its own.
    pub is_rust: bool,
    /// It was compiled by LLVM, which says where each argument is that is used.
    pub is_llvm: bool,
    /// The compiler has changed what it is called with.
    pub is_changed: bool,
    pub never_returns: bool,
    pub source: Source,
}

/// A parameter or a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    pub name: Option<String>,
    /// None: it is not known.
    pub ty: Option<u32>,
    pub found: Found,
    pub passing: Passing,
}

/// What is known at a place within a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variables {
    pub function: String,
    /// Those of the innermost block first, and then the function's parameters.
    pub variables: Vec<Argument>,
    /// How many of them, the last ones, are parameters.
    pub parameters: usize,
}

/// Types, and what functions have to do with them.
#[derive(Debug)]
pub(crate) struct Described {
    pub types: Types,
    /// Of each function that was asked for; None: nothing is known of it.
    pub each: Vec<Option<Signature>>,
}

impl Binary {
    /// What these functions are called with.
    pub fn described(&self, functions: &[Function]) -> Described {
        let found = self.by_debug(functions).or_else(|| self.by_btf(functions)).or_else(|| self.by_table(functions));
        found.unwrap_or_else(|| Described { types: no_types(), each: vec![None; functions.len()] })
    }

    fn by_debug(&self, functions: &[Function]) -> Option<Described> {
        let debug = self.debug()?.view();
        let addresses: Vec<u64> = functions.iter().map(|function| function.address).collect();
        let entries = debug.functions_at(&addresses);
        if entries.is_empty() {
            return None;
        }
        let mut typed = Typed::new(&debug);
        let mut each: Vec<Option<Signature>> = Vec::new();
        for function in functions {
            let found = entries.get(&function.address).and_then(|at| debug.described(*at, self.elf.machine));
            each.push(found.map(|found| Signature {
                params: found.params.iter().map(|param| argument(&mut typed, param)).collect(),
                returns: typed.number(found.returns),
                result: found.result,
                variadic: found.variadic,
                is_rust: found.is_rust,
                is_llvm: found.is_llvm,
                is_changed: found.is_changed,
                never_returns: found.never_returns,
                source: Source::Debug,
            }));
        }
        let mut builder = typed.finish();
        self.fill(&mut builder, functions, &mut each);
        write(&mut builder, functions, &each);
        self.finished(builder).map(|types| Described { types, each })
    }

    fn by_btf(&self, functions: &[Function]) -> Option<Described> {
        let bytes = self.elf.named(".BTF").ok()??;
        let types = match Types::read(&bytes) {
            Ok(types) => types,
            Err(fault) => {
                self.note(format!("{}: .BTF {fault}", self.name));
                return None;
            }
        };
        let each: Vec<_> = functions.iter().map(|function| of_btf(&types, &function.name)).collect();
        each.iter().any(Option::is_some).then_some(Described { types, each })
    }

    fn by_table(&self, functions: &[Function]) -> Option<Described> {
        let (mut builder, mut each) = (Builder::new(), vec![None; functions.len()]);
        self.fill(&mut builder, functions, &mut each);
        write(&mut builder, functions, &each);
        let types = self.finished(builder)?;
        Some(Described { types, each })
    }

    /// Those that nothing is known of, from the table.
    fn fill(&self, builder: &mut Builder, functions: &[Function], each: &mut [Option<Signature>]) {
        let Some(table) = self.prototypes().filter(|_| each.contains(&None)) else { return };
        let names: Vec<Vec<&str>> = functions.iter().map(names).collect();
        let all: Vec<&str> = names.iter().flatten().copied().collect();
        let known = table.add(builder, all.iter().copied());
        let known: HashMap<&str, _> = all.iter().zip(known).filter_map(|(name, known)| Some((*name, known?))).collect();
        for (each, names) in each.iter_mut().zip(&names).filter(|(each, _)| each.is_none()) {
            let Some(found) = names.iter().find_map(|name| known.get(name)) else { continue };
            let param = |(name, ty): &(String, u32)| Argument {
                name: Some(name.clone()).filter(|name| !name.is_empty()),
                ty: Some(*ty),
                found: Found::NotStated,
                passing: Passing::ByValue,
            };
            *each = Some(Signature {
                params: found.params.iter().map(param).collect(),
                returns: found.returns,
                result: Passing::ByValue,
                variadic: found.variadic,
                is_rust: false,
                is_llvm: false,
                is_changed: false,
                never_returns: false,
                source: Source::Table,
            });
        }
    }

    /// What is known at these addresses within functions: types, and for each address what there is.
    pub fn variables(&self, addresses: &[u64]) -> Option<(Types, Vec<Option<Variables>>)> {
        let debug = self.debug()?.view();
        let frames = Frames::read(&self.elf, self.with_debug().map(|(elf, _)| elf));
        let mut typed = Typed::new(&debug);
        let spots = debug.spots(addresses, self.elf.machine, &frames);
        let known = spots.iter().map(|spot| {
            let spot = spot.as_ref()?;
            let variables = spot.variables.iter().map(|variable| argument(&mut typed, variable)).collect();
            Some(Variables { function: spot.function.clone(), variables, parameters: spot.parameters })
        });
        let known = known.collect();
        let types = self.finished(typed.finish())?;
        Some((types, known))
    }

    fn finished(&self, builder: Builder) -> Option<Types> {
        let note = |fault: TypesFault| {
            self.note(format!("{}: its debug information cannot be used: what it says of types {fault}", self.name))
        };
        builder.finish().map_err(note).ok()
    }
}

/// Types where there are none.
pub(crate) fn no_types() -> Types {
    let made = Builder::new().finish();
    made.unwrap_or_else(|fault| unreachable!("types of our own are read: {fault}"))
}

fn argument(typed: &mut Typed<'_, '_>, param: &Param) -> Argument {
    let ty = param.ty.map(|ty| typed.number(Some(ty))).filter(|ty| *ty > 0);
    Argument { name: param.name.clone(), ty, found: param.found.clone(), passing: param.passing }
}

/// The names of a function, without versions; what a name is written with for linkers comes last.
fn names(function: &Function) -> Vec<&str> {
    let all = std::iter::once(&function.name).chain(&function.aliases);
    let plain = all.map(|name| name.split('@').next().unwrap_or(name));
    let plain: Vec<&str> = plain.collect();
    let own = ["__libc_", "__GI_", "__"].into_iter();
    let stripped = own.flat_map(|before| plain.iter().filter_map(move |name| name.strip_prefix(before)));
    plain.iter().copied().chain(stripped).collect()
}

/// The functions themselves, for who looks for one by its name.
fn write(builder: &mut Builder, functions: &[Function], each: &[Option<Signature>]) {
    for (function, signature) in functions.iter().zip(each) {
        let Some(signature) = signature else { continue };
        // A parameter of no type would mean that more follow.
        let known = signature.params.iter().filter_map(|param| Some((param, param.ty?)));
        let params: Vec<_> =
            known.map(|(param, ty)| (param.name.clone().unwrap_or_default().into_bytes(), ty)).collect();
        let proto = builder.proto(signature.returns, &params, signature.variadic);
        builder.refer(kind::FUNC, function.name.as_bytes(), proto);
    }
}

fn of_btf(types: &Types, name: &str) -> Option<Signature> {
    let found = types.find(kind::FUNC, name)?;
    let proto = types.get(found.refers).filter(|proto| proto.kind == kind::FUNC_PROTO)?;
    let (params, returns) = (Vec::new(), proto.refers);
    let mut signature = Signature {
        params,
        returns,
        result: Passing::ByValue,
        variadic: false,
        is_rust: false,
        is_llvm: false,
        is_changed: false,
        never_returns: false,
        source: Source::Btf,
    };
    for row in proto.rows() {
        let (name, ty) = (types.text(row.u32(0)?)?, row.u32(4)?);
        let name = Some(name).filter(|name| !name.is_empty());
        if ty == 0 {
            signature.variadic = true;
        } else {
            signature.params.push(Argument { name, ty: Some(ty), found: Found::NotStated, passing: Passing::ByValue });
        }
    }
    Some(signature)
}
