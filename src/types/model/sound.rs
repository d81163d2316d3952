//! Whether types make sense together, and come to an end soon: libbpf follows them without counting, and some divide by
//! what they say. Only a damaged file has others, or one that somebody made up.

use super::raw::{Type, kind};
use super::types::Types;
use crate::types::bytes::Bytes;
use crate::types::image::Fault;

/// Damage that libbpf does not see.
pub(super) const DAMAGED: Fault = Fault::BadHeader("its types contradict each other");

/// How deep types may be inside each other: far more than any kernel's.
const DEPTH: u16 = 400;
/// How much there may be inside of one, to compare or to write: bytes of names, and some for each. A kernel's largest
/// types come to less than 100 KB.
const INSIDE: u32 = 4 << 20;
/// The same of all types together: a kernel's come to about 20 MB …
const ALL: u64 = 1 << 28;
/// … and of all that a relocation may mean, because they have its name.
const SAME: u64 = 16 << 20;
/// How many types may have the same name, flavours included. A kernel has some ten of one.
const NAMESAKES: usize = 1024;
/// What each of them costs beside its name.
const EACH: u32 = 16;

/// What is known of a type.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// How deep others are in it; 0: it has not been looked at.
    depth: u16,
    /// How much there is in it, with all that is in these.
    inside: u32,
}

