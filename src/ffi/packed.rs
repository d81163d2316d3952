//! BPF objects as this program carries them: packed, as of all that it holds they are the largest part, and a run needs one
//! or two of them.

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::DeflateDecoder;

/// Bytes that build.rs has packed.
#[derive(Debug)]
pub struct Packed {
    packed: &'static [u8],
    unpacked: OnceLock<Vec<u8>>,
}

impl Packed {
    /// What `packed` holds.
    pub(crate) const fn new(packed: &'static [u8]) -> Self {
        Packed { packed, unpacked: OnceLock::new() }
    }

    /// The bytes, unpacked when they are first asked for (a millisecond or two).
    pub fn bytes(&'static self) -> &'static [u8] {
        self.unpacked.get_or_init(|| {
            let mut bytes = Vec::new();
            // What build.rs has written is whole; if it were not, libbpf would say what is wrong with it.
            let _ = DeflateDecoder::new(self.packed).read_to_end(&mut bytes);
            bytes
        })
    }
}
