//! Names and strings of a JSON object: of any bytes, and no byte is lost.

use std::fmt::{self, Display, Write as _};

use arrayvec::ArrayString;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Adds a string of any bytes.
pub(in crate::output) fn bytes<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(name, &Readable(bytes))?;
    if str::from_utf8(bytes).is_err() {
        map.serialize_entry(&Key(name, "_b64"), &Base64(bytes))?;
    }
    Ok(())
}

/// A name and what is added to it.
pub(super) struct Key<'a>(pub &'a str, pub &'static str);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key(name, "") => serializer.serialize_str(name),
            Key(name, suffix) => {
                let mut key = ArrayString::<64>::new();
                match key.try_push_str(name).and_then(|()| key.try_push_str(suffix)) {
                    Ok(()) => serializer.serialize_str(&key),
                    Err(_) => serializer.collect_str(&format_args!("{name}{suffix}")),
                }
            }
        }
    }
}

/// Bytes as a string, U+FFFD for what is not UTF-8.
pub(super) struct Readable<'a>(pub &'a [u8]);

impl Serialize for Readable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_str(self),
        }
    }
}

impl Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// Bytes in base64.
pub(super) struct Base64<'a>(pub &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
