//! C declarations of types, as libbpf writes them.

use std::ffi::{CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use libbpf_sys::{btf_dump, btf_dump_emit_type_decl_opts, btf_dump_printf_fn_t};
use nix::errno::Errno;

use super::relo::{Btf, errno};

/// Writes declarations of types. The caller has checked that they are sound: libbpf recurses without a limit.
#[derive(Debug)]
pub(crate) struct Dumper<'a> {
    dump: NonNull<btf_dump>,
    /// What libbpf wrote since it was last taken.
    text: NonNull<Vec<u8>>,
    btf: PhantomData<&'a Btf>,
}

#[allow(unsafe_code)]
impl<'a> Dumper<'a> {
    /// Makes one. Of types that have the same name, the second gets a number appended.
    ///
    /// # Errors
    /// The error number: out of memory.
    pub fn new(btf: &'a Btf) -> Result<Self, i32> {
        let text = NonNull::from(Box::leak(Box::<Vec<u8>>::default()));
        #[allow(clippy::missing_transmute_annotations, reason = "its name is another on every architecture")]
        // SAFETY: as libbpf-rs does for messages: the third argument is a va_list, which bindgen has as something else
        //         on every architecture, and which is always passed as a pointer.
        let write: btf_dump_printf_fn_t = unsafe { Some(std::mem::transmute(write as *const ())) };
        // SAFETY: the types outlive the dumper, by its lifetime; `text` is freed after it.
        let dump = unsafe { libbpf_sys::btf_dump__new(btf.raw(), write, text.as_ptr().cast(), std::ptr::null()) };
        let Some(dump) = NonNull::new(dump) else {
            let error = Errno::last_raw();
            // SAFETY: made above, and nothing else has it.
            drop(unsafe { Box::from_raw(text.as_ptr()) });
            return Err(error);
        };
        Ok(Self { dump, text, btf: PhantomData })
    }

    fn take(&mut self) -> Vec<u8> {
        // SAFETY: libbpf writes to it during its own calls alone, and none is under way.
        std::mem::take(unsafe { self.text.as_mut() })
    }

    /// Declares something of this type and name: `char comm[16]`; lines after the first are indented by this many tabs.
    ///
    /// # Errors
    /// libbpf's error number.
    pub fn declare(&mut self, id: u32, name: &[u8], indent: u8) -> Result<Vec<u8>, i32> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL as i32)?;
        let options = btf_dump_emit_type_decl_opts {
            sz: size_of::<btf_dump_emit_type_decl_opts>() as _,
            field_name: name.as_ptr(),
            indent_level: indent.into(),
            ..Default::default()
        };
        // SAFETY: the name and the options live longer than the call.
        let failed = unsafe { libbpf_sys::btf_dump__emit_type_decl(self.dump.as_ptr(), id, &options) };
        let text = self.take();
        if failed == 0 { Ok(text) } else { Err(errno(failed)) }
    }

    /// Defines this type and everything it needs that has not been defined yet.
    ///
    /// # Errors
    /// libbpf's error number.
    pub fn define(&mut self, id: u32) -> Result<Vec<u8>, i32> {
        // SAFETY: libbpf checks that the type exists.
        let failed = unsafe { libbpf_sys::btf_dump__dump_type(self.dump.as_ptr(), id) };
        let text = self.take();
        if failed == 0 { Ok(text) } else { Err(errno(failed)) }
    }
}

impl Drop for Dumper<'_> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: both were made in `new`, and are freed only here; the dumper first, as it refers to the text.
        unsafe {
            libbpf_sys::btf_dump__free(self.dump.as_ptr());
            drop(Box::from_raw(self.text.as_ptr()));
        }
    }
}

/// libbpf's printf. What cannot be formatted is left out.
#[allow(unsafe_code)]
unsafe extern "C" fn write(text: *mut c_void, format: *const c_char, arguments: *mut c_void) {
    // SAFETY: libbpf passes back the pointer of `new`; nothing else refers to it during the call.
    let text = unsafe { &mut *text.cast::<Vec<u8>>() };
    // SAFETY: format and arguments belong together, as libbpf's compiler has checked.
    if let Ok(written) = unsafe { vsprintf::vsprintf_raw(format, arguments) } {
        text.extend(written);
    }
}
