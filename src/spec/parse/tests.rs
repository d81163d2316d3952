//! Specs and their trees, what is said of those that are wrong, and specs of random tokens.

use super::Grammar::{self, Probe, Uprobe, Usdt};
use super::samples::GOOD;
use super::{parse, refused};
use crate::spec::ast::{Arg, Condition, Expr, ExprKind, Format, Literal, Op, Place, Target, Word};
use crate::spec::parse::with_values;

fn target(target: &Target) -> String {
    match target {
        Target::Function { how, module: Some(module), name } => format!("{how:?} {}/{}", module.text, name.text),
        Target::Function { how, module: None, name } => format!("{how:?} {}", name.text),
        Target::Tracepoint { category, name } => format!("tracepoint {}/{}", category.text, name.text),
        Target::RawTracepoint { name } => format!("raw {}", name.text),
        Target::TypedTracepoint { name } => format!("typed {}", name.text),
        Target::Syscall { name } => format!("syscall {}", name.text),
        Target::User { binary, place: Place::Function(name) } => format!("user {} {}", binary.text, name.text),
        Target::User { binary, place: Place::Offset(at) } => format!("user {} at {at:#x}", binary.text),
        Target::User { binary, place: Place::Line { file, line } } => {
            format!("user {} line {line} of {}", binary.text, file.text)
        }
        Target::Static { binary, provider, name } => {
            format!("static {} '{}' {}", binary.text, provider.text, name.text)
        }
    }
}

/// What stands in front is in parentheses, so that precedence shows.
fn value(of: &Expr) -> String {
    match &of.kind {
        ExprKind::Name(name) => name.clone(),
        ExprKind::Member { of, member } => format!("{}.{}", value(of), member.text),
        ExprKind::Index { of, index } => format!("{}[{index}]", value(of)),
        ExprKind::Deref(of) => format!("(*{})", value(of)),
        ExprKind::Cast { to, pointers, of } => format!("({}*{pointers} {})", to.text, value(of)),
    }
}

fn arg(arg: &Arg) -> String {
    let Arg::One { name, value: of, format } = arg else { return "*".to_owned() };
    let name = name.as_ref().map_or_else(String::new, |name| format!("{}=", name.text));
    let format = format.as_ref().map_or_else(String::new, |(format, _)| format!(":{format:?}"));
    format!("{name}{}{format}", value(of))
}

fn condition(of: &Condition) -> String {
    let all = |all: &[Condition], sign| format!("({})", all.iter().map(condition).collect::<Vec<_>>().join(sign));
    match of {
        Condition::And(of) => all(of, " and "),
        Condition::Or(of) => all(of, " or "),
        Condition::Not(of) => format!("not {}", condition(of)),
        Condition::Test { left, op, right, .. } => {
            let right = match right {
                Literal::Number(number, _) => number.to_string(),
                Literal::Name { negative, name } => format!("{}{}", if *negative { "-" } else { "" }, name.text),
                Literal::Text(text, _) => format!("{:?}", String::from_utf8_lossy(text)),
            };
            format!("{} {op:?} {right}", value(left))
        }
    }
}

/// A tree on a line.
fn tree(text: &str, grammar: Grammar) -> String {
    let spec = parse(text, grammar).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(spec.text, text);
    let args = spec.args.map(|args| format!("({})", args.iter().map(arg).collect::<Vec<_>>().join(", ")));
    let wanted = spec.condition.map(|of| format!(" if {}", condition(&of)));
    target(&spec.target) + &args.unwrap_or_default() + &wanted.unwrap_or_default()
}

