//! libbpf's own matcher of CO-RE relocations, from the static library: what a load would do, without loading.
//!
//! The functions are not part of libbpf's interface: their structs (src/relo_core.h of libbpf 1.7.0) are declared
//! again here, the version is pinned in Cargo.toml, and a test fails when another one has other structs.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;

use libbpf_sys::btf;
use nix::errno::Errno;

/// `BPF_CORE_SPEC_MAX_LEN`
const SPEC_MAX: usize = 64;
/// The number of kinds of relocations (`enum bpf_core_relo_kind`).
pub(crate) const KINDS: usize = 13;

/// `struct bpf_core_relo` of include/uapi/linux/bpf.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relo {
    /// Byte offset of the instruction in its section.
    pub insn_off: u32,
    /// The local type.
    pub type_id: u32,
    /// The access to it, in the local strings: `0:1:2`.
    pub access_str_off: u32,
    pub kind: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Cand {
    btf: *const btf,
    id: u32,
}

#[repr(C)]
struct CandList {
    cands: *mut Cand,
    len: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Accessor {
    type_id: u32,
    idx: u32,
    name: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Spec {
    btf: *const btf,
    spec: [Accessor; SPEC_MAX],
    root_type_id: u32,
    relo_kind: u32,
    len: c_int,
    raw_spec: [c_int; SPEC_MAX],
    raw_len: c_int,
    bit_offset: u32,
}

impl Spec {
    const EMPTY: Spec = Spec {
        btf: std::ptr::null(),
        spec: [Accessor { type_id: 0, idx: 0, name: std::ptr::null() }; SPEC_MAX],
        root_type_id: 0,
        relo_kind: 0,
        len: 0,
        raw_spec: [0; SPEC_MAX],
        raw_len: 0,
        bit_offset: 0,
    };
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Res {
    orig_val: u64,
    new_val: u64,
    poison: bool,
    validate: bool,
    fail_memsz_adjust: bool,
    orig_sz: u32,
    orig_type_id: u32,
    new_sz: u32,
    new_type_id: u32,
}

#[allow(unsafe_code)]
unsafe extern "C" {
    fn bpf_core_calc_relo_insn(
        prog_name: *const c_char,
        relo: *const Relo,
        relo_idx: c_int,
        local_btf: *const btf,
        cands: *mut CandList,
        specs_scratch: *mut Spec,
        targ_res: *mut Res,
    ) -> c_int;
    fn bpf_core_patch_insn(
        prog_name: *const c_char,
        insn: *mut Insns,
        insn_idx: c_int,
        relo: *const Relo,
        relo_idx: c_int,
        res: *const Res,
    ) -> c_int;
    fn bpf_core_format_spec(buf: *mut c_char, buf_sz: usize, spec: *const Spec) -> c_int;
}

/// An instruction and the next one, which belongs to it if it loads 64 bits: two `struct bpf_insn`.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Insns(pub [u8; 16]);

/// Type information, as parsed by libbpf.
#[derive(Debug)]
pub(crate) struct Btf(NonNull<btf>);

#[allow(unsafe_code)]
impl Btf {
    /// Parses these bytes; an error number if they are invalid.
    pub fn new(bytes: &[u8]) -> Result<Self, i32> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::E2BIG as i32)?;
        // SAFETY: libbpf copies the bytes, and checks every type.
        Self::checked(unsafe { libbpf_sys::btf__new(bytes.as_ptr().cast(), len) })
    }

    /// Parses types that continue those of `base`, which must outlive them.
    pub fn split(bytes: &[u8], base: &Self) -> Result<Self, i32> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::E2BIG as i32)?;
        // SAFETY: as above; the caller keeps the base (see `Types`).
        Self::checked(unsafe { libbpf_sys::btf__new_split(bytes.as_ptr().cast(), len, base.0.as_ptr()) })
    }

    fn checked(btf: *mut btf) -> Result<Self, i32> {
        NonNull::new(btf).map(Self).ok_or_else(Errno::last_raw)
    }

    /// All of it, in this machine's byte order.
    pub fn bytes(&self) -> &[u8] {
        let mut len = 0;
        // SAFETY: the bytes belong to the object, which nothing changes while it lives.
        unsafe {
            let at = libbpf_sys::btf__raw_data(self.0.as_ptr(), &mut len);
            if at.is_null() { &[] } else { std::slice::from_raw_parts(at.cast(), len as usize) }
        }
    }

    /// For the dumper.
    pub(super) fn raw(&self) -> *const btf {
        self.0.as_ptr()
    }

    /// Size of a type in bytes; none where it has no size: a function, or a forward declaration.
    pub fn size(&self, id: u32) -> Option<u64> {
        // SAFETY: the object is there; libbpf checks that the type exists, and follows at most 32 others.
        u64::try_from(unsafe { libbpf_sys::btf__resolve_size(self.0.as_ptr(), id) }).ok()
    }

    /// Alignment of a type; none where it has no size. Only for types that [`crate::types::model::Types::declarable`]
    /// has found sound.
    pub fn align(&self, id: u32) -> Option<u64> {
        // SAFETY: as above.
        u64::try_from(unsafe { libbpf_sys::btf__align_of(self.0.as_ptr(), id) }).ok().filter(|align| *align > 0)
    }

    /// How many types there are, including `void`.
    pub fn types(&self) -> u32 {
        // SAFETY: the object is there.
        unsafe { libbpf_sys::btf__type_cnt(self.0.as_ptr()) }
    }
}

