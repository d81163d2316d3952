//! Protocol Buffers, as far as a trace needs them (protobuf.dev/programming-guides/encoding): a message is a sequence of
//! fields, each a number and a value.

use std::fmt::Write;

/// A message that is being written, with those within it.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

/// A message within another one, which is to be closed.
#[derive(Debug)]
#[must_use]
pub struct Opened {
    /// Where its length is: a byte, until that is known.
    at: usize,
}

/// How a value is written (its wire type).
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn varint(&mut self, value: u64) {
        let (digits, count) = varint(value);
        self.bytes.extend_from_slice(digits.get(..count).unwrap_or_default());
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// A number without a sign, one of an enum, or a Boolean.
    pub fn uint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// A number of type `int64`: negative ones in two's complement.
    pub fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value.cast_unsigned());
    }

    /// A number of type `fixed64`.
    pub fn fixed(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A floating-point number.
    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed(field, value.to_bits());
    }

    /// A string, or a whole message.
    pub fn string(&mut self, field: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.tag(field, LENGTH);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Begins a message within, or a string that is written piece by piece.
    pub fn open(&mut self, field: u32) -> Opened {
        self.tag(field, LENGTH);
        self.bytes.push(0);
        Opened { at: self.bytes.len() - 1 }
    }

    /// Ends what was begun. What is longer than 127 bytes makes room for its length.
    pub fn close(&mut self, Opened { at }: Opened) {
        let (begin, end) = (at + 1, self.bytes.len());
        let (digits, count) = varint((end - begin) as u64);
        let more = count - 1;
        self.bytes.resize(end + more, 0);
        self.bytes.copy_within(begin..end, begin + more);
        let length = self.bytes.iter_mut().skip(at);
        length.zip(digits).take(count).for_each(|(byte, digit)| *byte = digit);
    }
}

/// Adds a piece of a string.
impl Write for Message {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.bytes.extend_from_slice(piece.as_bytes());
        Ok(())
    }
}

/// Seven bits a byte, the lowest first; and how many bytes there are.
fn varint(mut value: u64) -> ([u8; 10], usize) {
    let (mut digits, mut count) = ([0; 10], 0);
    for digit in &mut digits {
        count += 1;
        *digit = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *digit |= 0x80;
    }
    (digits, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_specification() {
        let mut message = Message::default();
        message.uint(1, 150);
        assert_eq!(message.bytes(), [0x08, 0x96, 0x01]);
        message.clear();
        message.string(2, "testing");
        assert_eq!(message.bytes(), b"\x12\x07testing");
        message.clear();
        message.int(16, -1);
        assert_eq!(message.bytes(), [&[0x80, 0x01][..], &[0xff; 9], &[0x01]].concat());
        message.clear();
        message.double(3, 1.0);
        assert_eq!(message.bytes(), [0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }

    #[test]
    fn messages_are_in_messages_whatever_their_length() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let (mut message, text) = (Message::default(), "x".repeat(length));
            let outer = message.open(1);
            let inner = message.open(2);
            message.write_str(&text).unwrap();
            message.close(inner);
            message.uint(3, 7);
            message.close(outer);
            let mut within = Message::default();
            within.string(2, &text);
            within.uint(3, 7);
            let mut whole = Message::default();
            whole.string(1, within.bytes());
            assert_eq!(message.bytes(), whole.bytes(), "{length}");
        }
    }
}
