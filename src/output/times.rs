//! TIME, the first column of text.

use std::fmt::Write as _;

use arrayvec::ArrayString;

use super::clock::{Clock, Style};
use super::look::{Look, Time};
use crate::event::Head;

/// Spells times.
#[derive(Debug)]
pub struct Times {
    time: Time,
    clock: Clock,
    digits: usize,
    /// From time since boot to time since 1970, as of the last event.
    offset: i64,
    /// What was spelled last.
    last: Option<i64>,
    spelled: ArrayString<40>,
}

const NANOS: u64 = 1_000_000_000;
/// Digits of seconds: until 115 days after boot, columns are aligned.
const SECONDS: usize = 7;

impl Times {
    pub fn new(look: &Look) -> Self {
        let style = if look.time == Time::Utc { Style::Utc } else { Style::Local };
        let digits = if look.columns().is_some() { 3 } else { 6 };
        let (clock, spelled) = (Clock::new(style, digits), ArrayString::new());
        Times { time: look.time, clock, digits, offset: 0, last: None, spelled }
    }

    /// Where the next column begins.
    pub fn end(&self) -> usize {
        match self.time {
            Time::Local | Time::Utc => self.clock.width() + 1,
            Time::Mono | Time::Delta => SECONDS + 1 + self.digits + 1,
            Time::None => 0,
        }
    }

    /// What the column is called.
    pub fn title<'a>(&self, title: &'a str) -> &'a str {
        if self.time == Time::None { "" } else { title }
    }

    /// When an event happened.
    pub fn of(&mut self, head: &Head) -> &str {
        self.follow(head);
        self.spell(head.unix_ns)
    }

    /// Both clocks are as an event says.
    pub fn follow(&mut self, head: &Head) {
        self.know(head.boot_ns, head.unix_ns);
    }

    /// Both clocks are so at one instant.
    pub fn know(&mut self, boot_ns: u64, unix_ns: i64) {
        self.offset = unix_ns.saturating_sub(i64::try_from(boot_ns).unwrap_or(i64::MAX));
    }

    /// A time (nanoseconds since 1970).
    pub fn spell(&mut self, unix_ns: i64) -> &str {
        match self.time {
            Time::Local | Time::Utc => return self.clock.spell(unix_ns),
            Time::None => return "",
            Time::Mono => self.seconds("", unix_ns.saturating_sub(self.offset)),
            Time::Delta => {
                let since = unix_ns.saturating_sub(self.last.replace(unix_ns).unwrap_or(unix_ns));
                self.seconds("+", since);
            }
        }
        &self.spelled
    }

    /// The fraction is cut, as that of clocks is.
    fn seconds(&mut self, plus: &str, ns: i64) {
        let (sign, ns) = (if ns < 0 { "-" } else { plus }, ns.unsigned_abs());
        let fraction = (ns % NANOS) / 10_u64.pow(u32::try_from(9 - self.digits.min(9)).unwrap_or(0));
        let mut seconds = ArrayString::<24>::new();
        let _ = write!(seconds, "{sign}{}", ns / NANOS);
        self.spelled.clear();
        // There is room: of an i64, seconds have 10 digits.
        let _ = write!(self.spelled, "{seconds:>SECONDS$}.{fraction:0digits$}", digits = self.digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(time: Time, all: &[(u64, i64)]) -> Vec<String> {
        let mut times = Times::new(&Look { time, ..Look::default() });
        let end = times.end();
        let head = |(boot_ns, unix_ns): &(u64, i64)| Head { boot_ns: *boot_ns, unix_ns: *unix_ns, ..Head::default() };
        let spelled: Vec<String> = all.iter().map(|at| times.of(&head(at)).to_owned()).collect();
        assert!(spelled.iter().all(|text| text.len() + 1 == end || end == 0), "{spelled:?}");
        spelled
    }

    #[test]
    fn times_are_spelled_as_asked_for() {
        const T: i64 = 1_700_000_000_123_456_789;
        let all = [(5_000_000_000, T), (5_000_001_999, T + 1999), (4_999_000_000, T - 1_000_000)];
        assert_eq!(times(Time::Utc, &all), ["22:13:20.123456", "22:13:20.123458", "22:13:20.122456"]);
        assert_eq!(times(Time::Mono, &all), ["      5.000000", "      5.000001", "      4.999000"]);
        assert_eq!(times(Time::Delta, &all), ["     +0.000000", "     +0.000001", "     -0.001001"]);
        assert_eq!(times(Time::None, &all), [""; 3]);
        let absurd = times(Time::Mono, &[(u64::MAX, i64::MIN)]);
        assert_eq!(absurd.len(), 1);
    }
}
