//! Parsers of untrusted files and specs, each as a function of bytes that must end soon, without a panic, whatever the
//! bytes are, and with properties that must hold of the result. For the tests in `tests.rs`, which mutate files at random,
//! and for `fuzz/`, guided by coverage (libFuzzer).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::commands::btf::minimize::minimize;
use crate::commands::replay::{play, tracers_of};
use crate::commands::setup::table;
use crate::commands::{btf as btf_cmd, relocs, verdict};
use crate::ffi::log;
use crate::flow::enrich::Resolver;
use crate::flow::filter::Filter;
use crate::flow::ledger::Ledger;
use crate::flow::pipeline::Pipeline;
use crate::flow::record::Reader;
use crate::output::tables::Table;
use crate::output::{Format, Lines, Look, Output, Time, View};
use crate::tracers::decoders::Decoders;
use crate::tracers::{self, Tracer};
use crate::types::archive::{Archive, Entry as Carried};
use crate::types::image::{self, samples as made};
use crate::types::model::Types;
use crate::types::relo::{Needs, Object, Target, few, walk};

mod binaries;
mod specs;

/// Name, function, and initial files.
pub type Parser = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All parsers.
pub const PARSERS: [Parser; 9] = [
    ("recording", recording, recordings),
    ("types", types, all_types),
    ("image", image, images),
    ("package", image, packages),
    ("object", object, objects),
    ("archive", archive, archives),
    ("spec", spec, specs::seeds),
    ("binary", binary, binaries::binaries),
    ("text", binaries::texts, binaries::all_texts),
];

/// libbpf's messages go where a run sends them.
pub fn quiet() {
    log::capture_log(false);
}

/// Must not reach a terminal, and is escaped in JSON.
fn is_harmful(c: char) -> bool {
    let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() && !matches!(c, '\n' | '\t') || bidi
}

fn harmless(text: &str, what: &str) {
    assert!(!text.chars().any(is_harmful), "{what}: {text:?}");
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut all) = self.0.lock() {
            all.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A recording, in every format and view: text is harmless, JSON is valid.
fn recording(bytes: &[u8]) {
    for lines in [Lines::Text, Lines::Json] {
        for view in View::ALL {
            let Some(written) = replayed(bytes, |look, table| view.build(lines, look, table)) else { return };
            let text = String::from_utf8(written).expect("the output is UTF-8");
            harmless(&text, "an event");
            if lines == Lines::Json {
                text.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect(line)));
            }
        }
    }
    replayed(bytes, |look, table| Format::Perfetto.build(look, table));
}

/// What an output makes of a recording; None: it is none.
fn replayed(bytes: &[u8], build: impl FnOnce(Look, Table) -> Box<dyn Output>) -> Option<Vec<u8>> {
    let mut reader = Reader::new(bytes).ok()?;
    let tracers = tracers_of(&reader.header, tracers::all()).ok()?;
    let tracers: Vec<&dyn Tracer> = tracers.iter().map(AsRef::as_ref).collect();
    let look = Look { width: None, colour: false, wide: true, time: Time::Utc, labels: true, containers: true };
    let kinds: Vec<_> = tracers.iter().flat_map(|tracer| tracer.kinds()).collect();
    let (sink, ledger) = (Sink::default(), Ledger::new(kinds.iter().copied()));
    let output = build(look, table(&tracers, look.room()));
    let (filter, decoders) = (Filter::default(), Decoders::new(tracers));
    let mut pipeline = Pipeline::new(&decoders, ledger, filter, output, Box::new(sink.clone()), false);
    pipeline.enrich(Resolver::recorded());
    pipeline.header();
    let _ = play(&mut reader, &kinds, &mut pipeline, &|| false);
    let _ = pipeline.finish();
    Some(sink.0.lock().map(|all| all.clone()).unwrap_or_default())
}

fn target(bytes: &[u8]) -> Option<Target> {
    image::check_raw(bytes, bytes.len() as u64).ok()?;
    Some(Target { path: PathBuf::from("x"), types: Types::read(bytes).ok()?, about: Default::default() })
}

/// Types: those that a run accepts, libbpf can match and write; what is made from them is accepted, too.
fn types(bytes: &[u8]) {
    // What a run makes of them before libbpf looks.
    let mut needs = Needs::default();
    tracers::sources().iter().for_each(|source| needs.add(source.object()).expect("our own"));
    few(&needs, bytes);
    let Some(target) = target(bytes) else { return };
    for tracer in tracers::all() {
        let object = Object::read(tracer.object()).expect("our own");
        let walk = walk(&object, &target);
        verdict::judge(tracer.as_ref(), (&object, &walk), &target.types, None, None);
    }
    match minimize(&target) {
        Ok(few) => assert!(self::target(&few).is_some(), "what min writes is refused"),
        Err(error) => assert!(!format!("{error:#}").contains("please report"), "{error:#}"),
    }
    for text in btf_cmd::all_of(&target) {
        harmless(&text, "types");
    }
    drop(log::take_log());
}