#[test]
fn trees_of_specs() {
    let trees = [
        "Any vfs_unlink",
        "Kprobe do_exit(code)",
        "typed sched_process_fork(exe=parent.mm.exe_file.f_path.dentry.d_name.name:Str { max: None }, \
         heap_start=parent.mm.start_brk:Hex, heap_end=parent.mm.brk:Hex)",
        "Any vfs_write(len=count, buf:Bytes { len: 16 }) if (count Gt 4096 and file.f_path.dentry.d_name.name Prefix \"log\")",
        "Any vfs_read(*) if ret Lt 0",
        "Any nf_tables/nft_do_chain(*, arg1)",
        "Kretprobe vfs_*(ret:Signed)",
        "Fentry foo.isra.0()",
        "Fexit xfs/xfs_[a-f]??_*",
        "tracepoint sched/sched_switch(prev_comm, next_comm:Str { max: Some(16) })",
        "tracepoint 9p/9p_client_req",
        "raw sched_switch(arg1:Int { size: 1, signed: false }, arg2:Symbol)",
        "raw sys_[!a-c]*",
        "syscall openat(filename:Str { max: None }) if flags And 64",
        "Any vfs_read(a, b=c.d[3].e:Hex) if a Eq 1",
        "Any f((foo*1 a), (foo*2 (*b)):Pointer, (*c).d, (*e.f[31]):Raw)",
        "Any f if a Ne 0",
        "Any f if (not a Ne 0 and (not b Eq 1 or c.d Ne 0))",
        "Any f if (a Eq -ENOENT or a Ne 0 or b Ge O_LAST)",
        "Any f if ((a.b Eq 99 and a Gt 18446744073709551615) or a Le -9223372036854775808)",
        "Any f if (a Glob \"*.l?g\" and b Ne \"\\\"\\\\\\u{7f}\\u{202e}\\n\\t\\r'\")",
        "Any f(if) if if Eq 1",
        "Any f if (a Eq 1024 or a Eq 2097152 or a Eq 3221225472 or a Eq 4398046511104 or a Eq 3 or a Eq 0 or a Eq 1)",
        "Any f if ((a Ne 0 and b Ne 0) or (c Ne 0 and d Ne 0) or not e Ne 0)",
        "Any f(a:Float { size: 4 }, b:Float { size: 8 }, c:Int { size: 1, signed: true }, \
         d:Int { size: 2, signed: true }, e:Int { size: 4, signed: true }, f:Int { size: 8, signed: true }, \
         g:Int { size: 2, signed: false }, h:Int { size: 4, signed: false }, i:Int { size: 8, signed: false }, \
         j:Char, k:Octal, l:Unsigned)",
        "Any f(a, b) if a Eq 1",
        "Any f if ((foo*1 a) Eq 0 and (foo*1 a).b Eq 1)",
        "Any f if func Eq \"vfs_read\"",
        "Any f if (duration Gt 1500000 or duration Eq 1000000000 or duration Lt 20000 or duration Ne 3 or duration Ge 4)",
    ];
    let of_kernels: Vec<_> = GOOD.into_iter().filter(|(grammar, _)| *grammar == Probe).collect();
    assert_eq!(of_kernels.len(), trees.len());
    for ((grammar, text), expected) in of_kernels.into_iter().zip(trees) {
        assert_eq!(tree(text, grammar), expected, "{text}");
    }
}

#[test]
fn trees_of_binaries() {
    let trees = [
        "user libc malloc(size) if size Ge 1048576",
        "user /usr/bin/u func_uprobe2(x:Int { size: 8, signed: false }, y:Int { size: 8, signed: false })",
        "user /usr/bin/u at 0x11f0",
        "user ./u line 42 of src/main.c(n)",
        "user /a dir if/b:c(d\\e\\f g* if ret Ne 0",
        "user libc memcpy@@GLIBC_2.14",
        "user ./u ns::C::meth(x)",
        "user ./u app::*::tmpl<u8,i8> if x Eq 1",
        "user /bin/u _ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.1",
        "static /bin/u 'groupa' probe1(var1:Int { size: 4, signed: true })",
        "static libc '' setjmp",
        "static libc '' setjmp(arg0)",
        "static /bin/u 'group*' [a-z]*",
        "static /bin/u 'g' if_x if arg0 Eq 1",
    ];
    let of_binaries: Vec<_> = GOOD.into_iter().filter(|(grammar, _)| *grammar != Probe).collect();
    assert_eq!(of_binaries.len(), trees.len());
    for ((grammar, text), expected) in of_binaries.into_iter().zip(trees) {
        assert_eq!(tree(text, grammar), expected, "{text}");
    }
}

