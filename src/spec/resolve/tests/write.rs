//! Specs for the tests, read from what one would type: as much of the language as they need.

use crate::spec::ast::{Arg, Condition, Expr, ExprKind, Format, Literal, Op, Spec, Target, Word};

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

pub(super) fn word(text: &str) -> Word {
    Word { text: text.to_owned(), span: 0..text.len() }
}

/// `args`: `*` for all, else expressions with `:FORMAT`, none at all for what is shown by default; then a condition.
pub(super) fn spec(args: Option<&str>, condition: &str) -> Spec {
    let text = format!("{}|{condition}", args.unwrap_or_default());
    let mut reader = Reader { text: &text, at: 0 };
    let list = args.map(|_| {
        let mut list = Vec::new();
        while !reader.eats("|") {
            list.push(reader.arg());
            reader.eats(",");
        }
        list
    });
    if args.is_none() {
        reader.eats("|");
    }
    let condition = (!condition.is_empty()).then(|| reader.any());
    assert_eq!(reader.rest(), "", "all of it is read");
    let target = Target::RawTracepoint { name: word("x") };
    Spec { text: text.clone(), target, args: list, declares: Vec::new(), condition }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eats(&mut self, what: &str) -> bool {
        let rest = self.rest();
        let blanks = rest.len() - rest.trim_start().len();
        let found = rest[blanks..].starts_with(what);
        if found {
            self.at += blanks + what.len();
        }
        found
    }

    fn name(&mut self) -> Word {
        self.eats("");
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (text, from) = (rest[..end].to_owned(), self.at);
        self.at += end;
        Word { text, span: from..self.at }
    }

    fn arg(&mut self) -> Arg {
        if self.rest().trim_start().starts_with("*,") || self.rest().trim_start().starts_with("*|") {
            self.eats("*");
            return Arg::All(self.at - 1..self.at);
        }
        let value = self.expr();
        let format = self.eats(":").then(|| {
            let name = self.name();
            let number = self.eats("[").then(|| self.name().text.parse().unwrap());
            assert!(number.is_none() || self.eats("]"));
            (format(&name.text, number), name.span)
        });
        Arg::One { name: None, value, format }
    }

    fn expr(&mut self) -> Expr {
        self.eats("");
        let from = self.at;
        if self.eats("*") {
            let of = Box::new(self.expr());
            return Expr { kind: ExprKind::Deref(of), span: from..self.at };
        }
        let is_cast = ["(struct ", "(enum ", "(char", "(u32", "(int"].iter().any(|cast| self.rest().starts_with(cast));
        if is_cast {
            self.eats("(");
            _ = self.eats("struct ") || self.eats("enum ");
            let to = self.name();
            let mut pointers = 0;
            while self.eats("*") {
                pointers += 1;
            }
            assert!(self.eats(")"));
            let of = Box::new(self.expr());
            return Expr { kind: ExprKind::Cast { to, pointers, of }, span: from..self.at };
        }
        let mut value = if self.eats("(") {
            let inner = self.expr();
            assert!(self.eats(")"));
            inner
        } else {
            let name = self.name();
            Expr { kind: ExprKind::Name(name.text), span: name.span }
        };
        loop {
            let of = Box::new(value.clone());
            value.kind = if self.eats("->") || self.eats(".") {
                ExprKind::Member { of, member: self.name() }
            } else if self.eats("[") {
                let index = self.name().text.parse().unwrap();
                assert!(self.eats("]"));
                ExprKind::Index { of, index }
            } else {
                return value;
            };
            value.span = from..self.at;
        }
    }

    fn any(&mut self) -> Condition {
        let mut all = vec![self.every()];
        while self.eats("||") {
            all.push(self.every());
        }
        if all.len() == 1 { all.remove(0) } else { Condition::Or(all) }
    }

    fn every(&mut self) -> Condition {
        let mut all = vec![self.test()];
        while self.eats("&&") {
            all.push(self.test());
        }
        if all.len() == 1 { all.remove(0) } else { Condition::And(all) }
    }

    fn test(&mut self) -> Condition {
        if self.eats("!") {
            return Condition::Not(Box::new(self.test()));
        }
        let left = self.expr();
        let ops = [("==", Op::Eq), ("!=", Op::Ne), ("<=", Op::Le), (">=", Op::Ge), ("^=", Op::Prefix), ("<", Op::Lt)];
        let more = [(">", Op::Gt), ("& ", Op::And), ("~", Op::Glob)];
        let found = ops.iter().chain(&more).find(|(text, _)| self.eats(text));
        let Some((_, op)) = found else {
            let span = left.span.clone();
            return Condition::Test { left, op: Op::Ne, right: Literal::Number(0, span.clone()), span };
        };
        let right = self.literal();
        let span = left.span.start..self.at;
        Condition::Test { left, op: *op, right, span }
    }

    fn literal(&mut self) -> Literal {
        self.eats("");
        let from = self.at;
        if self.eats("\"") {
            let text = self.rest().split('"').next().unwrap().to_owned();
            self.at += text.len() + 1;
            return Literal::Text(text.into_bytes(), from..self.at);
        }
        let negative = self.eats("-");
        let name = self.name();
        match name.text.parse::<i128>() {
            Ok(number) => Literal::Number(if negative { -number } else { number }, from..self.at),
            Err(_) => Literal::Name { negative, name },
        }
    }
}

pub(super) fn format(name: &str, number: Option<u32>) -> Format {
    match name {
        "x" => Format::Hex,
        "d" => Format::Signed,
        "u" => Format::Unsigned,
        "o" => Format::Octal,
        "char" => Format::Char,
        "ptr" => Format::Pointer,
        "sym" => Format::Symbol,
        "raw" => Format::Raw,
        "str" => Format::Str { max: number },
        "bytes" => Format::Bytes { len: number.unwrap() },
        "f32" => Format::Float { size: 4 },
        "f64" => Format::Float { size: 8 },
        _ => Format::Int { size: name[1..].parse::<u8>().unwrap() / 8, signed: name.starts_with('i') },
    }
}
