//! The schema of a field, as JSON lines have its value and what stands beside it.

use serde_json::{Value as Json, json};

use super::object::Object;
use super::primitive::{B64, READABLE, base64, nullable, strings, uint};
use crate::event::{Change, Field, Shape};
use crate::output::json::suffix;

/// A field, null where the kernel could not read it, and what stands beside it.
pub(super) fn add_field(object: &mut Object, field: &Field) {
    let Field { name, shape, .. } = field;
    let (schema, doc) = of_value(*shape);
    let own = format!("{}.", field.doc.trim_end_matches('.'));
    let doc = [&own, doc, "Null: it could not be read."].into_iter().filter(|part| !part.is_empty());
    let doc = doc.collect::<Vec<_>>().join(" ");
    object.add(format!("{name}{}", suffix(*shape)), field.always, &doc, nullable(schema));
    match shape {
        Shape::Str => object.maybe(format!("{name}_b64"), B64, base64()),
        Shape::Path => beside_path(object, name),
        Shape::List => beside_list(object, name),
        Shape::Ret => {
            let pattern = json!({ "type": "string", "pattern": "^(E[A-Z0-9]+|-[0-9]+)$" });
            let doc = "The error's name (its negative number where it has none); there where it failed.";
            object.maybe("errno".into(), doc, pattern);
        }
        Shape::Uint | Shape::Pid | Shape::Code | Shape::Signal | Shape::Mode | Shape::Bool => {}
        Shape::Stack => {
            let doc = "There where more calls led there than are shown.";
            object.maybe(format!("{name}_truncated"), doc, holds());
        }
        Shape::Env => beside_env(object, name),
        Shape::EnvDiff => {
            let arrays = Change::ALL.map(Change::name);
            let properties = arrays.iter().map(|name| ((*name).to_owned(), wholes())).collect();
            let schema = self::object(Json::Object(properties), &arrays);
            object.maybe(format!("{name}_b64"), WHOLE, schema);
            let doc = "There where only the beginning of one of the two was read.";
            object.maybe(format!("{name}_truncated"), doc, holds());
        }
        Shape::Ancestors => object.maybe(format!("{name}_truncated"), "There where there are more above.", holds()),
        Shape::Size | Shape::Span | Shape::Flags | Shape::Group | Shape::Any => {}
        Shape::Endpoint | Shape::Nat | Shape::Traffic | Shape::Icmp => {}
    }
}

/// What a value of that shape is, and a sentence more about it.
fn of_value(shape: Shape) -> (Json, &'static str) {
    let matching = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match shape {
        Shape::Uint => (uint(u64::MAX), ""),
        Shape::Pid => (uint(u32::MAX), "A process or thread id in coretrace's own PID namespace."),
        Shape::Code => (uint(u32::MAX), "0 is success."),
        Shape::Signal => (matching("^SIG[A-Z0-9+]+$"), "The signal's name."),
        Shape::Ret => {
            let integer = json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX });
            (integer, "Negative: the number of an error.")
        }
        Shape::Mode => (matching("^0[0-7]{3,}$"), "Permission bits, in octal."),
        Shape::Bool => (json!({ "type": "boolean" }), ""),
        Shape::Size => (uint(u64::MAX), "In bytes."),
        Shape::Span => (uint(u64::MAX), "In nanoseconds."),
        Shape::Str | Shape::Path => (json!({ "type": "string" }), READABLE),
        Shape::List => (strings(), READABLE),
        Shape::Env => (variables(), READABLE),
        Shape::EnvDiff => {
            let names = Change::ALL.map(Change::name);
            let properties = names.iter().map(|name| ((*name).to_owned(), variables())).collect();
            (object(Json::Object(properties), &names), READABLE)
        }
        Shape::Ancestors => (json!({ "type": "array", "items": ancestor() }), "The nearest first."),
        Shape::Group => (json!({ "type": "object" }), "By their names."),
        Shape::Endpoint => (end(), ""),
        Shape::Nat => (object(json!({ "src": end(), "dst": end() }), &[]), "Those ends that are replaced."),
        Shape::Traffic => (numbers(&["packets", "bytes"]), ""),
        Shape::Icmp => (numbers(&["type", "code", "id"]), ""),
        Shape::Stack => (json!({ "type": "array", "items": call() }), "Innermost first."),
        Shape::Any => (json!({}), ""),
        Shape::Flags => (strings(), "Names of the bits that are set; bits without a name as one 0x… string."),
    }
}