impl Drop for Btf {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: made by libbpf, and freed only here.
        unsafe { libbpf_sys::btf__free(self.0.as_ptr()) }
    }
}

/// libbpf's negative error number as a positive one. Some come from numbers in a file: the smallest has no counterpart.
pub(super) fn errno(failed: i32) -> i32 {
    failed.checked_neg().filter(|errno| *errno > 0).unwrap_or(Errno::EINVAL as i32)
}

/// The result of a relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matched {
    /// What the program asks for, as in libbpf's log.
    pub local: String,
    /// What it matches in the target, if anything.
    pub target: Option<String>,
    /// The same as numbers: the target's type, and the path to the member or value in it: numbers of an element (the
    /// first is for a pointer taken as an array), a member or a value.
    pub way: Option<(u32, Vec<u32>)>,
    /// libbpf replaces the instruction by one that every verifier refuses.
    pub poisoned: bool,
    pub insns: Insns,
}

/// Matches a relocation and patches its instruction, as a load does. `candidates` are the target's types of the same
/// name and kind; those that do not match are removed.
///
/// libbpf's error numbers: a load would fail.
#[allow(unsafe_code)]
pub(crate) fn resolve(
    relo: &Relo,
    local: &Btf,
    target: &Btf,
    candidates: &mut Vec<u32>,
    mut insns: Insns,
) -> Result<Matched, i32> {
    let invalid = Errno::EINVAL as i32;
    if relo.type_id >= local.types() || relo.kind as usize >= KINDS || candidates.iter().any(|id| *id >= target.types())
    {
        return Err(invalid);
    }
    let mut cands: Vec<_> = candidates.iter().map(|id| Cand { btf: target.0.as_ptr(), id: *id }).collect();
    let mut list = CandList { cands: cands.as_mut_ptr(), len: c_int::try_from(cands.len()).map_err(|_| invalid)? };
    let mut specs = [Spec::EMPTY; 3];
    let mut res = Res::default();
    let name = c"coretrace";
    // SAFETY: all pointers are to live values of the layouts that this version of libbpf has (tested below); the ids are
    //         in range; libbpf writes three specs, and shortens the list.
    let failed = unsafe {
        bpf_core_calc_relo_insn(name.as_ptr(), relo, 0, local.0.as_ptr(), &mut list, specs.as_mut_ptr(), &mut res)
    };
    if failed != 0 {
        return Err(errno(failed));
    }
    candidates.clear();
    candidates.extend(cands.iter().take(usize::try_from(list.len).unwrap_or(0)).map(|cand| cand.id));
    let [local_spec, _, target_spec] = &specs;
    let (local, target) = (format(local_spec), (!target_spec.btf.is_null()).then(|| format(target_spec)));
    let steps = |spec: &Spec| {
        let raw = spec.raw_spec.iter().take(usize::try_from(spec.raw_len).unwrap_or(0));
        raw.filter_map(|step| u32::try_from(*step).ok()).collect()
    };
    let way = target.is_some().then(|| (target_spec.root_type_id, steps(target_spec)));
    let before = insns;
    // SAFETY: as above; at most two instructions are read and written.
    let failed = unsafe { bpf_core_patch_insn(name.as_ptr(), &mut insns, 0, relo, 0, &res) };
    if failed != 0 {
        return Err(errno(failed));
    }
    // libbpf's replacement for a poisoned instruction (bpf_core_poison_insn): a call of a helper that does not exist.
    const POISON: i32 = 195_896_080;
    let poisoned = before != insns && insns.0[0] == 0x85 && insns.0[4..8] == POISON.to_ne_bytes();
    Ok(Matched { local, target, way, poisoned, insns })
}

#[allow(unsafe_code)]
fn format(spec: &Spec) -> String {
    let mut text = [0_u8; 512];
    // SAFETY: libbpf filled the spec in, and writes no more than the given length, with a NUL at the end.
    unsafe { bpf_core_format_spec(text.as_mut_ptr().cast(), text.len(), spec) };
    CStr::from_bytes_until_nul(&text).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_whose_structs_these_are() {
        // SAFETY: they return constants.
        #[allow(unsafe_code)]
        let version = unsafe { (libbpf_sys::libbpf_major_version(), libbpf_sys::libbpf_minor_version()) };
        assert_eq!(version, (1, 7), "compare src/relo_core.h with the structs here");
        assert_eq!((size_of::<Spec>(), size_of::<Res>(), size_of::<Accessor>()), (1312, 40, 16));
    }
}
