//! What files are called: in a package, the name alone says which one may be the kernel.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether a file of this name may be a kernel: `boot/vmlinuz-…`, `usr/lib/modules/…/vmlinuz`,
/// `usr/lib/debug/…/vmlinux-…`, `….btf`.
pub(super) fn is_kernel(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    let kernel = [&b"vmlinuz"[..], b"vmlinux", b"Image"].iter().any(|begin| last.starts_with(begin));
    let other = [&b".h"[..], b".lds", b".lds.S", b".sig", b".hmac", b".py", b".bz2"];
    kernel && !other.iter().any(|end| last.ends_with(end)) || last.ends_with(b".btf")
}

/// Whether a file of this name may be a kernel, or hold one: what is in a directory that is gone through.
pub(crate) fn may_be_kernel(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let text = name.to_string_lossy();
    is_kernel(name.as_bytes()) || text.contains(".btf") || [".deb", ".rpm"].iter().any(|e| text.ends_with(e))
}

/// Whether it is called like a kernel module: thousands of them lie beside a kernel.
pub(crate) fn is_module(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz", ".ko.debug"].iter().any(|end| name.ends_with(end))
}