#[test]
fn places_are_those_of_the_words() {
    let text = "fn:f( n = (a)->b[2] : str[8] ) if (*c) == -E && d ~ \"x\"";
    let spec = parse(text, Probe).unwrap();
    let Some([Arg::One { name: Some(Word { span: name, .. }), value, format: Some((format, place)) }]) =
        spec.args.as_deref()
    else {
        panic!("{spec:?}")
    };
    assert_eq!((&text[name.clone()], &text[value.span.clone()]), ("n", "(a)->b[2]"));
    assert_eq!((*format, &text[place.clone()]), (Format::Str { max: Some(8) }, "str[8]"));
    let Some(Condition::And(tests)) = &spec.condition else { panic!("{spec:?}") };
    let [Condition::Test { left, span, .. }, Condition::Test { op: Op::Glob, right: Literal::Text(_, of), .. }] =
        tests.as_slice()
    else {
        panic!("{spec:?}")
    };
    assert_eq!((&text[left.span.clone()], &text[span.clone()], &text[of.clone()]), ("*c", "(*c) == -E", "\"x\""));
    let error = refused(&spec, left.span.clone(), "there is no c").to_string();
    assert!(error.starts_with("there is no c\n  fn:f( n") && error.contains("\n  for example: fn:"), "{error}");
    assert!(error.contains(&format!("\n  {:35}^~\n", "")), "{error}");
}

/// The caret is in that column, and the message has that in it.
fn is_refused(grammar: Grammar, text: &str, column: usize, why: &str) {
    let Err(error) = parse(text, grammar) else { panic!("{text:?} is taken: {}", tree(text, grammar)) };
    let shown = error.to_string();
    assert!(error.message.contains(why), "{why}: {shown}");
    let carets = shown.lines().nth(2).unwrap();
    assert_eq!(carets.find('^'), Some(column + 2), "{shown}");
    assert!(parse(&error.example, grammar).is_ok(), "the example is wrong: {shown}");
}

#[test]
fn targets_that_are_wrong() {
    for (text, column, why) in [
        ("", 0, "is empty"),
        (" \n ", 0, "is empty"),
        ("vfs_unlink", 0, "the kind of probe is missing before 'vfs_unlink': of a function it is 'fn:'; there are fn,"),
        ("(a)", 0, "a kind of probe is missing"),
        (":f", 0, "a kind of probe is missing"),
        ("fn", 0, "what is to be probed is missing: fn:TARGET"),
        ("kporbe:f", 0, "'kporbe' is no kind of probe; did you mean 'kprobe'?"),
        ("kfunc:f", 0, "did you mean 'fentry'?"),
        ("sched:sched_switch", 0, "'sched' is no kind of probe; there are fn,"),
        ("a\u{1b}[1m\n:f", 0, "'a\\x1b[1m' is no kind"),
        ("uprobe:/bin/u:f", 0, "coretrace uprobe"),
        ("fn:", 3, "the name of the function is missing"),
        ("fn: if a", 4, "the name of the function is missing"),
        ("fn::f", 3, "the name of the module is missing"),
        ("fn:m:(a)", 5, "the name of the function is missing"),
        ("fn:a:b:c", 6, "'if' has to stand here"),
        ("fn:a b", 5, "what is shown, in '('"),
        ("fn:a+0x10", 4, "'+' cannot be in the name of a function"),
        ("fn:a[b", 4, "this '[' is not closed"),
        ("fn:a[]b", 5, "']' cannot be"),
        ("fn:日本\u{202e}", 7, "'\\u{202e}' cannot be"),
        ("tp:sched_switch", 15, "a tracepoint has a category and a name"),
        ("tp:a:", 5, "the name of the tracepoint is missing"),
        ("tp_btf:a:b", 8, "or the end"),
        ("ksyscall:a/b", 10, "in the name of a syscall"),
    ] {
        is_refused(Probe, text, column, why);
    }
    assert_eq!(parse("vfs_unlink(a) if a", Probe).unwrap_err().example, "fn:vfs_unlink(a) if a");
    assert_eq!(parse("kporbe:f(a)", Probe).unwrap_err().example, "kprobe:f(a)");
    assert!(parse("tp:x", Probe).unwrap_err().example.starts_with("tp:"), "of the same kind");
}

