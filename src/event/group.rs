//! Values that belong together, by their names: taken out of the record when they are asked for.

use super::path::Path;
use super::shown::{Shown, ShownKind, Style};
use super::slots::{BEHIND_NULL, Group, Slots};
use super::value::{Shape, Value};

const UNREADABLE: Value<'static> = Value::Unreadable(Shape::Any);

impl<'a> Slots<'a> {
    /// What a slot means.
    #[must_use]
    pub fn value(&self, kind: &'a ShownKind) -> Value<'a> {
        self.known(kind).unwrap_or_else(|instead| instead)
    }

    /// The 8 bytes of a slot, or what is shown where it could not be read, or is not there.
    fn raw(&self, slot: usize) -> Result<&'a [u8; 8], Value<'a>> {
        match self.stands(slot) {
            Some(raw) if !self.is_unread(slot) => Ok(raw),
            Some(raw) if u64::from_ne_bytes(*raw) == BEHIND_NULL => Err(Value::BehindNull),
            _ => Err(UNREADABLE),
        }
    }

    /// A slot as a number.
    fn number(&self, slot: usize) -> Result<u64, Value<'a>> {
        self.raw(slot).map(|raw| u64::from_ne_bytes(*raw))
    }

    /// The bytes that a slot refers to (`struct slice`), and what the upper half of it says of them.
    fn bytes(&self, slot: usize) -> Result<(&'a [u8], u32), Value<'a>> {
        let value = self.number(slot)?;
        let (start, len) = ((value & 0xffff) as usize, (value >> 16 & 0xffff) as usize);
        Ok((self.part(start, len).ok_or(UNREADABLE)?, (value >> 32) as u32))
    }

    fn known(&self, kind: &'a ShownKind) -> Result<Value<'a>, Value<'a>> {
        Ok(match kind {
            ShownKind::Int { slot, signed: false } => Value::Uint(self.number(*slot)?),
            ShownKind::Int { slot, signed: true } => Value::Int(self.number(*slot)?.cast_signed()),
            ShownKind::Network { slot, size } => Value::Uint(host_order(self.number(*slot)?, *size)),
            ShownKind::Hex { slot } => Value::Hex(self.number(*slot)?),
            ShownKind::Octal { slot } => match u32::try_from(self.number(*slot)?) {
                Ok(bits) => Value::Mode(bits),
                Err(_) => Value::Hex(self.number(*slot)?),
            },
            ShownKind::Char { slot } => Value::Str(lowest_byte(self.raw(*slot)?)),
            ShownKind::Bool { slot } => Value::Bool(self.number(*slot)? != 0),
            ShownKind::Enum { slot, signed, names } => {
                let value = self.number(*slot)?;
                match names.iter().find(|(of, _)| *of == value.cast_signed()) {
                    Some((_, name)) => Value::Name(name),
                    None if *signed => Value::Int(value.cast_signed()),
                    None => Value::Uint(value),
                }
            }
            ShownKind::Pointer { slot } => self.pointer(self.number(*slot)?),
            ShownKind::Symbol { slot } => self.symbol(self.number(*slot)?),
            // STR_NULL of probe.bpf.h.
            ShownKind::Str { slot } => match self.bytes(*slot)? {
                (_, 1) => Value::Null,
                (bytes, _) => text(bytes),
            },
            ShownKind::Bytes { slot } => Value::Bytes(self.bytes(*slot)?.0),
            ShownKind::Ipv6 { slot } => Value::Ipv6(*self.bytes(*slot)?.0.first_chunk().ok_or(UNREADABLE)?),
            ShownKind::Ret { slot } => Value::Ret(self.number(*slot)?.cast_signed()),
            ShownKind::Float { slot, size: 4 } => Value::Float(f32::from_bits(self.number(*slot)? as u32).into()),
            ShownKind::Float { slot, .. } => Value::Float(f64::from_bits(self.number(*slot)?)),
            ShownKind::Duration { slot } => Value::Span(self.number(*slot)?),
            ShownKind::Device { slot } => Value::Device(self.number(*slot)? as u32),
            ShownKind::Ipv4 { slot } => Value::Ipv4((self.number(*slot)? as u32).to_ne_bytes()),
            ShownKind::Path { slot } => {
                let (names, flags) = self.bytes(*slot)?;
                Value::Path(Path::walked(names, flags))
            }
            ShownKind::Group { style, address, parts } => self.group(*style, *address, parts),
        })
    }

    /// An address. The kernel's last 4,095 are errors (include/linux/err.h).
    fn pointer(&self, address: u64) -> Value<'static> {
        match address.cast_signed() {
            0 => Value::Name("NULL"),
            error @ -4095..0 if !self.of_program => Value::Ret(error),
            _ => Value::Address(address),
        }
    }

    fn symbol(&self, address: u64) -> Value<'a> {
        match self.symbols.and_then(|symbols| symbols.at(address)) {
            Some((name, offset)) => Value::Symbol { address, name, offset },
            None => self.pointer(address),
        }
    }

    fn group(&self, style: Style, address: Option<usize>, parts: &'a [Shown]) -> Value<'a> {
        let pointer = address.map(|slot| self.number(slot).map(|at| self.pointer(at)));
        match (pointer, style, parts) {
            // Nothing is there.
            (Some(Ok(value @ (Value::Name(_) | Value::Ret(_)))), ..) => value,
            (Some(Err(instead)), ..) => instead,
            (_, Style::Alone, [only]) => self.value(&only.kind),
            _ => Value::Group(Group { style, parts, slots: *self }),
        }
    }
}

impl<'a> Group<'a> {
    /// All values of a record that have names of their own.
    #[must_use]
    pub fn new(parts: &'a [Shown], slots: Slots<'a>) -> Self {
        Group { style: Style::Braces, parts, slots }
    }

    /// The values, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let slots = self.slots;
        self.parts.iter().map(move |part| (part.name.as_str(), slots.value(&part.kind)))
    }

    /// Whether addresses of the kernel are shown by their names somewhere in it.
    #[must_use]
    pub fn has_symbols(&self) -> bool {
        self.parts.iter().any(|part| part.kind.has_symbols())
    }

    /// A value by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
    }
}

/// Without its NUL. One that has none was cut.
fn text(bytes: &[u8]) -> Value<'_> {
    match bytes.strip_suffix(b"\0") {
        Some(text) => Value::Str(text),
        None => Value::Cut(bytes),
    }
}

fn lowest_byte(raw: &[u8; 8]) -> &[u8] {
    let at = if cfg!(target_endian = "little") { 0 } else { 7 };
    raw.get(at..=at).unwrap_or_default()
}

fn host_order(value: u64, size: u8) -> u64 {
    match size {
        2 => u16::from_be(value as u16).into(),
        4 => u32::from_be(value as u32).into(),
        _ => u64::from_be(value),
    }
}
