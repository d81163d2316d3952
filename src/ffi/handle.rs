//! Opens a cgroup by its id (open_by_handle_at(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::libc;

/// `struct file_handle` of include/linux/fs.h, with what kernfs puts into it (fs/kernfs/mount.c: kernfs_fh_to_dentry).
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: [u8; 8],
}

/// include/linux/exportfs.h, since 5.5
const FILEID_KERNFS: i32 = 0xfe;

/// Opens it as a path only (O_PATH). `mount` is open for reading. Needs CAP_DAC_READ_SEARCH.
///
/// # Errors
/// ESTALE if there is no such cgroup; others if the kernel refuses.
#[allow(unsafe_code)]
pub(crate) fn open_cgroup(mount: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = Handle { bytes: 8, kind: FILEID_KERNFS, id: id.to_ne_bytes() };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the kernel reads the handle during the call: its head and the 8 bytes after it, as the head says.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut handle, flags) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