#[test]
fn binaries_that_are_wrong() {
    for (grammar, text, column, why) in [
        (Uprobe, "malloc", 0, "BINARY:NAME"),
        (Uprobe, "malloc(size) if size >= 1M", 0, "BINARY:NAME"),
        (Uprobe, " :malloc", 1, "the binary is missing"),
        (Uprobe, "libc:", 5, "the name of the function is missing"),
        (Uprobe, "/u:ns::C::meth:x", 15, "the number of a line"),
        (Uprobe, "/u:ns::a+b", 8, "'+' cannot be in the name of a function"),
        (Uprobe, "/u:ns:: f", 8, "what is shown, in '('"),
        (Uprobe, "libc:12", 5, "hexadecimal digits, as 0xc"),
        (Uprobe, "libc:0xfg", 5, "hexadecimal"),
        (Uprobe, "libc:0x11112222333344445", 5, "hexadecimal"),
        (Uprobe, "/a:b/u:f", 7, "a colon in the path of a binary is written \\:"),
        (Uprobe, "/u:a.c:0", 7, "the number of a line"),
        (Uprobe, "/u:a.c:4294967296", 7, "the number of a line"),
        (Uprobe, "/u::1", 3, "the name of a source file"),
        (Uprobe, "uprobe:/bin/u:f", 0, "the subcommand says it"),
        (Uprobe, "/a\0:f", 2, "NUL"),
        (Usdt, "/u", 0, "BINARY:NAME"),
        (Usdt, "/a:b/u:p:n", 4, "'/' cannot be in the name of a provider (a colon"),
        (Usdt, "/u:p:", 5, "the name of the probe is missing"),
    ] {
        is_refused(grammar, text, column, why);
    }
    assert_eq!(parse("uprobe:/bin/u:f", Uprobe).unwrap_err().example, "/bin/u:f");
}

#[test]
fn arguments_that_are_wrong() {
    for (text, column, why) in [
        ("fn:f(", 5, "a value is missing"),
        ("fn:f(a", 4, "this parenthesis is not closed"),
        ("fn:f(a b)", 7, "a ',' or a ')'"),
        ("fn:f(a,)", 7, "a value is missing"),
        ("fn:f(a=)", 7, "a value is missing"),
        ("fn:f(a == 3)", 7, "behind the word 'if'"),
        ("fn:f(a > 3)", 7, "behind the word 'if'"),
        ("fn:f(3)", 5, "constants stand on the right side"),
        ("fn:f(a->)", 8, "a member's name is missing"),
        ("fn:f(a[b])", 7, "an index is a number"),
        ("fn:f(a[-1])", 7, "an index is a number"),
        ("fn:f(a[1)", 8, "a ']' is missing"),
        ("fn:f(a[99999999999999999999])", 7, "numbers are from"),
        ("fn:f((a)", 4, "this parenthesis is not closed"),
        ("fn:f((foo *)a)", 10, "a cast is written (struct NAME *)VALUE"),
        ("fn:f((struct foo)a)", 16, "a cast is to a pointer"),
        ("fn:f((union foo *)a)", 6, "pointers to a struct alone"),
        ("fn:f((struct *)a)", 13, "the name of a struct is missing"),
        ("fn:f(a:)", 7, "a format is missing"),
        ("fn:f(a:hex)", 7, "'hex' is no format (there are x, d,"),
        ("fn:f(a:u46)", 7, "did you mean 'u16'?"),
        ("fn:f(a:btyes[3])", 7, "did you mean 'bytes'?"),
        ("fn:f(a:bytes)", 7, "how many bytes?"),
        ("fn:f(a:u8[3])", 9, "only str and bytes"),
        ("fn:f(a:str[0])", 11, "from 1 to 4096"),
        ("fn:f(a:bytes[16385])", 13, "from 1 to 16384"),
        ("fn:f(a) iff b", 8, "did you mean 'if'?"),
        ("fn:f(a) b", 8, "'if' has to stand here, or the end"),
    ] {
        is_refused(Probe, text, column, why);
    }
}

