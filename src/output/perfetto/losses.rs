//! Losses as ranges: of a loss, it is only known when it was noticed, and that it was not there some time before.

use arrayvec::ArrayVec;

use crate::event::Lost;

/// How often the counters are read at least.
const LOOKED: u64 = 1_000_000_000;
/// How many losses are shown of one time: those that are more are without a duration.
const LANES: usize = 64;
/// How many are kept that come before all events.
const EARLY: usize = 1024;

/// When losses may have happened.
#[derive(Debug, Default)]
pub struct Losses {
    /// When the last loss was noticed, and the one before, at another time.
    noticed: Option<u64>,
    before: Option<u64>,
    /// When the last range ends on each track.
    lanes: ArrayVec<u64, LANES>,
    /// Those that came before it was known how the clocks differ.
    early: Vec<Lost>,
}

/// Where and when a loss is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub lane: usize,
    pub is_new: bool,
    pub begin: u64,
    pub end: u64,
}

impl Losses {
    /// When a loss may have happened that was noticed then, all since boot: not before the last one that was noticed;
    /// where events came late, since the newest of them.
    pub fn range(&mut self, noticed: u64, first: u64, newest: u64) -> Range {
        if self.noticed.is_none_or(|last| noticed > last) {
            self.before = self.noticed.replace(noticed);
        }
        let end = noticed.max(self.noticed.unwrap_or(noticed));
        let since = noticed.saturating_sub(LOOKED).min(newest);
        let begin = since.max(first).max(self.before.unwrap_or(0)).min(end);
        let free = self.lanes.iter().position(|last| *last <= begin);
        let lane = free.unwrap_or(self.lanes.len());
        if let Some(last) = self.lanes.get_mut(lane) {
            *last = end;
        } else if self.lanes.try_push(end).is_err() {
            return Range { lane: LANES - 1, is_new: false, begin: end, end };
        }
        Range { lane, is_new: free.is_none(), begin, end }
    }

    /// Keeps one for later.
    pub fn keep(&mut self, lost: &Lost) {
        let same = |early: &Lost| (&early.class, early.cause, early.cpu) == (&lost.class, lost.cause, lost.cpu);
        if self.early.len() < EARLY && !self.early.iter().any(same) {
            return self.early.push(lost.clone());
        }
        let at = self.early.iter().position(same).unwrap_or(EARLY - 1);
        if let Some(early) = self.early.get_mut(at) {
            (early.count, early.unix_ns) = (early.count.saturating_add(lost.count), lost.unix_ns);
        }
    }

    /// Those that were kept.
    pub fn take_early(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.early)
    }

    /// What is shown is in another file from here on.
    pub fn restart(&mut self) {
        self.lanes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_not_before_the_one_before() {
        let mut losses = Losses::default();
        let mut range = |noticed, newest| {
            let Range { lane, begin, end, .. } = losses.range(noticed * LOOKED, LOOKED, newest * LOOKED);
            (lane, begin / LOOKED, end / LOOKED)
        };
        assert_eq!(range(5, 5), (0, 4, 5));
        assert_eq!(range(5, 5), (1, 4, 5), "of another kind, at the same time");
        assert_eq!(range(9, 7), (0, 7, 9), "events were not read meanwhile");
        assert_eq!(range(9, 7), (1, 7, 9));
        assert_eq!((0..99).map(|_| range(10, 10)).max(), Some((LANES - 1, 10, 10)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_none_is_forgotten() {
        let mut losses = Losses::default();
        let lost = |cpu| Lost { unix_ns: 1, class: "exec".into(), cause: "buffer_full", count: 1, cpu };
        (0..3000).for_each(|n| losses.keep(&lost(n % 2000)));
        let kept = losses.take_early();
        assert_eq!((kept.len(), kept.iter().map(|lost| lost.count).sum::<u64>()), (EARLY, 3000));
    }
}