fn object(properties: Json, required: &[&str]) -> Json {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// One end of a connection.
fn end() -> Json {
    object(json!({ "address": { "type": "string" }, "port": uint(u16::MAX) }), &["address"])
}

fn numbers(names: &[&str]) -> Json {
    let properties = names.iter().map(|name| ((*name).to_owned(), uint(u64::MAX)));
    object(Json::Object(properties.collect()), names)
}

/// Values by the names of variables.
fn variables() -> Json {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

/// A process above another one.
fn ancestor() -> Json {
    let comm = json!({ "type": "string" });
    object(json!({ "pid": uint(u32::MAX), "comm": comm, "comm_b64": base64() }), &["pid", "comm"])
}

/// A call in a stack.
fn call() -> Json {
    let hex = |doc: &str| json!({ "type": "string", "pattern": "^0x[0-9a-f]+$", "description": doc });
    let text = |doc: &str| json!({ "type": "string", "description": doc });
    json!({
        "type": "object",
        "properties": {
            "function": text("The function that it is in, as its language spells it; there where it is known."),
            "offset": { "description": "How far behind the function's beginning, in bytes.", "minimum": 0,
                        "maximum": u64::MAX, "type": "integer" },
            "inlined": { "const": true, "type": "boolean",
                         "description": "There where the compiler has put it into the function of the next call." },
            "file": text("Of a program: the file that it is in. Of the kernel: the module, if it is in one."),
            "source": text("The line of the source; there where there is debug information."),
            "build_id": text("The build id of its file, in hex; there where that file was not found."),
            "file_offset": hex("Its place in the file; there where no function is known."),
            "address": hex("Of the kernel, or where its file is not known: its address."),
        },
        "additionalProperties": false,
    })
}

fn beside_path(object: &mut Object, name: &str) {
    object.maybe(format!("{name}_b64"), B64, base64());
    object.maybe(format!("{name}_deleted"), "There where the file no longer has this name.", holds());
    let doc = "There where only the path's last names are, or its end is missing.";
    object.maybe(format!("{name}_truncated"), doc, holds());
    let doc = "There where the path is outside of what the process has as its root.";
    object.maybe(format!("{name}_unreachable"), doc, holds());
}

fn beside_list(object: &mut Object, name: &str) {
    let doc = "All bytes of every string, in base64; there where any of them is not UTF-8.";
    object.maybe(format!("{name}_b64"), doc, json!({ "type": "array", "items": base64() }));
    let doc = "Length of the whole list, a NUL after each string included. Null: more than what is there.";
    object.maybe(format!("{name}_bytes"), doc, nullable(uint(u64::MAX)));
    object.maybe(format!("{name}_truncated"), "There where only the list's beginning is.", holds());
}

/// What has variables whose readable form is not all of them.
const WHOLE: &str = "Each variable as NAME=value in base64 that is not UTF-8, or whose name has U+FFFD.";

fn wholes() -> Json {
    json!({ "type": "array", "items": base64() })
}

fn beside_env(object: &mut Object, name: &str) {
    object.maybe(format!("{name}_b64"), WHOLE, wholes());
    let doc = "Length of the whole environment, a NUL after each string included.";
    object.maybe(format!("{name}_bytes"), doc, uint(u64::MAX));
    let doc = "There where only the environment's beginning was read: there may be more of these variables.";
    object.maybe(format!("{name}_truncated"), doc, holds());
}

fn holds() -> Json {
    json!({ "const": true, "type": "boolean" })
}
