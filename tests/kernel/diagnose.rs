//! Loads that fail are explained: objects that are built to fail, and this kernel's messages.

use std::path::Path;
use std::sync::Mutex;

use coretrace::host::Host;
use coretrace::load::diagnose;
use libbpf_rs::PrintLevel;

/// libbpf's messages about the load. The objects are ours, so these are UTF-8, as libbpf-rs expects.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The explanation of an object that does not load.
fn explained(name: &str, object: &[u8]) -> String {
    libbpf_rs::set_print(Some((PrintLevel::Warn, |_, line| LOG.lock().unwrap().push(line))));
    let open = libbpf_rs::ObjectBuilder::default().open_memory(object).unwrap();
    let error = anyhow::Error::new(open.load().err().unwrap_or_else(|| panic!("{name} loads"))).context("loading");
    let log = std::mem::take(&mut *LOG.lock().unwrap());
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
        let printed = explained(name, test_objects::bytes(name));
        assert!(printed.contains(words), "{name}: {printed}");
    }
}
