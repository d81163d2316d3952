//! Names with `*`, `?` and `[…]` in them.

/// Whether a name is a glob.
pub(crate) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Whether all of a name matches. In time that grows with the product of their lengths: at a mismatch only the last `*`
/// takes one more.
pub(crate) fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut rest, mut left) = (glob, name);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            star = Some((after, left));
            rest = after;
        } else if let Some((after, others)) = one(rest, left) {
            (rest, left) = (after, others);
        } else if rest.is_empty() && left.is_empty() {
            return true;
        } else {
            let Some((after, [_, others @ ..])) = star else { return false };
            star = Some((after, others));
            (rest, left) = (after, others);
        }
    }
}

/// What is behind one character of the glob, and behind the one that it matches.
fn one<'g, 'n>(glob: &'g [u8], name: &'n [u8]) -> Option<(&'g [u8], &'n [u8])> {
    let (byte, others) = name.split_first()?;
    match glob {
        [b'?', after @ ..] => Some((after, others)),
        [b'[', set @ ..] => match class(set, *byte) {
            Some((after, true)) => Some((after, others)),
            Some((_, false)) => None,
            // It is never closed: the bracket itself.
            None => (*byte == b'[').then_some((set, others)),
        },
        [own, after @ ..] => (own == byte).then_some((after, others)),
        [] => None,
    }
}

/// What is behind `a-z_]`, and whether it has the byte; None: there is no end. A bracket at once is one of the set.
fn class(set: &[u8], byte: u8) -> Option<(&[u8], bool)> {
    let (not, set) = match set {
        [b'!' | b'^', set @ ..] => (true, set),
        _ => (false, set),
    };
    let end = 1 + set.get(1..)?.iter().position(|b| *b == b']')?;
    let (mut inside, mut has) = (set.get(..end)?, false);
    loop {
        inside = match inside {
            [from, b'-', to, rest @ ..] => {
                has |= (*from..=*to).contains(&byte);
                rest
            }
            [only, rest @ ..] => {
                has |= *only == byte;
                rest
            }
            [] => break,
        };
    }
    Some((set.get(end + 1..)?, has != not))
}