#[test]
fn conditions_that_are_wrong() {
    for (text, column, why) in [
        ("if", 7, "a condition is missing"),
        ("if a &&", 12, "a value is missing"),
        ("if (a", 10, "an operator or a ')'"),
        ("if a)", 9, "an operator, && or ||"),
        ("if a b", 10, "an operator, && or ||"),
        ("if a | b", 10, "an operator, && or ||"),
        ("if a = 1", 10, "== compares"),
        ("if a =~ \"x\"", 10, "== compares"),
        ("if a ==", 12, "a constant has to stand here"),
        ("if a == b->c", 13, "has to be a constant"),
        ("if a == *b", 13, "has to be a constant"),
        ("if a == arg1", 13, "has to be a constant"),
        ("if a == (3)", 13, "has to be a constant"),
        ("if a > ret", 12, "has to be a constant"),
        ("if 3 == a", 8, "constants stand on the right side"),
        ("if duration > 1M", 19, "this is no duration: they are 250, 250ns, 20us, 1.5ms or 2s"),
        ("if duration > 1.5ns", 19, "this is no duration"),
        ("if duration > 99999999999s", 19, "this is no duration"),
        ("if a > 1ms", 12, "this is no number"),
        ("if !a == 3", 11, "is a condition already"),
        ("if (a & 3) == 1", 16, "is a condition already"),
        ("if 1 < a < 3", 8, "constants stand on the right side"),
        ("if a == 1 == 1", 15, "a second comparison"),
        ("if a < \"x\"", 12, "text is compared by"),
        ("if a & \"x\"", 12, "text is compared by"),
        ("if a ^= 1", 13, "compare with \"text\""),
        ("if a ~ FOO", 12, "compare with \"text\""),
        ("if a == \"x", 13, "this quote is not closed"),
        ("if a == \"日\\q\"", 16, "escapes are"),
        ("if a == \"\\x1\"", 14, "escapes are"),
        ("if a == \"\\u{d800}\"", 14, "escapes are"),
        ("if a == \"\\0\"", 13, "NUL"),
        ("if a == 'xy'", 13, "one ASCII character"),
        ("if a == 'é'", 13, "one ASCII character"),
        ("if a == 1.5", 13, "this is no number"),
        ("if a == 1K", 13, "with k, M, G or T"),
        ("if a == 0x", 13, "this is no number"),
        ("if a == 0o8", 13, "this is no number"),
        ("if a == 017", 13, "octal ones are written 0o17"),
        ("if a == 18446744073709551616", 13, "numbers are from"),
        ("if a == 0xffffffffffffffffffffffffffffffffffff", 13, "numbers are from"),
        ("if a == 16777216T", 13, "numbers are from"),
        ("if a == -9223372036854775809", 13, "numbers are from"),
    ] {
        is_refused(Probe, &format!("fn:f {text}"), column, why);
    }
}

