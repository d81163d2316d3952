//! The user-space cost of a recorded event: decoded, and through the whole pipeline in each format.

use std::io::{self, Write};
use std::time::Duration;

use coretrace::flow::filter::Filter;
use coretrace::flow::ledger::Ledger;
use coretrace::flow::pipeline::Pipeline;
use coretrace::output::{Format, Look, Time};
use coretrace::tracers::Tracer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/samples/mod.rs"]
#[allow(dead_code)]
mod samples;

/// The samples of each kind, and all of them.
fn sets(tracer: &dyn Tracer, recording: &samples::Recording) -> Vec<(String, Vec<Vec<u8>>)> {
    let kind = |sample: &[u8]| tracer.decode(sample).expect("a recorded sample").kind.id;
    let of = |id| recording.samples.iter().filter(|sample| kind(sample) == id).cloned().collect();
    let mut sets: Vec<_> = tracer.kinds().iter().map(|kind| (kind.name.to_string(), of(kind.id))).collect();
    sets.push(("all".to_owned(), recording.samples.clone()));
    sets
}

fn events(c: &mut Criterion) {
    let plain = Look { width: None, colour: false, wide: false, time: Time::Local, labels: false, containers: false };
    let terminal = Look { width: Some(160), colour: true, ..plain };
    for (tracer, recording) in samples::all() {
        let tracer = tracer.as_ref();
        let sets = sets(tracer, &recording);
        // Each spec is one.
        let title = match tracer.kinds() {
            [kind] => format!("{}-{}", tracer.name(), kind.id),
            _ => tracer.name().to_owned(),
        };
        let mut group = c.benchmark_group(format!("{title}/decode"));
        for (name, samples) in &sets {
            let mut samples = samples.iter().cycle();
            group.throughput(Throughput::Elements(1));
            group.bench_function(name, |b| b.iter(|| tracer.decode(samples.next().expect("endless")).is_ok()));
        }
        group.finish();
        for (name, format, look) in
            [("text", Format::Text, plain), ("terminal", Format::Text, terminal), ("json", Format::Json, plain)]
        {
            let mut group = c.benchmark_group(format!("{title}/{name}"));
            for (name, samples) in &sets {
                let mut pipeline = pipeline(tracer, format, look);
                let mut samples = samples.iter().cycle();
                group.throughput(Throughput::Elements(1));
                group.bench_function(name, |b| b.iter(|| pipeline.sample(samples.next().expect("endless"))));
                assert!(pipeline.undecodable.is_none());
            }
            group.finish();
        }
    }
}

/// As in use, but with an output that costs nothing.
fn pipeline(tracer: &dyn Tracer, format: Format, look: Look) -> Pipeline<'_> {
    let sink: Box<dyn Write> = Box::new(io::sink());
    let ledger = Ledger::new(tracer.kinds().iter());
    let mut pipeline =
        Pipeline::new(tracer, ledger, Filter::default(), format.build(look, tracer.table(look.room())), sink, true);
    pipeline.clock(samples::read(tracer.name()).clock);
    pipeline
}

/// Shorter than the defaults: a minute in all, and as stable as the machine is.
fn brief() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = brief(); targets = events }
criterion_main!(benches);
