//! The schema of a row of a summary (--summary).

use serde_json::{Value as Json, json};

use super::object::Object;
use super::primitive::{B64, READABLE, base64, nullable, uint};
use crate::output::summary::{By, Of, SUMMARY};

pub(super) fn summary() -> Json {
    let mut object = Object::begin(SUMMARY);
    object.time("As it was then (at the end: when the last event happened): RFC 3339, UTC, with nanoseconds.");
    let doc = "What the row is of: processes that ended, files by their path or directory, failures by their reason, or calls.";
    object.always("of", doc, json!({ "type": "string", "enum": Of::ALL.map(Of::name) }));
    let doc = "What its processes have in common; there where it is of processes.";
    object.maybe("by".into(), doc, json!({ "type": "string", "enum": By::ALL.map(By::name) }));
    object.maybe(
        "event".into(),
        "The kind of its events; there where it is of something else.",
        json!({ "type": "string" }),
    );
    let doc = "What all of the row have in common: a name, a path without what leads nowhere (// and /./), an error; arguments \
               are quoted as bash reads them.";
    object.always("key", &format!("{doc} {READABLE}"), json!({ "type": "string" }));
    object.maybe("key_b64".into(), B64, base64());
    let doc = "Of arguments: how long all are, NULs included. Null: longer than what is there, and not counted.";
    object.maybe("key_bytes".into(), doc, nullable(uint(u64::MAX)));
    let flag = json!({ "const": true, "type": "boolean" });
    object.maybe("key_deleted".into(), "There where the file no longer has this name.", flag.clone());
    object.maybe("key_truncated".into(), "There where a part is missing.", flag.clone());
    object.maybe("key_unreachable".into(), "There where the path is outside of the process's root.", flag);
    object.always("count", "How many there were.", uint(u64::MAX));
    object.always("failed", "How many of them failed.", uint(u64::MAX));
    object.maybe("lifetime_ns".into(), "How long these processes lived.", numbers());
    object.maybe("cpu_ns".into(), "CPU time of these processes.", numbers());
    object.maybe("max_rss_bytes".into(), "The most memory of each of these processes.", numbers());
    object.maybe("duration_ns".into(), "How long these calls took.", numbers());
    object.finish(SUMMARY, "A row of a summary (--summary).")
}

/// Of several numbers.
fn numbers() -> Json {
    let of = |doc: &str, mut schema: Json| {
        if let Json::Object(map) = &mut schema {
            map.insert("description".into(), doc.into());
        }
        schema
    };
    json!({
        "type": "object",
        "properties": {
            "known": of("How many of them are known: the others are in no number beside it.", uint(u64::MAX)),
            "sum": of("What they come to. Null: none is known.", nullable(uint(u64::MAX))),
            "mean": of("Their mean. Null: none is known.", nullable(uint(u64::MAX))),
            "p95": of("What 95 of a hundred do not exceed, at most a 32nd more. Null: none is known.", nullable(uint(u64::MAX))),
            "max": of("The greatest. Null: none is known.", nullable(uint(u64::MAX))),
        },
        "required": ["known", "sum", "mean", "p95", "max"],
        "additionalProperties": false,
    })
}
