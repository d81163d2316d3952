//! zlib, which libelf brings into the binary anyway: unpacking what gzip packed.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr;

/// `z_stream` of zlib.h, whose layout never changes: zlib compares its size.
#[repr(C)]
struct Stream {
    next_in: *const u8,
    avail_in: c_uint,
    total_in: c_ulong,
    next_out: *mut u8,
    avail_out: c_uint,
    total_out: c_ulong,
    msg: *const c_char,
    state: *mut c_void,
    zalloc: Option<unsafe extern "C" fn(*mut c_void, c_uint, c_uint) -> *mut c_void>,
    zfree: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    opaque: *mut c_void,
    data_type: c_int,
    adler: c_ulong,
    reserved: c_ulong,
}

#[allow(unsafe_code)]
unsafe extern "C" {
    #[link_name = "inflateInit2_"]
    fn inflate_init(stream: *mut Stream, window_bits: c_int, version: *const c_char, size: c_int) -> c_int;
    fn inflate(stream: *mut Stream, flush: c_int) -> c_int;
    #[link_name = "inflateEnd"]
    fn inflate_end(stream: *mut Stream) -> c_int;
}

const Z_OK: c_int = 0;
const Z_STREAM_END: c_int = 1;
const Z_BUF_ERROR: c_int = -5;
const Z_NO_FLUSH: c_int = 0;
/// The largest window, and a gzip header around the data.
const GZIP: c_int = 15 + 16;

/// What a step has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes taken in.
    pub consumed: usize,
    /// Bytes given out.
    pub produced: usize,
    /// That was all, and its checksum is right.
    pub end: bool,
}

/// One packed stream. zlib keeps its address, so it stays where it is.
pub(crate) struct Gunzip(Box<Stream>);

#[allow(unsafe_code)]
impl Gunzip {
    /// Where a gzip header follows; none without memory.
    pub fn new() -> Option<Self> {
        let mut stream = Box::new(Stream {
            next_in: ptr::null(),
            avail_in: 0,
            total_in: 0,
            next_out: ptr::null_mut(),
            avail_out: 0,
            total_out: 0,
            msg: ptr::null(),
            state: ptr::null_mut(),
            zalloc: None,
            zfree: None,
            opaque: ptr::null_mut(),
            data_type: 0,
            adler: 0,
            reserved: 0,
        });
        let size = c_int::try_from(size_of::<Stream>()).ok()?;
        // SAFETY: the stream is as zlib wants it: no input, and its own allocator. Of the version it compares the first
        //         character.
        let failed = unsafe { inflate_init(&raw mut *stream, GZIP, c"1".as_ptr(), size) };
        (failed == Z_OK).then_some(Self(stream))
    }

    /// Unpacks from one place to the other as much as there is, or there is room for; none where it is damaged.
    pub fn step(&mut self, from: &[u8], to: &mut [u8]) -> Option<Step> {
        let [given, room] = [from.len(), to.len()].map(|len| c_uint::try_from(len).unwrap_or(c_uint::MAX));
        let stream = &mut *self.0;
        (stream.next_in, stream.avail_in) = (from.as_ptr(), given);
        (stream.next_out, stream.avail_out) = (to.as_mut_ptr(), room);
        // SAFETY: both places are live, and as long as is said; zlib has begun this stream.
        let result = unsafe { inflate(&raw mut *stream, Z_NO_FLUSH) };
        let consumed = given.checked_sub(stream.avail_in)? as usize;
        let produced = room.checked_sub(stream.avail_out)? as usize;
        // Z_BUF_ERROR: nothing could be done, for want of input or room.
        matches!(result, Z_OK | Z_STREAM_END | Z_BUF_ERROR).then_some(Step {
            consumed,
            produced,
            end: result == Z_STREAM_END,
        })
    }
}

impl std::fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gunzip")
    }
}

#[allow(unsafe_code)]
impl Drop for Gunzip {
    fn drop(&mut self) {
        // SAFETY: zlib has begun this stream, and this is its end.
        unsafe { inflate_end(&raw mut *self.0) };
    }
}
