//! What well-known functions are called with, where a library does not say it: a table in C (prototypes/table.txt).

mod parse;

use std::collections::{HashMap, VecDeque};

use self::parse::{Declaration, Prototype, Type, declaration};
use crate::types::builder::{Builder, Row, Sign};
use crate::types::model::kind;

const TABLE: &str = include_str!("prototypes/table.txt");
/// How many `typedef`s and structs lead to the size of a type at most.
const STEPS: usize = 4;

/// What is known of a family of libraries.
#[derive(Debug, Default)]
pub(crate) struct Prototypes {
    functions: HashMap<String, Prototype>,
    structs: HashMap<String, Vec<(String, Type)>>,
    typedefs: HashMap<String, Type>,
}

/// A function whose types are among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub params: Vec<(String, u32)>,
    /// 0: nothing.
    pub returns: u32,
    pub variadic: bool,
}

impl Prototypes {
    /// Of the library that is called so (`libc.so.6`); None: none of the table.
    pub fn of_library(name: &str) -> Option<Self> {
        let is_its = |family: &str| {
            let rest = name.strip_prefix(family);
            // libc.so.6, libpthread-2.31.so, libc.musl-x86_64.so.1
            rest.is_some_and(|rest| rest.starts_with(".so") || rest.starts_with('-'))
        };
        let sections = TABLE.split("\n[").skip(1).filter_map(|section| section.split_once("]\n"));
        let mut own = sections.filter(|(names, _)| names.split(' ').any(is_its));
        own.next().map(|(_, lines)| Self::parse(lines))
    }

    /// Of declarations, one on each line; what is none is passed over.
    pub fn parse(lines: &str) -> Self {
        let mut all = Self::default();
        for line in lines.lines() {
            match declaration(line) {
                Some(Declaration::Function(name, prototype)) => _ = all.functions.insert(name, prototype),
                Some(Declaration::Struct(name, members)) => _ = all.structs.insert(name, members),
                Some(Declaration::Typedef(name, ty)) => _ = all.typedefs.insert(name, ty),
                None => {}
            }
        }
        all
    }

    /// Adds what these functions are called with to types; None: they are not in the table.
    pub fn add<'n>(&self, builder: &mut Builder, names: impl Iterator<Item = &'n str>) -> Vec<Option<Known>> {
        let next = builder.next();
        let mut adding = Adding { table: self, known: HashMap::new(), queue: VecDeque::new(), next };
        let mut one = |name: &str| {
            let prototype = self.functions.get(name)?;
            let params = prototype.params.iter().map(|(name, ty)| (name.clone(), adding.number(ty))).collect();
            Some(Known { params, returns: adding.number(&prototype.returns), variadic: prototype.variadic })
        };
        let found = names.map(&mut one).collect();
        while let Some(ty) = adding.queue.pop_front() {
            adding.write(builder, &ty);
        }
        found
    }
}

/// Types on their way: each gets its number before it is written.
struct Adding<'t> {
    table: &'t Prototypes,
    known: HashMap<Type, u32>,
    queue: VecDeque<Type>,
    next: u32,
}

impl Adding<'_> {
    fn number(&mut self, ty: &Type) -> u32 {
        if *ty == Type::Void {
            return 0;
        }
        if let Some(known) = self.known.get(ty) {
            return *known;
        }
        let number = self.next;
        self.next += 1;
        self.known.insert(ty.clone(), number);
        self.queue.push_back(ty.clone());
        number
    }

    /// Writes exactly one type.
    fn write(&mut self, builder: &mut Builder, ty: &Type) {
        match ty {
            Type::Void => builder.declared(b"", false),
            Type::Number { name, size, signed } => {
                builder.int(name.as_bytes(), *size, if *signed { Sign::Signed } else { Sign::Unsigned })
            }
            Type::Bool => builder.int(b"_Bool", 1, Sign::Bool),
            Type::Float { name, size } => builder.float(name.as_bytes(), *size),
            Type::Pointer(to) => {
                let to = self.number(to);
                builder.refer(kind::PTR, b"", to)
            }
            Type::Const(of) => {
                let of = self.number(of);
                builder.refer(kind::CONST, b"", of)
            }
            Type::Array { of, count } => {
                let of = self.number(of);
                builder.array(of, *count)
            }
            Type::Function(of) => {
                let returns = self.number(&of.returns);
                let params: Vec<_> =
                    of.params.iter().map(|(name, ty)| (name.clone().into_bytes(), self.number(ty))).collect();
                builder.proto(returns, &params, of.variadic)
            }
            Type::Named(name) => match self.table.typedefs.get(name).cloned() {
                Some(ty) => {
                    let ty = self.number(&ty);
                    builder.refer(kind::TYPEDEF, name.as_bytes(), ty)
                }
                None => builder.declared(name.as_bytes(), false),
            },
            Type::Struct(name) => match self.layout(name) {
                Some((size, rows)) => builder.composite(kind::STRUCT, name.as_bytes(), size, &rows),
                None => builder.declared(name.as_bytes(), false),
            },
        };
    }

    /// The members of a struct, as C puts them one after the other.
    fn layout(&mut self, name: &str) -> Option<(u32, Vec<Row>)> {
        let table = self.table;
        let members = table.structs.get(name)?;
        let (mut at, mut widest, mut rows) = (0_u32, 1, Vec::new());
        for (name, ty) in members {
            let (size, align) = table.size(ty, 0)?;
            at = at.checked_next_multiple_of(align)?;
            rows.push(Row {
                name: name.clone().into_bytes(),
                id: self.number(ty),
                offset: at.checked_mul(8)?,
                bits: 0,
            });
            at = at.checked_add(size)?;
            widest = widest.max(align);
        }
        Some((at.checked_next_multiple_of(widest)?, rows))
    }
}