/// All that is reached from the `roots`, if it comes to an end soon. `inside` returns of each how much it has itself, and
/// what it leads to. All are numbers below `count`.
fn ends(count: usize, roots: impl Iterator<Item = u32>, inside: &dyn Fn(u32) -> (u32, Vec<u32>)) -> Option<Vec<Sum>> {
    const UNDERWAY: u16 = u16::MAX;
    let mut known = vec![Sum::default(); count];
    let mut way: Vec<(u32, Vec<u32>, Sum)> = Vec::new();
    for root in roots {
        let mut next = Some(root);
        loop {
            let mut done = None;
            if let Some(id) = next.take() {
                match known.get_mut(id as usize) {
                    Some(mark @ Sum { depth: 0, .. }) => {
                        mark.depth = UNDERWAY;
                        let (own, inner) = inside(id);
                        if own > INSIDE {
                            return None;
                        }
                        way.push((id, inner, Sum { depth: 1, inside: own }));
                    }
                    Some(Sum { depth: UNDERWAY, .. }) | None => return None,
                    Some(sum) => done = Some(*sum),
                }
            }
            if let Some(((_, _, sum), done)) = way.last_mut().zip(done) {
                *sum = Sum { depth: sum.depth.max(done.depth + 1), inside: sum.inside.saturating_add(done.inside) };
                if sum.depth > DEPTH || sum.inside > INSIDE {
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
    let all: u64 = known.iter().map(|sum| u64::from(sum.inside)).sum();
    (all <= ALL).then_some(known)
}

impl Types {
    /// Whether libbpf can match relocations against them, and how much there is to compare in the widest of them.
    pub(super) fn sound(&self) -> Result<u32, Fault> {
        let count = self.btf.types();
        // An archive of made up types may have as many as it likes that have one name.
        if self.own().any(|id| self.refers_outside(id)) {
            return Err(DAMAGED);
        }
        let sums = ends(count as usize, 0..count, &|id| (self.width(id), self.inside(id))).ok_or(DAMAGED)?;
        if self.has_void_bits() {
            return Err(DAMAGED);
        }
        let inside = |id: u32| sums.get(id as usize).map_or(0, |sum| sum.inside);
        for same in self.names.chunk_by(|(a, _), (b, _)| a == b).filter(|same| same.len() > 1) {
            let can_be_meant = |id: &u32| self.get(*id).is_some_and(|t| t.can_be_meant());
            let meant: Vec<u32> = same.iter().map(|(_, id)| *id).filter(can_be_meant).collect();
            if meant.len() > NAMESAKES || meant.iter().map(|id| u64::from(inside(*id))).sum::<u64>() > SAME {
                return Err(Fault::BadHeader("more of its types have the same name than any kernel's"));
            }
        }
        Ok((1..count).map(inside).max().unwrap_or(0))
    }

    /// How much a type itself has to compare: the names of its members or values.
    fn width(&self, id: u32) -> u32 {
        let Some(found) = self.get(id) else { return EACH };
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).saturating_add(EACH);
        let named = found.is_composite() || found.is_enum() || found.kind == kind::FUNC_PROTO;
        let rows = named.then(|| found.rows()).into_iter().flatten();
        let names = rows.map(|row| size(row.u32(0).and_then(|at| self.string(at)).map_or(0, <[u8]>::len)));
        names.fold(size(found.name.len()), u32::saturating_add)
    }

    /// What libbpf does not look at in each kind.
    fn refers_outside(&self, id: u32) -> bool {
        let count = self.btf.types();
        let Some(found) = self.get(id) else { return true };
        let row = |at: usize| found.rows().any(|row| row.u32(at).is_none_or(|id| id >= count));
        let named = |row: Bytes<'_>| row.u32(0).and_then(|at| self.string(at)).is_some();
        match found.kind {
            kind::ARRAY => [0, 4].iter().any(|at| Bytes(found.more).u32(*at).is_none_or(|id| id >= count)),
            kind::STRUCT | kind::UNION => row(4) || !found.rows().all(named),
            kind::ENUM | kind::ENUM64 => !found.rows().all(named),
            kind::FUNC_PROTO => found.refers >= count || row(4) || !found.rows().all(named),
            kind::DATASEC => row(0),
            kind::PTR | kind::FUNC | kind::VAR | kind::DECL_TAG => found.refers >= count,
            _ => found.is_modifier() && found.refers >= count,
        }
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
        let all = self.own().filter_map(|id| self.get(id));
        all.filter(|t| t.is_composite() && t.flag).any(|t| {
            self.members(t).count() != t.rows().count() || self.members(t).any(|m| m.bits > 0 && !numeric(m.id))
        })
    }

    /// How much a relocation of a type may follow in it: as `bpf_core_types_are_compat` and, with members,
    /// `bpf_core_types_match` (relo_core.c) do, which go through pointers, 32 deep, and count nothing else.
    pub(crate) fn spread(&self, root: u32, members: bool, most: u64) -> u64 {
        const LEVELS: u8 = 32;
        let (mut todo, mut sum) = (vec![(root, LEVELS, members)], 0_u64);
        while let Some((id, levels, members)) = todo.pop() {
            sum = sum.saturating_add(self.width(id).into());
            let Some((found, left)) = self.get(id).zip(levels.checked_sub(1)) else { continue };
            if sum > most {
                break;
            }
            let refers = found.is_modifier() || matches!(found.kind, kind::PTR | kind::FUNC_PROTO);
            // Of what is pointed to, the kind is enough.
            let members = members && found.kind != kind::PTR;
            todo.extend(refers.then_some((found.refers, left, members)));
            let element = (found.kind == kind::ARRAY).then(|| Bytes(found.more).u32(0)).flatten();
            todo.extend(element.map(|id| (id, left, members)));
            let rows = found.is_composite() && members || found.kind == kind::FUNC_PROTO;
            let rows = rows.then(|| found.rows()).into_iter().flatten();
            todo.extend(rows.filter_map(|row| Some((row.u32(4)?, left, members))));
        }
        sum
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
        let most = self.btf.types();
        let count = most as usize * 2;
        // Twice as many: a type, and the same seen through a pointer, where a name is enough.
        let state = |id: u32, pointed: bool| if id < most { id << 1 | u32::from(pointed) } else { u32::MAX };
        // What libbpf looks into: the members of what is only pointed to have no say.
        let followed = |at: u32| self.get(at >> 1).filter(|t| at & 1 == 0 || t.name.is_empty());
        let inside = |at: u32| {
            let (id, pointed) = (at >> 1, at & 1 != 0);
            let params = |t: Type<'_>| t.rows().filter_map(|row| row.u32(4)).collect::<Vec<_>>();
            let mut own = EACH;
            let inner = match self.get(id) {
                Some(t) if t.kind == kind::PTR => vec![state(t.refers, true)],
                Some(t) if t.is_modifier() => vec![state(t.refers, pointed)],
                Some(t) if t.kind == kind::ARRAY => {
                    Bytes(t.more).u32(0).map(|id| state(id, false)).into_iter().collect()
                }
                Some(t) if t.kind == kind::FUNC_PROTO => {
                    [t.refers].into_iter().chain(params(t)).map(|id| state(id, pointed)).collect()
                }
                Some(t) if t.is_composite() && followed(at).is_some() => {
                    own = self.width(id).saturating_add(self.padding(t).saturating_mul(EACH));
                    self.members(t).map(|member| state(member.id, false)).collect()
                }
                Some(t) if t.is_enum() => {
                    own = self.width(id);
                    Vec::new()
                }
                _ => Vec::new(),
            };
            (own, inner)
        };
        // It divides by how members are aligned.
        let aligned = |at: u32| {
            let mut members = followed(at).into_iter().flat_map(|found| self.members(found));
            members.all(|member| self.btf.align(member.id).is_some())
        };
        let reached = ends(count, roots.map(|id| state(id, false)), &inside);
        reached.is_some_and(|sums| (0..).zip(sums).filter(|(_, sum)| sum.depth > 0).all(|(at, _)| aligned(at)))
    }
}

impl Type<'_> {
    /// Relocations may name it: functions, variables and tags have the names that they like.
    fn can_be_meant(self) -> bool {
        !matches!(
            self.kind,
            kind::FUNC | kind::FUNC_PROTO | kind::VAR | kind::DATASEC | kind::DECL_TAG | kind::TYPE_TAG
        )
    }
}
