//! Wall-clock time as text. Dates are computed once a second, not once an event.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use arrayvec::ArrayString;
use chrono::{DateTime, Datelike, Local, NaiveDateTime, Timelike};

/// How a time is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `HH:MM:SS` and a fraction, in the local zone.
    Local,
    /// `HH:MM:SS` and a fraction, in UTC.
    Utc,
    /// RFC 3339 in UTC: `YYYY-MM-DDTHH:MM:SS`, a fraction, `Z`.
    Rfc3339,
}

/// Spells times, and remembers the last second.
#[derive(Debug)]
pub struct Clock {
    style: Style,
    digits: usize,
    /// The second that was spelled last, and where its fraction begins.
    second: Option<i64>,
    fraction: usize,
    spelled: ArrayString<40>,
}

const NANOS: i64 = 1_000_000_000;

impl Clock {
    /// A clock of that style, with that many digits (at most 9) of a second's fraction.
    #[must_use]
    pub fn new(style: Style, digits: usize) -> Self {
        // chrono would read it to its end; it takes UTC for what is no zone, too.
        let style = if style == Style::Local && !zone_is_sane(std::env::var_os("TZ")) { Style::Utc } else { style };
        Clock { style, digits: digits.min(9), second: None, fraction: 0, spelled: ArrayString::new() }
    }

    /// How many columns a time takes.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.style {
            Style::Local | Style::Utc => "HH:MM:SS.".len() + self.digits,
            Style::Rfc3339 => "YYYY-MM-DDTHH:MM:SS.Z".len() + self.digits,
        }
    }

    /// Spells the time `unix_ns` (nanoseconds since 1970; every `i64` is a time, from 1677 to 2262). The fraction is cut,
    /// not rounded: rounded up, it could lie in the next second.
    pub fn spell(&mut self, unix_ns: i64) -> &str {
        let second = unix_ns.div_euclid(NANOS);
        if self.second != Some(second) {
            self.spell_second(second);
            self.fraction = self.spelled.len();
            self.second = Some(second);
        }
        let mut fraction = *b".000000000";
        let mut rest = unix_ns.rem_euclid(NANOS);
        for digit in fraction.iter_mut().skip(1).rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let fraction = fraction.get(..=self.digits).unwrap_or_default();
        self.spelled.truncate(self.fraction);
        // There is room: 40 bytes for the 30 of the longest style.
        let _ = self.spelled.try_push_str(str::from_utf8(fraction).unwrap_or_default());
        if self.style == Style::Rfc3339 {
            let _ = self.spelled.try_push('Z');
        }
        &self.spelled
    }

    fn spell_second(&mut self, second: i64) {
        // Cannot fail: an i64 of nanoseconds is within what chrono knows.
        let utc = DateTime::from_timestamp(second, 0).unwrap_or_default();
        let t: NaiveDateTime = match self.style {
            Style::Local => utc.with_timezone(&Local).naive_local(),
            Style::Utc | Style::Rfc3339 => utc.naive_utc(),
        };
        self.spelled.clear();
        // There is room, see above.
        if self.style == Style::Rfc3339 {
            let _ = write!(self.spelled, "{:04}-{:02}-{:02}T", t.year(), t.month(), t.day());
        }
        let _ = write!(self.spelled, "{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second());
    }
}

/// Whether the file that TZ names, wherever chrono looks for it, comes to an end soon: TZ=/dev/zero is somebody's idea of
/// a joke, and a FIFO never begins.
fn zone_is_sane(tz: Option<OsString>) -> bool {
    /// The largest zones have 4 KB.
    const ZONE_MAX: u64 = 1 << 20;
    let dirs = ["/usr/share/zoneinfo", "/share/zoneinfo", "/etc/zoneinfo", "/usr/share/lib/zoneinfo"];
    let Some(tz) = tz else { return true };
    let name = tz.as_bytes().strip_prefix(b":").unwrap_or(tz.as_bytes());
    // What is absolute replaces the directory.
    let places = dirs.iter().map(|dir| Path::new(dir).join(OsStr::from_bytes(name)));
    places
        .filter_map(|path| fs::metadata(path).ok())
        .all(|about| about.is_dir() || about.is_file() && about.len() <= ZONE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_without_an_end_is_not_read() {
        let sane = |tz: &str| zone_is_sane(Some(tz.into()));
        assert!(zone_is_sane(None));
        assert_eq!(["", "UTC", ":UTC", "Europe/Berlin", "CET-1CEST", "/no/such"].map(sane), [true; 6]);
        assert_eq!(["/dev/zero", ":/dev/zero"].map(sane), [false; 2]);
    }

    fn spell(style: Style, digits: usize, times: &[i64]) -> Vec<String> {
        let mut clock = Clock::new(style, digits);
        let spelled: Vec<_> = times.iter().map(|t| clock.spell(*t).to_owned()).collect();
        assert!(spelled.iter().all(|s| s.len() == clock.width()));
        spelled
    }

    #[test]
    fn time_is_spelled_with_the_fraction_asked_for() {
        let t = 1_700_000_000_123_456_789;
        assert_eq!(spell(Style::Rfc3339, 9, &[t]), ["2023-11-14T22:13:20.123456789Z"]);
        assert_eq!(
            spell(Style::Utc, 3, &[t, t + 1_000_000, t + NANOS]),
            ["22:13:20.123", "22:13:20.124", "22:13:21.123"]
        );
        assert_eq!(spell(Style::Utc, 6, &[t, 0]), ["22:13:20.123456", "00:00:00.000000"]);
    }

    #[test]
    fn the_second_is_forgotten_when_time_goes_back() {
        assert_eq!(
            spell(Style::Utc, 3, &[2 * NANOS, NANOS, 2 * NANOS]),
            ["00:00:02.000", "00:00:01.000", "00:00:02.000"]
        );
    }

    #[test]
    fn absurd_times_are_spelled_too() {
        assert_eq!(
            spell(Style::Rfc3339, 9, &[-1, i64::MIN, i64::MAX]),
            ["1969-12-31T23:59:59.999999999Z", "1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775807Z"]
        );
        assert_eq!(spell(Style::Local, 40, &[i64::MIN, i64::MAX]).len(), 2);
    }

    #[test]
    fn the_local_zone_is_chronos() {
        let t = 1_700_000_000;
        let want = DateTime::from_timestamp(t, 0).unwrap().with_timezone(&Local).format("%H:%M:%S.000").to_string();
        assert_eq!(spell(Style::Local, 3, &[t * NANOS]), [want]);
    }
}
