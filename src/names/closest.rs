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

/// How far apart two names are; None: too far to be a mistyped one.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    if name.is_empty() || wanted.is_empty() {
        return None;
    }
    let longer = wanted.len().abs_diff(name.len());
    let bound = (wanted.len() / 3).clamp(1, 4);
    let short = wanted.len() <= LONG && name.len() <= LONG;
    let typed = (short && longer <= bound).then(|| strsim::osa_distance(wanted, name)).filter(|edits| *edits <= bound);
    // One that goes on, or has something before it, is as far as two or three letters.
    let part = wanted.len() >= 3;
    let begins = (part && name.starts_with(wanted)).then_some(2 + longer / 8);
    let within = (part && name.contains(wanted)).then_some(3 + longer / 8);
    [typed, begins, within].into_iter().flatten().min()
}
