//! Placeholder live tests: one that runs and one that skips.
use std::{env, process::Command};

#[test]
fn coretrace_starts() {
    let path = env::var_os("CORETRACE").expect("CORETRACE is set by tests/vm/init");
    assert!(Command::new(path).status().unwrap().success());
}

#[test]
fn skips() {
    // Straight to fd 2: libtest would swallow it.
    use std::io::Write;
    writeln!(std::io::stderr(), "SKIP skips: only a placeholder").unwrap();
}
