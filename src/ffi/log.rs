//! libbpf's messages. They contain names from files, which may be any bytes: libbpf-rs's own callback takes them for
//! UTF-8, and a panic in a C frame ends the process.

use std::ffi::{c_char, c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use libbpf_sys::{LIBBPF_DEBUG, LIBBPF_WARN, libbpf_print_fn_t, libbpf_print_level};

/// Where messages go, and how many more bytes are kept: the verifier's log has at most 16 MB, the rest a few KB.
static KEEP: OnceLock<fn(String)> = OnceLock::new();
static LEVEL: AtomicU64 = AtomicU64::new(LIBBPF_WARN as u64);
static LEFT: AtomicUsize = AtomicUsize::new(32 << 20);

/// Passes on libbpf's warnings, or with `debug`, all its messages; bytes that are not UTF-8 are replaced.
#[allow(unsafe_code)]
pub(crate) fn capture(debug: bool, keep: fn(String)) {
    let _ = KEEP.set(keep);
    LEVEL.store(u64::from(if debug { LIBBPF_DEBUG } else { LIBBPF_WARN }), Ordering::Relaxed);
    #[allow(clippy::missing_transmute_annotations, reason = "its name is another on every architecture")]
    // SAFETY: as in dump.rs: the third argument is a va_list, always passed as a pointer.
    let callback: libbpf_print_fn_t = unsafe { Some(std::mem::transmute(on_message as *const ())) };
    // SAFETY: the function lives as long as the program.
    unsafe { libbpf_sys::libbpf_set_print(callback) };
}

/// libbpf's callback.
#[allow(unsafe_code)]
unsafe extern "C" fn on_message(level: libbpf_print_level, format: *const c_char, arguments: *mut c_void) -> c_int {
    let Some(keep) = KEEP.get() else { return 0 };
    if u64::from(level) > LEVEL.load(Ordering::Relaxed) || LEFT.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    // SAFETY: format and arguments belong together, as libbpf's compiler has checked.
    let Ok(line) = (unsafe { vsprintf::vsprintf_raw(format, arguments) }) else { return 0 };
    let left = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(line.len())));
    if left.is_ok_and(|left| left > line.len()) {
        keep(String::from_utf8_lossy(&line).into_owned());
    } else {
        keep("libbpf logged more than is kept\n".to_owned());
    }
    0
}

/// libbpf's messages, and which of them belong to the failure.
static LOG: Mutex<(Vec<String>, Range<usize>)> = Mutex::new((Vec::new(), 0..usize::MAX));

/// Collects libbpf's messages instead of printing them: see [`take_log`].
pub fn capture_log(debug: bool) {
    fn keep(line: String) {
        if let Ok(mut log) = LOG.lock() {
            log.0.push(line);
        }
    }
    capture(debug, keep);
}

/// How many messages there are.
pub(crate) fn log_len() -> usize {
    LOG.lock().map_or(0, |log| log.0.len())
}

/// Starts a new attempt: earlier messages do not belong to it. Returns how many there are.
pub(crate) fn mark_log() -> usize {
    let start = log_len();
    blame(start..usize::MAX);
    start
}

/// These messages explain the failure.
pub(crate) fn blame(messages: Range<usize>) {
    if let Ok(mut log) = LOG.lock() {
        log.1 = messages;
    }
}

/// libbpf's messages since the last call, and which of them belong to the failure.
#[must_use]
pub fn take_log() -> (Vec<String>, Range<usize>) {
    let (messages, range) =
        LOG.lock().map(|mut log| std::mem::replace(&mut *log, (Vec::new(), 0..usize::MAX))).unwrap_or_default();
    let end = range.end.min(messages.len());
    (messages, range.start.min(end)..end)
}
