//! What user space adds to an event: its wall-clock time.

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
        let nanos = |clock| clock_gettime(clock).ok().map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec());
        match (nanos(ClockId::CLOCK_REALTIME), nanos(ClockId::CLOCK_BOOTTIME)) {
            (Some(wall), Some(boot)) => {
                let offset = wall - boot;
                // The two readings are not of the same instant: less than that is noise.
                if offset.abs_diff(self.offset) > 100_000 { WallClock { offset } } else { self }
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
