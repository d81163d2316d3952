//! Whether types make sense together: libbpf follows them without counting, and some divide by what they say. Only a
//! damaged file has others.

use super::types::{Type, Types, kind};
use crate::bytes::Bytes;

/// How deep types may be inside each other, and how many places that may make: far more than any kernel's.
const DEPTH: u16 = 400;
const PLACES: u32 = 1 << 16;

/// All that is reached from the `roots`, if it comes to an end soon. `inside` tells of each how many places it makes
/// itself, and what it leads to. All are numbers below `count`.
fn ends(count: usize, roots: impl Iterator<Item = u32>, inside: impl Fn(u32) -> (u32, Vec<u32>)) -> Option<Vec<u32>> {
    const UNDERWAY: u16 = u16::MAX;
    // Of each: depth and places.
    let mut known = vec![(0_u16, 0_u32); count];
    let mut way: Vec<(u32, Vec<u32>, (u16, u32))> = Vec::new();
    for root in roots {
        let mut next = Some(root);
        loop {
            let mut done = None;
            if let Some(id) = next.take() {
                match known.get_mut(id as usize) {
                    Some(mark @ (0, _)) => {
                        mark.0 = UNDERWAY;
                        let (places, inner) = inside(id);
                        if places > PLACES {
                            return None;
                        }
                        way.push((id, inner, (1, places)));
                    }
                    Some((UNDERWAY, _)) | None => return None,
                    Some(sum) => done = Some(*sum),
                }
            }
            if let Some(((_, _, sum), (depth, places))) = way.last_mut().zip(done) {
                *sum = (sum.0.max(depth + 1), sum.1.saturating_add(places));
                if sum.0 > DEPTH || sum.1 > PLACES {
                    return None;
                }
            }
            let Some((_, rest, _)) = way.last_mut() else { break };
            next = rest.pop();
            if next.is_none()
                && let Some((id, _, sum)) = way.pop()
            {
                if let Some(mark) = known.get_mut(id as usize) {
                    *mark = sum;
                }
                // Its sum is counted where it is known.
                next = (!way.is_empty()).then_some(id);
            }
        }
    }
    Some((0_u32..).zip(known).filter(|(_, (depth, _))| *depth > 0).map(|(id, _)| id).collect())
}

impl Types {
    /// Whether libbpf can match relocations against them.
    pub(super) fn is_sound(&self) -> bool {
        let count = self.btf.types();
        ends(count as usize, 0..count, |id| (1, self.inside(id))).is_some() && !self.has_void_bits()
    }

    /// What a type is made of, as far as the matcher follows it without counting.
    fn inside(&self, id: u32) -> Vec<u32> {
        match self.get(id) {
            Some(t) if t.is_modifier() => vec![t.refers],
            Some(t) => self.members(t).filter(|member| member.name.is_empty()).map(|member| member.id).collect(),
            None => Vec::new(),
        }
    }

    /// Bit fields of a type that can have none, by whose size libbpf would divide; after a look for endless ones.
    fn has_void_bits(&self) -> bool {
        let numeric = |id: u32| {
            let plain = self.plain(id).and_then(|id| self.get(id));
            plain.is_some_and(|t| (t.is_enum() || t.kind == kind::INT) && t.refers > 0)
        };
        let all = (1..self.btf.types()).filter_map(|id| self.get(id));
        all.filter(|t| t.is_composite() && t.flag).any(|t| {
            self.members(t).count() != t.rows().count() || self.members(t).any(|m| m.bits > 0 && !numeric(m.id))
        })
    }

    /// How many members, about, libbpf makes up to fill a struct's holes: one for 8 bytes.
    fn padding(&self, of: Type<'_>) -> u32 {
        let (mut end, mut holes) = (0_u64, 0_u64);
        for member in self.members(of) {
            holes = holes.saturating_add(u64::from(member.offset).saturating_sub(end));
            let bits = if member.bits > 0 { member.bits.into() } else { self.btf.size(member.id).unwrap_or(0) * 8 };
            end = u64::from(member.offset).saturating_add(bits);
        }
        let last = if of.kind == kind::STRUCT { (u64::from(of.refers) * 8).saturating_sub(end) } else { 0 };
        u32::try_from(holes.saturating_add(last) / 64).unwrap_or(u32::MAX)
    }

    /// Whether libbpf can write these types in C: as `btf_dump_order_type` goes from one to the next (btf_dump.c).
    pub fn declarable(&self, roots: impl Iterator<Item = u32>) -> bool {
        let count = self.btf.types() as usize * 2;
        // Twice as many: a type, and the same seen through a pointer, where a name is enough.
        let state = |id: u32, pointed: bool| id << 1 | u32::from(pointed);
        let inside = |at: u32| {
            let (id, pointed) = (at >> 1, at & 1 != 0);
            let params = |t: Type<'_>| t.rows().filter_map(|row| row.u32(4)).collect::<Vec<_>>();
            let mut places = 1_u32;
            let inner = match self.get(id) {
                Some(t) if t.kind == kind::PTR => vec![state(t.refers, true)],
                Some(t) if t.is_modifier() => vec![state(t.refers, pointed)],
                Some(t) if t.kind == kind::ARRAY => {
                    Bytes(t.more).u32(0).map(|id| state(id, false)).into_iter().collect()
                }
                Some(t) if t.kind == kind::FUNC_PROTO => {
                    [t.refers].into_iter().chain(params(t)).map(|id| state(id, pointed)).collect()
                }
                Some(t) if t.is_composite() && (!pointed || t.name.is_empty()) => {
                    places = places.saturating_add(self.padding(t));
                    self.members(t).map(|member| state(member.id, false)).collect()
                }
                _ => Vec::new(),
            };
            (places, inner)
        };
        // It divides by how members are aligned.
        let aligned = |at: &u32| {
            let mut members = self.get(at >> 1).into_iter().flat_map(|found| self.members(found));
            members.all(|member| self.btf.align(member.id).is_some())
        };
        ends(count, roots.map(|id| state(id, false)), inside).is_some_and(|reached| reached.iter().all(aligned))
    }
}
