//! The types that the objects of a run may need of a kernel, picked out of it in one pass. libbpf reads all of a kernel's
//! types for each object, and goes through all their names for each type of the object; with these few it does neither.
//!
//! Nothing is matched here: libbpf does that, and comes to the same result. All types are here that it would consider
//! (`bpf_core_add_cands` in libbpf.c: the same name without its flavour, and a compatible kind), with all members that
//! have a name on the way of any relocation, all members without a name, and what these members are made of, in their
//! order (`bpf_core_match_member` in relo_core.c).

use std::collections::{HashMap, HashSet};

use super::kept::Kept;
use super::needs::{Hook, Needs};
use crate::ffi::relo::Btf;
use crate::types::model::{Layout, Raw, essential, kind};

/// What was picked out.
#[derive(Debug, Default)]
pub(crate) struct Few {
    /// The types that relocations ask for, as raw BTF. Numbers of types are others than in the whole.
    pub btf: Vec<u8>,
    /// The numbers of what typed programs hook, in the whole.
    pub hooks: HashMap<Hook, u32>,
    /// How many of the types that are asked for are not there at all.
    pub lacking: usize,
}

/// Picks them out of a kernel's types; none where these cannot be read.
pub(crate) fn few(needs: &Needs, btf: &[u8]) -> Option<Few> {
    let layout = Layout::read(btf)?;
    let types = layout.of(btf);
    let mut kept = Kept::of(types);
    let (mut hooks, mut found_roots) = (HashMap::new(), HashSet::new());
    for id in types.ids().filter(|id| types.peek(*id).is_some_and(|begin| needs.may_be(begin))) {
        let found = types.get(id)?;
        if let Some(deep) = needs.root(found.name, found.kind) {
            kept.shape(id, deep);
            found_roots.insert(essential(found.name));
        }
        if let Some(hook) = needs.hook(found.name, found.kind) {
            // Of several, libbpf takes the first (`btf__find_by_name_kind`).
            hooks.entry(hook.clone()).or_insert(id);
        }
    }
    inside(&mut kept, types, needs)?;
    // What libbpf would refuse is not for it.
    let btf = kept.write().filter(|btf| Btf::new(btf).is_ok())?;
    Some(Few { btf, hooks, lacking: needs.roots().saturating_sub(found_roots.len()) })
}

/// The types of a kernel and those of a module, which go on from them, as the types of one kernel: both the numbers of
/// types and the places of strings are counted on (Documentation/bpf/btf.rst).
pub(crate) fn joined(kernel: &[u8], module: &[u8]) -> Option<Vec<u8>> {
    let parts = |bytes| Layout::read(bytes).map(|layout| (layout.types(bytes), layout.strings(bytes)));
    let ((types, strings), (more_types, more_strings)) = (parts(kernel)?, parts(module)?);
    // struct btf_header: magic, version and flags, its length; then where types and strings are, and their lengths.
    let mut all = kernel.get(..4)?.to_vec();
    let types_len = u32::try_from(types.len() + more_types.len()).ok()?;
    let strings_len = u32::try_from(strings.len() + more_strings.len()).ok()?;
    [24, 0, types_len, types_len, strings_len].iter().for_each(|word| all.extend(word.to_ne_bytes()));
    [types, more_types, strings, more_strings].iter().for_each(|part| all.extend_from_slice(part));
    Some(all)
}

/// Keeps the members and the values of all that is kept, and what they are made of.
fn inside(kept: &mut Kept<'_>, types: Raw<'_>, needs: &Needs) -> Option<()> {
    while let Some(id) = kept.new.pop() {
        let found = types.get(id)?;
        let is_wanted: &dyn Fn(&[u8]) -> bool = match found.kind {
            kind::STRUCT | kind::UNION => &|name| needs.member(name),
            kind::ENUM | kind::ENUM64 => &|name| needs.value(name),
            _ => continue,
        };
        let (mut any, mut last) = (false, None);
        for (n, row) in (0_u32..).zip(found.rows()) {
            last = Some((n, row));
            if is_wanted(types.string(row.u32(0)?)?) {
                any = true;
                kept.row(id, n);
                if found.is_composite() {
                    kept.shape(row.u32(4)?, false);
                }
            }
        }
        // libbpf takes an array of no elements for one of any number where it is the last member (`is_flex_arr`).
        if let Some((n, row)) = last.filter(|_| any && found.is_composite()) {
            kept.row(id, n);
            kept.shape(row.u32(4)?, false);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
