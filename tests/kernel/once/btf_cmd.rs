//! `coretrace btf` without types.

use std::path::Path;
use std::process::Command;

use crate::support::{coretrace, targets};

#[test]
fn without_types_it_says_what_to_do() {
    let targets = targets();
    for args in [&["ls"][..], &["show", "task_struct"], &["dump"], &["min", "/tmp/never-written"]] {
        let mut command = Command::new(&targets);
        let output = command.args(["mounts", "-btf"]).arg(coretrace()).arg("btf").args(args).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}: {printed}");
        assert!(
            printed.contains("no type information (BTF)") && printed.contains("CONFIG_DEBUG_INFO_BTF"),
            "{args:?}: {printed}"
        );
    }
    assert!(!Path::new("/tmp/never-written").exists());
}
