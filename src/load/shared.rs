//! The maps that all objects of a run share: the first object that is loaded creates them.

use anyhow::{Context, Result, ensure};
use libbpf_rs::{Map, MapCore, MapHandle, MapType, Object, OpenMapMut};
use std::os::fd::AsFd;

use crate::ffi::counters::{KINDS_MAX, MappedCounters};
use crate::host::possible_cpus;
use crate::load::labels::{self, Labels};
use crate::load::session::Session;
use crate::load::settings::CGROUPS_MAX;
use crate::load::transport::Perf;
use crate::load::{followed, judged, watched};

const NAMES: [&str; 7] = ["events", "ledger", "followed", "ended_followed", "cgroups", judged::MAP, labels::MAP];

/// The maps that all objects of a run have in common: made by the first, used by the others.
#[derive(Debug)]
pub struct Shared {
    /// The mapped perf buffers, if used. (Dropped before the map that they are in.)
    pub perf: Option<Perf>,
    /// What the kernel side has counted.
    pub counters: MappedCounters,
    maps: Vec<(&'static str, MapHandle)>,
}

impl Shared {
    /// Takes the maps of the first object, and fills them.
    ///
    /// # Errors
    /// When one is missing, or cannot be filled or mapped.
    pub(crate) fn of(session: &Session, object: &Object) -> Result<Self> {
        let mut maps = Vec::new();
        for name in NAMES {
            let map = find(object, name)?;
            if map.autocreate() {
                maps.push((name, MapHandle::try_from(&map).with_context(|| format!("sharing the map {name}"))?));
            }
        }
        for pid in &session.pids {
            followed::add(&find(object, "followed")?, *pid)?;
        }
        for (n, dir) in (0_u32..).zip(&session.cgroups) {
            watched::put(&find(object, "cgroups")?, n, &dir.1)?;
        }
        let counters = MappedCounters::new(&find(object, "ledger")?)?;
        let mut shared = Shared { perf: None, counters, maps };
        if session.settings.perf {
            shared.perf = Some(Perf::open(shared.map("events")?, session.perf_pages()?)?);
        }
        Ok(shared)
    }

    /// The map of this name.
    ///
    /// # Errors
    /// When the run has none of that name.
    pub fn map(&self, name: &str) -> Result<&MapHandle> {
        let found = self.maps.iter().find(|(of, _)| *of == name);
        found.map(|(_, map)| map).with_context(|| format!("the run has no map {name}"))
    }
}

/// Pins the labels of the first object, once its programs are attached, so that other processes find them.
///
/// # Errors
/// When they cannot be pinned.
pub(crate) fn pin_labels(session: &Session, object: &mut Object) -> Result<()> {
    let Some(labels) = &session.settings.labels else { return Ok(()) };
    let mut map = object.maps_mut().find(|map| map.name() == labels::MAP).context("the object has no labels")?;
    labels.keep(&mut map)
}

/// A map of an object.
///
/// # Errors
/// When it has none of that name.
pub(crate) fn find<'a>(object: &'a Object, name: &str) -> Result<Map<'a>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("the object has no map {name}"))
}

/// Before an object is loaded: sets a map's size, or shares the run's.
///
/// # Errors
/// When the map does not have the expected size.
pub(crate) fn prepare(session: &Session, shared: Option<&Shared>, map: &mut OpenMapMut<'_>) -> Result<()> {
    let name = map.name().to_string_lossy().into_owned();
    let shared_name = NAMES.into_iter().find(|of| *of == name);
    let sized = match (shared_name, shared) {
        (Some(name), Some(shared)) => match shared.map(name) {
            Ok(there) => map.reuse_fd(there.as_fd()),
            Err(_) => map.set_autocreate(false),
        },
        _ => return size(session, &name, map).with_context(|| format!("configuring the map {name}")),
    };
    sized.with_context(|| format!("sharing the map {name}"))
}

fn size(session: &Session, name: &str, map: &mut OpenMapMut<'_>) -> Result<()> {
    let settings = &session.settings;
    match name {
        "events" if settings.perf => {
            map.set_type(MapType::PerfEventArray)?;
            map.set_key_size(4)?;
            map.set_value_size(4)?;
            map.set_max_entries(possible_cpus()?)?;
        }
        "events" => map.set_max_entries(session.buffer)?,
        "ledger" => {
            ensure!(map.max_entries() == KINDS_MAX, "the ledger has rows of {}", map.max_entries());
            map.set_max_entries(KINDS_MAX * possible_cpus()?)?;
        }
        labels::MAP => match &settings.labels {
            Some(labels) => Labels::reuse(labels, map)?,
            None => map.set_autocreate(false)?,
        },
        judged::MAP if !settings.names => map.set_autocreate(false)?,
        judged::MAP => map.set_max_entries(lru_entries(map.max_entries(), possible_cpus()?))?,
        "followed" if settings.follow => map.set_max_entries(session.followed_max)?,
        "followed" => map.set_max_entries(u32::try_from(session.pids.len().max(1))?)?,
        "ended" | "ended_followed" => map.set_max_entries(lru_entries(map.max_entries(), possible_cpus()?))?,
        "scratch" => map.set_max_entries(settings.spaces)?,
        "cgroups" if settings.cgroups == 0 => map.set_autocreate(false)?,
        "cgroups" => ensure!(map.max_entries() as usize == CGROUPS_MAX, "the map of cgroups has another size"),
        _ => {}
    }
    Ok(())
}

/// Entries of an LRU map that is sure to keep the newest `least`, whatever CPU they come from. Each CPU takes 128 free
/// entries at once and keeps them for itself (kernel/bpf/bpf_lru_list.c: LOCAL_FREE_TARGET): with 32 CPUs, 4096 entries
/// are all taken, and the next 128 displace what was added just before.
fn lru_entries(least: u32, cpus: u32) -> u32 {
    const LOCAL_FREE_TARGET: u32 = 128;
    least.saturating_add(cpus.saturating_mul(LOCAL_FREE_TARGET))
}
