//! The lines of a tree, from the top down.

use std::collections::{HashMap, HashSet};

use super::forest::Forest;
use crate::event::Value;
use crate::output::processes::{Begun, Process};

/// A line.
pub(super) enum Item<'a> {
    One(&'a Process),
    /// Processes that are alike: of the same program, with the same end, nothing below them.
    Folded(Vec<&'a Process>),
    /// A process that was not seen, whose children were.
    Hole(u32, Vec<u64>),
    /// That many more, which are not kept.
    More(u64),
}

/// Where a line is: whether each of those above it, and it itself, is the last of its parent's.
pub(super) type Place = Vec<bool>;

/// Calls `line` for each line; with `fold`, such as are alike become one.
pub(super) fn walk<E>(
    forest: &Forest,
    fold: Option<&HashSet<u64>>,
    mut line: impl FnMut(&[bool], &Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut place = Place::new();
    let mut rest = stacked(top(forest), 0);
    while let Some((item, depth, last)) = rest.pop() {
        place.truncate(depth);
        place.push(last);
        line(&place, &item)?;
        match &item {
            Item::One(process) => {
                let mut below = level(forest, forest.children(process.id), fold);
                let more = forest.more(process.id);
                below.extend((more > 0).then_some(Item::More(more)));
                rest.extend(stacked(below, depth + 1));
            }
            Item::Hole(_, ids) => rest.extend(stacked(level(forest, ids.clone(), fold), depth + 1)),
            Item::Folded(_) | Item::More(_) => {}
        }
    }
    Ok(())
}

/// The first on top of the stack.
fn stacked(items: Vec<Item<'_>>, depth: usize) -> Vec<(Item<'_>, usize, bool)> {
    items.into_iter().rev().enumerate().map(|(n, item)| (item, depth, n == 0)).collect()
}

/// Those without a parent: such as began during the run had one, which was not seen (or is outside of coretrace's
/// namespace: 0).
fn top(forest: &Forest) -> Vec<Item<'_>> {
    let (mut top, mut holes) = (Vec::new(), HashMap::new());
    for process in forest.roots().into_iter().filter_map(|id| forest.get(id)) {
        if process.begun != Begun::Unseen || process.end.is_none() || process.ppid == 0 {
            top.push(Item::One(process));
            continue;
        }
        let at = *holes.entry(process.ppid).or_insert(top.len());
        match top.get_mut(at) {
            Some(Item::Hole(_, ids)) => ids.push(process.id),
            _ => top.push(Item::Hole(process.ppid, vec![process.id])),
        }
    }
    let more = forest.more(0);
    top.extend((more > 0).then_some(Item::More(more)));
    top
}

/// What makes processes alike.
type Alike = (Vec<u8>, bool, Option<(bool, u32)>);

fn alike(process: &Process) -> Option<Alike> {
    process.end.as_ref()?;
    let end = match process.code() {
        Some(Value::Code(code)) => Some((false, code)),
        Some(Value::Signal(signal)) => Some((true, signal)),
        _ => None,
    };
    Some((process.name().to_vec(), process.program.is_some(), end))
}

/// The lines of one parent's children. Those of `apart` are not folded.
fn level<'a>(forest: &'a Forest, ids: Vec<u64>, apart: Option<&HashSet<u64>>) -> Vec<Item<'a>> {
    let (mut items, mut groups) = (Vec::new(), HashMap::new());
    for process in ids.into_iter().filter_map(|id| forest.get(id)) {
        let folds = apart.is_some_and(|apart| !apart.contains(&process.id)) && forest.is_leaf(process.id);
        let Some(key) = alike(process).filter(|_| folds) else {
            items.push(Item::One(process));
            continue;
        };
        let at = *groups.entry(key).or_insert(items.len());
        match items.get_mut(at) {
            None => items.push(Item::One(process)),
            Some(Item::Folded(all)) => all.push(process),
            Some(item) => {
                if let Item::One(first) = *item {
                    *item = Item::Folded(vec![first, process]);
                }
            }
        }
    }
    items
}
