//! What the text of an argument may refer to.

/// What an operand may refer to.
pub(super) struct Around<'a> {
    /// The address of the probe: what is in the program counter.
    pub address: u64,
    pub symbol: &'a dyn Fn(&str) -> Option<u64>,
}

/// A number as assemblers have it: decimal, or with 0x.
pub(super) fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    // What has 64 bits may be written with or without a sign.
    let value = value.cast_signed();
    Some(if negative { value.wrapping_neg() } else { value })
}
