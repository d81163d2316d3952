//! Rights that this program has and its user has not: file capabilities, or a set-user-ID copy. What the user hands in
//! must not become a way to use them for something else. And rights that are not needed any more are given up.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::caps::{Cap, Caps};
use super::facts::KERNEL_BTF;
use crate::escape::shown;
use crate::ffi::process::{at_secure, capabilities, keep_capabilities};

/// Whether the kernel has given this program more rights than its user has (`AT_SECURE` of getauxval(3)). Not so under
/// sudo, nor where the rights were inherited: with them, one could do it without coretrace. (To root it may happen by
/// SELinux, when a service begins.)
#[must_use]
pub fn elevated() -> bool {
    at_secure() && !nix::unistd::getuid().is_root()
}

/// Gives up the rights that the user has not, where there are such.
///
/// # Errors
/// When the kernel refuses.
pub fn give_up() -> Result<()> {
    if elevated() {
        keep_capabilities(0).context("giving up the capabilities")?;
    }
    Ok(())
}

/// Gives up the capabilities of this thread but these, for good: also programs that it runs do not get them back. Threads
/// that it has started before keep theirs. Returns those of these that it has.
///
/// # Errors
/// When the kernel refuses.
pub fn keep(caps: &[Cap]) -> Result<Vec<Cap>> {
    let had = Caps(capabilities().context("reading the capabilities")?);
    let kept: Vec<Cap> = caps.iter().copied().filter(|cap| had.has(*cap)).collect();
    keep_capabilities(Caps::of(&kept).0).context("giving up capabilities")?;
    // Else every program that root runs has all of them.
    nix::sys::prctl::set_no_new_privs()
        .context("the capabilities are given up, but programs that it starts could get them back: no_new_privs")?;
    Ok(kept)
}

/// Whether it runs as another user or group than the one who started it: a set-user-ID or set-group-ID copy.
#[must_use]
pub fn is_set_id() -> bool {
    use nix::unistd::{getegid, geteuid, getgid, getuid};
    elevated() && (getuid() != geteuid() || getgid() != getegid())
}

/// A set-user-ID copy would do as root all that its options say: write any file, run any command.
///
/// # Errors
/// When this is one.
pub fn refuse_set_id() -> Result<()> {
    if is_set_id() {
        bail!(
            "this is a set-user-ID or set-group-ID copy, which would do anything as another user: it does nothing\n  \
             take the bit away (chmod ug-s), and use sudo; or give it capabilities, which allow less: \
             setcap cap_bpf,cap_perfmon=ep"
        );
    }
    Ok(())
}

/// The true path of a file of types that may be used, and only root can put another in its place.
///
/// The programs read the kernel's memory where the types say: types that a user makes up are a way to read any of it.
///
/// # Errors
/// What of it is not root's alone.
pub(crate) fn of_root(path: &Path) -> Result<PathBuf, String> {
    // What is not there is said by who opens it.
    let Ok(path) = fs::canonicalize(path) else { return Ok(path.to_owned()) };
    if path == Path::new(KERNEL_BTF) {
        return Ok(path);
    }
    let because = |what: String| {
        format!(
            "{what}; this coretrace has rights that its user has not (file capabilities), and takes types from the kernel \
             and from root alone"
        )
    };
    for step in path.ancestors() {
        let about = fs::symlink_metadata(step).map_err(|error| because(format!("{}: {error}", shown(step))))?;
        if !is_roots(&about) {
            return Err(because(format!("{} is not root's alone (owner, or who may write to it)", shown(step))));
        }
    }
    // Of a file system that a user mounted (FUSE, a stick), a user says whose its files are; it is always mounted so.
    match statvfs(&path) {
        Ok(about) if !about.flags().contains(FsFlags::ST_NOSUID) => Ok(path),
        _ => Err(because(format!("{} is on a file system that is mounted nosuid, as users' are", shown(&path)))),
    }
}

/// Whether this user may make or write that file without any capability, as far as its owner and those of the directories
/// above it say.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    const READ_WRITE: u32 = 0o6;
    const WRITE: u32 = 0o2;
    const SEARCH: u32 = 0o1;
    let user = nix::unistd::geteuid().as_raw();
    let may = |path: &Path, what: u32| {
        fs::metadata(path).is_ok_and(|about| {
            let granted = if about.uid() == user { about.mode() >> 6 } else { about.mode() };
            granted & what == what
        })
    };
    let Ok(full) = std::path::absolute(path) else { return false };
    let Some(Ok(dir)) = full.parent().map(fs::canonicalize) else { return false };
    may(&dir, WRITE) && dir.ancestors().all(|dir| may(dir, SEARCH)) && (!full.exists() || may(&full, READ_WRITE))
}

/// Owned by root, and nobody else may write to it (an access control list that lets others shows in the group's bits).
#[must_use]
pub(crate) fn is_roots(about: &Metadata) -> bool {
    about.uid() == 0 && about.mode() & 0o022 == 0 && (about.is_file() || about.is_dir())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_roots_alone_or_it_is_not() {
        let about = |path: &str| fs::metadata(path).unwrap();
        assert!(is_roots(&about("/")) && !is_roots(&about("/dev/null")));
        let file = std::env::temp_dir().join(format!("coretrace-roots-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        let mode = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            is_roots(&fs::metadata(&file).unwrap())
        };
        let by_root = nix::unistd::geteuid().is_root();
        assert_eq!([mode(0o644), mode(0o664), mode(0o646)], [by_root, false, false]);
        // The directory of temporary files is everybody's.
        assert!(of_root(&file).unwrap_err().contains("is not root's alone"));
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_file_may_be_written_or_not() {
        let dir = std::env::temp_dir().join(format!("coretrace-writes-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let file = dir.join("file");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(may_write(&file) && !may_write(&dir.join("none/file")));
        fs::write(&file, "").unwrap();
        assert!(may_write(&file));
        mode(&file, 0o466);
        assert!(!may_write(&file), "the owner's bits count");
        mode(&file, 0o600);
        for (of_dir, may) in [(0o300, true), (0o100, false), (0o200, false), (0o077, false)] {
            mode(&dir, of_dir);
            assert_eq!(may_write(&dir.join("new")), may, "{of_dir:o}");
        }
        mode(&dir, 0o700);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_counts_as_what_it_leads_to() {
        let link = std::env::temp_dir().join(format!("coretrace-link-{}", std::process::id()));
        symlink("/no/such/file", &link).unwrap();
        assert_eq!(of_root(&link), Ok(link.clone()), "what is not there");
        fs::remove_file(&link).unwrap();
        let kernel = Path::new(KERNEL_BTF);
        if kernel.exists() {
            symlink(kernel, &link).unwrap();
            assert_eq!(of_root(&link), Ok(kernel.to_owned()));
            fs::remove_file(&link).unwrap();
        }
    }
}
