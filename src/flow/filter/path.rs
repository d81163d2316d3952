//! Globs over paths, and the prefixes by which the kernel side tests them.

use anyhow::{Context, Result, bail, ensure};
use regex::bytes::{Regex, RegexBuilder};

use super::comm::class;

/// Removes `.`, `..` and redundant slashes from an absolute path, by its spelling alone; a trailing slash stays.
pub(super) fn normalize(path: &mut Vec<u8>) {
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

/// Compiles a `--path`: a path, which matches itself and all below it; or a glob over whole paths, where `*` and `?`
/// match any characters, including `/`, and `[…]` and `\` work as in [`super::CommGlobs::compile`].
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

#[cfg(test)]
mod tests {
    use super::super::comm::CommGlobs;
    use super::*;

    fn path_matches(glob: &str, path: &[u8]) -> bool {
        path_glob(glob).unwrap().is_match(path)
    }

    #[test]
    fn path_globs_are_anchored_and_literal() {
        let matches = path_matches;
        assert!(matches("/usr/*", b"/usr/bin/ls") && !matches("/usr/?", b"/usr/xy"));
        assert!(!matches("*/ls", b"/bin/ls/x") && matches("*/", b"/bin/") && !matches("*/", b"/bin"));
        assert!(matches("/a.b", b"/a.b") && !matches("/a.b", b"/axb"));
        assert!(matches("/\u{e9}*", b"/\xc3\xa9\xff"));
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
            assert_eq!(path, CommGlobs::compile(&[glob]).unwrap().matches(text.as_bytes()), "{glob} {text}");
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
