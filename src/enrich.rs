//! What user space adds to an event: its wall-clock time, and names for its numbers.

mod names;

pub use names::Names;

use nix::time::{ClockId, clock_gettime};

/// Turns the kernel's time since boot into wall-clock time.
///
/// The distance of the two clocks changes (clock steps, NTP), so it is measured again and again; an
/// event gets the one that was true close to when it happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WallClock {
    /// Nanoseconds from boot time to time since 1970.
    pub offset: i64,
}

impl WallClock {
    /// Measures the distance now. Where a clock cannot be read (never, on Linux) it stays.
    #[must_use]
    pub fn measured(self) -> Self {
        // The readings are not of one instant: this process may be interrupted between them. The wall
        // clock is read between two readings of the other, and counts when these are close.
        let attempts = std::iter::repeat_with(|| {
            let (before, wall, after) =
                (nanos(ClockId::CLOCK_BOOTTIME)?, nanos(ClockId::CLOCK_REALTIME)?, nanos(ClockId::CLOCK_BOOTTIME)?);
            Some((after - before, wall - before))
        });
        match attempts.take(4).flatten().min() {
            // What is within the readings' own uncertainty is no change.
            Some((doubt, offset)) if offset.abs_diff(self.offset) > 50_000 + doubt.unsigned_abs() => {
                WallClock { offset }
            }
            _ => self,
        }
    }

    /// Nanoseconds since 1970 of a time since boot.
    #[must_use]
    pub fn unix_ns(self, boot_ns: u64) -> i64 {
        self.offset.saturating_add(i64::try_from(boot_ns).unwrap_or(i64::MAX))
    }
}

fn nanos(clock: ClockId) -> Option<i64> {
    clock_gettime(clock).ok().map(|time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Nanoseconds since boot, as the kernel's programs take them.
#[must_use]
pub fn boot_now() -> u64 {
    nanos(ClockId::CLOCK_BOOTTIME).and_then(|now| u64::try_from(now).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_found_and_then_stays() {
        let clock = WallClock::default().measured();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let told = clock.unix_ns(boot_now());
        assert!((i128::from(told) - wall.as_nanos().cast_signed()).abs() < 1_000_000_000, "{told} {wall:?}");
        assert!(clock.measured().offset.abs_diff(clock.offset) < 1_000_000_000);
        assert_eq!(WallClock { offset: i64::MAX }.unix_ns(5), i64::MAX);
        assert_eq!(WallClock { offset: -7 }.unix_ns(u64::MAX), i64::MAX - 7);
    }
}
