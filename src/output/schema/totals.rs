//! The schema of what was added up.

use serde_json::{Value as Json, json};

use super::object::Object;
use super::primitive::{B64, READABLE, base64, nullable, uint};
use crate::output::json::TOTAL;

pub(super) fn total() -> Json {
    let mut object = Object::begin(TOTAL);
    object.time("As it was then: RFC 3339, UTC, with nanoseconds.");
    object.always("func", &format!("What was hit, as it was named. {READABLE}"), json!({ "type": "string" }));
    object.maybe("func_b64".into(), B64, base64());
    object.always("by", "The values that these hits have in common, by their names.", json!({ "type": "object" }));
    object.maybe(
        "of".into(),
        "The expression that is added up; there where it is not hits.",
        json!({ "type": "string" }),
    );
    object.maybe(
        "unit".into(),
        "What its values count; there where that is known.",
        json!({ "const": "ns", "type": "string" }),
    );
    object.always("count", "Hits.", uint(u64::MAX));
    object.maybe("unread".into(), "Hits whose value could not be read.", uint(u64::MAX));
    let integer = || json!({ "type": "integer" });
    object.maybe("sum".into(), "What the values come to. It may have more than 64 bits.", integer());
    object.maybe("min".into(), "The least value. Null: there is none.", nullable(integer()));
    object.maybe("max".into(), "The greatest value. Null: there is none.", nullable(integer()));
    object.maybe("mean".into(), "The values' mean. Null: there is none.", nullable(json!({ "type": "number" })));
    let doc =
        "How many values are from `from` to `to`, both included: 0, or a power of two. Those with none are left out.";
    object.maybe("histogram".into(), doc, json!({ "type": "array", "items": range() }));
    object.finish(TOTAL, "What hits come to that were added up in the kernel.")
}

fn range() -> Json {
    json!({
        "type": "object",
        "properties": { "from": { "type": "integer" }, "to": { "type": "integer" }, "count": uint(u64::MAX) },
        "required": ["from", "to", "count"],
        "additionalProperties": false,
    })
}
