//! The map of followed processes, from user space: adding processes, checking who is left, removing stale entries.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::ffi::counters::MappedCounters;
use crate::host::procfs::{self, Life};

use crate::load::kin::{FOLLOWED_ROW, START_SLACK_NS};

/// Adds a running process.
///
/// # Errors
/// When the map is full.
pub(crate) fn add(followed: &impl MapCore, pid: u32) -> Result<()> {
    let since = procfs::began_by(pid).to_ne_bytes();
    followed.update(&pid.to_ne_bytes(), &since, MapFlags::ANY).with_context(|| format!("following process {pid}"))
}

/// The followed processes.
pub(crate) struct Followed<'a> {
    map: &'a MapHandle,
    counters: &'a MappedCounters,
    /// How many had left when the map was last checked.
    asked: Option<u64>,
    /// Those still to be checked, a few at a time: there may be tens of thousands.
    unchecked: Vec<Vec<u8>>,
    /// Those missing at the last check. One check is not enough: while a thread that execs takes the place of its
    /// process's first (fs/exec.c: de_thread), /proc may show the dead one.
    dead: HashSet<u32>,
    /// Those confirmed as the same process, by start time.
    known: HashMap<u32, u64>,
}

impl<'a> Followed<'a> {
    pub(crate) fn new(map: &'a MapHandle, counters: &'a MappedCounters) -> Self {
        let (unchecked, dead, known) = (Vec::new(), HashSet::new(), HashMap::new());
        Followed { map, counters, asked: None, unchecked, dead, known }
    }

    /// Whether none is left. Checks only if one has left since the last time, or if `look` is set.
    pub(crate) fn all_gone(&mut self, look: bool) -> bool {
        let (joined, left) = self.changes();
        if !look && self.asked == Some(left) {
            return false;
        }
        let (gone, joined_meanwhile) = is_empty(joined, || self.map.keys().next().is_none(), || self.changes().0);
        // The map changed during the check: check again.
        self.asked = (!joined_meanwhile).then_some(left);
        gone
    }

    /// How many joined, and how many left.
    fn changes(&self) -> (u64, u64) {
        self.counters
            .of(FOLLOWED_ROW)
            .fold((0, 0), |(joined, left), [seen, _, emitted, ..]| (joined + seen, left + emitted))
    }

    /// Forgets processes that are gone although their end was not seen (it was lost, or they ended while the hooks were
    /// being attached): a run would wait for them forever. The same for those whose number another process has by now.
    pub(crate) fn prune(&mut self) {
        const AT_ONCE: usize = 256;
        if self.unchecked.is_empty() {
            let most = self.map.max_entries() as usize;
            // The kernel starts over if a key is gone meanwhile: the loop might never end.
            self.unchecked.extend(self.map.keys().take(most));
            if self.known.len() > 2 * self.unchecked.len() {
                self.known.clear();
            }
        }
        for key in self.unchecked.drain(self.unchecked.len().saturating_sub(AT_ONCE)..) {
            let pid = key.first_chunk().map_or(0, |pid| u32::from_ne_bytes(*pid));
            let stale = match procfs::life(pid) {
                Life::Gone => !self.dead.insert(pid),
                Life::Hidden => {
                    self.dead.remove(&pid);
                    false
                }
                Life::Since(began) => {
                    self.dead.remove(&pid);
                    // Read once: see the ledger in event.bpf.h.
                    let known = self.known.get(&pid) == Some(&began);
                    let stranger = !known && since(self.map, &key).is_some_and(|since| is_another(began, since));
                    if !stranger {
                        self.known.insert(pid, began);
                    }
                    stranger
                }
            };
            if stale {
                self.dead.remove(&pid);
                self.known.remove(&pid);
                let _ = self.map.delete(&key);
            }
        }
    }
}

/// Whether the map is empty, and whether processes joined it during the check; `joined` is the count before it. The
/// kernel walks the buckets from first to last (kernel/bpf/hashtab.c: htab_map_get_next_key): it misses a child that
/// joins in a bucket already passed if the parent leaves a bucket still to come.
fn is_empty(joined: u64, mut looks_empty: impl FnMut() -> bool, now_joined: impl FnOnce() -> u64) -> (bool, bool) {
    if !looks_empty() {
        return (false, false);
    }
    let meanwhile = now_joined() != joined;
    (!meanwhile, meanwhile)
}

/// The value of a key: when its process began.
fn since(followed: &MapHandle, key: &[u8]) -> Option<u64> {
    let value = followed.lookup(key, MapFlags::ANY).ok()??;
    value.first_chunk().map(|since| u64::from_ne_bytes(*since))
}

/// Whether a process that began at `began` (rounded down to a tick) is another one than that which had begun by
/// `since`.
fn is_another(began: u64, since: u64) -> bool {
    began > since.saturating_add(START_SLACK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_changes_is_not_taken_for_empty() {
        assert_eq!(is_empty(7, || true, || 7), (true, false));
        assert_eq!(is_empty(7, || false, || panic!("it does not matter")), (false, false));
        // A process in a later bucket ended, after its child was put into one that was already passed.
        assert_eq!(is_empty(7, || true, || 8), (false, true));
    }

    #[test]
    fn who_began_later_is_another() {
        let tick = procfs::tick();
        assert!(!is_another(5 * tick, 5 * tick + 1) && !is_another(5 * tick, 6 * tick));
        assert!(!is_another(5 * tick, 5 * tick - START_SLACK_NS), "the clocks may disagree by that");
        assert!(is_another(5 * tick, 5 * tick - START_SLACK_NS - 1));
    }
}
