//! Types as DWARF has them, made into the model that the kernel's types are in: those that are reached from what is asked
//! for, the nearest first.

use std::collections::{HashMap, VecDeque};

use gimli::{AttributeValue, Unit, constants as dw};

use super::entries::{At, Debug, Entry, Slice, count, udata};
use crate::types::builder::{Builder, REAL, Row, Sign};
use crate::types::model::kind;

/// From so many on, structs are only named …
const FULL: u32 = 20_000;
/// … and from so many on nothing is.
const MOST: u32 = 60_000;
/// The most members of a struct, values of an enum, parameters.
const ROWS: usize = 20_000;
/// How many entries all of them may take.
const ENTRIES: u64 = 4_000_000;
/// How deep the parts of a variant are below it.
const VARIANTS: usize = 3;

/// What becomes one type.
#[derive(Debug, Clone)]
enum Item {
    Entry(At),
    /// The inner dimensions of an array.
    Array {
        of: u32,
        counts: Vec<u32>,
    },
    /// A half of a complex number, …
    Float {
        size: u8,
    },
    /// … of whole numbers (of GNU C), or of a pointer to a method.
    Int {
        size: u8,
        sign: Sign,
    },
}

/// A type that is read.
struct Read<'d, 'a> {
    unit: &'d Unit<Slice<'a>>,
    entry: &'d Entry<'a>,
    at: At,
}

/// Types in the making.
#[derive(Debug)]
pub(crate) struct Typed<'d, 'a> {
    debug: &'d Debug<'a>,
    builder: Builder,
    /// The numbers that types have, or will have.
    known: HashMap<At, u32>,
    queue: VecDeque<Item>,
    next: u32,
}

impl<'d, 'a> Typed<'d, 'a> {
    pub fn new(debug: &'d Debug<'a>) -> Self {
        debug.left.set(ENTRIES);
        let builder = Builder::new();
        let next = builder.next();
        Self { debug, builder, known: HashMap::new(), queue: VecDeque::new(), next }
    }

    /// The number of a type; 0: none, which is `void`.
    pub fn number(&mut self, at: Option<At>) -> u32 {
        let Some(at) = at else { return 0 };
        if let Some(known) = self.known.get(&at) {
            return *known;
        }
        if self.next > MOST {
            return 0;
        }
        let number = self.add(Item::Entry(at));
        self.known.insert(at, number);
        number
    }

    fn add(&mut self, item: Item) -> u32 {
        self.queue.push_back(item);
        self.next += 1;
        self.next - 1
    }

    /// All types that were asked for, and what they lead to. More may be added behind them.
    pub fn finish(mut self) -> Builder {
        while let Some(item) = self.queue.pop_front() {
            let before = self.builder.next();
            match item {
                Item::Array { of, counts } => self.array(of, &counts),
                Item::Float { size } => drop(self.builder.float(b"", size)),
                Item::Int { size, sign } => drop(self.builder.int(b"", size, sign)),
                Item::Entry(at) => self.entry(at),
            }
            // Numbers are given in the order in which types are written.
            if self.builder.next() == before {
                self.builder.declared(b"", false);
            }
        }
        self.builder
    }

