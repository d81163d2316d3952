//! What user space knows of cgroups, for the kernel side: `known_cgroups` in event.bpf.h.

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

/// The map's name.
pub(crate) const MAP: &str = "known_cgroups";

/// Has the kernel side know of a cgroup, by its id, and whether all of its events are refused. Where the map is full, the one
/// that was used least is forgotten: its next event comes again.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn put(map: &impl MapCore, id: u64, refused: bool) -> Result<()> {
    map.update(&id.to_ne_bytes(), &u32::from(refused).to_ne_bytes(), MapFlags::ANY)
        .context("telling the kernel of a cgroup")
}
