//! Schemas of what values are made of.

use serde_json::{Value as Json, json};

pub(super) const READABLE: &str = "U+FFFD stands for what is not UTF-8.";
pub(super) const B64: &str = "All bytes, in base64; there where they are not UTF-8.";

pub(super) fn uint(maximum: impl Into<u64>) -> Json {
    json!({ "type": "integer", "minimum": 0, "maximum": maximum.into() })
}

/// A time.
pub(super) fn instant() -> Json {
    let pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$";
    json!({ "type": "string", "format": "date-time", "pattern": pattern })
}

pub(super) fn strings() -> Json {
    json!({ "type": "array", "items": { "type": "string" } })
}

pub(super) fn base64() -> Json {
    json!({ "type": "string", "contentEncoding": "base64" })
}

/// The same, or null.
pub(super) fn nullable(mut schema: Json) -> Json {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}
