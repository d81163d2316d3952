//! For tests: the smallest types there are.

/// The smallest sound BTF, in this machine's byte order: one type (int).
pub(crate) fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for number in [24_u32, 0, 16, 16, 5, 1, 1 << 24, 4, 0x0100_0020] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(b"\0int\0");
    bytes
}

/// Types that are made up, one after the other: each call returns the number of its type.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Made {
    types: Vec<u8>,
    strings: Vec<u8>,
    last: u32,
}

/// A member: its name, its type, where it begins in bits, and its width if it is a bit field.
#[cfg(test)]
pub(crate) type Row<'a> = (&'a str, u32, u32, u32);

#[cfg(test)]
impl Made {
    pub fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], last: 0 }
    }

    /// The number that the next type gets.
    pub fn next(&self) -> u32 {
        self.last + 1
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn add(&mut self, name: &str, kind: u8, flag: bool, vlen: usize, refers: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        let info = u32::from(flag) << 31 | u32::from(kind) << 24 | u32::try_from(vlen).unwrap();
        for number in [name, info, refers].iter().chain(more) {
            self.types.extend(number.to_ne_bytes());
        }
        self.last += 1;
        self.last
    }

    /// `encoding`: 1 of a signed one, 4 of a `bool`.
    pub fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.add(name, 1, false, 0, size, &[(encoding << 24) | (size * 8)])
    }

    /// One that refers to another: a pointer (2), `const` (10), a function (12) …
    pub fn refer(&mut self, kind: u8, name: &str, to: u32) -> u32 {
        self.add(name, kind, false, 0, to, &[])
    }

    pub fn array(&mut self, of: u32, count: u32) -> u32 {
        self.add("", 3, false, 0, 0, &[of, of, count])
    }

    /// A struct (4) or a union (5).
    pub fn composite(&mut self, kind: u8, name: &str, size: u32, members: &[Row<'_>]) -> u32 {
        let rows: Vec<u32> =
            members.iter().flat_map(|(name, id, at, bits)| [self.name(name), *id, bits << 24 | at]).collect();
        self.add(name, kind, true, members.len(), size, &rows)
    }

    pub fn enumeration(&mut self, name: &str, signed: bool, values: &[(&str, i32)]) -> u32 {
        let rows: Vec<u32> = values.iter().flat_map(|(name, value)| [self.name(name), value.cast_unsigned()]).collect();
        self.add(name, 6, signed, values.len(), 4, &rows)
    }

    pub fn proto(&mut self, returns: u32, params: &[(&str, u32)]) -> u32 {
        let rows: Vec<u32> = params.iter().flat_map(|(name, id)| [self.name(name), *id]).collect();
        self.add("", 13, false, params.len(), returns, &rows)
    }

    pub fn function(&mut self, name: &str, returns: u32, params: &[(&str, u32)]) -> u32 {
        let proto = self.proto(returns, params);
        self.refer(12, name, proto)
    }

    pub fn bytes(self) -> Vec<u8> {
        let (types, strings) = (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
        let mut bytes = Vec::new();
        bytes.extend(0xeb9f_u16.to_ne_bytes());
        bytes.extend([1, 0]);
        for number in [24, 0, types, types, strings] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}
