//! The header of raw BTF, looked at before libbpf does, because libbpf's errors do not say what is wrong.

use super::about::About;
use super::fault::Fault;
use super::search;
use crate::types::bytes::Bytes;

/// `BTF_MAGIC` (include/uapi/linux/btf.h).
const MAGIC: u16 = 0xeb9f;
/// `sizeof(struct btf_header)`: u16 magic, u8 version, u8 flags, u32 hdr_len, type_off, type_len, str_off, str_len.
const HEADER: usize = 24;

/// Whether it begins like BTF, of either byte order.
pub(super) fn is_btf(head: &[u8]) -> bool {
    Bytes(head).u16(0).is_some_and(|magic| magic == MAGIC || magic == MAGIC.swap_bytes())
}

/// Whether `size` bytes hold what their header promises (as `btf_parse_hdr()` in libbpf's btf.c).
///
/// # Errors
/// When they do not.
pub(crate) fn check(head: &[u8], size: u64) -> Result<(), Fault> {
    match Bytes(head).u16(0) {
        Some(MAGIC) => {}
        Some(magic) if magic == MAGIC.swap_bytes() => return Err(Fault::ForeignByteOrder),
        _ => return Err(Fault::NotBtf),
    }
    let cut = Fault::Cut { size, wanted: HEADER as u64 };
    if head.len() < HEADER {
        return Err(cut);
    }
    let field = |n: usize| Bytes(head).u32(4 + 4 * n).map_or(0, u64::from);
    let [header, type_off, type_len, str_off] = [field(0), field(1), field(2), field(3)];
    if header < HEADER as u64 || head.get(2) != Some(&1) {
        return Err(Fault::BadHeader("its header is of no known version"));
    }
    let wanted = length(head);
    if size < wanted {
        return Err(Fault::Cut { size, wanted });
    }
    if type_off % 4 != 0 || type_off + type_len > str_off {
        return Err(Fault::BadHeader("its types and strings overlap"));
    }
    // A module's may do with the kernel's strings.
    if type_len == 0 {
        return Err(Fault::BadHeader("it describes no type"));
    }
    Ok(())
}

/// Whether it goes on where another's types end, as a module's does: a kernel's strings begin with an empty one.
pub(super) fn about(bytes: &[u8]) -> About {
    let field = |n: usize| Bytes(bytes).u32(4 + 4 * n).map_or(0, u64::from);
    let first = Bytes(bytes).part(field(0) + field(3), field(4)).and_then(|strings| strings.0.first().copied());
    About { module: first != Some(0), ..About::default() }
}

/// How many bytes the header promises.
fn length(head: &[u8]) -> u64 {
    let field = |n: usize| Bytes(head).u32(4 + 4 * n).map_or(0, u64::from);
    field(0) + (field(1) + field(2)).max(field(3) + field(4))
}

/// The largest BTF among other bytes: that of a kernel, which may hold that of little programs, too.
pub(super) fn find(bytes: &[u8]) -> Option<&[u8]> {
    // Magic number, version, no flags, and the length of the header.
    let [a, b] = MAGIC.to_ne_bytes();
    let start = [a, b, 1, 0, 24, 0, 0, 0];
    let mut best: Option<&[u8]> = None;
    let mut rest = bytes;
    while let Some(at) = search::find(rest, &start) {
        rest = rest.get(at..)?;
        if check(rest, rest.len() as u64).is_ok() {
            let found = rest.get(..usize::try_from(length(rest)).ok()?)?;
            if best.is_none_or(|best| best.len() < found.len()) {
                best = Some(found);
            }
        }
        rest = rest.get(1..)?;
    }
    best
}
