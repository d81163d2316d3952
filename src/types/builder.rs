//! Types in the making: raw BTF (include/uapi/linux/btf.h) out of what other formats say.

use std::collections::HashMap;

use super::image::Fault;
use super::model::{NAME_MAX, Types, kind};

/// The most members, values or parameters of a type: `vlen` has 16 bits.
const ROWS: usize = 0xffff;
/// A struct with bit fields has 24 bits for where a member begins.
const BITS_MAX: u32 = 0x00ff_ffff;

/// What an integer is (`BTF_INT_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Unsigned,
    Signed,
    Bool,
}

/// A member of a struct or a union: where it begins in bits, and its width if it is a bit field (else 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub name: Vec<u8>,
    pub id: u32,
    pub offset: u32,
    pub bits: u8,
}

/// What a complex number has first, as GNU C calls it: no struct has a member of that name.
pub(crate) const REAL: &str = "__real__";

/// Types, one after the other: each call returns the number of its type, and they count from 1.
#[derive(Debug)]
pub(crate) struct Builder {
    words: Vec<u32>,
    strings: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
    last: u32,
}

impl Builder {
    pub fn new() -> Self {
        Self { words: Vec::new(), strings: vec![0], known: HashMap::new(), last: 0 }
    }

    /// The number that the next type gets.
    pub fn next(&self) -> u32 {
        self.last + 1
    }

    /// Where a name is among the strings; one that is longer than any may be is cut.
    fn name(&mut self, name: &[u8]) -> u32 {
        let name = name.get(..NAME_MAX).unwrap_or(name);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name.is_empty() {
            return 0;
        }
        if let Some(at) = self.known.get(name) {
            return *at;
        }
        let Ok(at) = u32::try_from(self.strings.len()) else { return 0 };
        self.strings.extend(name);
        self.strings.push(0);
        self.known.insert(name.to_vec(), at);
        at
    }

    fn add(&mut self, name: &[u8], kind: u8, flag: bool, rows: usize, refers: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        let rows = u32::try_from(rows.min(ROWS)).unwrap_or(0);
        self.words.extend([name, u32::from(flag) << 31 | u32::from(kind) << 24 | rows, refers]);
        self.words.extend(more);
        self.last += 1;
        self.last
    }

    /// An integer of 1 to 16 bytes.
    pub fn int(&mut self, name: &[u8], size: u8, sign: Sign) -> u32 {
        let encoding = match sign {
            Sign::Unsigned => 0,
            Sign::Signed => 1,
            Sign::Bool => 4,
        };
        self.add(name, kind::INT, false, 0, size.into(), &[(encoding << 24) | (u32::from(size) * 8)])
    }

    pub fn float(&mut self, name: &[u8], size: u8) -> u32 {
        self.add(name, kind::FLOAT, false, 0, size.into(), &[])
    }

    /// One that refers to another: a pointer, `const`, a `typedef`, a function …
    pub fn refer(&mut self, kind: u8, name: &[u8], to: u32) -> u32 {
        self.add(name, kind, false, 0, to, &[])
    }

    /// A struct or a union that is declared, and nothing more.
    pub fn declared(&mut self, name: &[u8], union: bool) -> u32 {
        self.add(name, kind::FWD, union, 0, 0, &[])
    }

    pub fn array(&mut self, of: u32, count: u32) -> u32 {
        // The type that counts its elements is not read.
        self.add(b"", kind::ARRAY, false, 0, 0, &[of, of, count])
    }

    /// A struct or a union. Members that there is no room for are left out.
    pub fn composite(&mut self, kind: u8, name: &[u8], size: u32, members: &[Row]) -> u32 {
        let flag = members.iter().any(|member| member.bits > 0);
        let fits = |member: &&Row| !flag || member.offset <= BITS_MAX;
        let members: Vec<&Row> = members.iter().filter(fits).take(ROWS).collect();
        let mut rows = Vec::with_capacity(members.len() * 3);
        for member in &members {
            let offset = if flag { u32::from(member.bits) << 24 | member.offset } else { member.offset };
            rows.extend([self.name(&member.name), member.id, offset]);
        }
        self.add(name, kind, flag, members.len(), size, &rows)
    }

