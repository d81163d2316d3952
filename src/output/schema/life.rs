//! The schema of a process's life (--lives).

use serde_json::{Value as Json, json};

use super::container::container;
use super::field::add_field;
use super::object::Object;
use super::primitive::{B64, base64, instant, nullable, uint};
use crate::event::{Field, Kind, Life, Names};
use crate::output::lives::LIFE;
use crate::output::processes::Begun;
use crate::output::tree::NODE;

pub(super) fn life(kinds: &[&Kind]) -> Json {
    let mut object = Object::begin(LIFE);
    object.time("When it ended (where that was not seen: its last event): RFC 3339, UTC, with nanoseconds.");
    about(&mut object, kinds);
    object.finish(LIFE, "A process has ended (--lives).")
}

pub(super) fn node(kinds: &[&Kind]) -> Json {
    let mut object = Object::begin(NODE);
    object.time("When it ended (where that was not seen: its last event): RFC 3339, UTC, with nanoseconds.");
    object.always("id", "Stands for it in this tree.", uint(u64::MAX));
    object.always("parent", "The id of its parent. Null: that is not in the tree.", nullable(uint(u64::MAX)));
    object.always("depth", "How many are above it, one that was not seen included.", uint(u64::MAX));
    let doc = "Whether it is in the longest chain of waiting.";
    object.always("longest_chain", doc, json!({ "type": "boolean" }));
    object.always("more", "How many more were below it, being too many to be kept.", uint(u64::MAX));
    let doc = "How long it lived, as far as that is known: until its end, else until that of the run (or its last event, where its number \
               is another one's now).";
    object.always("lived_ns", doc, uint(u64::MAX));
    let doc = "Whether it lived longer than that: it had not ended by then, or its beginning or its end was not seen.";
    object.always("lived_longer", doc, json!({ "type": "boolean" }));
    about(&mut object, kinds);
    object.finish(NODE, "A process in the tree, parents before their children (--tree).")
}

/// What is known of a process.
fn about(object: &mut Object, kinds: &[&Kind]) {
    object.always("boot_ns", "The same, in nanoseconds since boot, suspend included.", uint(u64::MAX));
    object.always("pid", "Process, as numbered in coretrace's own PID namespace.", uint(u32::MAX));
    object.always(
        "ppid",
        "Its parent, at its end: whoever took it over where that had ended before. 0 where there is none.",
        uint(u32::MAX),
    );
    object.always("uid", "Real user id, at its end.", uint(u32::MAX));
    object.always("gid", "Real group id, at its end.", uint(u32::MAX));
    object.always("comm", "Its name, at its end.", json!({ "type": "string" }));
    object.maybe("comm_b64".into(), B64, base64());
    object.maybe("label".into(), "What --labels say of it, at its end.", json!({ "type": "string" }));
    object.maybe("label_b64".into(), B64, base64());
    object.always("cgroup_id", "Id of its cgroup v2 directory, at its end.", uint(u64::MAX));
    let doc =
        "The innermost of systemd's units that it is in, at its end; there where names were asked for. Null: in none.";
    object.maybe("unit".into(), doc, nullable(json!({ "type": "string" })));
    object.maybe("unit_b64".into(), B64, base64());
    let (name, doc) = Names::CONTAINER;
    object.maybe(name.into(), &format!("{doc} Likewise."), container());
    let names = Begun::ALL.map(Begun::name);
    let doc = "How its beginning is known: by its parent's event (fork); it is the command, which began with the run (command); it was there before the run began (before; in a recording of 0.1.0, before the first event); \
               or not at all, as that event was lost or filtered (unseen).";
    object.always("begun", doc, json!({ "type": "string", "enum": names }));
    let doc = "The process that created it; there where that was seen (fork).";
    object.maybe("creator_pid".into(), doc, uint(u32::MAX));
    let doc = "When it began; there where its end was seen. Null: that could not be read.";
    object.maybe("start".into(), doc, nullable(instant()));
    object.maybe("start_boot_ns".into(), "The same, in nanoseconds since boot.", nullable(uint(u64::MAX)));
    object.always("programs", "How many programs it began to run.", uint(u32::MAX));
    let doc = "When it began to run the last of them; there where there is one.";
    object.maybe("exec_time".into(), doc, instant());
    object.maybe("exec_boot_ns".into(), "The same, in nanoseconds since boot.", uint(u64::MAX));
    let doc = "There where it ran none, but is a copy of its parent: this one, whose program is described.";
    object.maybe("fork_of".into(), doc, uint(u32::MAX));
    let of = |life: Life| kinds.iter().filter(move |kind| kind.life == Some(life)).flat_map(|kind| kind.fields());
    for field in of(Life::Program).chain(of(Life::End)) {
        add_field(object, &Field { always: false, ..field.clone() });
    }
    object.always(
        "end_seen",
        "Whether its end was seen: else its number is another one's now.",
        json!({ "type": "boolean" }),
    );
    let counts = json!({ "type": "object", "additionalProperties": uint(u64::MAX) });
    object.always("events", "How many other events it had, by their kinds.", counts);
}
