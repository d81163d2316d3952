//! Filters: what the kernel side tests (names of threads, prefixes of paths), and what it cannot test.

mod comm;
mod path;

use anyhow::{Context, Result, ensure};
use regex::bytes::{Regex, RegexBuilder};

use self::path::normalize;
use crate::event::{Event, Kind, Shape, Value};

pub use self::comm::{COMM_MAX, CommGlobs};
pub use self::path::{literal_prefix, path_glob};

/// Filters in user space: arguments and paths always; the rest when a recording is replayed.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only events whose argument list, joined by spaces, matches.
    pub args: Option<Regex>,
    /// Only events with a path that matches one of these: the path as called, made absolute and normalized, or that of
    /// the file it led to. A path that could not be read passes.
    pub paths: Vec<Regex>,
    /// Only these processes.
    pub pids: Vec<u32>,
    /// Only these users.
    pub uids: Vec<u32>,
    /// Only threads of these names.
    pub comm: CommGlobs,
    /// Only these kinds, as a bit mask by their numbers; 0: all.
    pub kinds: u64,
    /// Buffer for joining arguments or a path.
    pub scratch: Vec<u8>,
}

impl Filter {
    /// Whether to show an event.
    pub fn wants(&mut self, event: &Event<'_>) -> bool {
        self.wants_kind(event.kind.id)
            && (self.pids.is_empty() || self.pids.contains(&event.head.pid))
            && (self.uids.is_empty() || self.uids.contains(&event.head.uid))
            && self.comm.matches(event.head.comm())
            && self.args_match(event)
            && self.path_matches(event)
    }

    /// Whether events of that kind are wanted.
    #[must_use]
    pub fn wants_kind(&self, kind: u32) -> bool {
        self.kinds == 0 || self.kinds & 1_u64.checked_shl(kind).unwrap_or(0) != 0
    }

    fn args_match(&mut self, event: &Event<'_>) -> bool {
        let Some(regex) = &self.args else { return true };
        event.fields.iter().any(|(_, value)| {
            let Value::List(list) = value else { return false };
            self.scratch.clear();
            for (n, item) in list.iter().enumerate() {
                self.scratch.extend_from_slice(if n == 0 { b"" } else { b" " });
                self.scratch.extend_from_slice(item);
            }
            regex.is_match(&self.scratch)
        })
    }

    fn path_matches(&mut self, event: &Event<'_>) -> bool {
        if self.paths.is_empty() {
            return true;
        }
        let Filter { paths, scratch, .. } = self;
        // The working directory describes the process, not the event.
        let mut about = event.fields.iter().filter(|(name, _)| *name != "cwd");
        about.any(|(_, value)| match value {
            Value::Path(path) => {
                scratch.clear();
                path.append_to(scratch);
                normalize(scratch);
                paths.iter().any(|regex| regex.is_match(scratch))
            }
            Value::Unreadable(Shape::Path) => true,
            _ => false,
        })
    }
}

/// A regular expression over bytes: arguments and paths need not be UTF-8. A pattern with non-ASCII characters matches
/// characters, not bytes.
///
/// # Errors
/// When it is not valid.
pub fn regex(pattern: &str) -> Result<Regex> {
    // `.` matches any character: arguments may have several lines.
    let mut builder = RegexBuilder::new(pattern);
    builder.dot_matches_new_line(true).unicode(!pattern.is_ascii());
    builder.build().with_context(|| format!("the pattern {pattern:?}"))
}

/// The bit mask of kinds given by name.
///
/// # Errors
/// When a name is unknown; the message lists the known ones.
pub fn kinds_mask<'k, S: AsRef<str>>(names: &[S], kinds: impl Iterator<Item = &'k Kind> + Clone) -> Result<u64> {
    let mut mask = 0;
    for name in names {
        let name = name.as_ref();
        // Several specs have kinds of one name.
        let ids = kinds.clone().filter(|k| k.name == name).map(|k| k.id);
        let found = ids.fold(0, |mask, id| mask | 1_u64.checked_shl(id).unwrap_or(0));
        ensure!(found != 0, {
            let mut known: Vec<_> = kinds.clone().map(|k| &*k.name).collect();
            known.dedup();
            format!("--events {name}: there is no such event here; there are {}", known.join(", "))
        });
        mask |= found;
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_matches_the_end_of_a_line_in_arguments() {
        assert!(regex("one.two").unwrap().is_match(b"one\ntwo"));
        assert!(regex("^a.*z$").unwrap().is_match(b"a\n\n\xff\nz"));
        assert!(regex("\u{e9}.b").unwrap().is_match("\u{e9}\nb".as_bytes()));
    }

    #[test]
    fn patterns_with_other_letters_match_characters() {
        assert!(regex("gr[\u{fc}\u{f6}]\u{df}e").unwrap().is_match("gr\u{fc}\u{df}e".as_bytes()));
    }
}
