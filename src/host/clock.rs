//! The clocks: the time that programs in the kernel take, and wall-clock time.

use std::fs;
use std::sync::OnceLock;

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
            let (before, wall, after) = (since_boot()?, nanos(ClockId::CLOCK_REALTIME)?, since_boot()?);
            Some((after - before, wall - before))
        });
        match attempts.take(4).flatten().min() {
            // What is within the readings' own uncertainty is no change.
            Some((uncertainty, offset)) if offset.abs_diff(self.offset) > 50_000 + uncertainty.unsigned_abs() => {
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

/// Nanoseconds that this time namespace adds to the time since boot (time_namespaces(7)). Programs in the kernel know
/// nothing of it.
#[must_use]
pub fn boot_offset() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| boot_offset_of(&fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default()))
}

fn boot_offset_of(offsets: &str) -> i64 {
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"));
    let numbers: Vec<i64> = line.into_iter().flat_map(str::split_whitespace).filter_map(|n| n.parse().ok()).collect();
    match numbers.as_slice() {
        [seconds, nanos] => seconds.saturating_mul(1_000_000_000).saturating_add(*nanos),
        _ => 0,
    }
}

fn since_boot() -> Option<i64> {
    nanos(ClockId::CLOCK_BOOTTIME).map(|now| now.saturating_sub(boot_offset()))
}

fn nanos(clock: ClockId) -> Option<i64> {
    clock_gettime(clock).ok().map(|time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Nanoseconds since boot, as the kernel's programs take them.
#[must_use]
pub fn boot_now() -> u64 {
    since_boot().and_then(|now| u64::try_from(now).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_time_namespace_adds_is_read() {
        assert_eq!(boot_offset_of("monotonic  5  0\nboottime  -3  5\n"), -2_999_999_995);
        assert_eq!((boot_offset_of(""), boot_offset_of("boottime x")), (0, 0));
    }

    #[test]
    fn the_wall_clock_is_found_and_then_stays() {
        let clock = WallClock::default().measured();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let ns = clock.unix_ns(boot_now());
        assert!((i128::from(ns) - wall.as_nanos().cast_signed()).abs() < 1_000_000_000, "{ns} {wall:?}");
        assert!(clock.measured().offset.abs_diff(clock.offset) < 1_000_000_000);
        assert_eq!(WallClock { offset: i64::MAX }.unix_ns(5), i64::MAX);
        assert_eq!(WallClock { offset: -7 }.unix_ns(u64::MAX), i64::MAX - 7);
    }
}
