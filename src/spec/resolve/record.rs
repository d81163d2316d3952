//! A classic tracepoint's record, by its format file (`/sys/kernel/tracing/events/CATEGORY/NAME/format`).

use super::typed::{Shape, Ty, named, shape, size};
use crate::types::model::{Types, kind};

/// A field of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub name: String,
    /// Its type as the kernel wrote it, without the name.
    pub text: String,
    pub offset: u32,
    pub size: u32,
    pub signed: bool,
    /// So many elements, where it is an array; 0: the kernel does not say how many.
    pub count: Option<u32>,
    pub place: Place,
}

/// Where its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// `__data_loc`: at an offset that is here.
    Data,
    /// `__rel_loc`: the same, counted from behind itself.
    Relative,
}

/// The fields of a format file; the first ones are those that all records have (`common_type`, `common_pid`, …). What is no
/// field is passed over.
pub(crate) fn fields(format: &str) -> Vec<Field> {
    format.lines().filter_map(|line| field(line.trim().strip_prefix("field:")?)).collect()
}

/// `const char * name; offset:24; size:8; signed:0;`
fn field(line: &str) -> Option<Field> {
    let mut parts = line.split(';').map(str::trim);
    let declared = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", number)) => offset = number.parse().ok(),
            Some(("size", number)) => size = number.parse().ok(),
            Some(("signed", number)) => signed = number == "1",
            _ => {}
        }
    }
    let (place, declared) = match declared.split_once(' ') {
        Some(("__data_loc", rest)) => (Place::Data, rest),
        Some(("__rel_loc", rest)) => (Place::Relative, rest),
        _ => (Place::Here, declared),
    };
    // `char comm[16]`, but `__data_loc char[] name`.
    let (declared, brackets) = match declared.rsplit_once('[') {
        Some((before, after)) if after.ends_with(']') => (before, after.strip_suffix(']')),
        _ => (declared, None),
    };
    let split = declared.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
    let (text, name) = declared.split_at_checked(split)?;
    let text = text.trim().trim_end_matches("[]").trim();
    if name.is_empty() {
        return None;
    }
    let count = brackets.map(|count| count.trim().parse().unwrap_or(0));
    let (name, text) = (name.to_owned(), text.to_owned());
    Some(Field { name, text, offset: offset?, size: size?, signed, count, place })
}

impl Field {
    /// What it is: a type of BTF where one of that name is there, and of that size.
    pub fn ty(&self, types: &Types) -> Ty {
        let text = self.text.trim_start_matches("const ") == "char";
        let raw = |size: u32| u8::try_from(size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8));
        let number = |size: u32| raw(size).map(|size| Ty::Number { size, signed: self.signed });
        let bytes = Ty::Row { size: 1, signed: false, count: self.size, text: false };
        match (self.place, self.count) {
            (Place::Data, _) => Ty::Located { text },
            (Place::Relative, _) => Ty::Located { text: false },
            (Place::Here, Some(count)) => match self.size.checked_div(count).and_then(raw) {
                Some(size) => Ty::Row { size, signed: self.signed, count, text: text && size == 1 },
                None => bytes,
            },
            (Place::Here, None) => self.btf(types).or_else(|| number(self.size)).unwrap_or(bytes),
        }
    }

    /// Whether it is an argument of a system call: these have 8 bytes each, of which their type says how many are used.
    fn is_argument(&self, types: &Types, ty: Ty) -> bool {
        let is_number = matches!(shape(types, ty), Shape::Int(_) | Shape::Enum { .. });
        self.size == 8 && is_number && size(types, ty).is_some_and(|size| size < 8)
    }

    fn btf(&self, types: &Types) -> Option<Ty> {
        let name = self.text.trim_end_matches(['*', ' ']);
        let pointers = u32::try_from(self.text.matches('*').count()).ok()?;
        let words = name.split(' ').filter(|word| !matches!(*word, "const" | "volatile" | "__user" | ""));
        let found = match *words.collect::<Vec<_>>() {
            ["struct", name] => named(types, name, &[kind::STRUCT]),
            ["union", name] => named(types, name, &[kind::UNION]),
            ["enum", name] => named(types, name, &[kind::ENUM, kind::ENUM64]),
            [name] => named(types, name, &[kind::TYPEDEF, kind::INT]),
            ref names => named(types, &names.join(" "), &[kind::INT]),
        };
        let has = |ty| size(types, ty) == Some(self.size.into()) || self.is_argument(types, ty);
        match found {
            Some(Ty::Btf { id, .. }) if pointers > 0 => Some(Ty::Btf { id, pointers }),
            Some(ty) if pointers == 0 => has(ty).then_some(ty),
            _ => (pointers > 0).then_some(Ty::Btf { id: 0, pointers }),
        }
    }
}
