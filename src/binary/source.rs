//! The bytes of a binary: of a file, of which no more is read than is asked for.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::fault::unreadable;
use crate::error::Wrong;

#[derive(Debug)]
pub(crate) enum Source {
    File { file: File, size: u64 },
    Bytes(Vec<u8>),
}

/// Which file it is, whatever it is called.
pub(crate) type Identity = (u64, u64);

impl Source {
    /// # Errors
    /// When there is no file, or none that can be read.
    pub fn open(path: &Path) -> Result<(Self, Identity), Wrong> {
        let name = path.display().to_string();
        let regular = |about: &fs::Metadata| match about.is_file() {
            true => Ok(()),
            false if about.is_dir() => Err(Wrong::new(format!("{name} is a directory"))),
            false => Err(Wrong::new(format!("{name} is not a regular file"))),
        };
        // Asked before: opening a device may do something; and after, when it is sure what it is. A FIFO would never end.
        regular(&fs::metadata(path).map_err(|error| unreadable(&name, &error))?)?;
        let open = || {
            let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
            Ok((file.metadata()?, file))
        };
        let (about, file) = open().map_err(|error| unreadable(&name, &error))?;
        regular(&about)?;
        Ok((Self::File { file, size: about.len() }, (about.dev(), about.ino())))
    }

    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// So many bytes from there on; None: it does not have them, or not any longer.
    pub fn part(&self, at: u64, length: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(length).filter(|end| *end <= self.size())?;
        match self {
            Self::Bytes(bytes) => Some(bytes.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)?.to_vec()),
            Self::File { file, .. } => {
                let mut bytes = vec![0; usize::try_from(length).ok()?];
                file.read_exact_at(&mut bytes, at).ok()?;
                Some(bytes)
            }
        }
    }

    /// All of it, a piece after the other.
    pub fn each(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => take(bytes),
            Self::File { file, size } => {
                let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
                while at < *size {
                    match file.read_at(&mut buffer, at) {
                        Ok(0) => break,
                        Ok(count) => {
                            take(buffer.get(..count).unwrap_or_default());
                            at = at.saturating_add(count as u64);
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}
