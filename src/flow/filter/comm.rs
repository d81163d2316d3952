//! Globs over names of threads, compiled for the kernel side.

use anyhow::{Context, Result, ensure};

use crate::names::glob;

/// Length of a thread's name without its NUL: `TASK_COMM_LEN` - 1 (include/linux/sched.h).
pub const COMM_MAX: usize = 15;

/// All comm globs as one bit-parallel automaton of up to 64 places: filter.bpf.h runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommGlobs {
    /// The place before each pattern's first character.
    pub start: u64,
    /// Places that stay alive on any byte: those that a `*` follows.
    pub loops: u64,
    /// The place after each pattern's last character; 0: there is no pattern.
    pub accept: u64,
    /// For every byte, the places that it may lead to.
    pub table: [u64; 256],
}

impl Default for CommGlobs {
    fn default() -> Self {
        CommGlobs { start: 0, loops: 0, accept: 0, table: [0; 256] }
    }
}

/// One step of a glob.
enum Step {
    Star,
    Bytes(Box<[bool; 256]>),
}

impl CommGlobs {
    /// Compiles patterns: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a character that is literal.
    ///
    /// # Errors
    /// When a bracket is not closed, or the patterns need more than 64 places together.
    pub fn compile<S: AsRef<[u8]>>(patterns: &[S]) -> Result<Self> {
        let mut globs = CommGlobs::default();
        let mut place = 0_u32;
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let steps = steps(pattern).with_context(|| format!("-n {}", pattern.escape_ascii()))?;
            // The kernel truncates names, and people type whole ones. If the fixed prefix is as long as a name may be,
            // it decides alone.
            let fixed = steps.iter().take_while(|s| matches!(s, Step::Bytes(_))).count();
            let kept = if fixed >= COMM_MAX { COMM_MAX } else { steps.len() };
            globs.add(&steps, kept, &mut place).context("-n")?;
        }
        Ok(globs)
    }

    /// Compiles one pattern for text of any length.
    ///
    /// # Errors
    /// As [`CommGlobs::compile`].
    pub fn of_text(pattern: &[u8]) -> Result<Self> {
        let (mut globs, steps) = (CommGlobs::default(), steps(pattern)?);
        globs.add(&steps, steps.len(), &mut 0)?;
        Ok(globs)
    }

    /// Adds the first steps of a pattern, from a place on.
    fn add(&mut self, steps: &[Step], kept: usize, place: &mut u32) -> Result<()> {
        let places = steps.iter().take(kept).filter(|s| matches!(s, Step::Bytes(_))).count();
        ensure!(*place as usize + places < 64, "the patterns are too long together (64 characters)");
        self.start |= 1 << *place;
        for step in steps.iter().take(kept) {
            match step {
                Step::Star => self.loops |= 1 << *place,
                Step::Bytes(set) => {
                    *place += 1;
                    let bytes = self.table.iter_mut().zip(set.iter());
                    bytes.filter(|(_, in_set)| **in_set).for_each(|(places, _)| *places |= 1 << *place);
                }
            }
        }
        self.accept |= 1 << *place;
        *place += 1;
        Ok(())
    }

    /// Whether a name matches any of the patterns; true if there are none.
    #[must_use]
    pub fn matches(&self, comm: &[u8]) -> bool {
        let mut live = self.start;
        for byte in comm {
            let allowed = self.table.get(usize::from(*byte)).copied().unwrap_or_default();
            live = ((live << 1) & allowed) | (live & self.loops);
        }
        self.accept == 0 || live & self.accept != 0
    }
}

fn steps(pattern: &[u8]) -> Result<Vec<Step>> {
    ensure!(!pattern.is_empty(), "an empty name matches nothing");
    let mut steps = Vec::new();
    let mut rest = pattern;
    while let [byte, after @ ..] = rest {
        rest = after;
        let byte = *byte;
        let mut set = [false; 256];
        match byte {
            b'*' => {
                steps.push(Step::Star);
                continue;
            }
            b'?' => set = [true; 256],
            b'[' => {
                let class = class(rest)?;
                set.iter_mut().zip(0..=255).for_each(|(s, b)| *s = class.has(b));
                rest = class.after;
            }
            _ => {
                let byte = match (byte, rest) {
                    (b'\\', [literal, after @ ..]) => {
                        rest = after;
                        *literal
                    }
                    _ => byte,
                };
                set.iter_mut().zip(0..=255).for_each(|(s, b)| *s = b == byte);
            }
        }
        steps.push(Step::Bytes(Box::new(set)));
    }
    Ok(steps)
}

/// Parses a `[…]` of a glob, after the `[`.
pub(super) fn class<T: Copy + Ord + From<u8>>(rest: &[T]) -> Result<glob::Class<'_, T>> {
    glob::class(rest).context("a [ is not closed by ] (\\[ is the character)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], comm: &str) -> bool {
        CommGlobs::compile(patterns).unwrap().matches(comm.as_bytes())
    }

    #[test]
    fn globs_match_whole_names() {
        assert!(matches(&["bash"], "bash"));
        assert!(!matches(&["bash"], "bas") && !matches(&["bash"], "bashx") && !matches(&["bash"], ""));
        assert!(matches(&["ba*"], "ba") && matches(&["ba*"], "bash") && !matches(&["ba*"], "b"));
        assert!(matches(&["*sh"], "sh") && matches(&["*sh"], "zshsh") && !matches(&["*sh"], "shx"));
        assert!(matches(&["*"], "") && matches(&["**"], "x") && matches(&["a*b*c"], "aXbYc"));
        assert!(matches(&["?"], "x") && !matches(&["?"], "") && !matches(&["?"], "xy"));
        assert!(matches(&["[a-c]x"], "bx") && !matches(&["[!a-c]x"], "bx") && matches(&["[]]"], "]"));
        assert!(matches(&["\\*"], "*") && !matches(&["\\*"], "x"));
    }

    #[test]
    fn several_globs_do_not_leak_into_each_other() {
        let both = &["ab", "cd*"];
        assert!(matches(both, "ab") && matches(both, "cd") && matches(both, "cdx"));
        assert!(!matches(both, "abcd") && !matches(both, "a") && !matches(both, "b") && !matches(both, "d"));
        assert!(!matches(&["a", "b"], "ab") && !matches(&["a*", "b"], "cb"));
    }

    #[test]
    fn a_name_longer_than_the_kernel_keeps_matches_its_cut_form() {
        assert!(matches(&["a-very-long-command-name"], "a-very-long-com"));
        assert!(matches(&["a-very-long-command-n*"], "a-very-long-com"));
        assert!(!matches(&["a-very-long-command-n*"], "a-very-long-co"));
    }

    #[test]
    fn bad_globs_are_errors() {
        for bad in ["", "[a", "[", "[!"] {
            assert!(CommGlobs::compile(&[bad]).is_err(), "{bad}");
        }
        assert!(CommGlobs::compile(&["*".repeat(70)]).is_ok());
        assert!(CommGlobs::compile(&[String::from("*") + &"?".repeat(64)]).is_err());
        assert!(CommGlobs::compile(&["exactly-15-char"; 5]).is_err());
    }
}
