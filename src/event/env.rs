//! Variables of a program's environment.

use crate::names::glob::matches;

/// Variables with which a program was started: those whose names match one of some globs; or what differs between two
/// environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Env<'a> {
    /// `NAME=value`, NUL-separated; of differences, each behind its [`Change`]. What is no such thing is none.
    bytes: &'a [u8],
    /// Length of the whole environment in bytes, NULs included; None: of changes.
    pub total: Option<u64>,
    /// Whether more variables may be among what was not read.
    pub truncated: bool,
    what: What<'a>,
}

/// What of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What<'a> {
    All,
    /// Names that match one of these globs.
    Named(&'a [String]),
    Changes,
}

/// How a variable differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    New,
    Changed,
    Removed,
}

impl Change {
    pub const ALL: [Change; 3] = [Change::New, Change::Changed, Change::Removed];

    /// What is put before the name.
    #[must_use]
    pub fn mark(self) -> u8 {
        match self {
            Change::New => b'+',
            Change::Changed => b'~',
            Change::Removed => b'-',
        }
    }

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Changed => "changed",
            Change::Removed => "removed",
        }
    }
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// `NAME=value`
    pub whole: &'a [u8],
    pub name: &'a [u8],
    /// Of one that was removed: the value that it had.
    pub value: &'a [u8],
    pub change: Option<Change>,
    /// The value's end is missing.
    pub cut: bool,
}

impl<'a> Env<'a> {
    /// The variables of these names in what was read of an environment.
    #[must_use]
    pub fn named(bytes: &'a [u8], total: u64, globs: &'a [String]) -> Self {
        let truncated = (bytes.len() as u64) < total;
        Env { bytes, total: Some(total), truncated, what: What::Named(globs) }
    }

    /// All variables that there are in these bytes.
    #[must_use]
    pub fn all(bytes: &'a [u8], total: u64, truncated: bool) -> Self {
        Env { bytes, total: Some(total), truncated, what: What::All }
    }

    /// What differs, as [`Env::to_bytes`] has it.
    #[must_use]
    pub fn changes(bytes: &'a [u8], truncated: bool) -> Self {
        Env { bytes, total: None, truncated, what: What::Changes }
    }

    /// Each variable. The end of the last one's value is missing, where it has no NUL behind it.
    pub fn iter(&self) -> impl Iterator<Item = Variable<'a>> + use<'a> {
        let (what, mut rest) = (self.what, self.bytes);
        let next = move || {
            let len = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(len).filter(|_| !rest.is_empty())?;
            rest = after.get(1..).unwrap_or_default();
            Some((text, after.is_empty()))
        };
        std::iter::from_fn(next).filter_map(move |(text, cut)| {
            let (change, text) = match what {
                What::Changes => {
                    let (mark, text) = text.split_first()?;
                    (Some(Change::ALL.into_iter().find(|change| change.mark() == *mark)?), text)
                }
                What::All | What::Named(_) => (None, text),
            };
            // A name has a letter at least: what begins with = is one, too, as Windows has them.
            let at = 1 + text.iter().skip(1).position(|b| *b == b'=')?;
            let (name, value) = (text.get(..at)?, text.get(at + 1..)?);
            let is_wanted = match what {
                What::Named(globs) => globs.iter().any(|glob| matches(glob.as_bytes(), name)),
                What::All | What::Changes => true,
            };
            is_wanted.then_some(Variable { whole: text, name, value, change, cut })
        })
    }

    /// What is shown of it, in bytes of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Variable { whole, change, cut, .. } in self.iter() {
            bytes.extend(change.map(Change::mark));
            bytes.extend_from_slice(whole);
            if !cut {
                bytes.push(0);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(v: Variable<'_>) -> String {
        let change = v.change.map_or("", Change::name);
        let cut = if v.cut { "…" } else { "" };
        format!("{change}{}:{}{cut}", String::from_utf8_lossy(v.name), String::from_utf8_lossy(v.value))
    }

    fn shown(bytes: &[u8], total: u64, globs: &[&str]) -> Vec<String> {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let env = Env::named(bytes, total, &globs);
        let kept = env.to_bytes();
        assert!(env.iter().eq(Env::all(&kept, total, env.truncated).iter()));
        env.iter().map(text).collect()
    }

    #[test]
    fn variables_are_those_of_the_names() {
        let bytes = b"PATH=/bin:/a=b\0LD_X=\0LD_Y=1 2\0HOME=/\0=odd=x\0none\0\0";
        assert_eq!(shown(bytes, 50, &["LD_*", "PATH"]), ["PATH:/bin:/a=b", "LD_X:", "LD_Y:1 2"]);
        assert_eq!(shown(bytes, 50, &["=odd", "none", ""]), ["=odd:x"]);
        assert!(shown(b"", 0, &["*"]).is_empty() && shown(b"=", 1, &["*"]).is_empty());
    }

    #[test]
    fn what_was_cut_says_so() {
        assert_eq!(shown(b"A=1\0B=2\0", 9, &["*"]), ["A:1", "B:2"]);
        assert_eq!(shown(b"A=1\0B=2", 9, &["*"]), ["A:1", "B:2…"]);
        assert!(Env::named(b"A=1\0", 9, &[]).truncated);
    }

    #[test]
    fn changes_are_marked() {
        let bytes = b"+A=1\0~B=2\0-C=3\0?D=4\0\0+E\0";
        let all: Vec<String> = Env::changes(bytes, false).iter().map(text).collect();
        assert_eq!(all, ["newA:1", "changedB:2", "removedC:3"]);
        assert_eq!(Env::changes(bytes, false).to_bytes(), b"+A=1\0~B=2\0-C=3\0");
    }
}
