//! Filters: comm globs compiled for the kernel side, and what the kernel side cannot test.

use anyhow::{Context, Result, bail, ensure};
use regex::bytes::{Regex, RegexBuilder};

use crate::event::{Event, Kind, Shape, Value};
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
fn class<T: Copy + Ord + From<u8>>(rest: &[T]) -> Result<glob::Class<'_, T>> {
    glob::class(rest).context("a [ is not closed by ] (\\[ is the character)")
}

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

/// Removes `.`, `..` and redundant slashes from an absolute path, by its spelling alone; a trailing slash stays.
fn normalize(path: &mut Vec<u8>) {
    if !path.starts_with(b"/") {
        return;
    }
    // End of the kept part: always after a slash, which is the root's or a name's.
    let (mut kept, mut next) = (1, 1);
    while next < path.len() {
        let rest = path.get(next..).unwrap_or_default();
        let name = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        match rest.get(..name) {
            Some(b"" | b".") => {}
            Some(b"..") => {
                let above = path.get(..kept - 1).and_then(|kept| kept.iter().rposition(|byte| *byte == b'/'));
                kept = above.map_or(1, |slash| slash + 1);
            }
            _ => {
                let end = (next + name + 1).min(path.len());
                path.copy_within(next..end, kept);
                kept += end - next;
            }
        }
        next += name + 1;
    }
    path.truncate(kept);
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

/// Compiles a `--path`: a path, which matches itself and all below it; or a glob over whole paths, where `*` and `?`
/// match any characters, including `/`, and `[…]` and `\` work as in [`CommGlobs::compile`].
///
/// # Errors
/// When it cannot be compiled, or cannot match anything.
pub fn path_glob(glob: &str) -> Result<Regex> {
    let context = || format!("--path {glob:?}");
    let parts = parts(glob).with_context(context)?;
    can_match(&parts).with_context(context)?;
    let mut pattern = String::from("^");
    for part in &parts {
        match part {
            Part::Any => pattern.push_str("(?s-u:.)*"),
            Part::One => pattern.push_str("(?s-u:.)"),
            Part::Class(class) => pattern.push_str(class),
            Part::Literal(text) => pattern.push_str(&regex::escape(text)),
        }
    }
    pattern.push_str(match parts.as_slice() {
        // The root has its slash already.
        [Part::Literal(root)] if root == "/" => "",
        [Part::Literal(_)] => "(?:/|$)",
        // Where a glob ends, the path does.
        _ => "$",
    });
    // Literal UTF-8 in the glob is matched as bytes.
    RegexBuilder::new(&pattern).unicode(!glob.is_ascii()).build().with_context(context)
}

/// A part of a glob over paths; a plain path is a single literal.
enum Part {
    Any,
    One,
    /// As a regular expression.
    Class(String),
    Literal(String),
}

/// The parts of a glob. A path is normalized, and its trailing slashes are removed, except for the root; a glob is kept
/// as it is.
fn parts(glob: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let all: Vec<u32> = glob.chars().map(u32::from).collect();
    let mut rest = all.as_slice();
    let char_of = |c: &u32| char::from_u32(*c).unwrap_or_default();
    while let [c, after @ ..] = rest {
        rest = after;
        let c = char_of(c);
        let part = match c {
            '*' => Part::Any,
            '?' => Part::One,
            '[' => {
                let found = class(rest)?;
                rest = found.after;
                let (negated, ranges) = (found.negated, found.ranges().collect::<Vec<_>>());
                let ascii = ranges.iter().all(|(first, last)| *first.max(last) < 0x80);
                let range = |(first, last): (u32, u32)| format!("\\x{{{first:x}}}-\\x{{{last:x}}}");
                // A reversed range is empty.
                let ranges: String = ranges.into_iter().filter(|(first, last)| first <= last).map(range).collect();
                let class = match (ranges.as_str(), negated) {
                    ("", false) => "[a&&b]".to_owned(),
                    ("", true) => "(?s-u:.)".to_owned(),
                    (ranges, negated) => format!("[{}{ranges}]", if negated { "^" } else { "" }),
                };
                // Matches bytes, unless it names other characters.
                Part::Class(if ascii { format!("(?-u:{class})") } else { class })
            }
            c => {
                let c = match (c, rest) {
                    ('\\', [literal, after @ ..]) => {
                        rest = after;
                        char_of(literal)
                    }
                    _ => c,
                };
                if let Some(Part::Literal(text)) = parts.last_mut() {
                    text.push(c);
                    continue;
                }
                Part::Literal(c.to_string())
            }
        };
        parts.push(part);
    }
    if let [Part::Literal(text)] = parts.as_mut_slice() {
        let mut path = std::mem::take(text).into_bytes();
        normalize(&mut path);
        let path = String::from_utf8_lossy(&path);
        *text = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
    }
    Ok(parts)
}

/// Refuses what no path matches: paths are absolute, except for names of pathless files (`pipe:[12]`).
fn can_match(parts: &[Part]) -> Result<()> {
    match parts.first() {
        None => bail!("an empty path matches nothing"),
        Some(Part::Literal(text)) if !text.starts_with('/') => {
            let kind = text.split_once(':').map(|(kind, _)| kind);
            let nameless = kind.is_some_and(|kind| kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
            let mut full = here.join(text).into_os_string().into_encoded_bytes();
            normalize(&mut full);
            let full = String::from_utf8_lossy(&full).into_owned();
            let full = full.strip_suffix('/').filter(|full| !full.is_empty()).unwrap_or(&full);
            ensure!(nameless, "paths are absolute: it is {full:?}, or as a glob \"*/{text}\"");
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The literal prefix of every path that [`path_glob`] matches, for a test in the kernel; `None` if there is none. It
/// passes more than the glob does (`/etcetera` for `/etc`), never less.
#[must_use]
pub fn literal_prefix(glob: &str) -> Option<Vec<u8>> {
    match parts(glob).ok()?.into_iter().next() {
        Some(Part::Literal(text)) => Some(text.into_bytes()),
        _ => None,
    }
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

    fn path_matches(glob: &str, path: &[u8]) -> bool {
        path_glob(glob).unwrap().is_match(path)
    }

    #[test]
    fn path_globs_are_anchored_and_literal() {
        let matches = path_matches;
        assert!(matches("/usr/*", b"/usr/bin/ls") && !matches("/usr/?", b"/usr/xy"));
        assert!(!matches("*/ls", b"/bin/ls/x") && matches("*/", b"/bin/") && !matches("*/", b"/bin"));
        assert!(matches("/a.b", b"/a.b") && !matches("/a.b", b"/axb"));
        assert!(
            matches("/\u{e9}*", b"/\xc3\xa9\xff")
                && regex("gr[\u{fc}\u{f6}]\u{df}e").unwrap().is_match("gr\u{fc}\u{df}e".as_bytes())
        );
        assert!(matches("/*", b"/\xff\n") && matches("/\u{e9}*", "/\u{e9}t\u{e9}".as_bytes()));
    }

    #[test]
    fn a_path_stands_for_itself_and_all_below_it() {
        for etc in ["/etc", "/etc/", "/etc//"] {
            for below in [&b"/etc"[..], b"/etc/", b"/etc/passwd", b"/etc/a/\xff\n"] {
                assert!(path_matches(etc, below), "{etc} {}", below.escape_ascii());
            }
            for other in [&b"/etcetera"[..], b"/etc\n", b"/usr/etc/x", b"/", b"", b"etc/passwd"] {
                assert!(!path_matches(etc, other), "{etc} {}", other.escape_ascii());
            }
        }
        assert!(path_matches("/\u{e9}", "/\u{e9}/x".as_bytes()) && !path_matches("/\u{e9}", b"/\xc3\xa9\xff"));
        assert!(path_matches("/", b"/") && path_matches("//", b"/etc") && !path_matches("/", b"etc"));
    }

    #[test]
    fn a_path_that_nothing_matches_is_refused() {
        let here = std::env::current_dir().unwrap();
        for (glob, words) in [
            ("", "empty"),
            ("etc", &format!("{:?}, or as a glob \"*/etc\"", here.join("etc"))[..]),
            (".", &format!("{here:?}")[..]),
            ("../x/*", "paths are absolute"),
            ("a/b:c", "paths are absolute"),
            ("\\*", "paths are absolute"),
            ("/[a", "not closed"),
        ] {
            let error = format!("{:#}", path_glob(glob).unwrap_err());
            assert!(error.contains(words) && error.contains("--path"), "{glob}: {error}");
        }
        for glob in ["/", "*", "?x", "[/]etc", "*/etc", "memfd:*", "anon_inode:\\[eventfd]"] {
            assert!(path_glob(glob).is_ok(), "{glob}");
        }
        assert!(path_matches("anon_inode:\\[eventfd]", b"anon_inode:[eventfd]"));
    }

    #[test]
    fn brackets_mean_the_same_in_every_glob() {
        let one = |glob: &str, text: &str| {
            let path = path_matches(&format!("/{glob}"), format!("/{text}").as_bytes());
            assert_eq!(path, matches(&[glob], text), "{glob} {text}");
            path
        };
        assert!(one("[a-c]x", "bx") && !one("[a-c]x", "dx") && !one("[a-c]x", "x") && !one("[a-c]x", "/x"));
        assert!(one("[!a-c]x", "dx") && !one("[!a-c]x", "bx") && one("[!a-c]", "\n"));
        assert!(one("[]]", "]") && one("[!]]", "x") && !one("[!]]", "]") && one("[a-]", "-") && one("[-a]", "-"));
        assert!(one("[^a]", "^") && one("[\\]", "\\") && one("[.]", ".") && !one("[.]", "x") && one("x[&&]", "x&"));
        assert!(!one("[z-a]", "b") && one("[!z-a]", "b") && one("[a-cx-z]*", "y-and-more"));
        assert!(one("\\[a]", "[a]") && !one("\\[a]", "a") && one("a\\*", "a*") && !one("a\\*", "ab"));
        // In paths, characters; thread names are bytes to the kernel.
        assert!(path_matches("/[\u{e0}-\u{ef}]", "/\u{e9}".as_bytes()));
        assert!(!path_matches("/[!\u{e9}]", "/\u{e9}".as_bytes()));
        assert!(path_matches("/\\[", b"/[/below") && path_matches("/usr/bin/\\[", b"/usr/bin/["));
        assert_eq!(literal_prefix("/a/[bc]d").as_deref(), Some(&b"/a/"[..]));
        assert_eq!(literal_prefix("/a\\*b").as_deref(), Some(&b"/a*b"[..]));
    }

    #[test]
    fn a_point_matches_the_end_of_a_line_in_arguments() {
        assert!(regex("one.two").unwrap().is_match(b"one\ntwo"));
        assert!(regex("^a.*z$").unwrap().is_match(b"a\n\n\xff\nz"));
        assert!(regex("\u{e9}.b").unwrap().is_match("\u{e9}\nb".as_bytes()));
    }

    #[test]
    fn paths_are_normalized_by_their_spelling() {
        let table: &[(&str, &str)] = &[
            ("/tmp/../etc/hostname", "/etc/hostname"),
            ("//etc///hostname", "/etc/hostname"),
            ("/./etc/./hostname", "/etc/hostname"),
            ("/a/b/../../c", "/c"),
            ("/../../etc", "/etc"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/..a/.b/...", "/..a/.b/..."),
            ("etc/../x", "etc/../x"),
            ("", ""),
        ];
        for (path, want) in table {
            let mut path = path.as_bytes().to_vec();
            normalize(&mut path);
            assert_eq!(String::from_utf8(path).unwrap(), *want);
        }
    }

    #[test]
    fn every_match_begins_with_the_literal_prefix() {
        let table: &[(&str, Option<&str>)] = &[
            ("/etc", Some("/etc")),
            ("/etc/", Some("/etc")),
            ("/etc/*.conf", Some("/etc/")),
            ("/home/?nna/x*", Some("/home/")),
            ("/\u{e9}t*", Some("/\u{e9}t")),
            ("/", Some("/")),
            ("/usr/..//etc/./x", Some("/etc/x")),
            ("*", None),
            ("?x", None),
            ("", None),
        ];
        for (glob, want) in table {
            assert_eq!(literal_prefix(glob).as_deref(), want.map(str::as_bytes), "{glob}");
        }
    }
}
