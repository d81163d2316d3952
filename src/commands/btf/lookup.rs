//! What a name means among types: a type, a member, an enum's value.

use anyhow::{Result, anyhow, bail, ensure};

use super::layout::title;
use crate::escape::printable;
use crate::types::model::Member;
use crate::types::model::{Type, Types, kind};

#[derive(Debug)]
pub(super) enum Item<'a> {
    Type(u32),
    /// A member, with the type that is looked into, the way there, and its offset (bits) from the beginning of that.
    Field {
        root: u32,
        path: String,
        member: Member<'a>,
        offset: u64,
    },
    /// A value of an enum.
    Value {
        of: u32,
        name: &'a [u8],
        value: i128,
    },
}

/// How many things of one name are shown, times how many types there are: a kernel's have 100,000 to 200,000 types.
const ITEMS_MAX: usize = 1 << 25;
/// How many similar names are suggested where there is none.
const NEAR: usize = 5;

/// All that has this name.
///
/// # Errors
/// When nothing has, with what is like it.
pub(super) fn find<'a>(types: &'a Types, text: &str) -> Result<Vec<Item<'a>>> {
    let mut words = text.split_whitespace();
    let (first, rest) = (words.next().unwrap_or_default(), words.collect::<String>());
    let (wanted, path) = match first {
        "struct" | "union" | "enum" | "typedef" if !rest.is_empty() => (Some(first), rest),
        _ => (None, format!("{first}{rest}")),
    };
    let mut steps = path.split('.');
    let name = steps.next().unwrap_or_default();
    let steps: Vec<_> = steps.collect();
    let is_wanted = |found: &Type<'_>| match wanted {
        Some("typedef") => found.kind == kind::TYPEDEF,
        Some(wanted) => super::layout::keyword(*found) == wanted,
        None => !matches!(found.kind, kind::DATASEC | kind::DECL_TAG | kind::TYPE_TAG),
    };
    let exact = |found: &Type<'_>| found.name == name.as_bytes() && is_wanted(found);
    let mut found: Vec<_> = types.named(name.as_bytes()).filter(|(_, found)| exact(found)).collect();
    // What is only declared says nothing where there is more.
    if found.iter().any(|(_, found)| found.kind != kind::FWD) {
        found.retain(|(_, found)| found.kind != kind::FWD);
    }
    if !steps.is_empty() {
        return fields(types, &found, text, &steps);
    }
    // Each is looked at among all types.
    let most = (ITEMS_MAX / types.btf.types().max(1) as usize).max(16);
    let mut items: Vec<_> = found.into_iter().map(|(id, _)| Item::Type(id)).collect();
    if wanted.is_none() {
        for (of, found) in
            (1..types.btf.types()).filter_map(|id| Some((id, types.get(id)?))).filter(|(_, t)| t.is_enum())
        {
            let values = types.values(found).filter(|(value, _)| *value == name.as_bytes());
            let more = values.map(|(name, value)| Item::Value { of, name, value });
            items.extend(more.take((most + 1).saturating_sub(items.len())));
        }
    }
    ensure!(items.len() <= most, "{}: more than {most} have this name", printable(text));
    if items.is_empty() {
        let all = (1..types.btf.types()).filter_map(|id| types.get(id));
        let names = all.flat_map(|found| {
            let named = is_wanted(&found).then_some(found.name);
            named.into_iter().chain(types.values(found).map(|(name, _)| name).filter(|_| wanted.is_none()))
        });
        return Err(missing(&format!("there is no {}", printable(text)), name, names));
    }
    Ok(items)
}

/// A member of what was found.
fn fields<'a>(types: &'a Types, found: &[(u32, Type<'a>)], text: &str, steps: &[&str]) -> Result<Vec<Item<'a>>> {
    let most = (ITEMS_MAX / types.btf.types().max(1) as usize).max(16);
    ensure!(found.len() <= most, "{}: more than {most} have this name", printable(text));
    let composite = |id: u32| types.plain(id).and_then(|id| types.get(id)).filter(|found| found.is_composite());
    let mut items = Vec::new();
    for (root, mut at) in found.iter().filter_map(|(id, _)| Some((*id, composite(*id)?))) {
        let (mut offset, mut last, mut path) = (0_u64, None, types.get(root).map(title).unwrap_or_default());
        for step in steps {
            if let Some(Member { id, .. }) = last {
                let Some(next) = composite(id) else {
                    bail!(
                        "{}: {path} is no struct or union; what it points to is shown by its own name",
                        printable(text)
                    );
                };
                at = next;
            }
            let Some((member, inside)) = member(types, at, step.as_bytes()) else {
                let mut names = Vec::new();
                let mut todo = vec![at];
                while let Some(of) = todo.pop() {
                    for member in types.members(of) {
                        names.push(member.name);
                        todo.extend(composite(member.id).filter(|_| member.name.is_empty()));
                    }
                }
                return Err(missing(&format!("{path} has no member {}", printable(step)), step, names.into_iter()));
            };
            offset = offset.saturating_add(inside);
            path = format!("{path}.{}", printable(step));
            last = Some(member);
        }
        items.extend(last.map(|member| Item::Field { root, path, member, offset }));
    }
    if items.is_empty() {
        bail!("there is no struct or union for {}", printable(text));
    }
    Ok(items)
}

/// A member by name, also of those that have none themselves, with its offset (bits).
fn member<'a>(types: &'a Types, of: Type<'a>, name: &[u8]) -> Option<(Member<'a>, u64)> {
    types.members(of).find_map(|found| {
        if found.name == name && !name.is_empty() {
            return Some((found, found.offset.into()));
        }
        let inside = types.plain(found.id).filter(|_| found.name.is_empty()).and_then(|id| types.get(id))?;
        member(types, inside, name).map(|(inner, offset)| (inner, offset.saturating_add(found.offset.into())))
    })
}

/// The error, with names that are like the one that is not there.
fn missing<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a [u8]>) -> anyhow::Error {
    let name = name.to_lowercase();
    let mut like: Vec<String> = Vec::new();
    // The same but for its case comes first, then what is shorter.
    let rank = |other: &String| (other.to_lowercase() != name, other.len());
    for other in names.filter(|other| !name.is_empty() && other.len() >= name.len()) {
        let other = printable(&String::from_utf8_lossy(other));
        if other.to_lowercase().contains(&name) && !like.contains(&other) {
            let at = like.iter().position(|known| rank(&other) < rank(known)).unwrap_or(like.len());
            like.insert(at, other);
            like.truncate(NEAR);
        }
    }
    if like.is_empty() { anyhow!("{what}") } else { anyhow!("{what}; there is: {}", like.join(", ")) }
}
