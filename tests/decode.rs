//! Any bytes, in every tracer's decoder and through every format: an event or an error, never a panic.

use std::collections::BTreeSet;
use std::io;

use coretrace::event::{Field, Kind, Shape};
use coretrace::flow::filter::{self, Filter};
use coretrace::flow::ledger::Ledger;
use coretrace::flow::pipeline::Pipeline;
use coretrace::output::schema::schema;
use coretrace::output::{Format, Look, Time};
use coretrace::tracers::{self, Tracer};

#[path = "samples/mod.rs"]
#[allow(dead_code)]
mod samples;

/// Every format, and everything else that reads an event's fields.
fn pipelines(tracer: &dyn Tracer) -> [Pipeline<'_>; 4] {
    let narrow =
        Look { width: Some(97), colour: true, wide: false, time: Time::Local, labels: false, containers: false };
    let wide = Look { wide: true, ..narrow };
    let formats = [(Format::Text, narrow), (Format::Text, wide), (Format::Json, wide), (Format::Perfetto, wide)];
    formats.map(|(format, look)| {
        // Both match anything, but read the fields.
        let (args, paths) = (filter::regex("").unwrap(), vec![filter::path_glob("*").unwrap()]);
        let filter = match format {
            Format::Text => Filter { args: Some(args), ..Filter::default() },
            Format::Json | Format::Perfetto => Filter { paths, ..Filter::default() },
        };
        let ledger = Ledger::new(tracer.kinds().iter());
        Pipeline::new(tracer, ledger, filter, format.build(look, tracer.table(look.room())), Box::new(io::sink()), true)
    })
}

fn take(pipelines: &mut [Pipeline<'_>], sample: &[u8]) {
    pipelines.iter_mut().for_each(|pipeline| pipeline.sample(sample));
}

/// Pseudo-random numbers, the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

#[test]
fn every_tracer_decodes_its_recording() {
    for (tracer, recording) in samples::all() {
        assert_eq!(
            recording.header.tracers[0].layout,
            tracer.info().layout,
            "{}: see tests/samples/README",
            tracer.name()
        );
        let mut kinds: Vec<_> = Vec::new();
        for sample in &recording.samples {
            let event = tracer.decode(sample).unwrap();
            for (name, value) in &event.fields {
                let field = event.kind.fields().iter().find(|field| field.name == *name).expect(name);
                let as_declared = field.shape == value.shape() || field.shape == Shape::Any;
                assert!(as_declared, "{} {name}: {value:?}", event.kind.name);
            }
            kinds.push(event.kind.name.clone());
        }
        for kind in tracer.kinds() {
            assert!(kinds.contains(&kind.name), "the recording has no {}", kind.name);
        }
    }
}

/// Names of an object's members in the schema.
fn members(fields: &[Field]) -> BTreeSet<String> {
    let kind = Kind::owned(1, "kind".to_owned(), String::new(), fields.to_vec()).unwrap();
    let schema = schema(&[&kind]);
    schema["oneOf"][0]["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn no_two_members_of_an_event_have_the_same_name_in_json() {
    let head = members(&[]);
    for kind in tracers::all().iter().flat_map(|tracer| tracer.kinds().to_vec()) {
        let mut names = head.clone();
        for field in kind.fields() {
            let own = members(std::slice::from_ref(field));
            assert!(own.len() > head.len(), "{} {}: a name of the head", kind.name, field.name);
            for name in own.difference(&head) {
                assert!(names.insert(name.clone()), "{} {name}", kind.name);
            }
        }
    }
}

#[test]
fn a_sample_cut_anywhere_is_no_panic() {
    for (tracer, recording) in samples::all() {
        let mut pipelines = pipelines(tracer.as_ref());
        for sample in recording.samples {
            (0..sample.len()).for_each(|len| take(&mut pipelines, &sample[..len]));
        }
    }
}

#[test]
fn a_sample_changed_anywhere_is_no_panic() {
    for (tracer, recording) in samples::all() {
        let mut pipelines = pipelines(tracer.as_ref());
        let recorded = recording.samples;
        // One of each kind, the longest: they differ only in their strings.
        for kind in tracer.kinds() {
            let of_kind = recorded.iter().filter(|s| tracer.decode(s).is_ok_and(|event| event.kind.id == kind.id));
            let mut sample = of_kind.max_by_key(|s| s.len()).cloned().unwrap();
            for at in 0..sample.len() {
                let was = sample[at];
                for value in [0, 1, was.wrapping_sub(1), was.wrapping_add(1), 0x7f, 0x80, 0xc3, 0xff] {
                    sample[at] = value;
                    take(&mut pipelines, &sample);
                }
                sample[at] = was;
            }
        }
    }
}

#[test]
fn random_bytes_are_no_panic() {
    let mut random = Random(1);
    for (tracer, recording) in samples::all() {
        let mut pipelines = pipelines(tracer.as_ref());
        let recorded = recording.samples;
        for _ in 0..20_000 {
            // Nothing but noise, and noise that begins like an event.
            let mut noise: Vec<u8> = (0..random.below(600)).map(|_| random.next() as u8).collect();
            take(&mut pipelines, &noise);
            let sample = &recorded[random.below(recorded.len())];
            let head = random.below(sample.len());
            noise.splice(..0, sample[..head].iter().copied());
            take(&mut pipelines, &noise);
            // Several changes of an event at once.
            let mut damaged = sample.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(damaged.len());
                damaged[at] = random.next() as u8;
            }
            take(&mut pipelines, &damaged);
        }
    }
}
