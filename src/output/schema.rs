//! The JSON Schema (2020-12) of JSON lines, made from the kinds of events.

mod container;
mod field;
mod life;
mod object;
mod primitive;
mod summary;
mod totals;

use serde_json::{Value as Json, json};

use self::container::container;
use self::field::add_field;
use self::life::{life, node};
use self::object::Object;
use self::primitive::{B64, READABLE, base64, nullable, uint};
use self::summary::summary;
use self::totals::total;
use super::json::{LOST, MISSING};
use crate::event::{CAUSES, Kind, Names};

/// The schema of one line: an object of one of these kinds, a loss, or what was added up.
#[must_use]
pub fn schema(kinds: &[&Kind]) -> Json {
    let objects: Vec<Json> = kinds
        .iter()
        .map(|kind| event(kind))
        .chain([lost(), missing(), total(), life(kinds), node(kinds), summary()])
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "coretrace JSON lines",
        "description": "One line: an event, a notice that events were lost, what hits come to that were added up, or a line of a view. Integers have up to 64 bits, but where more is said.",
        "type": "object",
        "oneOf": objects,
    })
}

fn event(kind: &Kind) -> Json {
    let mut object = Object::begin(&kind.name);
    head(&mut object, kind.without_process);
    for field in kind.fields() {
        add_field(&mut object, field);
    }
    object.finish(&kind.name, &kind.doc)
}

/// What every event has.
fn head(object: &mut Object, without_process: bool) {
    let of_process = |schema: Json| if without_process { nullable(schema) } else { schema };
    let or_none = if without_process { " Null: none, or none that is known." } else { "" };
    object.time("When it happened: RFC 3339, UTC, with nanoseconds.");
    object.always("boot_ns", "Nanoseconds since boot, suspend included (CLOCK_BOOTTIME).", uint(u64::MAX));
    object.always("cpu", "CPU on which the event was taken.", uint(u32::MAX));
    let seq = "Counts the events of this kind on this CPU, lost ones too: a gap is a loss. Where the kernel interrupts \
               programs, numbers may repeat or be out of order.";
    object.always("seq", seq, uint(u64::MAX));
    let mut id = |name: &str, doc: &str| {
        object.always(name, &format!("{doc}{or_none}"), of_process(uint(u32::MAX)));
    };
    id("pid", "Process (the kernel's tgid), as numbered in coretrace's own PID namespace.");
    id("tid", "Thread (the kernel's pid), likewise.");
    id("ppid", "Process of the real parent, likewise; 0 where there is none in this namespace.");
    id("uid", "Real user id, as numbered in the initial user namespace.");
    id("gid", "Real group id, likewise.");
    let doc = format!("Name of the thread, which it chooses itself.{or_none}");
    object.always("comm", &doc, of_process(json!({ "type": "string" })));
    object.maybe("comm_b64".into(), B64, base64());
    let doc = "What --labels say of who did it; there where they say anything.";
    object.maybe("label".into(), doc, json!({ "type": "string" }));
    object.maybe("label_b64".into(), B64, base64());
    let doc = format!("Id of the cgroup v2 directory (its inode number).{or_none}");
    object.always("cgroup_id", &doc, of_process(uint(u64::MAX)));
    for (name, doc) in Names::ALL {
        let doc = format!("{doc} There where names were asked for; null: there is none. {READABLE}");
        object.maybe(name.into(), &doc, nullable(json!({ "type": "string" })));
        object.maybe(format!("{name}_b64"), B64, base64());
    }
    let (name, doc) = Names::CONTAINER;
    object.maybe(name.into(), &format!("{doc} There where names were asked for; null: in none."), container());
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

fn missing() -> Json {
    let mut object = Object::begin(MISSING);
    object.time("When the last event happened: RFC 3339, UTC, with nanoseconds.");
    object.always("what", "What is meant.", json!({ "type": "string" }));
    object.always("count", "How many.", uint(u64::MAX));
    object.finish(MISSING, "What a view does not show, though no events were lost.")
}
