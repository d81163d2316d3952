//! Paths, as the kernel spells them.

/// A path as the kernel's dentries spell it: names from the file up to the root; or as a system call was given it: the
/// directory in that form, then the name relative to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path<'a> {
    /// Names, each NUL-terminated, the file's own name first. Empty: the root itself.
    pub names: &'a [u8],
    /// The file no longer has this name (it was unlinked).
    pub deleted: bool,
    /// Only the last names are there: the path is longer than what fits, or the directory at its beginning is unknown.
    pub truncated: bool,
    /// What follows the names, as the caller spelled it (`sub/../file`); where it begins with `/`, there are no names.
    pub called: &'a [u8],
    /// `called` is longer than what fits: its end is missing.
    pub end_truncated: bool,
    /// The directory is outside of what the process has as its root.
    pub outside: bool,
    /// `called` is the text itself, not a path from the root: `pipe:[1234]`, or an empty name.
    pub as_it_is: bool,
}

/// `enum path_flag` of path.bpf.h. Where a skeleton is declared, it is checked against it.
pub mod flag {
    pub const DELETED: u32 = 1;
    pub const CUT: u32 = 2;
    pub const OUTSIDE: u32 = 8;
    pub const AS_IT_IS: u32 = 32;
}

impl<'a> Path<'a> {
    /// What a walk in the kernel found, and its flags (`enum path_flag`).
    #[must_use]
    pub fn walked(names: &'a [u8], flags: u32) -> Self {
        if flags & flag::AS_IT_IS != 0 {
            return Path { called: names, as_it_is: true, ..Path::default() };
        }
        let (deleted, truncated) = (flags & flag::DELETED != 0, flags & flag::CUT != 0);
        Path { names, deleted, truncated, outside: flags & flag::OUTSIDE != 0, ..Path::default() }
    }