    /// An enum; of 64 bits where its values need that.
    pub fn enumeration(&mut self, name: &[u8], size: u8, values: &[(Vec<u8>, i128)]) -> u32 {
        let values = values.get(..ROWS).unwrap_or(values);
        let signed = values.iter().any(|(_, value)| *value < 0);
        let fits = |value: i128| if signed { i32::try_from(value).is_ok() } else { u32::try_from(value).is_ok() };
        let wide = size > 4 || !values.iter().all(|(_, value)| fits(*value));
        let mut rows = Vec::new();
        for (name, value) in values {
            let value = *value as u64;
            rows.extend([self.name(name), value as u32]);
            rows.extend(wide.then_some((value >> 32) as u32));
        }
        let kind = if wide { kind::ENUM64 } else { kind::ENUM };
        self.add(name, kind, signed, values.len(), size.into(), &rows)
    }

    /// What a function takes and returns (0: nothing); `variadic`: more may follow.
    pub fn proto(&mut self, returns: u32, params: &[(Vec<u8>, u32)], variadic: bool) -> u32 {
        let params = params.get(..ROWS - 1).unwrap_or(params);
        let mut rows: Vec<u32> = Vec::new();
        for (name, id) in params {
            rows.extend([self.name(name), *id]);
        }
        rows.extend(variadic.then_some([0, 0]).into_iter().flatten());
        self.add(b"", kind::FUNC_PROTO, false, params.len() + usize::from(variadic), returns, &rows)
    }

    /// All of them; where there are none, `char`, as types are never none.
    ///
    /// # Errors
    /// When they make no sense together: what they were made of contradicts itself.
    pub fn finish(mut self) -> Result<Types, Fault> {
        if self.last == 0 {
            self.int(b"char", 1, Sign::Signed);
        }
        let length = |bytes: usize| u32::try_from(bytes).map_err(|_| Fault::TooLarge);
        let (types, strings) = (length(self.words.len() * 4)?, length(self.strings.len())?);
        let mut bytes = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
        let header = [24, 0, types, types, strings];
        bytes.extend(header.iter().chain(&self.words).flat_map(|word| word.to_ne_bytes()));
        bytes.append(&mut self.strings);
        Types::read(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read() {
        let mut types = Builder::new();
        let int = types.int(b"int", 4, Sign::Signed);
        let double = types.float(b"double", 8);
        let row = |name: &[u8], id, offset, bits| Row { name: name.to_vec(), id, offset, bits };
        let thing = types.composite(
            kind::STRUCT,
            b"thing",
            16,
            &[row(b"a", int, 0, 3), row(b"b", int, 3, 29), row(b"d", double, 64, 0)],
        );
        let pointer = types.refer(kind::PTR, b"", thing);
        let color = types.enumeration(b"color", 4, &[(b"RED".to_vec(), 1), (b"NONE".to_vec(), -1)]);
        let wide = types.enumeration(b"wide", 8, &[(b"ALL".to_vec(), i128::from(u64::MAX))]);
        let proto = types.proto(int, &[(b"t".to_vec(), pointer), (b"c".to_vec(), color)], true);
        types.refer(kind::FUNC, b"do_it", proto);
        let types = types.finish().unwrap();
        let thing = types.find(kind::STRUCT, "thing").unwrap();
        let members: Vec<_> = types.members(thing).map(|m| (m.name, m.offset, m.bits)).collect();
        assert_eq!(members, [(&b"a"[..], 0, 3), (b"b", 3, 29), (b"d", 64, 0)]);
        let values = |id| types.values(types.get(id).unwrap()).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!((values(color), values(wide)), (vec![1, -1], vec![i128::from(u64::MAX)]));
        assert_eq!(types.btf.size(double), Some(8));
        assert!(Builder::new().finish().unwrap().find(kind::INT, "char").is_some());
    }
}
