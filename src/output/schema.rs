//! The JSON Schema (2020-12) of what [`super::json`] writes, made from the kinds of events.

use serde_json::{Map, Value as Json, json};

use super::json::{LOST, suffix};
use crate::event::{CAUSES, Field, Kind, Names, Shape};

/// The schema of one line: an object of one of these kinds, or a loss.
#[must_use]
pub fn schema(kinds: &[&Kind]) -> Json {
    let objects: Vec<Json> = kinds.iter().map(|kind| event(kind)).chain([lost()]).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "coretrace JSON lines",
        "description": "One line: an event, or a notice that events were lost. Integers have up to 64 bits.",
        "type": "object",
        "oneOf": objects,
    })
}

/// Properties, and which of them every object has.
#[derive(Default)]
struct Object {
    properties: Map<String, Json>,
    required: Vec<String>,
}

impl Object {
    /// Adds a property; `schema` says all but the description.
    fn add(&mut self, name: String, always: bool, doc: &str, mut schema: Json) {
        if let Json::Object(map) = &mut schema {
            map.insert("description".into(), doc.into());
        }
        if always {
            self.required.push(name.clone());
        }
        self.properties.insert(name, schema);
    }

    /// Adds a property that every object has.
    fn always(&mut self, name: &str, doc: &str, schema: Json) {
        self.add(name.into(), true, doc, schema);
    }

    /// Adds a property that an object has where it needs it.
    fn maybe(&mut self, name: String, doc: &str, schema: Json) {
        self.add(name, false, doc, schema);
    }

    fn finish(self, title: &str, doc: &str) -> Json {
        json!({
            "title": title,
            "description": doc,
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }

    fn begin(kind: &str) -> Self {
        let mut object = Object::default();
        object.always("kind", "What happened.", json!({ "const": kind, "type": "string" }));
        object
    }

    fn time(&mut self, doc: &str) {
        let pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$";
        self.always("time", doc, json!({ "type": "string", "format": "date-time", "pattern": pattern }));
    }
}

fn event(kind: &Kind) -> Json {
    let mut object = Object::begin(&kind.name);
    object.time("When it happened: RFC 3339, UTC, with nanoseconds.");
    object.always("boot_ns", "Nanoseconds since boot, suspend included (CLOCK_BOOTTIME).", uint(u64::MAX));
    object.always("cpu", "CPU on which the event was taken.", uint(u32::MAX));
    object.always("seq", "Counts the events of this kind on this CPU, lost ones too: a gap is a loss.", uint(u64::MAX));
    object.always("pid", "Process (the kernel's tgid), as numbered in coretrace's own PID namespace.", uint(u32::MAX));
    object.always("tid", "Thread (the kernel's pid), likewise.", uint(u32::MAX));
    object.always(
        "ppid",
        "Process of the real parent, likewise; 0 where there is none in this namespace.",
        uint(u32::MAX),
    );
    object.always("uid", "Real user id, as numbered in the initial user namespace.", uint(u32::MAX));
    object.always("gid", "Real group id, likewise.", uint(u32::MAX));
    object.always("comm", "Name of the thread, which it chooses itself.", json!({ "type": "string" }));
    object.maybe("comm_b64".into(), B64, base64());
    let doc = "What --labels say of who did it; there where they say anything.";
    object.maybe("label".into(), doc, json!({ "type": "string" }));
    object.maybe("label_b64".into(), B64, base64());
    object.always("cgroup_id", "Id of the cgroup v2 directory (its inode number).", uint(u64::MAX));
    for (name, doc) in Names::ALL {
        let doc = format!("{doc} There where names were asked for; null: the host has none. {READABLE}");
        object.maybe(name.into(), &doc, nullable(json!({ "type": "string" })));
        object.maybe(format!("{name}_b64"), B64, base64());
    }
    for field in kind.fields() {
        add_field(&mut object, field);
    }
    object.finish(&kind.name, &kind.doc)
}

fn lost() -> Json {
    let mut object = Object::begin(LOST);
    object.time("When it was noticed: RFC 3339, UTC, with nanoseconds.");
    object.always("class", "The kind of the lost events.", json!({ "type": "string" }));
    object.always("cause", "Why.", json!({ "type": "string", "enum": CAUSES }));
    object.always("count", "How many.", uint(u64::MAX));
    object.always("cpu", "CPU on which they were lost.", uint(u32::MAX));
    object.finish(LOST, "Events that the kernel side could not deliver.")
}

const READABLE: &str = "U+FFFD stands for what is not UTF-8.";
const B64: &str = "All bytes, in base64; there where they are not UTF-8.";

/// A field, null where the kernel could not read it, and what stands beside it.
fn add_field(object: &mut Object, field: &Field) {
    let name = &field.name;
    let (schema, doc) = match field.shape {
        Shape::Uint => (nullable(uint(u64::MAX)), ""),
        Shape::Pid => (nullable(uint(u32::MAX)), " A process or thread id in coretrace's own PID namespace."),
        Shape::Code => (nullable(uint(u32::MAX)), " 0 is success."),
        Shape::Signal => (nullable(json!({ "type": "string", "pattern": "^SIG[A-Z0-9+]+$" })), " The signal's name."),
        Shape::Ret => (
            nullable(json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX })),
            " Negative: the number of an error.",
        ),
        Shape::Mode => {
            (nullable(json!({ "type": "string", "pattern": "^0[0-7]{3,}$" })), " Permission bits, in octal.")
        }
        Shape::Bool => (nullable(json!({ "type": "boolean" })), ""),
        Shape::Size => (nullable(uint(u64::MAX)), " In bytes."),
        Shape::Span => (nullable(uint(u64::MAX)), " In nanoseconds."),
        Shape::Str | Shape::Path => (nullable(json!({ "type": "string" })), " U+FFFD stands for what is not UTF-8."),
        Shape::List => (nullable(strings()), " U+FFFD stands for what is not UTF-8."),
        Shape::Flags => {
            (nullable(strings()), " Names of the bits that are set; bits without a name as one 0x… string.")
        }
    };
    let doc = format!("{}{doc} Null: it could not be read.", field.doc);
    object.add(format!("{name}{}", suffix(field.shape)), field.always, &doc, schema);

