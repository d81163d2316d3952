//! Names with `*`, `?` and `[…]` in them.

/// Whether a name has characters of a glob: `*`, `?` or `[`.
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
        [b'[', set @ ..] => match class(set) {
            Some(class) => class.has(*byte).then_some((class.after, others)),
            // It is never closed: the bracket itself.
            None => (*byte == b'[').then_some((set, others)),
        },
        [own, after @ ..] => (own == byte).then_some((after, others)),
        [] => None,
    }
}

/// How many characters a glob asks for, beside any number of them by `*`; a `\` makes the next one literal. None: a bracket is
/// never closed.
pub(crate) fn characters(glob: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (glob, 0);
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'[', set) => class(set)?.after,
            (b'\\', [_, after @ ..]) => after,
            _ => after,
        };
        count += usize::from(*byte != b'*');
    }
    Some(count)
}

/// A set of characters: `[a-z_]`, or all others: `[!a-z_]`, `[^a-z_]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class<'a, T> {
    pub negated: bool,
    inside: &'a [T],
    /// What is behind the bracket.
    pub after: &'a [T],
}

/// What begins behind a `[`; None: it is never closed. A bracket at once is one of the set.
pub(crate) fn class<T: Copy + Eq + From<u8>>(set: &[T]) -> Option<Class<'_, T>> {
    let (negated, set) = match set {
        [first, set @ ..] if [b'!', b'^'].map(T::from).contains(first) => (true, set),
        _ => (false, set),
    };
    let end = 1 + set.get(1..)?.iter().position(|b| *b == T::from(b']'))?;
    Some(Class { negated, inside: set.get(..end)?, after: set.get(end + 1..)? })
}

impl<'a, T: Copy + Ord + From<u8>> Class<'a, T> {
    /// From, to: a character alone is both. A range that goes backward is empty.
    pub fn ranges(self) -> impl Iterator<Item = (T, T)> + use<'a, T> {
        let mut rest = self.inside;
        std::iter::from_fn(move || match rest {
            [from, dash, to, after @ ..] if *dash == T::from(b'-') => {
                rest = after;
                Some((*from, *to))
            }
            [only, after @ ..] => {
                rest = after;
                Some((*only, *only))
            }
            [] => None,
        })
    }

    pub fn has(self, one: T) -> bool {
        self.ranges().any(|(from, to)| (from..=to).contains(&one)) != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_name_matches() {
        let all = |glob: &str, name: &str| matches(glob.as_bytes(), name.as_bytes());
        assert!(all("vfs_*", "vfs_read") && all("vfs_*", "vfs_") && !all("vfs_*", "xvfs_read"));
        assert!(all("*_re?d", "vfs_read") && !all("*_re?d", "vfs_red") && all("*a*b*c", "xaybzc"));
        assert!(all("[a-c]x", "bx") && !all("[a-c]x", "dx") && all("[!a-c]x", "dx") && all("[^a-c]x", "dx"));
        assert!(all("[]]", "]") && all("[!]]", "x") && !all("[!]]", "]") && !all("[c-a]", "["));
        assert!(all("a[", "a["), "never closed: the bracket itself");
    }
}
