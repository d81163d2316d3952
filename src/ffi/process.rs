//! What this process may do.

/// `AT_SECURE` of getauxval(3): this program has rights that the user who started it does not have.
#[allow(unsafe_code)]
pub(crate) fn at_secure() -> bool {
    use nix::libc::{AT_SECURE, getauxval};
    // SAFETY: reads a value that the kernel set at the start and that does not change.
    unsafe { getauxval(AT_SECURE) != 0 }
}

/// Gives up all capabilities: code that does not need them must not have them.
#[allow(unsafe_code)]
pub(crate) fn drop_capabilities() -> std::io::Result<()> {
    use nix::libc::{SYS_capset, syscall};
    // include/uapi/linux/capability.h: struct __user_cap_header_struct, of version 3, and two of __user_cap_data_struct
    let (header, data) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: the kernel reads both arrays, which have the sizes it expects, and changes only this thread.
    match unsafe { syscall(SYS_capset, header.as_ptr(), data.as_ptr()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
