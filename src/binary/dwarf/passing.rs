//! How values of a type are passed, where that is not by what they are made of alone: classes of C++ that are not simply
//! copied, vectors, and numbers that C has no plain type for.

use gimli::{AttributeValue, constants as dw};

use super::super::passing::Passing;
use super::entries::{At, Debug, Entry, count, udata};

/// How deep types are in each other.
const DEPTH: u8 = 12;
/// The most members of a class that are looked at.
const MEMBERS: usize = 4096;

impl<'a> Debug<'a> {
    /// How values of a type are passed; None: nothing is passed.
    pub(super) fn passing(&self, ty: Option<At>) -> Passing {
        let Some(ty) = ty else { return Passing::ByValue };
        if let Some(known) = self.passings.borrow().get(&ty) {
            return *known;
        }
        let found = self.passing_of(ty, DEPTH);
        self.passings.borrow_mut().insert(ty, found);
        found
    }

    /// The same of what is inside of another type. What is known of it is known at any depth.
    fn passing_inside(&self, ty: At, depth: u8) -> Passing {
        if let Some(known) = self.passings.borrow().get(&ty) {
            return *known;
        }
        let found = self.passing_of(ty, depth);
        if found != Passing::Unknown {
            self.passings.borrow_mut().insert(ty, found);
        }
        found
    }