    let holds = || json!({ "const": true, "type": "boolean" });
    match field.shape {
        Shape::Str => object.maybe(format!("{name}_b64"), B64, base64()),
        Shape::Path => {
            object.maybe(format!("{name}_b64"), B64, base64());
            object.maybe(format!("{name}_deleted"), "There where the file no longer has this name.", holds());
            let doc = "There where only the path's last names are, or its end is missing.";
            object.maybe(format!("{name}_truncated"), doc, holds());
            let doc = "There where the path is outside of what the process has as its root.";
            object.maybe(format!("{name}_unreachable"), doc, holds());
        }
        Shape::List => {
            let doc = "All bytes of every string, in base64; there where any of them is not UTF-8.";
            object.maybe(format!("{name}_b64"), doc, json!({ "type": "array", "items": base64() }));
            object.maybe(
                format!("{name}_bytes"),
                "Length of the whole list, a NUL after each string included. Null: more than what is there.",
                nullable(uint(u64::MAX)),
            );
            object.maybe(format!("{name}_truncated"), "There where only the list's beginning is.", holds());
        }
        Shape::Ret => {
            let pattern = json!({ "type": "string", "pattern": "^(E[A-Z0-9]+|-[0-9]+)$" });
            let doc = "The error's name (its negative number where it has none); there where it failed.";
            object.maybe("errno".into(), doc, pattern);
        }
        Shape::Uint | Shape::Pid | Shape::Code | Shape::Signal | Shape::Mode | Shape::Bool => {}
        Shape::Size | Shape::Span | Shape::Flags => {}
    }
}

fn uint(maximum: impl Into<u64>) -> Json {
    json!({ "type": "integer", "minimum": 0, "maximum": maximum.into() })
}

fn strings() -> Json {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn base64() -> Json {
    json!({ "type": "string", "contentEncoding": "base64" })
}

/// The same, or null.
fn nullable(mut schema: Json) -> Json {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}