fn image(bytes: &[u8]) {
    match image::from_bytes(bytes) {
        Ok(found) => types(&found.btf),
        Err(fault) => harmless(&fault.to_string(), "a fault"),
    }
}

/// An untrusted object, against the kernel of the tests.
fn object(bytes: &[u8]) {
    if let Ok(object) = Object::read(bytes) {
        let kernel = target(&made::kernel_btf()).expect("our own");
        let [text, json] = relocs::all_of(&object, &[kernel]);
        harmless(&text, "relocations");
        json.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect(line)));
    }
    drop(log::take_log());
}

fn archive(bytes: &[u8]) {
    let Some(archive) = Archive::parse(bytes) else { return };
    assert!(archive.entries().count() <= bytes.len());
    archive.bytes();
}

/// What a user wrote, or somebody else for them.
fn spec(bytes: &[u8]) {
    specs::refusals(bytes).iter().for_each(|text| harmless(text, "a spec"));
}

/// Any file that somebody wants to probe.
fn binary(bytes: &[u8]) {
    binaries::binary(bytes);
    drop(log::take_log());
}

fn recordings() -> Vec<Vec<u8>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    ["proc", "exec", "open"].iter().filter_map(|name| fs::read(samples.join(format!("{name}.rec"))).ok()).collect()
}

/// The objects built for the tests.
fn objects() -> Vec<Vec<u8>> {
    let names = ["all", "field", "type", "enum", "guard", "complex", "layout", "helper"];
    names.iter().map(|name| test_objects::bytes(name).to_vec()).collect()
}

fn all_types() -> Vec<Vec<u8>> {
    let mut all = vec![made::kernel_btf(), crate::types::sample::sample()];
    all.extend(objects().iter().filter_map(|object| Some(image::from_bytes(object).ok()?.btf)));
    for tracer in tracers::all() {
        let whole = Object::read(tracer.object()).map(|object| object.types);
        let whole = whole.map(|types| Target { path: PathBuf::new(), types, about: Default::default() });
        all.extend(whole.and_then(|whole| minimize(&whole)));
    }
    all
}

const FORMATS: [&str; 4] = ["gzip", "xz", "zstd", "lz4"];

fn images() -> Vec<Vec<u8>> {
    let btf = crate::types::sample::sample();
    let kernel = made::vmlinux(&btf, made::RELEASE);
    let mut all = vec![kernel.clone(), made::arm_image(&btf)];
    for packed in FORMATS.map(|format| made::packed(format, &kernel)) {
        all.extend([made::bz_image(&packed, true), made::bz_image(&packed, false), made::zboot(&packed), packed]);
    }
    all
}

fn packages() -> Vec<Vec<u8>> {
    let btf = crate::types::sample::sample();
    let kernel = made::bz_image(&made::packed("gzip", &made::vmlinux(&btf, made::RELEASE)), true);
    let tar =
        made::tar(&[("boot", b'5', b""), ("L", b'L', b"some/long/name.btf\0"), ("./boot/vmlinuz-6", b'0', &kernel)]);
    let cpio = made::cpio(&[("x", 0o040_755, b""), ("./lib/modules/6/vmlinuz", 0o100_644, &kernel)]);
    let mut all = vec![made::deb("data.tar", &tar), made::rpm(&cpio), tar.clone()];
    for format in FORMATS {
        all.push(made::deb(&format!("data.tar.{format}"), &made::packed(format, &tar)));
        all.push(made::rpm(&made::packed(format, &cpio)));
    }
    all
}

fn archives() -> Vec<Vec<u8>> {
    let mut archive = Archive::default();
    for (n, btf) in [&[1, 2, 3][..], &[1, 2, 3], &[], &crate::types::sample::sample()].iter().enumerate() {
        let text = |text: &str| format!("{text}{n}");
        let entry = Carried { release: text("6."), arch: text("x86_"), distro: text("debian"), version: text("12") };
        archive.add(entry, btf.to_vec());
    }
    // Without what is behind it in a program.
    archive.bytes().into_iter().map(|bytes| bytes[..bytes.len() - 32].to_vec()).collect()
}

#[cfg(test)]
mod tests;
