//! Declarations in C, one on each line: as much of the language as prototypes need.

/// How deep types may be inside of each other.
const DEPTH: usize = 16;
/// The most members, or parameters.
const ROWS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Void,
    /// Of so many bytes; its name is as compilers write it.
    Number {
        name: &'static str,
        size: u8,
        signed: bool,
    },
    Bool,
    Float {
        name: &'static str,
        size: u8,
    },
    /// One of a `typedef`.
    Named(String),
    Struct(String),
    Pointer(Box<Type>),
    Const(Box<Type>),
    Array {
        of: Box<Type>,
        count: u32,
    },
    Function(Box<Prototype>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Prototype {
    pub params: Vec<(String, Type)>,
    pub returns: Type,
    pub variadic: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Declaration {
    Function(String, Prototype),
    Struct(String, Vec<(String, Type)>),
    Typedef(String, Type),
}

/// A line; None: it is none that is understood.
pub(crate) fn declaration(line: &str) -> Option<Declaration> {
    let mut all = tokens(line)?;
    if all.last() == Some(&";") {
        all.pop();
    }
    let mut reader = Reader { all: &all };
    let found = if reader.eats("typedef") {
        let (name, ty) = reader.declared(0)?;
        Declaration::Typedef(name, ty)
    } else if let ["struct", name, "{", ..] = all.as_slice() {
        reader.all = all.get(3..)?;
        let mut members = Vec::new();
        while !reader.eats("}") {
            members.push(reader.declared(0).filter(|_| members.len() < ROWS)?);
            reader.eats(";").then_some(())?;
        }
        Declaration::Struct((*name).to_owned(), members)
    } else {
        match reader.declared(0)? {
            (name, Type::Function(prototype)) => Declaration::Function(name, *prototype),
            _ => return None,
        }
    };
    reader.all.is_empty().then_some(found)
}

/// Words and signs.
fn tokens(line: &str) -> Option<Vec<&str>> {
    let (mut all, mut rest) = (Vec::new(), line.trim());
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = match first {
            '.' if rest.starts_with("...") => 3,
            '*' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' => 1,
            _ if word > 0 => word,
            _ => return None,
        };
        let (token, after) = rest.split_at_checked(length)?;
        all.push(token);
        rest = after.trim_start();
    }
    Some(all)
}

struct Reader<'t, 's> {
    all: &'t [&'s str],
}

/// What stands around a name, from the inside to the outside.
enum Around {
    Pointer,
    ConstPointer,
    Array(u32),
    Function { params: Vec<(String, Type)>, variadic: bool },
}

impl Reader<'_, '_> {
    fn eats(&mut self, token: &str) -> bool {
        match self.all {
            [first, rest @ ..] if *first == token => {
                self.all = rest;
                true
            }
            _ => false,
        }
    }

    fn word(&mut self) -> Option<String> {
        let (first, rest) = self.all.split_first()?;
        if !first.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || is_keyword(first) {
            return None;
        }
        self.all = rest;
        Some((*first).to_owned())
    }

    /// A type with the name that has it, which may be missing.
    fn declared(&mut self, depth: usize) -> Option<(String, Type)> {
        let mut ty = self.base()?;
        let mut around = Vec::new();
        let name = self.declarator(depth, &mut around)?;
        for one in around.into_iter().rev() {
            ty = match one {
                Around::Pointer => Type::Pointer(Box::new(ty)),
                Around::ConstPointer => Type::Const(Box::new(Type::Pointer(Box::new(ty)))),
                Around::Array(count) => Type::Array { of: Box::new(ty), count },
                Around::Function { params, variadic } => {
                    Type::Function(Box::new(Prototype { params, returns: ty, variadic }))
                }
            };
        }
        Some((name, ty))
    }

