//! The recorded samples, for the tests and benchmarks that use them.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use coretrace::flow::record::{Entry, Header, Reader};
use coretrace::host::clock::WallClock;
use coretrace::tracers::{self, Tracer};

/// The recording of a tracer.
pub fn path(tracer: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(format!("{tracer}.rec"))
}

/// A recording, read.
pub struct Recording {
    pub header: Header,
    pub clock: WallClock,
    pub samples: Vec<Vec<u8>>,
}

/// Reads the recording of a tracer.
pub fn read(tracer: &str) -> Recording {
    let path = path(tracer);
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = Reader::new(BufReader::new(file)).unwrap();
    let mut recording = Recording { header: reader.header.clone(), clock: WallClock::default(), samples: Vec::new() };
    loop {
        match reader.entry().unwrap() {
            Entry::Sample(bytes) => recording.samples.push(bytes.to_vec()),
            Entry::Clock(clock) | Entry::Begin(clock, _) => recording.clock = clock,
            Entry::Calls(_) | Entry::Names(_) | Entry::Environ { .. } | Entry::Command(_) | Entry::Symbol { .. } => {}
            Entry::Lost { .. } => panic!("{} has losses: record it again", path.display()),
            Entry::End(_) => return recording,
        }
    }
}

/// Every tracer with its part of a recording: one of each spec, where tracers are made of such.
pub fn all() -> Vec<(Box<dyn Tracer>, Recording)> {
    let mut found = Vec::new();
    for tracer in tracers::all() {
        let name = tracer.name();
        let specs = read(name).header.tracers.into_iter().filter_map(|made| made.spec).collect::<Vec<_>>();
        if specs.is_empty() {
            found.push((tracer, read(name)));
            continue;
        }
        for spec in specs {
            let tracer = tracer.replayed(&spec).unwrap().expect("it is made of specs");
            let mut recording = read(name);
            recording.samples.retain(|sample| tracer.decode(sample).is_ok());
            found.push((tracer, recording));
        }
    }
    found
}