    /// The parts of the path, a `/` before each that needs one: `/` alone for the root; one that is cut begins with a
    /// name, not with `/`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let rooted = !self.truncated && !self.as_it_is;
        let called = Some(self.called).filter(|called| !called.is_empty());
        let root = (rooted && self.names.is_empty() && called.is_none()).then_some(&b""[..]);
        self.from_root().chain(called).chain(root).enumerate().map(move |(n, part)| {
            let slash = (n > 0 || rooted) && !part.starts_with(b"/");
            (if slash { "/" } else { "" }, part)
        })
    }

    /// Adds the path to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        for (slash, part) in self.parts() {
            out.extend_from_slice(slash.as_bytes());
            out.extend_from_slice(part);
        }
    }

    /// Adds the path without what leads nowhere: `.`, slashes that nothing follows, and each `..` that leaves a directory
    /// which is known to be no symbolic link, as the kernel walked it; or the root. What comes before any other `..` may
    /// be such a link, and stays.
    pub fn append_plain_to(&self, out: &mut Vec<u8>) {
        if self.as_it_is {
            return self.append_to(out);
        }
        let begin = out.len();
        let rooted = !self.truncated;
        let add = |out: &mut Vec<u8>, name: &[u8]| {
            if rooted || out.len() > begin {
                out.push(b'/');
            }
            out.extend_from_slice(name);
        };
        self.from_root().for_each(|name| add(out, name));
        let mut is_walked = true;
        let mut called = self.called.split(|b| *b == b'/').peekable();
        while let Some(name) = called.next() {
            // Where the end is missing, the last one may go on.
            let is_cut = self.end_truncated && called.peek().is_none();
            match name {
                b"" | b"." if !is_cut => {}
                b".." if !is_cut && is_walked && out.len() > begin => {
                    let above = out.iter().skip(begin).rposition(|b| *b == b'/').unwrap_or_default();
                    out.truncate(begin + above);
                }
                b".." if !is_cut && is_walked && rooted && !self.outside => {}
                _ => {
                    is_walked = false;
                    add(out, name);
                }
            }
        }
        if rooted && out.len() == begin {
            out.push(b'/');
        }
    }

    /// The names from the root down to the file.
    pub fn from_root(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let names = self.names.strip_suffix(b"\0").unwrap_or(self.names);
        let mut rest = Some(names).filter(|n| !n.is_empty());
        std::iter::from_fn(move || {
            let names = rest?;
            match names.iter().rposition(|b| *b == 0) {
                Some(at) => {
                    rest = names.get(..at);
                    names.get(at + 1..)
                }
                None => rest.take(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_the_root() {
        let path = |names| Path { names, ..Path::default() };
        let parts = |names| path(names).from_root().collect::<Vec<_>>();
        assert_eq!(parts(b"ls\0bin\0usr\0"), [&b"usr"[..], b"bin", b"ls"]);
        assert_eq!(parts(b"ls\0"), [b"ls"]);
        assert!(parts(b"").is_empty());
        assert_eq!(parts(b"no nul"), [b"no nul"]);
    }

    #[test]
    fn what_leads_nowhere_is_left_out_and_what_may_be_a_link_is_not() {
        let plain = |path: Path<'_>| {
            let mut out = b"before".to_vec();
            path.append_plain_to(&mut out);
            String::from_utf8(out.split_off(6)).unwrap()
        };
        for (names, called, want) in [
            (&b""[..], &b""[..], "/"),
            (b"", b"/", "/"),
            (b"", b"//a///b//", "/a/b"),
            (b"", b"/./a/./b/.", "/a/b"),
            (b"", b"/../../a", "/a"),
            (b"", b"/a/../b", "/a/../b"),
            (b"", b"/a/..", "/a/.."),
            (b"", b"/..a/...", "/..a/..."),
            (b"", b"../a", "/a"),
            (b"sub\0tmp\0", b"", "/tmp/sub"),
            (b"sub\0tmp\0", b".", "/tmp/sub"),
            (b"sub\0tmp\0", b"./../file", "/tmp/file"),
            (b"sub\0tmp\0", b"../../../file", "/file"),
            (b"sub\0tmp\0", b"../..", "/"),
            (b"sub\0tmp\0", b"link/../file", "/tmp/sub/link/../file"),
        ] {
            let path = Path { names, called, ..Path::default() };
            assert_eq!(plain(path), want, "{}", called.escape_ascii());
            assert_eq!(plain(Path { called: want.as_bytes(), ..Path::default() }), want, "once more");
        }
        let of = |called| Path { names: b"sub\0", called, truncated: true, ..Path::default() };
        assert_eq!([plain(of(b"../a")), plain(of(b"../../a")), plain(of(b"./a"))], ["a", "../a", "sub/a"]);
        let outside = Path { called: b"../a", outside: true, ..Path::default() };
        assert_eq!(plain(outside), "/../a", "above what it has as its root");
        let cut = |called| Path { called, end_truncated: true, ..Path::default() };
        assert_eq!([plain(cut(b"/a//.")), plain(cut(b"/..")), plain(cut(b"/a/"))], ["/a/.", "/..", "/a/"]);
        assert_eq!(plain(Path { called: b"pipe:[1]//", as_it_is: true, ..Path::default() }), "pipe:[1]//");
    }

    #[test]
    fn a_path_as_it_was_called_follows_its_directory() {
        let shown = |names, called, truncated| {
            let mut out = Vec::new();
            Path { names, called, truncated, ..Path::default() }.append_to(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(b"", b"", false), "/");
        assert_eq!(shown(b"", b"/etc//passwd", false), "/etc//passwd");
        assert_eq!(shown(b"", b"file", false), "/file");
        assert_eq!(shown(b"sub\0tmp\0", b"../file", false), "/tmp/sub/../file");
        assert_eq!(shown(b"sub\0tmp\0", b"", false), "/tmp/sub");
        assert_eq!(shown(b"sub\0tmp\0", b"file", true), "tmp/sub/file");
        assert_eq!((shown(b"", b"file", true), shown(b"", b"", true)), ("file".into(), String::new()));
    }
}
