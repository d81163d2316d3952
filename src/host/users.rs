//! Users and groups from `/etc/passwd` and `/etc/group`.
//!
//! A static binary cannot ask the C library (its name services are loaded at run time), so users of LDAP and the
//! like have no name here. Their numbers work.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail};

use crate::escape::shown;

/// A line of `/etc/passwd`, with the user's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
    /// Login shell; empty means `/bin/sh` (passwd(5)).
    pub shell: PathBuf,
    /// All groups: `gid` first, then those of `/etc/group` that list the user.
    pub groups: Vec<u32>,
}

/// The user id of a name, or a number as it stands. A name made of digits wins over the number, as in chown(1).
///
/// # Errors
/// When the name is in no line of `etc/passwd` below `root`, or that file cannot be read.
pub fn uid_of(root: &Path, user: &str) -> Result<u32> {
    let number = number(user);
    match find(root, user) {
        Ok(None) if number.is_none() && is_digits(user) => {
            Err(anyhow!("{user} is no user id: {} is the highest (the one after it means \"no user\")", u32::MAX - 1))
        }
        Ok(Some(user)) => Ok(user.uid),
        Ok(None) => number.ok_or_else(|| unknown(root, user)),
        // Not even a file is needed for a number.
        Err(error) => number.ok_or(error),
    }
}

/// The user to run a command as: it must have an entry, because home, shell and groups come from there.
///
/// # Errors
/// When there is no entry, or a file below `root` cannot be read.
pub fn user(root: &Path, user: &str) -> Result<User> {
    let Some(mut found) = find(root, user)? else {
        if let Some(uid) = number(user) {
            bail!(
                "user id {uid} has no entry in {}: a command cannot be run as a user without a group and a home",
                shown(&passwd(root))
            );
        }
        return Err(unknown(root, user));
    };
    for gid in groups(root, found.name.as_bytes())? {
        if !found.groups.contains(&gid) {
            found.groups.push(gid);
        }
    }
    Ok(found)
}

/// All names by number, for showing them: the first entry of a number wins, as in getpwuid(3). Without a readable
/// file there are none.
#[must_use]
pub fn names(root: &Path) -> Vec<(u32, String)> {
    let mut names: Vec<(u32, String)> =
        entries(root).unwrap_or_default().into_iter().map(|user| (user.uid, user.name)).collect();
    names.sort_by_key(|(uid, _)| *uid);
    names.dedup_by_key(|(uid, _)| *uid);
    names
}

/// The home directory of a user, by number.
#[must_use]
pub(crate) fn home(root: &Path, uid: u32) -> Option<PathBuf> {
    entries(root).ok()?.into_iter().find(|user| user.uid == uid).map(|user| user.home)
}

fn passwd(root: &Path) -> PathBuf {
    root.join("etc/passwd")
}

fn unknown(root: &Path, user: &str) -> anyhow::Error {
    anyhow!(
        "there is no user {user:?} in {}; for a user of LDAP or another directory give the number (`id -u NAME`)",
        shown(&passwd(root))
    )
}

/// A user id in digits. The highest number means "no user" (`(uid_t)-1`).
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|uid| is_digits(text) && *uid != u32::MAX)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// By name first, then by number. The groups are not filled in but for the first.
fn find(root: &Path, wanted: &str) -> Result<Option<User>> {
    let users = entries(root)?;
    let by_name = users.iter().find(|user| user.name == wanted);
    let uid = number(wanted);
    Ok(by_name.or_else(|| users.iter().find(|user| Some(user.uid) == uid)).cloned())
}

fn entries(root: &Path) -> Result<Vec<User>> {
    let path = passwd(root);
    let bytes = fs::read(&path).with_context(|| format!("cannot read the users in {}", shown(&path)))?;
    Ok(bytes.split(|b| *b == b'\n').filter_map(entry).collect())
}

