//! For tests: the smallest types there are.

/// The smallest sound BTF, in this machine's byte order: one type (int).
pub(crate) fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for number in [24_u32, 0, 16, 16, 5, 1, 1 << 24, 4, 0x0100_0020] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(b"\0int\0");
    bytes
}
