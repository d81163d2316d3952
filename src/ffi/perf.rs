//! The perf buffer of one CPU. (libbpf-rs has only all CPUs' together, and no way to reopen one of them.)

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;

use libbpf_rs::MapCore;
use libbpf_sys::{
    LIBBPF_PERF_EVENT_CONT, PERF_COUNT_SW_BPF_OUTPUT, PERF_RECORD_SAMPLE, PERF_SAMPLE_RAW, PERF_TYPE_SOFTWARE,
    bpf_perf_event_ret, perf_buffer, perf_buffer__consume, perf_buffer__free, perf_buffer__new_raw,
    perf_buffer_raw_opts, perf_event_attr, perf_event_header,
};

type Each = Box<dyn FnMut(&[u8])>;

/// A perf buffer; when it is dropped, the map has none for that CPU.
pub(crate) struct CpuBuffer {
    buffer: NonNull<perf_buffer>,
    /// The callback of `buffer`, at a stable address.
    _each: Box<Each>,
}

impl CpuBuffer {
    /// Opens the buffer of an online CPU, with this many pages (a power of two). The map must outlive it.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[allow(unsafe_code)]
    pub(crate) fn open(map: &impl MapCore, cpu: u32, pages: usize, each: Each) -> io::Result<Self> {
        let mut cpu = c_int::try_from(cpu).map_err(io::Error::other)?;
        let mut key = cpu;
        // No wake-ups: it is polled.
        let mut attr = perf_event_attr {
            type_: PERF_TYPE_SOFTWARE,
            size: u32::try_from(size_of::<perf_event_attr>()).map_err(io::Error::other)?,
            config: PERF_COUNT_SW_BPF_OUTPUT.into(),
            sample_type: PERF_SAMPLE_RAW.into(),
            ..perf_event_attr::default()
        };
        let opts = perf_buffer_raw_opts {
            sz: size_of::<perf_buffer_raw_opts>() as u64,
            cpu_cnt: 1,
            cpus: &raw mut cpu,
            map_keys: &raw mut key,
            ..perf_buffer_raw_opts::default()
        };
        let fd = map.as_fd().as_raw_fd();
        let mut each = Box::new(each);
        let context: *mut Each = &raw mut *each;
        // SAFETY: `attr` and `opts`, and what they point to, outlive the call, which copies them; `context` outlives
        // the buffer, which is freed before it (`drop`).
        let buffer = unsafe {
            perf_buffer__new_raw(fd, pages as u64, &raw mut attr, Some(event), context.cast(), &raw const opts)
        };
        // libbpf leaves the cause in errno.
        NonNull::new(buffer).map(|buffer| CpuBuffer { buffer, _each: each }).ok_or_else(io::Error::last_os_error)
    }

    /// Passes on what is in it.
    ///
    /// # Errors
    /// When it is damaged.
    #[allow(unsafe_code)]
    pub(crate) fn consume(&self) -> io::Result<()> {
        // SAFETY: only `drop` frees it.
        match unsafe { perf_buffer__consume(self.buffer.as_ptr()) } {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        }
    }
}

/// A record of the buffer. Losses are counted in the kernel.
#[allow(unsafe_code)]
unsafe extern "C" fn event(each: *mut c_void, _cpu: c_int, header: *mut perf_event_header) -> bpf_perf_event_ret {
    /// include/uapi/linux/perf_event.h: of PERF_RECORD_SAMPLE, `u32 size; char data[size];` follow.
    const SIZE: usize = size_of::<perf_event_header>();
    const DATA: usize = SIZE + size_of::<u32>();
    // SAFETY: libbpf passes a whole record, `size` bytes with its header, and the context given in `open`.
    let (each, record) = unsafe {
        let all = usize::from((*header).size);
        (&mut *each.cast::<Each>(), std::slice::from_raw_parts(header.cast::<u8>().cast_const(), all))
    };
    // SAFETY: as above.
    if unsafe { (*header).type_ } == PERF_RECORD_SAMPLE {
        let len = record.get(SIZE..).and_then(|rest| rest.first_chunk()).map_or(0, |len| u32::from_ne_bytes(*len));
        each(record.get(DATA..).and_then(|data| data.get(..len as usize)).unwrap_or_default());
    }
    LIBBPF_PERF_EVENT_CONT
}

impl Drop for CpuBuffer {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: made by libbpf in `open`, and not used after this.
        unsafe { perf_buffer__free(self.buffer.as_ptr()) }
    }
}