impl Prototypes {
    /// How many bytes a type has, and what its address is a multiple of.
    fn size(&self, ty: &Type, depth: usize) -> Option<(u32, u32)> {
        if depth > STEPS {
            return None;
        }
        let inner = |ty: &Type| self.size(ty, depth + 1);
        match ty {
            Type::Void | Type::Function(_) => None,
            Type::Number { size, .. } | Type::Float { size, .. } => Some(((*size).into(), (*size).into())),
            Type::Bool => Some((1, 1)),
            Type::Pointer(_) => Some((8, 8)),
            Type::Const(of) => inner(of),
            Type::Named(name) => inner(self.typedefs.get(name)?),
            Type::Array { of, count } => inner(of).and_then(|(size, align)| Some((size.checked_mul(*count)?, align))),
            Type::Struct(name) => {
                let (mut at, mut widest) = (0_u32, 1);
                for (_, ty) in self.structs.get(name)? {
                    let (size, align) = inner(ty)?;
                    at = at.checked_next_multiple_of(align)?.checked_add(size)?;
                    widest = widest.max(align);
                }
                Some((at.checked_next_multiple_of(widest)?, widest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::types::model::Types;

    #[test]
    fn every_line_is_understood_and_every_name_is_there_once() {
        let (mut names, mut family) = (HashSet::new(), String::new());
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                family = line.to_owned();
                continue;
            }
            let name = match declaration(line).unwrap_or_else(|| panic!("{line}")) {
                Declaration::Function(name, _) | Declaration::Typedef(name, _) => name,
                Declaration::Struct(name, _) => format!("struct {name}"),
            };
            assert!(!name.is_empty() && names.insert((family.clone(), name)), "{line}");
        }
        assert!(names.len() > 300);
    }

    fn spelled(types: &Types, proto: &Known) -> String {
        use crate::spec::resolve::spelled;
        let one = |(name, id): &(String, u32)| spelled(types, *id, name);
        let params: Vec<String> = proto.params.iter().map(one).collect();
        format!("{} ({})", spelled(types, proto.returns, ""), params.join(", "))
    }

    #[test]
    fn all_of_a_table_becomes_types() {
        for library in
            ["libc.so.6", "libpthread-2.31.so", "libssl.so.3", "libz.so.1", "libgnutls.so.30", "ld-musl-x86_64.so.1"]
        {
            let table = Prototypes::of_library(library).unwrap();
            let mut names: Vec<&str> = table.functions.keys().map(String::as_str).collect();
            names.sort_unstable();
            let mut builder = Builder::new();
            let known = table.add(&mut builder, names.iter().copied());
            let types = builder.finish().unwrap();
            let known: HashMap<&str, String> = names
                .iter()
                .zip(&known)
                .map(|(name, known)| (*name, spelled(&types, known.as_ref().unwrap())))
                .collect();
            match library {
                "libc.so.6" => {
                    assert_eq!(known["malloc"], "void * (size_t size)");
                    assert_eq!(known["execve"], "int (const char *pathname, char *const *argv, char *const *envp)");
                    assert_eq!(
                        known["qsort"],
                        "void (void *base, size_t nmemb, size_t size, int (*compar)(const void *, const void *))"
                    );
                    assert_eq!(known["signal"], "void (*)(int) (int signum, void (*handler)(int))");
                    let list = types.find(kind::STRUCT, "addrinfo").unwrap();
                    assert_eq!((list.refers, types.members(list).count()), (48, 8));
                    assert_eq!(types.members(list).nth(5).unwrap().offset, 24 * 8, "as the ABI has it");
                }
                "libz.so.1" => assert_eq!(types.find(kind::STRUCT, "z_stream_s").unwrap().refers, 112),
                _ => {}
            }
        }
        assert!(Prototypes::of_library("libcrypt.so.1").is_none() && Prototypes::of_library("libcurl.so.4").is_none());
    }

    #[test]
    fn what_is_no_declaration_is_none() {
        for line in [
            "",
            "int",
            "int f",
            "int f(",
            "int f(int",
            "f()",
            "int 3(int a)",
            "struct x { int a }",
            "int f(void) x",
            "é f(void)",
            "* * *",
        ] {
            assert_eq!(declaration(line), None, "{line}");
        }
        assert_eq!(declaration(&format!("int {}f(void)", "(*".repeat(999))), None);
        // Structs in themselves have no size.
        let table = Prototypes::parse("struct a { struct a b; }\ntypedef b b\nint f(struct a *x, b y)");
        let mut builder = Builder::new();
        table.add(&mut builder, ["f"].into_iter());
        // Whether it is refused or left out: it ends.
        let _ = builder.finish();
    }
}
