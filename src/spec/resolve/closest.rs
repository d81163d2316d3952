//! What was probably meant.

/// How many are suggested.
const MOST: usize = 6;
/// Longer names are not compared letter by letter.
const LONG: usize = 64;

/// Of these names, those that are closest to one that is not among them; the closest one first.
pub(crate) fn closest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<(usize, &str)> = names.filter_map(|name| Some((distance(wanted, name)?, name))).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How far apart two names are; None: nobody would take one for the other.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    if name.is_empty() || wanted.is_empty() {
        return None;
    }
    let longer = wanted.len().abs_diff(name.len());
    let bound = (wanted.len() / 3).clamp(1, 4);
    let typed = (longer <= bound).then(|| edits(wanted.as_bytes(), name.as_bytes())).filter(|edits| *edits <= bound);
    // One that goes on, or has something before it, is as far as two or three letters.
    let part = wanted.len() >= 3;
    let begins = (part && name.starts_with(wanted)).then_some(2 + longer / 8);
    let within = (part && name.contains(wanted)).then_some(3 + longer / 8);
    [typed, begins, within].into_iter().flatten().min()
}

/// How many letters must be added, taken away, changed or swapped with their neighbours.
fn edits(a: &[u8], b: &[u8]) -> usize {
    if a.len() > LONG || b.len() > LONG {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut least = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before, j - 1).saturating_add(1));
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}
