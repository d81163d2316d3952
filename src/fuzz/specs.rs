//! Specs, by all grammars: what is said of them, and that places are in the text.

use crate::spec::ast::{Arg, Condition, Expr, ExprKind, Literal, Place, Span, Spec, Target, Word};
use crate::spec::parse::samples::GOOD;
use crate::spec::parse::{Grammar, parse};

/// Parses it, and returns what would be printed.
pub(super) fn refusals(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    [Grammar::Probe, Grammar::Uprobe, Grammar::Usdt].into_iter().filter_map(|grammar| refusal(&text, grammar)).collect()
}

fn refusal(text: &str, grammar: Grammar) -> Option<String> {
    let within = |span: &Span| assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
    match parse(text, grammar) {
        Ok(spec) => {
            let mut places = Places::default();
            places.of_spec(&spec);
            places.spans.iter().for_each(within);
            // A binary's backslashes are left out of it.
            let same = |word: &Word| assert_eq!(text.get(word.span.clone()), Some(word.text.as_str()));
            places.words.iter().for_each(same);
            assert_eq!(parse(&spec.text, grammar), Ok(spec));
            None
        }
        Err(error) => {
            within(&error.span);
            assert!(parse(&error.example, grammar).is_ok(), "{error}");
            let shown = error.to_string();
            assert_eq!(shown.lines().count(), 4, "{shown}");
            Some(shown)
        }
    }
}

/// What in a tree says where it stands.
#[derive(Default)]
struct Places {
    spans: Vec<Span>,
    words: Vec<Word>,
}

impl Places {
    fn of_spec(&mut self, spec: &Spec) {
        match &spec.target {
            Target::Function { module, name, .. } => self.words.extend(module.iter().chain([name]).cloned()),
            Target::Tracepoint { category, name } => self.words.extend([category.clone(), name.clone()]),
            Target::RawTracepoint { name } | Target::TypedTracepoint { name } | Target::Syscall { name } => {
                self.words.push(name.clone());
            }
            Target::User { binary, place } => {
                self.spans.push(binary.span.clone());
                if let Place::Function(word) | Place::Line { file: word, .. } = place {
                    self.words.push(word.clone());
                }
            }
            Target::Static { binary, provider, name } => {
                self.spans.push(binary.span.clone());
                self.words.extend([provider.clone(), name.clone()]);
            }
        }
        for arg in spec.args.iter().flatten() {
            match arg {
                Arg::All(span) => self.spans.push(span.clone()),
                Arg::One { name, value, format } => {
                    self.words.extend(name.clone());
                    self.spans.extend(format.iter().map(|(_, span)| span.clone()));
                    self.of_value(value);
                }
            }
        }
        spec.condition.iter().for_each(|condition| self.of_condition(condition));
    }

    fn of_value(&mut self, value: &Expr) {
        self.spans.push(value.span.clone());
        match &value.kind {
            ExprKind::Name(name) => self.words.push(Word { text: name.clone(), span: value.span.clone() }),
            ExprKind::Member { of, member: word } | ExprKind::Cast { to: word, of, .. } => {
                self.words.push(word.clone());
                self.of_value(of);
            }
            ExprKind::Index { of, .. } | ExprKind::Deref(of) => self.of_value(of),
        }
    }

    fn of_condition(&mut self, condition: &Condition) {
        match condition {
            Condition::And(all) | Condition::Or(all) => all.iter().for_each(|one| self.of_condition(one)),
            Condition::Not(of) => self.of_condition(of),
            Condition::Test { left, right, span, .. } => {
                self.of_value(left);
                self.spans.push(span.clone());
                match right {
                    Literal::Number(_, span) | Literal::Text(_, span) => self.spans.push(span.clone()),
                    Literal::Name { name, .. } => self.words.push(name.clone()),
                }
            }
        }
    }
}

/// Specs that are right.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    GOOD.iter().map(|(_, text)| text.as_bytes().to_vec()).collect()
}
