//! How numbers are spread, in little memory: their sum, the greatest, and about where the 95th of a hundred is.

use std::collections::BTreeMap;

/// Each power of two has so many parts, as bits: what is reported of the 95th percentile is at most a 32nd too much.
const PARTS: u32 = 5;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    pub count: u64,
    pub sum: u64,
    pub max: u64,
    parts: BTreeMap<u16, u64>,
}

impl Spread {
    pub fn add(&mut self, number: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(number);
        self.max = self.max.max(number);
        *self.parts.entry(part(number)).or_default() += 1;
    }

    /// None: there are no numbers.
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }

    /// A number that 95 of a hundred do not exceed.
    pub fn p95(&self) -> Option<u64> {
        let mut rest = (u128::from(self.count) * 95).div_ceil(100);
        for (part, count) in &self.parts {
            rest = rest.saturating_sub((*count).into());
            if rest == 0 {
                return Some(greatest(*part).min(self.max));
            }
        }
        None
    }
}

fn part(number: u64) -> u16 {
    let bits = u64::BITS - number.leading_zeros();
    let shift = bits.saturating_sub(PARTS + 1);
    // At most 58 times 32, and less than 64.
    ((shift << PARTS) as u16) + ((number >> shift) as u16)
}

/// The greatest number of a part.
fn greatest(part: u16) -> u64 {
    let shift = (u32::from(part) >> PARTS).saturating_sub(1);
    let top = u128::from(part) - (u128::from(shift) << PARTS);
    u64::try_from(((top + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_a_part_that_reaches_little_further() {
        for number in
            (0..70).chain((6..64).flat_map(|n| [(1 << n) - 1, 1 << n, (1 << n) + 1, 3 << (n - 2)])).chain([u64::MAX])
        {
            let greatest = greatest(part(number));
            assert!(greatest >= number && greatest - number <= number / 32, "{number}: {greatest}");
        }
    }

    #[test]
    fn the_95th_of_a_hundred_is_found() {
        let mut spread = Spread::default();
        assert_eq!((spread.mean(), spread.p95()), (None, None));
        (1..=100).rev().for_each(|n| spread.add(n * 1000));
        let p95 = spread.p95().unwrap();
        assert!((95_000..98_000).contains(&p95), "{p95}");
        assert_eq!((spread.mean(), spread.max, spread.sum), (Some(50_500), 100_000, 5_050_000));
        let mut one = Spread::default();
        one.add(u64::MAX);
        one.add(u64::MAX);
        assert_eq!((one.p95(), one.sum), (Some(u64::MAX), u64::MAX));
    }
}
