//! What this process may do.

use std::io;

use nix::libc::{SYS_capget, SYS_capset, syscall};

/// `AT_SECURE` of getauxval(3): this program has rights that the user who started it does not have.
#[allow(unsafe_code)]
pub(crate) fn at_secure() -> bool {
    use nix::libc::{AT_SECURE, getauxval};
    // SAFETY: reads a value that the kernel set at the start and that does not change.
    unsafe { getauxval(AT_SECURE) != 0 }
}

/// The capabilities that this thread may use, as a mask of their bits.
#[allow(unsafe_code)]
pub(crate) fn capabilities() -> io::Result<u64> {
    let mut data = [0_u32; 6];
    // SAFETY: the kernel reads the header and writes two of `struct __user_cap_data_struct`, which `data` has room for.
    match unsafe { syscall(SYS_capget, HEADER.as_ptr(), data.as_mut_ptr()) } {
        0 => Ok(u64::from(data[PERMITTED]) | u64::from(data[PERMITTED + HIGH]) << 32),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives up all capabilities of this thread, and of those that it starts from here on, but those of the mask, which it
/// must have.
#[allow(unsafe_code)]
pub(crate) fn keep_capabilities(mask: u64) -> io::Result<()> {
    let [low, high] = [mask as u32, (mask >> 32) as u32];
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the kernel reads both arrays, which have the sizes it expects, and changes only this thread.
    match unsafe { syscall(SYS_capset, HEADER.as_ptr(), data.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// include/uapi/linux/capability.h: `struct __user_cap_header_struct`, of version 3 and for this thread. It comes with two
/// of `struct __user_cap_data_struct` (effective, permitted, inheritable), of the lower 32 capabilities and the others.
const HEADER: [u32; 2] = [0x2008_0522, 0];
const PERMITTED: usize = 1;
const HIGH: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_up_its_own() {
        let before = capabilities().unwrap();
        // The lowest that there is.
        let one = before & before.wrapping_neg();
        let kept = std::thread::spawn(move || {
            keep_capabilities(one).unwrap();
            let started = std::thread::spawn(|| capabilities().unwrap()).join().unwrap();
            (capabilities().unwrap(), started, keep_capabilities(before).is_ok())
        });
        assert_eq!(kept.join().unwrap(), (one, one, one == before));
        assert_eq!(capabilities().unwrap(), before);
    }
}
