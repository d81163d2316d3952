//! What a user wrote.

use std::ops::Range;

/// Where something stands in the text of a spec, in bytes: errors point there.
pub(crate) type Span = Range<usize>;

/// `KIND:TARGET[(ARGS)][ if CONDITION]`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    /// All of it, as it was written.
    pub text: String,
    pub target: Target,
    /// None: nothing is said, and all arguments are shown.
    pub args: Option<Vec<Arg>>,
    /// Values that stand in the text where others are shown instead: they declare arguments, as the others do.
    pub declares: Vec<Arg>,
    pub condition: Option<Condition>,
}

impl Spec {
    /// All that may declare an argument, in its order.
    pub fn declarations(&self) -> impl Iterator<Item = &Arg> {
        self.declares.iter().chain(self.args.iter().flatten())
    }

    /// All expressions in it: those of its values, and those of its condition.
    pub fn expressions(&self) -> Vec<&Expr> {
        let values = self.args.iter().flatten().filter_map(|arg| match arg {
            Arg::All(_) => None,
            Arg::One { value, .. } => Some(value),
        });
        let mut all: Vec<&Expr> = values.collect();
        self.condition.iter().for_each(|condition| condition.tested(&mut all));
        all
    }
}

/// What is probed. A name may be a glob (`*`, `?`, `[…]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A kernel function, of a module where one is named.
    Function { how: How, module: Option<Word>, name: Word },
    /// `tracepoint:CATEGORY:NAME`
    Tracepoint { category: Word, name: Word },
    /// `raw_tracepoint:NAME`
    RawTracepoint { name: Word },
    /// `tp_btf:NAME`
    TypedTracepoint { name: Word },
    /// `ksyscall:NAME`
    Syscall { name: Word },
    /// `BINARY:FUNCTION`, `BINARY:0xOFFSET`, `BINARY:FILE:LINE` of `uprobe`
    User { binary: Word, place: Place },
    /// `BINARY:PROVIDER:NAME` of `usdt`; an empty provider is any
    Static { binary: Word, provider: Word, name: Word },
}

/// How a kernel function is hooked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// `fn`: entry and return, by the best that the kernel has.
    Any,
    Kprobe,
    Kretprobe,
    Fentry,
    Fexit,
}

/// Where in a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Function(Word),
    Offset(u64),
    Line { file: Word, line: u32 },
}

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub text: String,
    pub span: Span,
}

/// `[NAME=]EXPRESSION[:FORMAT]`, or `*`: all arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    All(Span),
    One { name: Option<Word>, value: Expr, format: Option<(Format, Span)> },
}

/// An expression: where a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExprKind {
    /// An argument (or a field of a tracepoint) by its name; `arg0`, `arg1`, … by its number; `ret`: what is returned;
    /// `task`: the current `struct task_struct`; and of the head `pid`, `tid`, `ppid`, `uid`, `gid`, `cpu`, `comm`,
    /// `cgroup`, `func`. A name of the target comes first.
    Name(String),
    /// `of.member` and `of->member` mean the same: whether a pointer is followed is known from the types.
    Member { of: Box<Expr>, member: Word },
    /// `of[index]`
    Index { of: Box<Expr>, index: u64 },
    /// `*of`: what it points to, as a whole.
    Deref(Box<Expr>),
    /// `(struct name *)of`: the struct's name, and how often it is pointed to.
    Cast { to: Word, pointers: u32, of: Box<Expr> },
}

impl Expr {
    /// The name that it begins with.
    pub fn root(&self) -> &str {
        let mut inner = self;
        loop {
            match &inner.kind {
                ExprKind::Name(name) => return name,
                ExprKind::Member { of, .. } | ExprKind::Index { of, .. } => inner = of,
                ExprKind::Deref(of) | ExprKind::Cast { of, .. } => inner = of,
            }
        }
    }
}

/// How a value is shown; for what has no type (a declared argument of a binary), also what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `x`
    Hex,
    /// `d`
    Signed,
    /// `u`
    Unsigned,
    /// `o`
    Octal,
    /// `char`
    Char,
    /// `u8` … `u64`, `i8` … `i64`: bytes, and whether it has a sign
    Int { size: u8, signed: bool },
    /// `f32`, `f64`
    Float { size: u8 },
    /// `ptr`
    Pointer,
    /// `str`, `str[N]`: what it points to, or the array that it is, up to its NUL and N bytes
    Str { max: Option<u32> },
    /// `bytes[N]`
    Bytes { len: u32 },
    /// `sym`: the function or variable at that address
    Symbol,
    /// `raw`: as without the summary of a struct that is known
    Raw,
}

/// Comparisons, joined.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Test { left: Expr, op: Op, right: Literal, span: Span },
}

impl Condition {
    /// Adds what is compared in it.
    fn tested<'a>(&'a self, all: &mut Vec<&'a Expr>) {
        match self {
            Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| part.tested(all)),
            Condition::Not(of) => of.tested(all),
            Condition::Test { left, .. } => all.push(left),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// `&`: any of these bits
    And,
    /// `^=`: begins with
    Prefix,
    /// `~`: matches the glob
    Glob,
}

/// What is compared with. (A lone expression as a condition is compared with 0 by `!=`.)
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// A number (`10`, `-2`, `0x1f`, `0o17`, `'c'`, `4k`, `1M`, `NULL`), from -2^63 to 2^64-1
    Number(i128, Span),
    /// A name of the enum that the left side is, or of an error (`-ENOENT`)
    Name {
        negative: bool,
        name: Word,
    },
    Text(Vec<u8>, Span),
}
