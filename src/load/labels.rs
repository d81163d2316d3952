//! Labels: words for users and cgroups in a pinned map, which any process may change while tracers run.

use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail, ensure};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapMut, MapType, OpenMapMut};
use nix::sys::statfs::statfs;

use crate::error::Usage;
use crate::escape::shown;
use crate::event::until_nul;
use crate::host::elevated::is_roots;

/// The map's name in the objects. Its number is the version: a new layout needs a new one.
pub const MAP: &str = "labels_v1";
/// The common prefix of the map's names in all versions.
const ANY_VERSION: &str = "labels_v";
/// Bytes of a label in the map, padding included: `LABEL_LEN` in event.bpf.h (checked in src/ffi/skeleton.rs).
pub const LABEL_LEN: usize = 32;
/// Bytes of `struct label_key` in filter.bpf.h.
const KEY_LEN: usize = 16;
/// Where the BPF file system is mounted by systemd, and by bpftool.
const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` in include/uapi/linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// A label as it is in the map: NUL-padded.
pub type Text = [u8; LABEL_LEN];

/// A label as it is in the map.
///
/// # Errors
/// When it is empty, too long or contains a NUL.
pub fn text(label: &str) -> Result<Text> {
    ensure!(!label.is_empty(), "a label must not be empty");
    ensure!(!label.contains('\0'), "a label has no NUL");
    let mut text = [0; LABEL_LEN];
    // The last byte stays NUL.
    let most = LABEL_LEN - 1;
    ensure!(label.len() <= most, "the label {label:?} has {} bytes; at most {most} fit", label.len());
    text.iter_mut().zip(label.bytes()).for_each(|(to, from)| *to = from);
    Ok(text)
}

/// What --labels and the options beside it ask for, and the map that has the labels.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Where the map is pinned.
    pub pin: PathBuf,
    /// The label of events without one in the map; all NUL: none.
    pub default: Text,
    /// Show only events with this label.
    pub only: Option<Text>,
    /// Show only events without this label.
    pub ignore: Option<Text>,
}

impl Labels {
    /// Labels in the map of that name.
    ///
    /// # Errors
    /// When the name is invalid, or there is no BPF file system.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Labels { pin: pin_of(name)?, default: [0; LABEL_LEN], only: None, ignore: None })
    }

    /// Before anything is loaded: checks that nothing else is at the map's path.
    ///
    /// # Errors
    /// When there is.
    pub(crate) fn check(&self) -> Result<()> {
        if exists(&self.pin)? {
            open(&self.pin)?;
        }
        Ok(())
    }

    /// Before load: makes the object share the map, if it exists.
    ///
    /// # Errors
    /// When something else is in its place.
    pub(crate) fn reuse(&self, map: &mut OpenMapMut<'_>) -> Result<()> {
        if !exists(&self.pin)? {
            return Ok(());
        }
        let pinned = open(&self.pin)?;
        let shown = shown(&self.pin);
        map.reuse_fd(pinned.as_fd()).with_context(|| format!("sharing the labels at {shown}"))
    }

    /// After load: pins the map, so that others find it.
    ///
    /// # Errors
    /// When it cannot be pinned.
    pub(crate) fn keep(&self, map: &mut MapMut<'_>) -> Result<()> {
        if exists(&self.pin)? {
            return Ok(());
        }
        let shown = shown(&self.pin);
        // Independent of the umask: root's own.
        let made =
            self.pin.parent().map_or(Ok(()), |dir| fs::DirBuilder::new().recursive(true).mode(0o755).create(dir));
        made.with_context(|| format!("making the directory of {shown} (--labels must be able to write there)"))?;
        directory()?;
        match map.pin(&self.pin) {
            Err(e) if e.kind() == libbpf_rs::ErrorKind::AlreadyExists => {
                bail!("another coretrace has just made the labels at {shown}: start again to share them")
            }
            other => other.with_context(|| format!("pinning the labels at {shown}")),
        }
    }
}

/// Where the map of that name is pinned.
fn pin_of(name: &str) -> Result<PathBuf> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(anyhow!("the name {name:?} of labels: up to 64 letters, digits, _ and - can be one").context(Usage));
    }
    Ok(directory()?.join(name))
}

/// The directory of all maps of labels.
fn directory() -> Result<PathBuf> {
    let root = Path::new(BPF_FS);
    let found = statfs(root).map(|fs| fs.filesystem_type().0);
    // The kernel's number has 32 bits, whatever C makes of them.
    if !found.is_ok_and(|magic| magic & 0xffff_ffff == BPF_FS_MAGIC) {
        bail!("labels need the BPF file system, and it is not mounted; as root: mount -t bpf bpf {BPF_FS}");
    }
    roots_own(root, true)?;
    let directory = root.join("coretrace");
    roots_own(&directory, false)?;
    Ok(directory)
}

/// Anybody may make directories in a BPF file system, and the owner of one may remove or replace what root pins in it.
fn roots_own(directory: &Path, sticky: bool) -> Result<()> {
    let shown = shown(directory);
    let about = match fs::symlink_metadata(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("looking at {shown}"))?,
    };
    let kept = sticky && about.mode() & S_ISVTX != 0 && about.uid() == 0;
    ensure!(
        kept || about.is_dir() && is_roots(&about),
        "{shown} is not root's own directory (its owner is {}, its mode {:o}), and others could remove or replace the labels \
         in it; as root: {}",
        about.uid(),
        about.mode() & 0o7777,
        match sticky {
            true => format!("chown root {shown} && chmod 1777 {shown}"),
            false => format!("rm -r {shown}   (its labels must then be set again)"),
        }
    );
    Ok(())
}

/// include/uapi/linux/stat.h: in such a directory, users may remove only what is their own.
const S_ISVTX: u32 = 0o1000;

fn exists(pin: &Path) -> Result<bool> {
    match fs::symlink_metadata(pin) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).with_context(|| format!("looking for labels at {}", shown(pin))),
    }
}

/// Opens a pinned map, which must be a map of labels of this version.
fn open(pin: &Path) -> Result<MapHandle> {
    let shown = shown(pin);
    let map = match MapHandle::from_pinned_path(pin) {
        Ok(map) => map,
        Err(e) if e.kind() == libbpf_rs::ErrorKind::PermissionDenied => {
            return Err(e).with_context(|| format!("opening {shown}: this needs CAP_BPF, or root (sudo)"));
        }
        Err(e) => return Err(e).with_context(|| format!("opening {shown}: is it a map of labels?")),
    };
    let name = map.name().to_string_lossy().into_owned();
    if name != MAP && name.starts_with(ANY_VERSION) {
        bail!(
            "{shown} belongs to another version of coretrace ({name}; this one has {MAP}): use another name, or end \
             what uses it and remove the file"
        );
    }
    let fits =
        map.map_type() == MapType::Hash && map.key_size() as usize == KEY_LEN && map.value_size() as usize == LABEL_LEN;
    ensure!(name == MAP && fits, "{shown} is no map of labels (it is {name:?}): use another name; it was left alone");
    Ok(map)
}

/// What a label is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// All processes of a user, by name or number
    Uid,
    /// All processes in a cgroup (a v2 directory) and below it
    Cgroup,
}

impl Subject {
    /// Its number in the map: `enum label_kind` in filter.bpf.h.
    fn number(self) -> u32 {
        match self {
            Subject::Uid => 1,
            Subject::Cgroup => 2,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Subject::Uid => "uid",
            Subject::Cgroup => "cgroup",
        }
    }

    fn key(self, id: u64) -> [u8; KEY_LEN] {
        // id, kind, padding
        let mut bytes = id.to_ne_bytes().into_iter().chain(self.number().to_ne_bytes()).chain([0; 4]);
        std::array::from_fn(|_| bytes.next().unwrap_or_default())
    }
}

/// An entry of the map: which user or cgroup has which label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the label is for; none for a kind that this version does not know.
    pub subject: Option<Subject>,
    /// Id of the user or cgroup.
    pub id: u64,
    /// Without the zeros that fill it up in the map.
    pub label: Vec<u8>,
}

/// A pinned map of labels.
#[derive(Debug)]
pub struct Pinned {
    map: MapHandle,
    pin: PathBuf,
}

impl Pinned {
    /// Opens the map of that name.
    ///
    /// # Errors
    /// When it does not exist, or something else is in its place.
    pub fn open(name: &str) -> Result<Self> {
        let pin = pin_of(name)?;
        ensure!(
            exists(&pin)?,
            "there are no labels {name} (at {}): a tracer makes them: coretrace exec --labels {name}",
            shown(&pin)
        );
        Ok(Pinned { map: open(&pin)?, pin })
    }

    /// Sets a label, or changes it.
    ///
    /// # Errors
    /// When the map is full or not writable.
    pub fn set(&self, subject: Subject, id: u64, label: &Text) -> Result<()> {
        match self.map.update(&subject.key(id), label, MapFlags::ANY) {
            Err(e) if e.to_string().contains("Argument list too long") => {
                bail!("the labels are full: at most {} fit", self.map.max_entries())
            }
            other => other.with_context(|| format!("setting a label in {}", shown(&self.pin))),
        }
    }

    /// Removes a label; returns whether it was there.
    ///
    /// # Errors
    /// When the map is not writable.
    pub fn remove(&self, subject: Subject, id: u64) -> Result<bool> {
        match self.map.delete(&subject.key(id)) {
            Err(e) if e.kind() == libbpf_rs::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true).with_context(|| format!("removing a label from {}", shown(&self.pin))),
        }
    }

    /// Removes the map itself. Running tracers keep it until they end; others make a new one.
    ///
    /// # Errors
    /// When the file may not be removed.
    pub fn unpin(self) -> Result<()> {
        fs::remove_file(&self.pin).with_context(|| format!("removing {}", shown(&self.pin)))
    }

    /// All labels, by subject, then by id.
    ///
    /// # Errors
    /// When the map may not be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for key in self.map.keys() {
            // Removed meanwhile.
            let Some(label) = self.map.lookup(&key, MapFlags::ANY).context("reading the labels")? else { continue };
            let (Some(id), Some(kind)) = (key.first_chunk(), key.get(8..).and_then(|rest| rest.first_chunk())) else {
                continue;
            };
            let kind = u32::from_ne_bytes(*kind);
            let subject = [Subject::Uid, Subject::Cgroup].into_iter().find(|subject| subject.number() == kind);
            entries.push(Entry { subject, id: u64::from_ne_bytes(*id), label: until_nul(&label).to_vec() });
        }
        entries.sort_by_key(|entry| (entry.subject.map(Subject::number), entry.id));
        Ok(entries)
    }
}

/// Names of all maps of labels.
///
/// # Errors
/// When there is no BPF file system, or its directory cannot be read.
pub fn names() -> Result<Vec<String>> {
    let directory = directory()?;
    let read = match fs::read_dir(&directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("reading {}", shown(&directory)))?,
    };
    let mut names: Vec<_> = read.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_fits_or_is_refused() {
        assert_eq!(until_nul(&text("deploy bot").unwrap()), b"deploy bot");
        assert_eq!(until_nul(&text(&"x".repeat(31)).unwrap()).len(), 31);
        for bad in ["", "a\0b", &"x".repeat(32)] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_the_kernels_struct() {
        let key = Subject::Cgroup.key(0x0102_0304_0506_0708);
        assert_eq!(u64::from_ne_bytes(*key.first_chunk().unwrap()), 0x0102_0304_0506_0708);
        assert_eq!(key[8..], [2_u32.to_ne_bytes(), [0; 4]].concat());
    }

    #[test]
    fn a_name_stays_in_its_directory() {
        for bad in ["", ".", "..", "a/b", "../x", "a.b", "\u{e9}", &"x".repeat(65)] {
            assert!(pin_of(bad).unwrap_err().downcast_ref::<Usage>().is_some(), "{bad:?}");
        }
    }
}
