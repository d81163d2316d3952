//! Runs one of coretrace's parsers on libFuzzer's input. `FUZZ` names the parser.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: { coretrace::fuzz::quiet(); }, |bytes: &[u8]| {
    static PARSE: OnceLock<fn(&[u8])> = OnceLock::new();
    let parse = PARSE.get_or_init(|| {
        let name = std::env::var("FUZZ").expect("FUZZ=PARSER");
        let found = coretrace::fuzz::PARSERS.into_iter().find(|(other, ..)| *other == name);
        found.expect("recording, types, image, package, object, archive or spec").1
    });
    parse(bytes);
});
