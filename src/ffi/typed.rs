//! Typed programs (`tp_btf`, `fentry`, `fexit`) are loaded with the number of what they hook, among the kernel's types. To
//! find it, libbpf reads all of these again for each object; where it is known already, it need not.
//!
//! libbpf takes a program of which another program is the target for one that needs no types of the kernel
//! (`prog_needs_vmlinux_btf` in libbpf.c): the number takes that program's place until the program is loaded.

use std::ffi::{CStr, c_int, c_long};
use std::sync::Once;

use libbpf_rs::OpenProgramMut;
use libbpf_sys::{bpf_attach_type, bpf_link, bpf_prog_load_opts, bpf_program, libbpf_prog_handler_opts};
use nix::errno::Errno;

/// The sections of typed programs, and what libbpf makes of each.
const SECTIONS: [(&CStr, bpf_attach_type); 3] = [
    (c"tp_btf+", libbpf_sys::BPF_TRACE_RAW_TP),
    (c"fentry+", libbpf_sys::BPF_TRACE_FENTRY),
    (c"fexit+", libbpf_sys::BPF_TRACE_FEXIT),
];

/// Makes [`set_number`] work for objects that are opened from now on. libbpf's own way remains for programs without a
/// number.
#[allow(unsafe_code)]
pub(crate) fn take_numbers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let opts = libbpf_prog_handler_opts {
            sz: size_of::<libbpf_prog_handler_opts>() as _,
            prog_prepare_load_fn: Some(prepare),
            prog_attach_fn: Some(attach),
            ..Default::default()
        };
        for (section, hook) in SECTIONS {
            // SAFETY: libbpf copies the name and the options. Where it has no memory, its own way remains.
            unsafe {
                libbpf_sys::libbpf_register_prog_handler(
                    section.as_ptr(),
                    libbpf_sys::BPF_PROG_TYPE_TRACING,
                    hook,
                    &opts,
                )
            };
        }
    });
}

/// Sets the number of the function or of the tracepoint's type that a typed program hooks. After [`take_numbers`].
///
/// # Errors
/// When it cannot be one, or the program is loaded already.
pub(crate) fn set_number(program: &mut OpenProgramMut<'_>, number: u32) -> anyhow::Result<()> {
    Ok(program.set_attach_target(i32::try_from(number)?, None)?)
}

/// Called before a typed program is loaded.
#[allow(unsafe_code)]
unsafe extern "C" fn prepare(program: *mut bpf_program, opts: *mut bpf_prog_load_opts, _cookie: c_long) -> c_int {
    // SAFETY: libbpf calls this with a program and options of its own, which nothing else uses meanwhile.
    let (opts, section, hook) = unsafe {
        let section = CStr::from_ptr(libbpf_sys::bpf_program__section_name(program));
        (&mut *opts, section, libbpf_sys::bpf_program__expected_attach_type(program))
    };
    if opts.attach_btf_id == 0 {
        opts.attach_btf_id = match std::mem::take(&mut opts.attach_prog_fd) {
            0 => find(section, hook).unwrap_or(0),
            number => number,
        };
    }
    if opts.attach_btf_id == 0 { -(Errno::ESRCH as c_int) } else { 0 }
}

/// As libbpf does where there is no number.
#[allow(unsafe_code)]
fn find(section: &CStr, hook: bpf_attach_type) -> Option<u32> {
    let at = section.to_bytes().iter().position(|byte| *byte == b'/')?;
    let name = CStr::from_bytes_with_nul(section.to_bytes_with_nul().get(at + 1..)?).ok()?;
    // SAFETY: libbpf reads the name during the call.
    u32::try_from(unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), hook) }).ok()
}

/// Called to attach a typed program, as its section says.
#[allow(unsafe_code)]
unsafe extern "C" fn attach(program: *const bpf_program, _cookie: c_long, link: *mut *mut bpf_link) -> c_int {
    // SAFETY: libbpf calls this with a loaded program, and with a place for the link.
    unsafe {
        *link = libbpf_sys::bpf_program__attach_trace(program);
        libbpf_sys::libbpf_get_error((*link).cast()) as c_int
    }
}
