//! Names by number, and how often the host is asked for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The shortest time between two lookups on the host: events whose number has no name must not cost one each.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Above this many entries, those that no longer exist are forgotten.
pub(super) const MOST: usize = 16384;

/// Names by number; `None` for a number that had none when it was looked up.
#[derive(Debug)]
pub(super) struct Cache<K> {
    known: HashMap<K, Option<Box<[u8]>>>,
    /// When the host was last asked.
    pub(super) looked: Option<Instant>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Cache { known: HashMap::new(), looked: None }
    }
}

impl<K: Copy + Eq + Hash> Cache<K> {
    /// What is known of a number, if it was looked up.
    pub(super) fn known(&self, key: K) -> Option<Option<&[u8]>> {
        self.known.get(&key).map(Option::as_deref)
    }

    /// Adopts what is known of a number.
    pub(super) fn put(&mut self, key: K, name: Option<&[u8]>) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(key, name.map(Box::from));
    }

    /// The name of a number; `all` lists all of them.
    ///
    /// A number that is not found is remembered as such, once looked up: numbers are hardly ever reused.
    pub(super) fn get(&mut self, key: K, all: impl FnOnce() -> Vec<(K, Box<[u8]>)>) -> Option<&[u8]> {
        if !self.known.contains_key(&key) && self.looked.is_none_or(|looked| looked.elapsed() >= AGAIN) {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            // Entries that are gone meanwhile stay: their last events are still to come.
            self.known.extend(all().into_iter().map(|(key, name)| (key, Some(name))));
            self.known.entry(key).or_insert(None);
            // Set afterwards: the lookup itself may take long.
            self.looked = Some(Instant::now());
        }
        self.known.get(&key)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_does_not_grow_without_end() {
        let mut cache = Cache::default();
        for key in 0..3 * MOST {
            cache.looked = None;
            assert_eq!(cache.get(key, Vec::new), None);
            assert!(cache.known.len() <= MOST);
        }
    }
}