#[test]
fn there_are_limits() {
    let text = |n: usize| format!("fn:f if s == \"{}\"", "y".repeat(n));
    assert!(parse(&text(128), Probe).is_ok());
    is_refused(Probe, &text(129), 13, "up to 128 bytes, and these are 129");
    let glob = |n: usize| format!("fn:f if s ~ \"*{}\"", "?".repeat(n));
    assert!(parse(&glob(63), Probe).is_ok());
    is_refused(Probe, &glob(64), 12, "at most 63 characters beside *, and this one 64");
    is_refused(Probe, "fn:f if s ~ \"y[\"", 12, "is not closed by ]");
    is_refused(Probe, "fn:f if s ~ \"\"", 12, "matches nothing");
    let any =
        |of: &dyn Fn(usize) -> String, n: usize| format!("fn:f if {}", (0..n).map(of).collect::<Vec<_>>().join(" || "));
    let (globs, texts) = (|n| format!("s ~ \"{n}*\""), |n| format!("s == \"{n}\""));
    assert!(parse(&any(&globs, 2), Probe).is_ok() && parse(&any(&texts, 8), Probe).is_ok());
    is_refused(Probe, &any(&globs, 3), 36, "room for 2 globs");
    let wrong = parse(&any(&texts, 9), Probe).unwrap_err();
    assert!(wrong.message.contains("room for 8 strings") && wrong.text[wrong.span.clone()] == *"\"8\"", "{wrong}");
    let named = |length: usize| format!("fn:{}", "a".repeat(length - 3));
    assert!(parse(&named(4096), Probe).is_ok());
    assert!(parse(&named(4097), Probe).unwrap_err().message.contains("4096 bytes are the most"));
    let cut = format!("{}日", named(4095));
    assert_eq!(parse(&cut, Probe).unwrap_err().span, 4095..4098, "no part of a character");
    let args = |n: usize| format!("fn:f({})", vec!["a"; n].join(","));
    assert!(parse(&args(16), Probe).is_ok());
    is_refused(Probe, &args(17), 37, "16 are the most");
    for (before, behind) in
        [("(", ")"), ("!", ""), ("!(", ")"), ("*", ""), ("*(", ")"), ("(struct a*)", ""), ("", "->b"), ("", "[0]")]
    {
        let nested = |n: usize| format!("fn:f if {}a{}", before.repeat(n), behind.repeat(n));
        assert!(parse(&nested(4), Probe).is_ok(), "{}", nested(4));
        let error = parse(&nested(17), Probe).unwrap_err();
        assert!(error.message.contains("16"), "{error}");
        assert!(parse(&nested(300), Probe).is_err());
    }
    let mixed = format!("fn:f({}a{})", "*(".repeat(8), "->b)".repeat(8));
    assert!(parse(&mixed, Probe).unwrap_err().message.contains("16"), "{mixed}");
    assert!(parse(&format!("fn:f((struct a {})b)", "*".repeat(17)), Probe).is_err());
}

/// Parts of specs, and what is none.
const TOKENS: [&str; 47] = [
    "fn:",
    "f",
    "tp:",
    "a:b",
    "libc:",
    "(",
    ")",
    "(",
    ")",
    ",",
    "*",
    "=",
    "a",
    "ret",
    "->",
    ".",
    "[",
    "]",
    "0",
    "3k",
    "-",
    "0x1f",
    "'c'",
    "'",
    "\"x\"",
    "\"",
    "\\",
    ":",
    "str",
    "bytes",
    "x",
    " ",
    "if",
    "==",
    "!=",
    "!",
    "&&",
    "||",
    "&",
    "<",
    "^=",
    "~",
    "NULL",
    "-ENOENT",
    "(struct s*)",
    "\u{202e}",
    "日",
];

/// Tokens in any order, which gets further than changed bytes do: no panic, and what holds of all specs.
#[test]
fn any_tokens() {
    // xorshift64 (Marsaglia)
    let mut state = 88_172_645_463_325_252_u64;
    let mut below = |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % most
    };
    let mut right = 0;
    for _ in 0..5_000 {
        let start = ["fn:f(", "fn:f if ", "libc:f(a) if ", "libc:p:n if ", ""][below(5)];
        let tokens: String = (0..below(12)).map(|_| TOKENS[below(TOKENS.len())]).collect();
        let text = format!("{start}{tokens}");
        for grammar in [Probe, Uprobe, Usdt] {
            match parse(&text, grammar) {
                Ok(spec) => {
                    right += 1;
                    assert_eq!(parse(&spec.text, grammar), Ok(spec));
                }
                Err(error) => {
                    assert!(text.get(error.span.clone()).is_some(), "{text:?}");
                    assert!(!error.to_string().contains('\u{202e}'), "{error}");
                    assert!(parse(&error.example, grammar).is_ok(), "{error}");
                }
            }
        }
    }
    assert!(right > 100, "{right}");
}

#[test]
fn a_spec_keeps_its_target_and_its_condition() {
    let with = |text: &str| with_values(text, Grammar::Probe, &["comm", "n=ret"]).unwrap();
    assert_eq!(with("fn:vfs_read"), "fn:vfs_read(comm, n=ret)");
    assert_eq!(with("fn:vfs_read (file, x=count) if count > 4k"), "fn:vfs_read(comm, n=ret) if count > 4k");
    assert_eq!(with("fn:vfs_* if ret < 0"), "fn:vfs_*(comm, n=ret) if ret < 0");
    assert!(with_values("vfs_read", Grammar::Probe, &[]).is_err());
}
