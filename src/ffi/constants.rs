//! The constants of a BPF object, which are set before it is loaded.

use anyhow::{Context, Result, ensure};
use libbpf_rs::OpenObject;
use plain::Plain;

/// Changes the constants of an object, whose type (`rodata` of its skeleton) is `T`.
///
/// # Errors
/// When it has no constants of that size, or `change` fails.
#[allow(unsafe_code)]
pub(crate) fn set<T: Plain>(object: &mut OpenObject, change: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
    let mut map = object.maps_mut().find(|map| map.name().to_string_lossy().ends_with(".rodata"));
    let bytes = map.as_mut().and_then(|map| map.initial_value_mut()).context("the object has no constants")?;
    // The type's end is padded to its alignment; the section ends with its last constant.
    let size = size_of::<T>();
    ensure!(bytes.len().next_multiple_of(align_of::<T>()) == size, "the object's constants have another size");
    let at = bytes.as_mut_ptr().cast::<T>();
    ensure!(at.is_aligned(), "the object's constants are not aligned");
    // SAFETY: libbpf maps whole pages for the section (libbpf.c: bpf_map_mmap_sz), so that there is room for all of `T`;
    //         it is aligned, every bit pattern is a value, and nothing else refers to it while `map` is borrowed.
    change(unsafe { &mut *at })
}
