//! Reads what `-o perfetto` writes with Perfetto's own schema, and checks what its reader relies on.

pub mod svg;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use perfetto_protos::debug_annotation::DebugAnnotation;
use perfetto_protos::debug_annotation::debug_annotation::{Name_field as AnnotationName, Value};
use perfetto_protos::interned_data::InternedData;
use perfetto_protos::trace_packet::TracePacket;
use perfetto_protos::track_descriptor::TrackDescriptor;
use perfetto_protos::track_event::TrackEvent;
use perfetto_protos::track_event::track_event::{Name_field as EventName, Type};
use protobuf::Message;

/// `SequenceFlags`
const CLEARED: u32 = 1;
/// `BuiltinClock`
const REALTIME: u32 = 1;
const BOOTTIME: u32 = 6;

/// A trace that keeps to the rules.
#[derive(Debug, Default)]
pub struct Trace {
    pub tracks: BTreeMap<u64, Track>,
    /// When slices, instants and counts are, and what is said of them; in the order in which they begin in the file.
    pub marks: Vec<Mark>,
    /// Wall clock and time since boot.
    pub clocks: Vec<(u64, u64)>,
    /// How many slices were not ended.
    pub open: usize,
    /// How many times names were written again.
    pub cleared: usize,
    /// How many names there were in all.
    pub names: usize,
}

#[derive(Debug, Default)]
pub struct Track {
    pub name: String,
    pub parent: Option<u64>,
    pub counter: bool,
    last: u64,
    /// Those of its marks that have not ended.
    open: Vec<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    pub track: u64,
    pub category: String,
    pub name: String,
    pub begin: u64,
    /// None: it is an instant.
    pub end: Option<u64>,
    /// What is said at its beginning and at its end.
    pub said: Vec<(String, String)>,
    pub count: Option<i64>,
    pub from: Option<u64>,
    pub to: Option<u64>,
}

impl Mark {
    /// What is said of something by this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.said.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// Names by their numbers, and which are known.
#[derive(Default)]
struct Known {
    by_iid: HashMap<u64, String>,
    all: HashSet<String>,
}

#[derive(Default)]
struct Names {
    categories: Known,
    events: Known,
    annotations: Known,
}

impl Trace {
    /// Reads a trace that may have been interrupted: slices may be open, and the last arrow may have no end.
    pub fn read(bytes: &[u8]) -> Trace {
        let packets = perfetto_protos::trace::Trace::parse_from_bytes(bytes).expect("the schema fits").packet;
        let (mut trace, mut names) = (Trace::default(), Names::default());
        for (n, packet) in packets.iter().enumerate() {
            trace.packet(&mut names, packet, n == 0);
        }
        trace.open = trace.tracks.values().map(|track| track.open.len()).sum();
        let ends = |of: fn(&Mark) -> Option<u64>| trace.marks.iter().filter_map(of).collect::<BTreeSet<u64>>();
        let (from, to) = (ends(|mark| mark.from), ends(|mark| mark.to));
        assert!(to.is_subset(&from) && from.len() - to.len() <= 1, "arrows with one end: {from:?} {to:?}");
        assert_eq!(to.len(), trace.marks.iter().filter(|mark| mark.to.is_some()).count(), "an arrow with two heads");
        trace
    }

    /// Reads a trace that was ended.
    pub fn whole(bytes: &[u8]) -> Trace {
        let trace = Trace::read(bytes);
        let ends = |of: fn(&Mark) -> Option<u64>| trace.marks.iter().filter_map(of).count();
        assert_eq!((trace.open, ends(|mark| mark.from)), (0, ends(|mark| mark.to)));
        trace
    }

    fn packet(&mut self, names: &mut Names, packet: &TracePacket, is_first: bool) {
        assert!(packet.special_fields.unknown_fields().iter().next().is_none(), "{packet:?}");
        assert!(packet.trusted_packet_sequence_id() == 1 && packet.has_timestamp(), "{packet:?}");
        if packet.sequence_flags() & CLEARED != 0 {
            *names = Names::default();
            self.cleared += 1;
        } else {
            assert!(!is_first, "a reader passes over packets that need names, before names are cleared");
        }
        if let Some(data) = packet.interned_data.as_ref() {
            self.names += names.add(data);
        }
        if packet.has_clock_snapshot() {
            let clocks = &packet.clock_snapshot().clocks;
            let of = |id| clocks.iter().find(|clock| clock.clock_id() == id).expect("a clock").timestamp();
            assert_eq!(of(BOOTTIME), packet.timestamp());
            self.clocks.push((of(REALTIME), of(BOOTTIME)));
        } else if packet.has_track_descriptor() {
            self.descriptor(packet.track_descriptor());
        } else {
            assert!(packet.has_track_event(), "{packet:?}");
            self.event(names, packet.timestamp(), packet.track_event());
        }
    }

    fn descriptor(&mut self, of: &TrackDescriptor) {
        assert!(of.uuid() != 0 && !of.name().is_empty(), "{of:?}");
        let parent = of.parent_uuid;
        assert!(parent.is_none_or(|parent| self.tracks.contains_key(&parent)), "its parent comes first: {of:?}");
        let known = self.tracks.entry(of.uuid()).or_insert_with(|| Track { parent, ..Track::default() });
        assert_eq!(known.parent, parent, "a track stays where it is: {of:?}");
        of.name().clone_into(&mut known.name);
        known.counter = of.counter.is_some();
    }

