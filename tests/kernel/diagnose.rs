//! Loads that fail are explained: objects that are built to fail, and what this kernel says of them.

use std::path::Path;

use coretrace::host::{Host, diagnose};
use coretrace::load::session;

/// What is told of an object that does not load.
fn explained(name: &str, object: &[u8]) -> String {
    session::capture_log(false);
    let open = libbpf_rs::ObjectBuilder::default().open_memory(object).unwrap();
    let error = anyhow::Error::new(open.load().err().unwrap_or_else(|| panic!("{name} loads"))).context("loading");
    let (log, _) = session::take_log();
    let explained = diagnose::explain(&error, &log, &Host::read(Path::new("/")));
    explained.unwrap_or_else(|| panic!("{name}: nothing explains {error:#}: {}", log.concat())).to_string()
}

#[test]
fn what_the_verifier_refuses_is_explained_by_its_cause() {
    for (name, words) in [
        ("complex", "too complex for this kernel's verifier"),
        ("rejected", "refuses program handle_rejected"),
        ("helper", "it has no helper #9999"),
        ("field", "coretrace's program cannot do without"),
    ] {
        let said = explained(name, test_objects::bytes(name));
        assert!(said.contains(words), "{name}: {said}");
    }
}
