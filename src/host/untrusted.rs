//! Reads files that others made, whatever they are: nothing is followed out of a directory, nothing blocks, nothing is
//! read without end.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// A directory from which others are opened.
#[derive(Debug)]
pub(crate) struct Base(OwnedFd);

/// As a place alone: nothing is read, and no driver of a device is asked.
const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// A pipe or a device is opened, not waited for.
const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

impl Base {
    /// A directory of the host's, which links may lead to: /var/lib/docker may be one.
    pub fn of_host(path: &Path) -> Option<Self> {
        open(path, PLACE, Mode::empty()).ok().map(Base)
    }

    /// A directory below, without links.
    pub fn below(&self, path: impl AsRef<Path>) -> Option<Self> {
        self.open(path.as_ref(), PLACE).map(Base)
    }

    fn open(&self, path: &Path, flags: OFlag) -> Option<OwnedFd> {
        let only = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(self.0.as_fd(), path, OpenHow::new().flags(flags).resolve(only)).ok()
    }

    /// A regular file.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<File> {
        // First as a place: some devices do something when they are opened.
        let place = File::from(self.open(path.as_ref(), OFlag::O_PATH | OFlag::O_CLOEXEC)?);
        if !place.metadata().ok()?.is_file() {
            return None;
        }
        let file = File::from(self.open(path.as_ref(), FILE)?);
        // It may be another one by now.
        file.metadata().ok()?.is_file().then_some(file)
    }

    /// All of a regular file of up to `most` bytes; none of a longer one.
    pub fn read(&self, path: impl AsRef<Path>, most: u64) -> Option<Vec<u8>> {
        let file = self.file(path)?;
        let size = file.metadata().ok()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).ok()?);
        file.take(most + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= most).then_some(bytes)
    }

    /// The first names in a directory, up to `most`, in no order; only those that are UTF-8.
    pub fn names(&self, most: usize) -> Vec<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = self.open(Path::new("."), flags).and_then(|dir| Dir::from_fd(dir).ok());
        let entries = dir.into_iter().flat_map(Dir::into_iter).map_while(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        names.filter(|name| name != "." && name != "..").take(most).collect()
    }
}
