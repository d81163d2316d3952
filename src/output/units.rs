//! Sizes and lengths of time, as people read them.

use std::fmt::Write as _;

use arrayvec::ArrayString;

/// Something short, of ASCII only.
pub type Short = ArrayString<48>;

/// Spells it. The longest is an address of IPv6 with its port.
pub fn short(args: std::fmt::Arguments<'_>) -> Short {
    let mut text = Short::new();
    let _ = text.write_fmt(args);
    text
}

/// A number with so many decimals, then what it counts. (std's formatting takes several times as long, and every
/// exit has three of them.)
fn decimal(number: u64, decimals: u32, unit: &str) -> Short {
    let mut text = Short::new();
    let mut digits = itoa::Buffer::new();
    let scale = 10_u64.pow(decimals);
    text.push_str(digits.format(number / scale));
    if decimals > 0 {
        text.push('.');
        text.push_str(digits.format(scale + number % scale).get(1..).unwrap_or_default());
    }
    text.push_str(unit);
    text
}

/// `812B`, `12.0KiB`, `2.3MiB`.
pub fn size(bytes: u64) -> Short {
    for (unit, power) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50), ("EiB", 60)] {
        let tenths = (u128::from(bytes) * 10 + (1 << (power - 1))) >> power;
        if bytes >= 1024 && (tenths < 10240 || power == 60) {
            // At most 16 EiB's tenths: it fits.
            return decimal(tenths as u64, 1, unit);
        }
    }
    decimal(bytes, 0, "B")
}

const SECOND: u64 = 1_000_000_000;

/// Three significant digits: `812ns`, `4.21us`, `35.2ms`, `1.25s`; from a minute on `2m05s`, `3h04m`, `2d01h`.
pub fn span(ns: u64) -> Short {
    if ns < 1000 {
        return decimal(ns, 0, "ns");
    }
    if ns < 60 * SECOND {
        for (unit, name) in [(1_000, "us"), (1_000_000, "ms"), (SECOND, "s")] {
            for (decimals, scale) in [(2, 100), (1, 10), (0, 1)] {
                // What rounds up to a minute is shown as one.
                let most = if (unit, scale) == (SECOND, 10) { 600 } else { 1000 };
                let n = (ns * scale + unit / 2) / unit;
                if n < most && (unit < SECOND || scale > 1) {
                    return decimal(n, decimals, name);
                }
            }
        }
    }
    let rounded = |unit: u64| ns.saturating_add(unit / 2) / unit;
    let (s, m, h) = (rounded(SECOND), rounded(60 * SECOND), rounded(3600 * SECOND));
    if s < 3600 {
        short(format_args!("{}m{:02}s", s / 60, s % 60))
    } else if m < 24 * 60 {
        short(format_args!("{}h{:02}m", m / 60, m % 60))
    } else {
        short(format_args!("{}d{:02}h", h / 24, h % 24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_three_digits() {
        let table: &[(u64, &str)] = &[
            (0, "0ns"),
            (812, "812ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (4_210, "4.21us"),
            (9_994, "9.99us"),
            (9_996, "10.0us"),
            (99_960, "100us"),
            (999_600, "1.00ms"),
            (3_520_000, "3.52ms"),
            (421_400_000, "421ms"),
            (999_500_000, "1.00s"),
            (1_250_000_000, "1.25s"),
            (59_940_000_000, "59.9s"),
            (59_960_000_000, "1m00s"),
            (125 * SECOND, "2m05s"),
            (3_599_600_000_000, "1h00m"),
            ((3 * 60 + 4) * 60 * SECOND, "3h04m"),
            (49 * 3600 * SECOND, "2d01h"),
            (u64::MAX, "213503d23h"),
        ];
        for (ns, want) in table {
            assert_eq!(span(*ns).as_str(), *want, "{ns}");
        }
    }

    #[test]
    fn sizes_have_one_decimal() {
        let table: &[(u64, &str)] = &[
            (0, "0B"),
            (512, "512B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (12 << 10, "12.0KiB"),
            (2_411_725, "2.3MiB"),
            ((1 << 20) - 1, "1.0MiB"),
            (u64::MAX, "16.0EiB"),
        ];
        for (bytes, want) in table {
            assert_eq!(size(*bytes).as_str(), *want, "{bytes}");
        }
    }
}