    fn entry(&mut self, at: At) {
        let Some((unit, entry)) = self.debug.entry(at) else { return };
        let read = Read { unit: &unit, entry: &entry, at };
        let name = entry.attr_value(dw::DW_AT_name).and_then(|value| self.debug.text(at.part, &unit, value));
        let name = name.unwrap_or_default();
        let refer = |typed: &mut Self, kind: u8, name: &[u8]| {
            let to = typed.of(&read);
            typed.builder.refer(kind, name, to);
        };
        match entry.tag() {
            dw::DW_TAG_base_type => self.base(name, &entry),
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type => {
                refer(self, kind::PTR, b"");
            }
            dw::DW_TAG_const_type | dw::DW_TAG_immutable_type => refer(self, kind::CONST, b""),
            dw::DW_TAG_volatile_type | dw::DW_TAG_atomic_type => refer(self, kind::VOLATILE, b""),
            dw::DW_TAG_restrict_type => refer(self, kind::RESTRICT, b""),
            dw::DW_TAG_typedef | dw::DW_TAG_template_alias | dw::DW_TAG_unspecified_type => {
                refer(self, kind::TYPEDEF, name);
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_interface_type => {
                self.composite(kind::STRUCT, name, &read);
            }
            dw::DW_TAG_union_type => self.composite(kind::UNION, name, &read),
            dw::DW_TAG_enumeration_type => self.enumeration(name, &read),
            dw::DW_TAG_array_type => {
                let (of, counts) = (self.of(&read), self.counts(at));
                self.array(of, &counts);
            }
            dw::DW_TAG_subroutine_type => {
                let (returns, (params, variadic)) = (self.of(&read), self.params(at));
                self.builder.proto(returns, &params, variadic);
            }
            dw::DW_TAG_ptr_to_member_type => self.member_pointer(&read),
            _ => {
                self.builder.declared(name, false);
            }
        }
    }

    /// A member of a class is where it is in there; a method is an address, or a number in a table, and what is added to
    /// the object's address (Itanium C++ ABI, 2.3).
    fn member_pointer(&mut self, read: &Read<'_, 'a>) {
        let to = self.debug.attr_ref(read.at.part, read.unit, read.entry, dw::DW_AT_type);
        let is_method =
            to.and_then(|to| self.debug.entry(to)).is_some_and(|(_, to)| to.tag() == dw::DW_TAG_subroutine_type);
        if !is_method {
            self.builder.int(b"pointer to member", 8, Sign::Unsigned);
            return;
        }
        let id = self.add(Item::Int { size: 8, sign: Sign::Signed });
        let row = |name: &str, offset| Row { name: name.into(), id, offset, bits: 0 };
        self.builder.composite(kind::STRUCT, b"pointer to method", 16, &[row("ptr", 0), row("adj", 64)]);
    }

    /// The type that an entry refers to.
    fn of(&mut self, read: &Read<'_, 'a>) -> u32 {
        let to = self.debug.attr_ref(read.at.part, read.unit, read.entry, dw::DW_AT_type);
        self.number(to)
    }

    fn base(&mut self, name: &[u8], entry: &Entry<'a>) {
        let size = udata(entry, dw::DW_AT_byte_size).and_then(|size| u8::try_from(size).ok()).unwrap_or(0);
        let encoding = match entry.attr_value(dw::DW_AT_encoding) {
            Some(AttributeValue::Encoding(encoding)) => encoding,
            _ => dw::DW_ATE_unsigned,
        };
        let whole = matches!(size, 1 | 2 | 4 | 8 | 16);
        match encoding {
            dw::DW_ATE_float if whole && size > 1 => self.builder.float(name, size),
            dw::DW_ATE_complex_float if matches!(size, 4 | 8 | 16 | 32) => {
                let id = self.add(Item::Float { size: size / 2 });
                self.complex(name, id, size / 2)
            }
            // GCC writes it so (gcc/dwarf2out.cc: base_type_die), and Clang.
            dw::DW_ATE_lo_user if matches!(size, 2 | 4 | 8 | 16) => {
                let is_unsigned = name.windows(8).any(|word| word == b"unsigned");
                let sign = if is_unsigned { Sign::Unsigned } else { Sign::Signed };
                let id = self.add(Item::Int { size: size / 2, sign });
                self.complex(name, id, size / 2)
            }
            dw::DW_ATE_boolean if whole => self.builder.int(name, size, Sign::Bool),
            // A character of its own kind is a number here; `char` itself is known by its name.
            dw::DW_ATE_signed | dw::DW_ATE_signed_char if whole => self.builder.int(name, size, Sign::Signed),
            dw::DW_ATE_unsigned | dw::DW_ATE_unsigned_char | dw::DW_ATE_UTF | dw::DW_ATE_address if whole => {
                self.builder.int(name, size, Sign::Unsigned)
            }
            _ => self.builder.composite(kind::STRUCT, name, size.into(), &[]),
        };
    }

    /// A number of two halves.
    fn complex(&mut self, name: &[u8], id: u32, size: u8) -> u32 {
        let row = |name: &str, offset| Row { name: name.into(), id, offset, bits: 0 };
        let halves = [row(REAL, 0), row("__imag__", u32::from(size) * 8)];
        self.builder.composite(kind::STRUCT, name, u32::from(size) * 2, &halves)
    }

    fn composite(&mut self, kind: u8, name: &[u8], read: &Read<'_, 'a>) {
        let size = udata(read.entry, dw::DW_AT_byte_size).and_then(|size| u32::try_from(size).ok());
        let declared = read.entry.attr(dw::DW_AT_declaration).is_some();
        // What it is may be in a unit of its own.
        if let (true, Some(at)) =
            (declared, self.debug.attr_ref(read.at.part, read.unit, read.entry, dw::DW_AT_signature))
            && at != read.at
        {
            let to = self.number(Some(at));
            self.builder.refer(kind::TYPEDEF, name, to);
            return;
        }
        let Some(size) = size.filter(|_| !declared && self.next < FULL) else {
            self.builder.declared(name, kind == kind::UNION);
            return;
        };
        let rows = self.members(read);
        self.builder.composite(kind, name, size, &rows);
    }

    fn members(&mut self, read: &Read<'_, 'a>) -> Vec<Row> {
        let mut entries: Vec<(Entry<'a>, bool)> = Vec::new();
        let mut tags: Vec<gimli::DwTag> = Vec::new();
        self.debug.inside(read.at, |entry, depth| {
            tags.truncate(depth.saturating_sub(1));
            tags.push(entry.tag());
            // Of a variant, all that it may be: they are all in one place.
            let above = tags.get(..depth.saturating_sub(1)).unwrap_or_default();
            let inside = above.iter().all(|tag| matches!(*tag, dw::DW_TAG_variant_part | dw::DW_TAG_variant));
            if depth <= VARIANTS && inside && matches!(entry.tag(), dw::DW_TAG_member | dw::DW_TAG_inheritance) {
                // Which variant it is.
                entries.push((entry.clone(), above.last() == Some(&dw::DW_TAG_variant_part)));
            }
            entries.len() < ROWS
        });
        entries.iter().filter_map(|(entry, decides)| self.member(read, entry, *decides)).collect()
    }

    fn member(&mut self, of: &Read<'_, 'a>, entry: &Entry<'a>, decides: bool) -> Option<Row> {
        if entry.attr(dw::DW_AT_external).is_some() || entry.attr(dw::DW_AT_declaration).is_some() {
            return None;
        }
        let name = entry.attr_value(dw::DW_AT_name).and_then(|value| self.debug.text(of.at.part, of.unit, value));
        let name = name.filter(|_| entry.tag() == dw::DW_TAG_member).unwrap_or_default().to_vec();
        let name = if decides && name.is_empty() { b"discriminant".to_vec() } else { name };
        let ty = self.debug.attr_ref(of.at.part, of.unit, entry, dw::DW_AT_type);
        let bytes = match entry.attr_value(dw::DW_AT_data_member_location) {
            None => 0,
            Some(AttributeValue::Exprloc(expression)) => {
                match expression.operations(of.unit.encoding()).next().ok()?? {
                    gimli::Operation::PlusConstant { value } => value,
                    // Of a base that is virtual: only the object knows.
                    _ => return None,
                }
            }
            Some(value) => value.udata_value()?,
        };
        let bits = udata(entry, dw::DW_AT_bit_size);
        let first = match (bits, udata(entry, dw::DW_AT_data_bit_offset), udata(entry, dw::DW_AT_bit_offset)) {
            (_, Some(first), _) => first,
            // From the other end of what it is stored in.
            (Some(bits), None, Some(from_end)) => {
                let stored = udata(entry, dw::DW_AT_byte_size).or_else(|| self.size(ty, 0))?;
                bytes.checked_mul(8)?.checked_add(stored.checked_mul(8)?)?.checked_sub(from_end.checked_add(bits)?)?
            }
            _ => bytes.checked_mul(8)?,
        };
        let bits = bits.map_or(Some(0), |bits| u8::try_from(bits).ok().filter(|bits| *bits > 0))?;
        Some(Row { name, id: self.number(ty), offset: u32::try_from(first).ok()?, bits })
    }

    /// How many bytes a type has.
    fn size(&self, at: Option<At>, depth: u8) -> Option<u64> {
        let (unit, entry) = self.debug.entry(at.filter(|_| depth < 16)?)?;
        let own = udata(&entry, dw::DW_AT_byte_size);
        own.or_else(|| self.size(self.debug.attr_ref(at?.part, &unit, &entry, dw::DW_AT_type), depth + 1))
    }

    fn enumeration(&mut self, name: &[u8], read: &Read<'_, 'a>) {
        let size = udata(read.entry, dw::DW_AT_byte_size).and_then(|size| u8::try_from(size).ok()).unwrap_or(4);
        let signed = self.is_signed(read);
        let mut values = Vec::new();
        for (at, entry) in self.debug.children(read.at, ROWS) {
            let value = match entry.attr_value(dw::DW_AT_const_value) {
                Some(AttributeValue::Data1(value)) if signed => i128::from(value.cast_signed()),
                Some(AttributeValue::Data2(value)) if signed => i128::from(value.cast_signed()),
                Some(AttributeValue::Data4(value)) if signed => i128::from(value.cast_signed()),
                Some(AttributeValue::Data8(value)) if signed => i128::from(value.cast_signed()),
                Some(AttributeValue::Sdata(value)) => i128::from(value),
                Some(value) => match value.udata_value() {
                    Some(value) => i128::from(value),
                    None => continue,
                },
                None => continue,
            };
            let name = entry.attr_value(dw::DW_AT_name).and_then(|value| self.debug.text(at.part, read.unit, value));
            values.extend(name.map(|name| (name.to_vec(), value)));
        }
        match (size, read.entry.attr(dw::DW_AT_declaration)) {
            (1 | 2 | 4 | 8, None) => self.builder.enumeration(name, size, &values),
            _ => self.builder.declared(name, false),
        };
    }

    /// Whether the values of an enum are numbers with a sign, where it says what they are.
    fn is_signed(&self, read: &Read<'_, 'a>) -> bool {
        let mut to = self.debug.attr_ref(read.at.part, read.unit, read.entry, dw::DW_AT_type);
        for _ in 0..16 {
            let Some((unit, entry)) = to.and_then(|to| self.debug.entry(to)) else { return false };
            if let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(dw::DW_AT_encoding) {
                return matches!(encoding, dw::DW_ATE_signed | dw::DW_ATE_signed_char);
            }
            to = to.and_then(|to| self.debug.attr_ref(to.part, &unit, &entry, dw::DW_AT_type));
        }
        false
    }

    /// How many elements an array has in each dimension; 0: it does not say.
    fn counts(&self, at: At) -> Vec<u32> {
        let count = |entry: &Entry<'a>| count(entry).and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let children = self.debug.children(at, 16);
        let ranges = children.iter().filter(|(_, entry)| entry.tag() == dw::DW_TAG_subrange_type);
        ranges.map(|(_, entry)| count(entry)).collect()
    }

    fn array(&mut self, of: u32, counts: &[u32]) {
        let (count, of) = match counts {
            [] => (0, of),
            [count] => (*count, of),
            [count, inner @ ..] => (*count, self.add(Item::Array { of, counts: inner.to_vec() })),
        };
        self.builder.array(of, count);
    }

    fn params(&mut self, at: At) -> (Vec<(Vec<u8>, u32)>, bool) {
        let (mut params, mut variadic) = (Vec::new(), false);
        for (child, entry) in self.debug.children(at, 256) {
            match entry.tag() {
                dw::DW_TAG_formal_parameter => {
                    let Some((unit, _)) = self.debug.entry(child) else { continue };
                    let ty = self.debug.attr_ref(child.part, &unit, &entry, dw::DW_AT_type);
                    let number = self.number(ty);
                    // A parameter of no type would mean that more follow.
                    if number > 0 {
                        params.push((Vec::new(), number));
                    }
                }
                dw::DW_TAG_unspecified_parameters => variadic = true,
                _ => {}
            }
        }
        (params, variadic)
    }
}