/// `NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL` (passwd(5)); comments and lines for NIS (`+…`) are none.
fn entry(line: &[u8]) -> Option<User> {
    let mut fields = line.split(|b| *b == b':');
    let name = String::from_utf8_lossy(fields.next()?).into_owned();
    let _password = fields.next()?;
    let uid = number(std::str::from_utf8(fields.next()?).ok()?)?;
    let gid = number(std::str::from_utf8(fields.next()?).ok()?)?;
    let _gecos = fields.next()?;
    let home = PathBuf::from(OsStr::from_bytes(fields.next()?));
    let shell = PathBuf::from(OsString::from_vec(fields.next().unwrap_or_default().to_vec()));
    let named = !name.is_empty() && !name.starts_with(['#', '+', '-']);
    named.then_some(User { name, uid, gid, home, shell, groups: vec![gid] })
}

/// Groups whose line `NAME:PASSWORD:GID:MEMBER,…` (group(5)) lists the user; none when there is no such file.
fn groups(root: &Path, member: &[u8]) -> Result<Vec<u32>> {
    let path = root.join("etc/group");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.with_context(|| format!("cannot read the groups in {}", shown(&path)))?,
    };
    let listed = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b':').skip(2);
        let gid = number(std::str::from_utf8(fields.next()?).ok()?)?;
        fields.next()?.split(|b| *b == b',').any(|name| name == member).then_some(gid)
    };
    Ok(bytes.split(|b| *b == b'\n').filter_map(listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Tree;

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/bash\n# note:x:7:7::/:\n+@nis::::::\ntoor:x:0:0::/root:/bin/sh\n\
              anna:x:1000:100:Anna \xff:/home/anna:/bin/zsh\n1000:x:42:42::/nowhere:\nbroken:x:abc:1::/:\nshort:x:5\n"
                .as_slice(),
        );
        tree.file("etc/group", "users:x:100:anna\nadm:x:4:syslog,anna\nanna2:x:9:annaX\nsudo:x:27:anna\nbad:x\n");
        tree
    }

    #[test]
    fn a_user_has_home_shell_and_groups() {
        let user = user(tree().root(), "anna").unwrap();
        assert_eq!((user.uid, user.gid, user.name.as_str()), (1000, 100, "anna"));
        assert_eq!((user.home, user.shell), ("/home/anna".into(), "/bin/zsh".into()));
        assert_eq!(user.groups, [100, 4, 27], "its own group once and first");
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        let tree = tree();
        assert_eq!(uid_of(tree.root(), "1000").unwrap(), 42);
        assert_eq!(uid_of(tree.root(), "0").unwrap(), 0);
        assert_eq!(user(tree.root(), "0").unwrap().name, "root", "the first entry of the number");
    }

    #[test]
    fn a_number_without_an_entry_filters_but_does_not_run() {
        let tree = tree();
        assert_eq!(uid_of(tree.root(), "4711").unwrap(), 4711);
        let error = user(tree.root(), "4711").unwrap_err().to_string();
        assert!(error.contains("4711") && error.contains("etc/passwd") && error.contains("cannot be run"), "{error}");
    }

    #[test]
    fn a_number_needs_no_file() {
        let tree = Tree::new();
        assert_eq!(uid_of(tree.root(), "12").unwrap(), 12);
        let error = format!("{:#}", uid_of(tree.root(), "anna").unwrap_err());
        assert!(error.contains("etc/passwd") && error.contains("No such file"), "{error}");
        assert_eq!(names(tree.root()), []);
    }

    #[test]
    fn what_is_no_user_is_refused_by_name_and_file() {
        let tree = tree();
        for wrong in ["", "+12", "-1", "nobody", "# note", "broken", "short", "a\nb"] {
            let error = uid_of(tree.root(), wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")) && error.contains("etc/passwd"), "{error}");
        }
    }

    #[test]
    fn a_number_that_nobody_can_have_is_no_user_id() {
        let tree = tree();
        for wrong in ["4294967295", "99999999999"] {
            let error = uid_of(tree.root(), wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("4294967294 is the highest"), "{error}");
        }
        assert_eq!(uid_of(tree.root(), "4294967294").unwrap(), u32::MAX - 1);
    }

    #[test]
    fn names_by_number_keep_the_first() {
        let names = names(tree().root());
        assert_eq!(names, [(0, "root".into()), (42, "1000".into()), (1000, "anna".into())]);
    }

    #[test]
    fn without_a_group_file_the_own_group_remains() {
        let tree = tree();
        tree.remove("etc/group");
        assert_eq!(user(tree.root(), "anna").unwrap().groups, [100]);
    }
}
