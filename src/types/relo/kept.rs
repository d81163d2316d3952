//! A part of a kernel's types: which types, which of their members and values, and all of it as BTF again.
//!
//! A type is kept with its size and its name. What a member points to is not kept: the matcher does not look there
//! (`bpf_core_fields_are_compat` in relo_core.c).

use std::collections::{BTreeMap, HashMap};

use crate::types::bytes::Bytes;
use crate::types::model::{Raw, kind};

/// What is kept of a type.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Numbers of its members or values.
    rows: Vec<usize>,
    /// Also what it points to or what its parameters are.
    deep: bool,
}

/// What is kept of a kernel's types.
pub(super) struct Kept<'a> {
    types: Raw<'a>,
    all: BTreeMap<u32, Part>,
    /// Types that are kept, whose members or values have not been looked up yet.
    pub new: Vec<u32>,
}

impl<'a> Kept<'a> {
    pub fn of(types: Raw<'a>) -> Self {
        Self { types, all: BTreeMap::new(), new: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Keeps a member or a value.
    pub fn row(&mut self, id: u32, row: u32) {
        self.all.entry(id).or_default().rows.push(row as usize);
    }

    /// Keeps a type, and what its size and kind hang on.
    pub fn shape(&mut self, id: u32, deep: bool) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let Some(found) = self.types.get(id) else { continue };
            let new = !self.all.contains_key(&id);
            let part = self.all.entry(id).or_default();
            if new {
                self.new.push(id);
            } else if part.deep || !deep {
                continue;
            }
            part.deep |= deep;
            match found.kind {
                kind::ARRAY => todo.extend([Bytes(found.more).u32(0), Bytes(found.more).u32(4)].into_iter().flatten()),
                kind::PTR if deep => todo.push(found.refers),
                kind::FUNC_PROTO if deep => {
                    todo.push(found.refers);
                    todo.extend(found.rows().filter_map(|row| row.u32(4)));
                }
                _ if found.is_modifier() => todo.push(found.refers),
                _ => {}
            }
        }
    }

    /// As raw BTF: include/uapi/linux/btf.h.
    pub fn write(&self) -> Option<Vec<u8>> {
        let ids: HashMap<u32, u32> = self.all.keys().zip(1..).map(|(old, new)| (*old, new)).collect();
        let id = |old: u32| ids.get(&old).copied().unwrap_or(0);
        let mut strings = Strings { bytes: vec![0], known: HashMap::new() };
        let mut words: Vec<u32> = Vec::new();
        for (old, part) in &self.all {
            let found = self.types.get(*old)?;
            let name = strings.add(found.name)?;
            let mut rows: Vec<u32> = Vec::new();
            let mut count = 0_u32;
            for (n, row) in found.rows().enumerate() {
                let text = || self.types.string(row.u32(0)?);
                match found.kind {
                    kind::STRUCT | kind::UNION if part.rows.contains(&n) => {
                        rows.extend([strings.add(text()?)?, id(row.u32(4)?), row.u32(8)?]);
                    }
                    kind::ENUM if part.rows.contains(&n) => rows.extend([strings.add(text()?)?, row.u32(4)?]),
                    kind::ENUM64 if part.rows.contains(&n) => {
                        rows.extend([strings.add(text()?)?, row.u32(4)?, row.u32(8)?]);
                    }
                    kind::FUNC_PROTO if part.deep => rows.extend([0, id(row.u32(4)?)]),
                    _ => continue,
                }
                count += 1;
            }
            let refers = match found.kind {
                kind::PTR if !part.deep => 0,
                kind::PTR | kind::FUNC_PROTO => id(found.refers),
                _ if found.is_modifier() => id(found.refers),
                _ => found.refers,
            };
            match found.kind {
                kind::INT => rows.push(Bytes(found.more).u32(0)?),
                kind::ARRAY => {
                    let more = Bytes(found.more);
                    rows.extend([id(more.u32(0)?), id(more.u32(4)?), more.u32(8)?]);
                }
                _ => {}
            }
            words.extend([name, u32::from(found.flag) << 31 | u32::from(found.kind) << 24 | count, refers]);
            words.append(&mut rows);
        }
        let (types, text) = (u32::try_from(words.len() * 4).ok()?, u32::try_from(strings.bytes.len()).ok()?);
        let mut bytes = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
        let header = [24, 0, types, types, text];
        bytes.extend(header.iter().chain(&words).flat_map(|word| word.to_ne_bytes()));
        bytes.append(&mut strings.bytes);
        Some(bytes)
    }
}

/// Strings, each once.
struct Strings<'a> {
    bytes: Vec<u8>,
    known: HashMap<&'a [u8], u32>,
}

impl<'a> Strings<'a> {
    fn add(&mut self, text: &'a [u8]) -> Option<u32> {
        if text.is_empty() {
            return Some(0);
        }
        let at = *self.known.entry(text).or_insert(u32::try_from(self.bytes.len()).ok()?);
        if at as usize == self.bytes.len() {
            self.bytes.extend(text);
            self.bytes.push(0);
        }
        Some(at)
    }
}
