//! What types are made of.

use super::raw::{Type, kind};
use super::types::Types;

/// A member of a struct or a union.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// Empty, if it has none.
    pub name: &'a [u8],
    pub id: u32,
    /// Where it begins, in bits.
    pub offset: u32,
    /// Width of a bit field; 0 of others.
    pub bits: u32,
}

impl Types {
    /// The members of a struct or a union, in their order.
    pub fn members<'a>(&'a self, of: Type<'a>) -> impl Iterator<Item = Member<'a>> {
        let rows = of.is_composite().then(|| of.rows()).into_iter().flatten();
        rows.filter_map(move |row| {
            let offset = row.u32(8)?;
            // BTF_MEMBER_BIT_OFFSET and BTF_MEMBER_BITFIELD_SIZE of include/uapi/linux/btf.h.
            let (offset, bits) = if of.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            Some(Member { name: self.string(row.u32(0)?)?, id: row.u32(4)?, offset, bits })
        })
    }

    /// Whether a struct has a member of this name, at its first level.
    pub fn has_member(&self, name: &str, member: &str) -> bool {
        let found = self.find(kind::STRUCT, name);
        found.is_some_and(|found| self.members(found).any(|other| other.name == member.as_bytes()))
    }

    /// The values of an enum, in their order.
    pub fn values<'a>(&'a self, of: Type<'a>) -> impl Iterator<Item = (&'a [u8], i128)> {
        let rows = of.is_enum().then(|| of.rows()).into_iter().flatten();
        rows.filter_map(move |row| {
            let low = row.u32(4)?;
            let value = match (of.kind, of.flag) {
                (kind::ENUM, true) => i128::from(low.cast_signed()),
                (kind::ENUM, false) => i128::from(low),
                (_, signed) => {
                    let value = u64::from(low) | u64::from(row.u32(8)?) << 32;
                    if signed { i128::from(value.cast_signed()) } else { i128::from(value) }
                }
            };
            Some((self.string(row.u32(0)?)?, value))
        })
    }

    /// What a type is when its names and qualifiers are taken away.
    pub fn plain(&self, mut id: u32) -> Option<u32> {
        // No chain is longer than there are types.
        for _ in 0..self.btf.types() {
            match self.get(id)? {
                found if found.is_modifier() => id = found.refers,
                _ => return Some(id),
            }
        }
        None
    }
}
