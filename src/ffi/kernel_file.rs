//! A file of the kernel's that never changes, mapped.

use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::statfs::{SYSFS_MAGIC, fstatfs};

/// Its bytes: the kernel's types (/sys/kernel/btf).
#[derive(Debug)]
pub(crate) struct KernelFile {
    at: NonNull<std::ffi::c_void>,
    len: usize,
}

impl KernelFile {
    /// Maps a file of sysfs: that of the kernel's types since 6.16 (a539e2a6d51d: btf: Allow mmap of vmlinux btf). None
    /// where it has to be read, a page at a time.
    #[allow(unsafe_code)]
    pub fn map(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        if fstatfs(&file).ok()?.filesystem_type() != SYSFS_MAGIC {
            return None;
        }
        let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
        // SAFETY: a new mapping, at an address of the kernel's choice; only `drop` unmaps it.
        let at = unsafe { mmap(None, NonZero::new(len)?, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) };
        Some(Self { at: at.ok()?, len })
    }

    #[allow(unsafe_code)]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped with this length while `self` lives. It is memory of the kernel's own, which is not
        //         changed or taken away.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().cast(), self.len) }
    }
}

impl Drop for KernelFile {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and not used after this.
        let _ = unsafe { munmap(self.at, self.len) };
    }
}