    fn passing_of(&self, mut ty: At, depth: u8) -> Passing {
        for _ in 0..DEPTH {
            let Some((unit, entry)) = self.entry(ty) else { return Passing::Unknown };
            let next = match entry.tag() {
                dw::DW_TAG_typedef | dw::DW_TAG_const_type | dw::DW_TAG_volatile_type | dw::DW_TAG_atomic_type => {
                    self.attr_ref(ty.part, &unit, &entry, dw::DW_AT_type)
                }
                dw::DW_TAG_base_type => return self.of_base(ty, &entry),
                // C passes no other arrays.
                dw::DW_TAG_array_type if entry.attr(dw::DW_AT_GNU_vector).is_some() => {
                    return self.bytes(ty, DEPTH).map_or(Passing::Unknown, Passing::InFloat);
                }
                dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                    match entry.attr(dw::DW_AT_declaration) {
                        Some(_) => self.attr_ref(ty.part, &unit, &entry, dw::DW_AT_signature).filter(|at| *at != ty),
                        None => return self.of_class(ty, &entry, depth),
                    }
                }
                _ => return Passing::ByValue,
            };
            match next {
                Some(next) => ty = next,
                // A class that is defined elsewhere.
                None => return Passing::Unknown,
            }
        }
        Passing::Unknown
    }

    fn of_base(&self, ty: At, entry: &Entry<'a>) -> Passing {
        let size = udata(entry, dw::DW_AT_byte_size).unwrap_or(0);
        match entry.attr_value(dw::DW_AT_encoding) {
            Some(AttributeValue::Encoding(dw::DW_ATE_decimal_float)) => Passing::InFloat(size),
            // Beside `long double`, which has a way of its own on x86.
            Some(AttributeValue::Encoding(dw::DW_ATE_float)) => match self.name(ty) {
                Some(b"__float128" | b"_Float128") => Passing::InFloat(size),
                _ => Passing::ByValue,
            },
            _ => Passing::ByValue,
        }
    }

    fn of_class(&self, at: At, entry: &Entry<'a>, depth: u8) -> Passing {
        match entry.attr_value(dw::DW_AT_calling_convention) {
            Some(AttributeValue::CallingConvention(dw::DW_CC_pass_by_reference)) => return Passing::ByReference,
            Some(AttributeValue::CallingConvention(dw::DW_CC_pass_by_value)) => {}
            // GCC does not say it, nor do older versions of DWARF.
            _ if self.is_not_simply_copied(at, entry, depth) => return Passing::ByReference,
            _ => {}
        }
        let Some(depth) = depth.checked_sub(1) else { return Passing::Unknown };
        let size = udata(entry, dw::DW_AT_byte_size);
        let members = self.children(at, MEMBERS);
        let parts = members.iter().filter(|(_, entry)| is_part(entry));
        let mut known = 0;
        for (member, entry) in parts {
            known += 1;
            let ty = self.entry(*member).and_then(|(unit, _)| self.attr_ref(member.part, &unit, entry, dw::DW_AT_type));
            match ty.map(|ty| self.passing_within(ty, depth)) {
                Some(Passing::ByValue) => {}
                // What is alone in a struct is passed as if it were without; else, it is left at not knowing.
                _ => return Passing::Unknown,
            }
        }
        // An empty class has a byte of nothing. Rust's enums have their members further down.
        let has_variants = || members.iter().any(|(_, entry)| entry.tag() == dw::DW_TAG_variant_part);
        match size {
            Some(0 | 1) => Passing::ByValue,
            Some(_) if known > 0 || has_variants() => Passing::ByValue,
            _ => Passing::Unknown,
        }
    }

    /// Of a part of a struct, which may be an array of what is asked for.
    fn passing_within(&self, ty: At, depth: u8) -> Passing {
        let array = self
            .entry(ty)
            .filter(|(_, entry)| entry.tag() == dw::DW_TAG_array_type && entry.attr(dw::DW_AT_GNU_vector).is_none());
        match array.and_then(|(unit, entry)| self.attr_ref(ty.part, &unit, &entry, dw::DW_AT_type)) {
            Some(of) => depth.checked_sub(1).map_or(Passing::Unknown, |depth| self.passing_within(of, depth)),
            None => self.passing_inside(ty, depth),
        }
    }

    /// Whether a class has a constructor that copies or moves it, or a destructor, that does something (Itanium C++ ABI:
    /// "non-trivial for the purposes of calls"), or a base or a member that has.
    fn is_not_simply_copied(&self, at: At, entry: &Entry<'a>, depth: u8) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let has_table = entry.attr(dw::DW_AT_containing_type).is_some();
        let children = self.children(at, MEMBERS);
        let copies = children.iter().filter(|(child, entry)| self.is_copying(at, *child, entry));
        let deleted: Vec<bool> = copies.map(|(_, entry)| entry.attr(dw::DW_AT_deleted).is_some()).collect();
        // Where all are deleted, there is none to copy it by.
        has_table
            || !deleted.is_empty() && deleted.iter().all(|deleted| *deleted)
            || children.iter().any(|(child, entry)| match entry.tag() {
                dw::DW_TAG_inheritance if is_virtual(entry) => true,
                dw::DW_TAG_subprogram => is_virtual(entry) || self.copies_or_destroys(at, *child, entry),
                _ if is_part(entry) => {
                    let unit = self.entry(*child).map(|(unit, _)| unit);
                    let ty = unit.and_then(|unit| self.attr_ref(child.part, &unit, entry, dw::DW_AT_type));
                    ty.is_some_and(|ty| self.passing_within(ty, depth) == Passing::ByReference)
                }
                _ => false,
            })
    }

    /// Whether a method is written by hand and copies, moves or destroys its object.
    fn copies_or_destroys(&self, class: At, at: At, entry: &Entry<'a>) -> bool {
        let defaulted = udata(entry, dw::DW_AT_defaulted);
        let in_class = defaulted == Some(dw::DW_DEFAULTED_in_class.0.into());
        let made_up = [dw::DW_AT_artificial, dw::DW_AT_deleted].iter().any(|name| entry.attr(*name).is_some());
        if in_class || made_up {
            return false;
        }
        let destroys = self.name(at).and_then(|name| name.strip_prefix(b"~"));
        destroys.is_some_and(|name| Some(name) == self.own_name(class)) || self.is_copying(class, at, entry)
    }

    /// What constructors of a class are called: a template's name has its arguments.
    fn own_name(&self, class: At) -> Option<&'a [u8]> {
        self.name(class)?.split(|byte| *byte == b'<').next()
    }

    /// Whether a method is a constructor that copies or moves: it is given an object of the same class, by reference.
    fn is_copying(&self, class: At, at: At, entry: &Entry<'a>) -> bool {
        let name = self.name(at).and_then(|name| name.split(|byte| *byte == b'<').next());
        if entry.tag() != dw::DW_TAG_subprogram || name.is_none() || name != self.own_name(class) {
            return false;
        }
        let params = self.children(at, 8);
        let mut given = params.iter().filter(|(_, entry)| {
            entry.tag() == dw::DW_TAG_formal_parameter && entry.attr(dw::DW_AT_artificial).is_none()
        });
        match (given.next(), given.next()) {
            (Some((param, entry)), None) => self.refers_to(*param, entry, class),
            _ => false,
        }
    }

    /// Whether a parameter is a reference to a class.
    fn refers_to(&self, param: At, entry: &Entry<'a>, class: At) -> bool {
        let of = |at: At, entry: &Entry<'a>| {
            self.entry(at).and_then(|(unit, _)| self.attr_ref(at.part, &unit, entry, dw::DW_AT_type))
        };
        let (mut ty, mut is_reference) = (of(param, entry), false);
        for _ in 0..DEPTH {
            let Some(at) = ty else { return false };
            if at == class {
                return is_reference;
            }
            let Some((_, entry)) = self.entry(at) else { return false };
            match entry.tag() {
                dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type => is_reference = true,
                dw::DW_TAG_const_type | dw::DW_TAG_volatile_type | dw::DW_TAG_typedef => {}
                // The class may be declared in a unit of its own.
                _ => return is_reference && self.name(at).is_some() && self.name(at) == self.name(class),
            }
            ty = of(at, &entry);
        }
        false
    }

    /// How many bytes a vector has.
    fn bytes(&self, at: At, depth: u8) -> Option<u64> {
        let (unit, entry) = self.entry(at)?;
        if let Some(size) = udata(&entry, dw::DW_AT_byte_size) {
            return Some(size);
        }
        let of = self.attr_ref(at.part, &unit, &entry, dw::DW_AT_type).filter(|_| depth > 0)?;
        let each = self.bytes(of, depth - 1)?;
        if entry.tag() != dw::DW_TAG_array_type {
            return Some(each);
        }
        let children = self.children(at, 4);
        children
            .iter()
            .find(|(_, entry)| entry.tag() == dw::DW_TAG_subrange_type)
            .and_then(|(_, entry)| count(entry))?
            .checked_mul(each)
    }
}

/// Whether it is a member that each object has, or a base.
fn is_part(entry: &Entry<'_>) -> bool {
    let is_shared = entry.attr(dw::DW_AT_external).is_some() || entry.attr(dw::DW_AT_declaration).is_some();
    matches!(entry.tag(), dw::DW_TAG_member | dw::DW_TAG_inheritance) && !is_shared
}

fn is_virtual(entry: &Entry<'_>) -> bool {
    let how = entry.attr_value(dw::DW_AT_virtuality);
    matches!(how, Some(AttributeValue::Virtuality(how)) if how != dw::DW_VIRTUALITY_none)
}
