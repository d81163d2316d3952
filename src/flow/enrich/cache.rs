//! Names by number, and how often the host is asked for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The shortest time between two looks at the host: an event whose number has no name must not cost one each.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Above this many entries, what is no longer there is forgotten.
pub(super) const MOST: usize = 16384;

/// Names by number; `None` for a number that had none when it was looked for.
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
    /// The name of a number; `all` looks for all of them.
    ///
    /// What is not found is remembered as that, if it was looked for: a number is as good as never used
    /// again.
    pub(super) fn get(&mut self, key: K, all: impl FnOnce() -> Vec<(K, Box<[u8]>)>) -> Option<&[u8]> {
        if !self.known.contains_key(&key) && self.looked.is_none_or(|looked| looked.elapsed() >= AGAIN) {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            // What is gone meanwhile stays: events of its last moments are still to come.
            self.known.extend(all().into_iter().map(|(key, name)| (key, Some(name))));
            self.known.entry(key).or_insert(None);
            // Afterwards: looking may itself take its time.
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
