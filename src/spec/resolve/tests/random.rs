//! Whatever is asked for: an answer, never a panic; and a program that is as [`crate::spec::ir`] says.

use super::*;
use crate::spec::ast::{Arg, Condition, Expr, ExprKind, Format, Literal, Op, Spec};
use crate::spec::ir::{DEREFS_MAX, SLOTS_MAX, STR_MAX, Test};

/// xorshift, from a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn word(&mut self, names: &[String]) -> Word {
        let from = self.below(9);
        Word { text: self.of(names).clone(), span: from..from + 1 }
    }

    fn expr(&mut self, names: &[String], depth: usize) -> Expr {
        let number = |random: &mut Random| *random.of(&[0, 1, 3, 4, 9, 1 << 20, 1 << 31, u64::MAX]);
        let kind = match if depth == 0 { 0 } else { self.below(8) } {
            0 => ExprKind::Name(self.of(names).clone()),
            1..=4 => ExprKind::Member { of: Box::new(self.expr(names, depth - 1)), member: self.word(names) },
            5 => ExprKind::Index { of: Box::new(self.expr(names, depth - 1)), index: number(self) },
            6 => ExprKind::Deref(Box::new(self.expr(names, depth - 1))),
            _ => {
                let pointers = *self.of(&[0, 1, 1, 1, 2, u32::MAX]);
                ExprKind::Cast { to: self.word(names), pointers, of: Box::new(self.expr(names, depth - 1)) }
            }
        };
        let from = self.below(9);
        Expr { kind, span: from..from + self.below(3) }
    }

    fn condition(&mut self, names: &[String], depth: usize) -> Condition {
        let list = |random: &mut Random| (0..random.below(3)).map(|_| random.condition(names, depth - 1)).collect();
        match if depth == 0 { 3 } else { self.below(6) } {
            0 => Condition::And(list(self)),
            1 => Condition::Or(list(self)),
            2 => Condition::Not(Box::new(self.condition(names, depth - 1))),
            _ => {
                let numbers = [0, 1, -1, 7, 255, i128::from(i64::MIN), i128::from(u64::MAX), 1 << 31];
                let right = match self.below(3) {
                    0 => Literal::Number(*self.of(&numbers), 0..1),
                    1 => Literal::Name { negative: self.below(2) == 0, name: self.word(names) },
                    _ => Literal::Text(vec![b'*'; self.below(300)], 0..1),
                };
                let ops = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::And, Op::Prefix, Op::Glob];
                Condition::Test { left: self.expr(names, 4), op: *self.of(&ops), right, span: 0..2 }
            }
        }
    }

    fn spec(&mut self, names: &[String]) -> Spec {
        let formats = ["x", "d", "u", "o", "char", "ptr", "sym", "raw", "str", "f32", "f64", "u8", "i16", "u64"];
        let arg = |random: &mut Random| match random.below(12) {
            0 => Arg::All(0..1),
            _ => {
                let format = match random.below(4) {
                    0 => Some((write::format(random.of::<&str>(&formats), None), 0..1)),
                    1 => Some((Format::Bytes { len: *random.of(&[0, 1, 64, u32::MAX]) }, 0..1)),
                    _ => None,
                };
                Arg::One { name: None, value: random.expr(names, 6), format }
            }
        };
        let args = (self.below(8) > 0).then(|| (0..self.below(5)).map(|_| arg(self)).collect());
        let condition = (self.below(3) == 0).then(|| self.condition(names, 3));
        Spec {
            text: "0123456789".to_owned(),
            target: Target::RawTracepoint { name: self.word(names) },
            args,
            declares: Vec::new(),
            condition,
        }
    }
}

/// All names that a kernel's types have, and some that none has.
fn names(types: &Types) -> Vec<String> {
    let mut names: Vec<String> =
        ["ret", "task", "pid", "duration", "arg0", "arg7", "", "nothing", "ENOENT"].map(str::to_owned).into();
    for found in (1..types.btf.types()).filter_map(|id| types.get(id)) {
        names.push(String::from_utf8_lossy(found.name).into_owned());
        names.extend(types.members(found).map(|member| String::from_utf8_lossy(member.name).into_owned()));
        names.extend(types.values(found).map(|(name, _)| String::from_utf8_lossy(name).into_owned()));
    }
    names
}

#[track_caller]
fn sound(found: &Resolved) {
    let program = &found.program;
    assert!(program.slots.len() <= SLOTS_MAX && program.early <= program.slots.len(), "{program:?}");
    for slot in &program.slots {
        assert!(slot.derefs.len() <= DEREFS_MAX, "{slot:?}");
        match slot.read {
            Read::Number { size, left, right, .. } => {
                assert!(matches!(size, 1 | 2 | 4 | 8) && left <= right && right < 64, "{slot:?}");
            }
            Read::Str { max, .. } | Read::Located { max, .. } => assert!((1..=STR_MAX).contains(&max), "{slot:?}"),
            Read::Bytes { len, .. } => assert!((1..=STR_MAX).contains(&len), "{slot:?}"),
            Read::Plain { .. } | Read::Path { .. } | Read::Dentry { .. } => {}
        }
    }
    assert!(program.test.iter().all(|test| early(test, program.early)), "{program:?}");
}

fn early(test: &Test, most: usize) -> bool {
    match test {
        Test::All(all) | Test::Any(all) => all.iter().all(|test| early(test, most)),
        Test::Not(inner) => early(inner, most),
        Test::Number { slot, .. } | Test::Text { slot, .. } | Test::Glob { slot, .. } => *slot < most,
    }
}

#[test]
fn random_specs_are_resolved_or_refused() {
    let types = kernel::types();
    let names = names(&types);
    let params: Vec<String> =
        ["thing", "file", "dentry", "task", "ret", "two", "delegated_inode", "p", "uid"].map(str::to_owned).into();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let words = [Words::Typed, Words::Plain, Words::Registers(Machine::X86), Words::Registers(Machine::Arm)];
    let whens = [When::Entry, When::Return, When::Both, When::EntryOf, When::ReturnOf];
    let functions = functions(&types, "*").unwrap();
    let mut resolved = 0;
    for _ in 0..20_000 {
        let hook = Hook { words: *random.of(&words), when: *random.of(&whens) };
        let scope = Scope::function(&types, random.of(&functions), hook);
        let mut mixed = params.clone();
        mixed.extend((0..12).map(|_| random.of(&names).clone()));
        if let Ok(found) = resolve(&random.spec(&mixed), &types, &scope) {
            sound(&found);
            resolved += usize::from(!found.program.slots.is_empty());
        }
    }
    assert!(resolved > 500, "{resolved} of them had values");
}

#[test]
fn random_formats_of_records_are_read() {
    let mut random = Random(7);
    let types = kernel::types();
    let parts = [
        "\tfield:",
        "char",
        " ",
        "__data_loc ",
        "[",
        "]",
        "16",
        ";",
        "offset:",
        "size:",
        "4",
        "signed:1",
        "\n",
        "*",
        "name",
        "struct x",
    ];
    for _ in 0..5000 {
        let text: String = (0..random.below(40)).map(|_| *random.of(&parts)).collect();
        for field in record::fields(&text) {
            _ = field.ty(&types);
        }
    }
}