    fn event(&mut self, names: &Names, at: u64, event: &TrackEvent) {
        let track = self.tracks.get_mut(&event.track_uuid()).expect("a track that was described");
        assert!(at >= track.last, "{} before {}: {event:?}", at, track.last);
        track.last = at;
        let said = event.debug_annotations.iter().map(|annotation| names.annotation(annotation));
        let category = event.category_iids.first().map(|iid| names.categories.get(*iid));
        let name = match &event.name_field {
            Some(EventName::NameIid(iid)) => Some(names.events.get(*iid)),
            None => None,
            other => panic!("not interned: {other:?}"),
        };
        let mark = Mark {
            track: event.track_uuid(),
            category: category.unwrap_or_default(),
            name: name.unwrap_or_default(),
            begin: at,
            end: None,
            said: said.collect(),
            count: event.has_counter_value().then(|| event.counter_value()),
            from: event.flow_ids.first().copied(),
            to: event.terminating_flow_ids.first().copied(),
        };
        let of = event.type_.map(|of| of.enum_value().expect("a known type"));
        assert_eq!(track.counter, of == Some(Type::TYPE_COUNTER), "{event:?}");
        assert_ne!((of == Some(Type::TYPE_SLICE_END) || track.counter), !mark.name.is_empty(), "{event:?}");
        match of {
            Some(Type::TYPE_SLICE_BEGIN) => track.open.push(self.marks.len()),
            Some(Type::TYPE_SLICE_END) => {
                let begun = &mut self.marks[track.open.pop().expect("a slice that was begun")];
                begun.end = Some(at);
                begun.said.extend(mark.said);
                return;
            }
            Some(Type::TYPE_INSTANT | Type::TYPE_COUNTER) => {}
            _ => panic!("{event:?}"),
        }
        self.marks.push(mark);
    }

    /// The marks of a track, by its name.
    pub fn on(&self, name: &str) -> Vec<&Mark> {
        let is_on = |mark: &&Mark| self.tracks[&mark.track].name == name;
        self.marks.iter().filter(is_on).collect()
    }

    /// The name of a track's parent.
    pub fn parent(&self, name: &str) -> &str {
        let track = self.tracks.values().find(|track| track.name == name).expect("a track");
        track.parent.map_or("", |parent| &self.tracks[&parent].name)
    }

    /// All of it as text: tracks under their parents', and on each what happened, in microseconds since the beginning.
    pub fn dump(&self) -> String {
        let first = self.marks.iter().map(|mark| mark.begin).min().unwrap_or(0);
        let mut text = String::new();
        for (wall, boot) in &self.clocks {
            writeln!(text, "clock: {wall} at {boot}").unwrap();
        }
        self.below(&mut text, None, 0, first);
        text
    }

    fn below(&self, text: &mut String, parent: Option<u64>, depth: usize, first: u64) {
        let micros = |at: u64| format!("{}.{:03}", (at - first) / 1000, (at - first) % 1000);
        for (uuid, track) in self.tracks.iter().filter(|(_, track)| track.parent == parent) {
            let indent = "    ".repeat(depth);
            writeln!(text, "{indent}{}", track.name).unwrap();
            for mark in self.marks.iter().filter(|mark| mark.track == *uuid) {
                let end = mark.end.map(|end| format!("-{}", micros(end))).unwrap_or_default();
                let said: String = mark.said.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                let count = mark.count.map(|count| count.to_string()).unwrap_or_default();
                let flow = mark.from.map(|id| format!(" ->{id}")).unwrap_or_default()
                    + &mark.to.map(|id| format!(" <-{id}")).unwrap_or_default();
                let (begin, name, of) = (micros(mark.begin), &mark.name, &mark.category);
                let of = if of.is_empty() { String::new() } else { format!(" [{of}]") };
                writeln!(text, "{indent}  {begin}{end} {name}{count}{of}{flow}{said}").unwrap();
            }
            self.below(text, Some(*uuid), depth + 1, first);
        }
    }
}

impl Names {
    /// Adds names; returns how many.
    fn add(&mut self, data: &InternedData) -> usize {
        let categories = data.event_categories.iter().map(|of| (of.iid(), of.name()));
        let events = data.event_names.iter().map(|of| (of.iid(), of.name()));
        let annotations = data.debug_annotation_names.iter().map(|of| (of.iid(), of.name()));
        self.categories.add(categories) + self.events.add(events) + self.annotations.add(annotations)
    }

    fn annotation(&self, of: &DebugAnnotation) -> (String, String) {
        let name = match &of.name_field {
            Some(AnnotationName::NameIid(iid)) => self.annotations.get(*iid),
            other => panic!("not interned: {other:?}"),
        };
        (name, self.value(of))
    }

    fn value(&self, of: &DebugAnnotation) -> String {
        match &of.value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::UintValue(number)) => number.to_string(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::DoubleValue(number)) => number.to_string(),
            Some(Value::BoolValue(yes)) => yes.to_string(),
            Some(other) => panic!("{other:?}"),
            None if !of.dict_entries.is_empty() => {
                let entries = of.dict_entries.iter().map(|entry| self.annotation(entry));
                let entries: Vec<String> = entries.map(|(name, value)| format!("{name}={value}")).collect();
                format!("{{{}}}", entries.join(" "))
            }
            None => {
                let items: Vec<String> = of.array_values.iter().map(|item| self.value(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }
}

impl Known {
    /// Adds names; returns how many.
    fn add<'a>(&mut self, new: impl Iterator<Item = (u64, &'a str)>) -> usize {
        let before = self.all.len();
        for (iid, name) in new {
            assert!(iid != 0 && !name.is_empty() && self.all.insert(name.to_owned()), "{name} is written again");
            assert!(self.by_iid.insert(iid, name.to_owned()).is_none(), "{iid} is another name");
        }
        self.all.len() - before
    }

    fn get(&self, iid: u64) -> String {
        self.by_iid.get(&iid).expect("a name that was written").clone()
    }
}