    /// `const unsigned long`, `struct name`, or a name.
    fn base(&mut self) -> Option<Type> {
        let mut constant = self.eats("const");
        let mut words: Vec<&str> = Vec::new();
        while let [first, rest @ ..] = self.all
            && is_number(first)
        {
            words.push(first);
            self.all = rest;
        }
        let ty = match *words {
            [] if self.eats("struct") => Type::Struct(self.word()?),
            [] if self.eats("void") => Type::Void,
            [] => Type::Named(self.word()?),
            ["bool"] => Type::Bool,
            ["float"] => Type::Float { name: "float", size: 4 },
            ["double"] => Type::Float { name: "double", size: 8 },
            _ => number(&words)?,
        };
        constant |= self.eats("const");
        Some(if constant { Type::Const(Box::new(ty)) } else { ty })
    }

    fn declarator(&mut self, depth: usize, around: &mut Vec<Around>) -> Option<String> {
        if depth > DEPTH || around.len() > DEPTH {
            return None;
        }
        if self.eats("*") {
            let pointer = if self.eats("const") { Around::ConstPointer } else { Around::Pointer };
            _ = self.eats("restrict");
            let name = self.declarator(depth + 1, around)?;
            around.push(pointer);
            return Some(name);
        }
        let inner = match self.all {
            ["(", "*", ..] => {
                self.eats("(");
                let name = self.declarator(depth + 1, around)?;
                self.eats(")").then_some(())?;
                name
            }
            _ => self.word().unwrap_or_default(),
        };
        loop {
            if around.len() > DEPTH {
                return None;
            } else if self.eats("[") {
                let count = match self.all {
                    ["]", ..] => 0,
                    [count, rest @ ..] => {
                        self.all = rest;
                        count.parse().ok()?
                    }
                    [] => return None,
                };
                self.eats("]").then_some(())?;
                around.push(Around::Array(count));
            } else if self.eats("(") {
                let (params, variadic) = self.params(depth + 1)?;
                around.push(Around::Function { params, variadic });
            } else {
                return Some(inner);
            }
        }
    }

    fn params(&mut self, depth: usize) -> Option<(Vec<(String, Type)>, bool)> {
        if matches!(self.all, ["void", ")", ..]) {
            self.all = self.all.get(2..)?;
            return Some((Vec::new(), false));
        }
        let mut params = Vec::new();
        loop {
            if self.eats("...") {
                return self.eats(")").then_some((params, true));
            }
            let (name, ty) = self.declared(depth).filter(|_| params.len() < ROWS)?;
            // Arrays and functions are passed by their addresses.
            let ty = match ty {
                Type::Array { of, .. } => Type::Pointer(of),
                Type::Function(_) => Type::Pointer(Box::new(ty)),
                other => other,
            };
            params.push((name, ty));
            if self.eats(")") {
                return Some((params, false));
            }
            self.eats(",").then_some(())?;
        }
    }
}

fn is_number(word: &str) -> bool {
    matches!(word, "unsigned" | "signed" | "char" | "short" | "int" | "long" | "bool" | "float" | "double")
}

fn is_keyword(word: &str) -> bool {
    is_number(word) || matches!(word, "const" | "restrict" | "struct" | "typedef" | "void")
}

fn number(words: &[&str]) -> Option<Type> {
    let unsigned = words.contains(&"unsigned");
    let longs = words.iter().filter(|word| **word == "long").count();
    let (name, size, signed) = match (words.contains(&"char"), words.contains(&"short"), longs, unsigned) {
        (true, false, 0, true) => ("unsigned char", 1, false),
        (true, false, 0, false) if words.contains(&"signed") => ("signed char", 1, true),
        // As x86 has it; who asks for a number says which.
        (true, false, 0, false) => ("char", 1, true),
        (false, true, 0, true) => ("short unsigned int", 2, false),
        (false, true, 0, false) => ("short int", 2, true),
        (false, false, 0, true) => ("unsigned int", 4, false),
        (false, false, 0, false) => ("int", 4, true),
        (false, false, 1, true) => ("long unsigned int", 8, false),
        (false, false, 1, false) => ("long int", 8, true),
        (false, false, 2, true) => ("long long unsigned int", 8, false),
        (false, false, 2, false) => ("long long int", 8, true),
        _ => return None,
    };
    Some(Type::Number { name, size, signed })
}
